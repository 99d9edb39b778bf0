"""The command line: what it prints, where, and with which exit status."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from sdebench import records
from sdebench.engine.suite import load_suite, suites
from sdebench.studies import ORDER
from sdebench.studies.order import stochastic

ROOT = Path(__file__).parents[2]
ONE_CASE = """[[study]]
study = "order"
problems = ["mixture-1d"]
solvers = ["ddim"]
grids = ["uniform_lam"]
points = 8
"""


def test_help_loads_nothing_that_takes_time():
    slow = {"torch", "numpy", "scipy", "pandas", "matplotlib"}
    code = f"import sys; from sdebench.cli import _status; _status(['--help']); sys.exit(bool({slow} & {{*sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("list", "run", "order", "check", "baseline", "compare", "report"):
        assert command in done.stdout


def test_the_solvers_are_listed_with_their_claims(sdebench):
    status, out, err = sdebench("list", "solvers", "--json")
    solvers = {row["name"]: row for row in json.loads(out)}
    assert (status, err) == (0, "")
    assert solvers["dpm-solver-2"].keys() >= {"family", "claimed_order", "order", "nfe_per_step", "memory", "reference"}
    assert (solvers["dpm-solver-2"]["order"], solvers["dpm-solver-2"]["nfe_per_step"]) == (2, 2)
    assert [solvers["srk-additive"][k] for k in ("stochastic", "order", "strong_order")] == [True, 2, 1.5]
    lines = sdebench("list", "solvers")[1].splitlines()
    marked = [" ".join(line.split()[:4]) for line in lines if " srk-additive " in line]
    assert marked == ["srk-additive ~ 2 2"]
    assert any("2 (1.5)" in line for line in lines)
    assert not any("~" in line for line in lines if " dpm-solver-2 " in line)


@pytest.mark.parametrize("what", ["solvers", "problems", "schedules", "grids", "suites", "studies", "recipes", "networks"])
def test_every_list_fits_80_columns_and_cuts_no_name(sdebench, what):
    status, out, _ = sdebench("list", what)
    names = [next(iter(row.values())) for row in json.loads(sdebench("list", what, "--json")[1])]
    assert status == 0
    assert max(map(len, out.splitlines())) <= 80
    assert names
    assert [name for name in names if name not in out] == []


@pytest.mark.parametrize(("what", "more"), [("solvers", 10), ("problems", 5)])
def test_every_solver_and_problem_is_one_line_at_80_columns(sdebench, what, more):
    rows = json.loads(sdebench("list", what, "--json")[1])
    lines = sdebench("list", what)[1].splitlines()
    families = {row.get("family") for row in rows} - {None}
    assert len(lines) == len(rows) + len(families) + more  # the title, what heads the columns, and a blank line on each side
    assert [row["name"] for row in rows if sum(f" {row['name']} " in f" {line} " for line in lines) != 1] == []


@pytest.mark.parametrize(("columns", "shown"), [("80", ""), ("100", "Lu et al. 2022"), ("200", "whole")])
def test_papers_are_listed_where_a_line_has_room_for_them(sdebench, monkeypatch, columns, shown):
    monkeypatch.setenv("COLUMNS", columns)
    lines = sdebench("list", "solvers")[1].splitlines()
    papers = {row["name"]: row["reference"] for row in json.loads(sdebench("list", "solvers", "--json")[1])}
    line = next(line for line in lines if " dpm-solver-fast " in line)
    assert " ".join(line.split()[5:]) == (papers["dpm-solver-fast"] if shown == "whole" else shown)
    assert max(map(len, lines)) <= int(columns)
    if shown == "whole":
        assert [name for name, paper in papers.items() if not any(name in x and paper in x for x in lines)] == []


def test_evaluations_of_a_start_up_are_listed_beside_those_of_a_step(sdebench):
    names = ("ddim", "pndm", "unipc-3", "dpm-solver-fast", "restart", "scipy-rk45")
    lines = [line.split() for line in sdebench("list", "solvers", *names)[1].splitlines()]
    cells = {words[0]: words[3 + (words[1] == "~")] for words in lines if words and words[0] in names}
    assert cells == {"ddim": "1", "pndm": "1+9", "unipc-3": "1+1", "dpm-solver-fast": "3-3", "restart": "3", "scipy-rk45": "6"}
    rows = {row["name"]: row for row in json.loads(sdebench("list", "solvers", *names, "--json")[1])}
    assert [rows["pndm"][k] for k in ("nfe_per_step", "nfe_counted", "nfe_more")] == [1, 1, 9]
    assert [rows["scipy-rk45"][k] for k in ("nfe_per_step", "nfe_counted", "nfe_more")] == [6, None, None]


def test_networks_are_listed_with_what_students_were_taught(sdebench):
    rows = {row["network"]: row for row in json.loads(sdebench("list", "networks", "--json")[1])}
    assert rows["digits"] == {"network": "digits", "recipe": "digits", "solver, grid: steps": "any"}
    assert rows["digits-progressive-4"]["solver, grid: steps"] == "ddim, uniform_t: 4"
    assert rows["digits-consistency"]["solver, grid: steps"] == "consistency, uniform_t: 1, 2, 4"


def test_some_of_the_solvers_are_listed_when_named(sdebench):
    def names(*which):
        return [row["name"] for row in json.loads(sdebench("list", *which, "--json")[1])]

    assert names("solvers", "unipc-3", "ddpm") == ["unipc-3", "ddpm"]
    assert names("solvers", "family:edm")[0] == "heun-edm"
    assert names("solvers", "family:RES") == ["res-2s", "res-3s", "res-2m"]
    assert "ddim" not in names("solvers", "stochastic")
    assert names("problems", "gaussian") == ["gaussian"]
    assert "arXiv:2302.04867" in sdebench("list", "solvers", "unipc-3")[1]


def test_the_suites_that_come_along_can_be_read_and_name_existing_things():
    for name, path in suites().items():
        if path.stat().st_size < 100_000:
            found, cases = load_suite(name)
            assert found == tomllib.loads(path.read_text())["name"] == name
            assert cases


def test_order_prints_a_table_that_fits_a_terminal(sdebench):
    status, out, err = sdebench("order", "dpm-solver-2", "--grid", "irregular")
    assert (status, err) == (0, "")
    assert "confirmed" in out
    assert "refuted" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_order_measures_weak_and_strong_orders_of_a_stochastic_method(sdebench, monkeypatch):
    """2048 paths of the 16 384: found is 1.99 +- 0.07."""
    monkeypatch.setattr(stochastic, "STRONG_PATHS", 2048)
    status, out, _ = sdebench("order", "srk-additive", "--problem", "gaussian", "--grid", "uniform_lam", "--json")
    rows = {row["kind"]: row for row in json.loads(out)}
    assert status == 0
    assert {kind: (row["grid"], row["claim"], row["verdict"]) for kind, row in rows.items()} == {
        "weak": ("uniform_lam", 2, "confirmed"),
        "strong": ("", 1.5, "confirmed"),
    }


def test_order_of_a_method_that_has_none_says_so(sdebench):
    status, out, _ = sdebench("order", "annealed-langevin")
    assert status == 0
    assert "does not tend to the exact one" in out
    assert json.loads(sdebench("order", "annealed-langevin", "--json")[1]) == []


WRONG_SOLVER = """
from dataclasses import dataclass
import sdebench as sb

@dataclass(frozen=True)
class Boast(sb.Solver):
    order, nfe_per_step = 2, 1

    def step(self, model, x, s, t, past=(), noise=None):
        return sb.get_solver("ddim").step(model, x, s, t)

class Raises(Boast):
    def step(self, model, x, s, t, past=(), noise=None):
        raise ArithmeticError("no")

class Thrifty(Boast):
    def step(self, model, x, s, t, past=(), noise=None):
        return sb.get_solver("heun-edm").step(model, x, s, t)

class Nothing(Boast):
    order = 1

    def step(self, model, x, s, t, past=(), noise=None):
        return sb.Step(float("nan") * super().step(model, x, s, t).x)

@dataclass(frozen=True)
class Needy(Boast):
    scale: float
"""


def test_a_claim_of_one_s_own_that_is_refuted_ends_with_status_1(sdebench):
    Path("boasting.py").write_text(WRONG_SOLVER)
    status, out, _ = sdebench("order", "boasting:Boast", "--grid", "uniform_lam", "--json")
    rows = {row["kind"]: row for row in json.loads(out)}
    assert status == 1
    assert rows["global"]["verdict"] == rows["local"]["verdict"] == "refuted"
    assert rows["global"]["order"] == pytest.approx(1.0, abs=0.05)
    status, out, _ = sdebench("order", "boasting:Raises", "--grid", "uniform_lam")
    assert status == 1
    assert "ArithmeticError: no" in out


def test_evaluations_are_counted_and_a_wrong_statement_ends_with_status_1(sdebench):
    Path("boasting.py").write_text(WRONG_SOLVER)
    status, out, _ = sdebench("order", "boasting:Thrifty", "--grid", "uniform_lam")
    assert status == 1
    assert out.endswith("\nNFE a step: 1 stated, 2 counted: refuted\n")
    status, out, _ = sdebench("order", "boasting:Thrifty", "--grid", "uniform_lam", "--json")
    assert status == 1
    assert {(row["nfe_stated"], row["nfe_counted"], row["verdict"]) for row in json.loads(out)} == {(1, 2, "confirmed")}
    status, out, _ = sdebench("order", "heun-edm", "--grid", "uniform_lam")
    assert status == 0
    assert out.endswith("\nNFE a step: 2 as stated\n")


def test_a_state_that_is_not_finite_is_said_and_ends_with_status_1(sdebench):
    Path("boasting.py").write_text(WRONG_SOLVER)
    status, out, _ = sdebench("order", "boasting:Nothing", "--grid", "uniform_lam")
    assert status == 1
    assert "global uniform_lam: diverges: the state is not finite, first at 24 steps\n" in out
    assert max(map(len, out.splitlines())) <= 80


def changed(old: str, new: str) -> str:
    assert old in ONE_CASE
    return ONE_CASE.replace(old, new)


SUITES = {
    "typo in a key": (changed("problems", "problms"), "key 'problms' of study 'order'; did you mean 'problems'"),
    "typo above the studies": ("nmae = 1\n" + ONE_CASE, "unknown key 'nmae'; did you mean 'name'?"),
    "typo in the study": (changed('"order"', '"ordre"'), "unknown study 'ordre'; did you mean 'order'?"),
    "no study's name": (changed('study = "order"\n', ""), "a study without its name"),
    "typo in a solver": (changed("ddim", "dimm"), "unknown solver 'dimm'; did you mean 'ddim'?"),
    "misspelt setting": (changed("ddim", "dpm-solver-2[rr=1]"), "unknown setting 'rr' of solver 'dpm-solver-2'"),
    "bad setting": (changed("ddim", "dpm-solver-2[r=half]"), "setting 'r' of 'dpm-solver-2' is 'half'"),
    "unclosed setting": (changed("ddim", "dpm-solver-2[r=0.5"), "with the closing bracket"),
    "misspelt family": (changed("ddim", "family:UniPD"), "unknown family 'UniPD'; did you mean 'UniPC'"),
    "misspelt problem": (changed("mixture-1d", "mixture-1"), "unknown problem 'mixture-1'; did you mean"),
    "typo in a grid": (changed("uniform_lam", "uniform_lamb"), "unknown grid 'uniform_lamb'; did you mean"),
    "a number for a list": (changed('["ddim"]', "3"), "solvers is 3: give"),
    "an empty list": (changed('["ddim"]', "[]"), "solvers is []: give"),
    "no number": (changed("points = 8", 'points = "many"'), "points is 'many': give a whole number, 1 or more"),
    "no points": (changed("points = 8", "points = 0"), "points is 0: give a whole number, 1 or more"),
    "a number for a grid": (changed('["uniform_lam"]', "[1]"), "grids is [1]: give a name"),
    "not TOML": ("[[study\n", "give a TOML file of [[study]] tables"),
    "no study": ('name = "x"\n', "no study in it"),
    "one table": (changed("[[study]]", "[study]"), "no study in it"),
    "a path for a name": ('name = "../x"\n' + ONE_CASE, "name is '../x'"),
}


@pytest.mark.parametrize("case", SUITES)
def test_a_suite_with_a_mistake_is_refused_in_one_line_and_nothing_is_made(sdebench, case, tmp_path):
    text, message = SUITES[case]
    Path("mine.toml").write_text(text)
    status, out, err = sdebench("run", "mine.toml")
    assert (status, out) == (2, "")
    assert err.startswith(("sdebench: mine.toml: ", "sdebench: mine.toml is not TOML ("))
    assert message in err
    assert err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["mine.toml"]


ARGUMENTS = {
    "a misspelt command": (("lits",), "'lits'"),
    "a misspelt list": (("list", "solvrs"), "did you mean 'solvers'"),
    "a misspelt solver of a list": (("list", "solvers", "dimm"), "did you mean 'ddim'"),
    "some of a list without names": (("list", "grids", "karras"), "give names after solvers or problems only"),
    "a misspelt option": (("run", "--ouy", "x"), "--ouy"),
    "a missing solver": (("order",), "type for example 'sdebench order unipc-3' ('sdebench order --help' shows"),
    "no whole number": (("run", "--jobs", "a"), "--jobs is 'a': give a whole number ('sdebench run --help' shows"),
    "no number": (("fid", "--patience", "x"), "--patience is 'x': give a number"),
    "a misspelt solver": (("order", "dpmpp-2m"), "unknown solver 'dpmpp-2m'"),
    "a misspelt problem": (("order", "ddim", "--problem", "mixture1d"), "did you mean 'mixture-1d'"),
    "a misspelt grid": (("order", "ddim", "--grid", "kerras"), "did you mean 'karras'"),
    "a list that rises": (("order", "ddim", "--grid", "2.7,1.0,1.5"), "1 is followed by 1.5: give levels of falling noise"),
    "a list with other ends": (("order", "ddim", "--grid", "9,1,0.5"), "the list begins with 9 and the run with 2.71828: give"),
    "a list of one": (("order", "ddim", "--grid", "times:0.5"), "a list of 1 times: give 2 to 10,000 numbers"),
    "no file of a list": (("order", "ddim", "--grid", "mine.txt"), "there is no file 'mine.txt': give a file with a number"),
    "a file that is no list": (("order", "ddim", "--grid", "notes.txt"), "'precious' stands in a list of sigmas: give numbers"),
    "no module": (("order", "no_such_module:Mine"), "sdebench: cannot load solver 'no_such_module:Mine' (No module named"),
    "a name that is far from all": (("order", "qqqq"), "one of your own that is no entry point: module:Class"),
    "no solver": (("order", "json:dumps"), "'json:dumps'"),
    "no class": (("order", "boasting:Boats"), "boasting"),
    "a field without default": (("order", "boasting:Needy"), "scale"),
    "a module with a mistake": (("order", "broken:Mine"), "broken.py, line 2): mend it"),
    "a module that raises": (("order", "raising:Mine"), "raising.py, line 3): mend it"),
    "a network's module that raises": (("fid", "--model", "raising:made"), "raising.py, line 3): mend it"),
    "a misspelt suite": (("run", "quikc"), "did you mean 'quick'"),
    "no file": (("run", "none.toml"), "there is no file none.toml"),
    "no jobs": (("run", "--jobs", "0"), "1 or more"),
    "results that are none": (("run", "one.toml", "--out", "notes.txt"), "not a results file (line 1 is not JSON)"),
    "results in a folder": (("run", "one.toml", "--out", "folder"), "folder is not a file"),
    "a report of no results": (("report", "notes.txt"), "notes.txt is not a results file"),
    "a report of nothing": (("report",), "nothing in results/*.jsonl"),
    "a report of a missing file": (("report", "none.jsonl"), "there is no results file none.jsonl"),
    "no baseline": (("check", "ddim"), "there is no baseline results/baseline.json"),
    "a baseline that is none": (
        ("check", "--baseline", "notes.txt"),
        "notes.txt is not JSON: give a file that 'sdebench baseline' wrote",
    ),
    "a folder for a baseline": (("check", "--baseline", "folder"), "folder is a folder: give a baseline file"),
    "no baseline to write over": (
        ("baseline", "ddim", "--out", "notes.txt"),
        "notes.txt is not JSON: give a file that 'sdebench baseline' wrote",
    ),
    "a misspelt solver of a baseline": (("baseline", "dimm"), "did you mean 'ddim'"),
    "no baseline to write anew": (("baseline",), "'sdebench baseline all' makes one"),
    "another host": (("check", "--annotate", "jenkins"), "--annotate is 'jenkins': give one of github, none"),
    "times that are none": (("compare", "notes.txt"), "notes.txt is not JSON: give one of 'pytest --benchmark-json FILE'"),
    "a folder without times": (("compare", "folder"), "no file of pytest-benchmark in folder"),
}


@pytest.mark.parametrize("case", ARGUMENTS)
def test_bad_input_ends_with_status_2_and_one_line_and_nothing_is_lost(sdebench, case):
    Path("boasting.py").write_text(WRONG_SOLVER)
    Path("broken.py").write_text('"""Mine."""\nclass\n')
    Path("raising.py").write_text('"""Mine."""\n\n1 / 0\n')
    Path("one.toml").write_text(ONE_CASE)
    Path("folder").mkdir()
    Path("notes.txt").write_text("precious\n")
    arguments, message = ARGUMENTS[case]
    status, out, err = sdebench(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith("sdebench: ")
    assert err.count("\n") == 1
    assert message in err
    assert Path("notes.txt").read_text() == "precious\n"


def test_a_folder_that_cannot_be_written_is_said_in_one_line(sdebench):
    Path("one.toml").write_text(ONE_CASE)
    Path("file").write_text("x")
    status, _, err = sdebench("run", "one.toml", "--out", "file/r.jsonl")
    assert status == 2
    assert err.count("\n") == 1
    assert "file" in err


def test_a_run_measures_reports_and_then_has_nothing_left_to_do(sdebench):
    Path("one.toml").write_text(ONE_CASE)
    status, out, err = sdebench("run", "one.toml", "--jobs", 1)
    assert status == 0
    assert "2 cases measured" in err
    assert "ddim" in out
    assert "index.html" in out
    assert Path("reports/one/index.html").stat().st_size > 1000
    assert [path.name for path in Path("reports").iterdir()] == ["one"], "what is published in reports/ stays as it is"
    assert {r.case["kind"] for r in records.read("results/one.jsonl")} == {"local", "global"}
    status, out, _ = sdebench("run", "one.toml", "--no-report", "--json")
    assert status == 0
    assert {k: json.loads(out)[k] for k in ("cases", "measured", "skipped", "failed", "report")} == {
        "cases": 2,
        "measured": 0,
        "skipped": 2,
        "failed": [],
        "report": [],
    }
    assert sdebench("report", "results/one.jsonl", "--out", "again")[0] == 0
    assert Path("again/index.html").exists()


def test_the_other_lists_are_named_after_the_solvers(sdebench):
    assert "'sdebench list grids': problems, schedules, grids, suites, studies, recipes, networks" in sdebench("list")[2]
    assert sdebench("list", "solvers")[2] == sdebench("list", "--json")[2] == ""


def test_studies_are_listed_with_the_settings_that_a_suite_may_give_them(sdebench):
    rows = {row["study"]: row for row in json.loads(sdebench("list", "studies", "--json")[1])}
    assert tuple(name.replace("-", "_") for name in rows)[: len(ORDER)] == ORDER
    assert rows["floor"] == {
        "study": "floor",
        "about": "Where rounding overtakes truncation",
        "settings": "problems, solvers, grid, dtypes, points, seed",
    }


def test_a_torn_results_file_is_mended_with_a_message(sdebench, here):
    Path("one.toml").write_text(ONE_CASE)
    sdebench("run", "one.toml", "--jobs", 1, "--no-report")
    path = Path("results/one.jsonl")
    path.write_bytes(path.read_bytes()[:-9])
    status, _, err = sdebench("run", "one.toml", "--jobs", 1, "--no-report")
    assert status == 0
    assert "removed a torn last line" in err
    assert len(records.read(path)) == 2
