"""`sdebench check`, `baseline` and `compare` as one types them."""

import json
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from sdebench.gate import baseline, timing

GATED = ("ddim", "ipndm-2", "scipy-rk45", "euler-maruyama")
MINE = """
from dataclasses import dataclass
import sdebench as sb

@dataclass(frozen=True)
class Mine(sb.Solver):
    order, nfe_per_step = 1, 1

    def step(self, model, x, s, t, past=(), noise=None):
        ns, m = model.schedule, model(x, s)
        return sb.Step(ns.alpha(t) * m.x0 + ns.sigma(t) * m.eps)
"""


@pytest.fixture(autouse=True)
def _nowhere_in_ci(monkeypatch):
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)


def figures() -> dict[str, dict]:
    """What the baseline holds, without times."""
    held = baseline.load(Path("results/baseline.json"))
    return {name: {group: its for group, its in entry.items() if group != "times"} for name, entry in held.items()}


def edit(path: str, *changes: tuple) -> None:
    """Change figures of a baseline: (solver, group, figure, value) each."""
    held = baseline.load(Path(path))
    for solver, group, figure, value in changes:
        held[solver][group][figure] = value(held[solver][group][figure])
    baseline.save(Path(path), held)


def test_a_baseline_is_written_and_then_nothing_moves(sdebench):
    status, out, err = sdebench("baseline", *GATED)
    assert status == 0
    assert out.count("added") == 4
    assert "4 added, 0 removed, 0 moved" in err
    first = figures()
    status, out, err = sdebench("check")
    assert (status, out) == (0, "")
    assert "4 solvers compared with results/baseline.json: nothing moved" in err
    status, out, err = sdebench("baseline")
    assert (status, out) == (0, "")
    assert "0 added, 0 removed, 0 moved (0 figures), 4 as they were" in err
    assert figures() == first


def test_what_moved_is_told_and_by_how_much(sdebench):
    sdebench("baseline", *GATED, "--out", "b.json")
    edit("b.json", ("ddim", "errors", "16 steps", lambda e: e * (1 - 1e-5)), ("ipndm-2", "orders", "order", lambda p: p + 0.1))
    status, out, err = sdebench("check", "--baseline", "b.json", "--json")
    moved = {(m["solver"], m["what"]): m["change"] for m in json.loads(out)["moved"]}
    assert status == 1
    assert moved.keys() == {("ddim", "error, 16 steps"), ("ipndm-2", "order")}
    assert moved["ddim", "error, 16 steps"] == "+0.001%"
    assert "FAILED, 2 figures moved" in err
    status, out, _ = sdebench("check", "ddim", "--baseline", "b.json")
    assert status == 1
    assert "ipndm-2" not in out
    assert max(map(len, out.splitlines())) <= 80
    assert sdebench("check", "euler-maruyama", "--baseline", "b.json")[0] == 0


def test_a_baseline_of_some_leaves_the_others_and_a_dry_run_leaves_all(sdebench):
    sdebench("baseline", *GATED, "--out", "b.json")
    for name in GATED[:2]:
        edit("b.json", (name, "calls", "16 steps", lambda n: n + 1))
    before = Path("b.json").read_bytes()
    status, out, err = sdebench("baseline", "ddim", "--out", "b.json", "--dry-run")
    assert (status, Path("b.json").read_bytes()) == (0, before)
    assert "calls 16 steps" in out
    assert "1 moved (1 figure), 3 as they were; nothing is written" in err
    assert sdebench("baseline", "ddim", "--out", "b.json")[0] == 0
    assert sdebench("check", "ddim", "--baseline", "b.json")[0] == 0
    assert sdebench("check", "ipndm-2", "--baseline", "b.json")[0] == 1


def test_a_solver_that_is_gone_fails_the_check_and_is_removed_by_a_new_baseline(sdebench):
    Path("mine_gone.py").write_text(MINE)
    sdebench("baseline", "ddim", "mine_gone:Mine", "--out", "b.json")
    both = ("ddim", "mine_gone:Mine")
    assert sdebench("check", *both, "--baseline", "b.json")[0] == 0
    Path("mine_gone.py").unlink()
    del sys.modules["mine_gone"]
    status, out, err = sdebench("check", *both, "--baseline", "b.json")
    assert status == 1
    assert "gone" in out
    assert "cannot load solver 'mine_gone:Mine'" in err
    status, out, err = sdebench("baseline", *both, "--out", "b.json")
    assert (status, "removed" in out, "1 removed" in err) == (0, True, True)
    assert list(baseline.load(Path("b.json"))) == ["ddim"]


def test_a_solver_that_the_baseline_does_not_name_is_refused(sdebench):
    sdebench("baseline", "ddim", "--out", "b.json")
    status, _, err = sdebench("check", "unipc-3", "--baseline", "b.json")
    assert status == 2
    assert "'sdebench baseline unipc-3 --out b.json' takes it in" in err


def test_junit_and_code_quality_and_annotations(sdebench, monkeypatch):
    Path("mine_moved.py").write_text(MINE)
    sdebench("baseline", "ddim", "mine_moved:Mine", "--out", "b.json")
    edit("b.json", *((name, "calls", "16 steps", lambda n: n + 1) for name in ("ddim", "mine_moved:Mine")))
    files = ("--junit", "out/j.xml", "--code-quality", "q.json")
    check = ("check", "ddim", "mine_moved:Mine", "--baseline", "b.json")
    status, out, _ = sdebench(*check, *files, "--annotate", "github")
    assert status == 1
    suite = ElementTree.parse("out/j.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("2", "2")
    cases = {case.get("name"): case.find("failure").text for case in suite}
    assert cases["ddim"] == "calls 16 steps: 17 -> 16 (-5.9%)"
    issues = {issue["description"].partition(" ")[0]: issue["location"] for issue in json.loads(Path("q.json").read_text())}
    assert issues["mine_moved:Mine:"] == {"path": "mine_moved.py", "lines": {"begin": 5}}
    ours = issues["ddim:"]
    assert ours["path"] == "b.json"
    assert '"ddim"' in Path("b.json").read_text().splitlines()[ours["lines"]["begin"] - 1]
    lines = [line for line in out.splitlines() if line.startswith("::error ")]
    assert len(lines) == 2
    assert "::error file=mine_moved.py,line=5,title=sdebench check%3A mine_moved%3AMine::calls 16 steps" in lines[1]
    assert lines[1].endswith("17 -> 16 (-5.9%25)")
    assert "::error" not in sdebench(*check)[1]
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert "::error" in sdebench(*check)[1]
    assert "::error" not in sdebench(*check, "--annotate", "none")[1]
    json.loads(sdebench(*check, "--json")[1])


def test_a_slower_step_is_told_and_fails_only_where_asked(sdebench, monkeypatch):
    quick = [1 + 0.01 * i for i in range(timing.SAMPLES)]
    monkeypatch.setattr(timing, "ratios", lambda solver: [*quick])
    sdebench("baseline", "ddim", "--out", "b.json")
    monkeypatch.setattr(timing, "ratios", lambda solver: [2 * r for r in quick])
    status, _, err = sdebench("check", "--baseline", "b.json")
    assert status == 0
    assert "a step of ddim takes +100% of time" in err
    status, _, err = sdebench("check", "--baseline", "b.json", "--fail-on-slower", "--junit", "j.xml")
    assert (status, "nothing moved, 1 slower" in err) == (1, True)
    assert "a step takes longer" in Path("j.xml").read_text()
    assert "times of 1 anew" in sdebench("baseline", "--out", "b.json")[2]
    assert sdebench("check", "--baseline", "b.json", "--fail-on-slower")[0] == 0


def test_times_of_another_machine_are_not_compared(sdebench, monkeypatch):
    sdebench("baseline", "ddim", "--out", "b.json")
    edit("b.json", ("ddim", "times", "machine", lambda _: "an abacus"))
    monkeypatch.setattr(timing, "ratios", lambda solver: [1000.0] * 12)
    status, _, err = sdebench("check", "--baseline", "b.json", "--fail-on-slower")
    assert (status, "times are not compared" in err) == (0, True)


def history(path: str, brand: str, made: str, seconds: float, name: str = "b.py::test_a", data: bool = True) -> Path:
    """A file such as pytest-benchmark writes."""
    samples = [seconds * (1 + 0.001 * i) for i in range(20)]
    stats = {"median": seconds, **({"data": samples} if data else {})}
    info = {"node": made, "system": "Linux", "machine": "x86_64", "cpu": {"brand_raw": brand, "count": 2}}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    bench = {"name": name, "fullname": name, "stats": stats}
    Path(path).write_text(json.dumps({"machine_info": info, "datetime": made, "benchmarks": [bench]}))
    return Path(path)


def test_histories_are_compared_machine_by_machine(sdebench):
    history("h/1.json", "A", "2024-01-02", 1e-3), history("h/0.json", "A", "2024-01-03", 1.2e-3)
    history("h/2.json", "B", "2024-01-01", 5.0), Path("h/other.json").write_text("[1]")
    status, out, err = sdebench("compare", "h", "--json")
    (pair,) = json.loads(out)
    assert status == 0
    assert (pair["before"], pair["now"]) == ("h/1.json", "h/0.json")
    assert pair["rows"][0]["change"] == pytest.approx(0.2)
    assert pair["rows"][0]["p"] < 1e-3
    assert "one run only, not compared: B, 2 cores" in err
    assert "1 benchmarks compared: 1 slower" in err
    status, out, _ = sdebench("compare", "h/1.json", "h/0.json", "--fail-on-slower")
    assert (status, "+20.0%" in out, "1.21 ms" in out) == (1, True, True)
    assert sdebench("compare", "h/0.json", "h/1.json", "--fail-on-slower")[0] == 0


def test_histories_without_samples_have_no_p_and_those_of_two_machines_no_comparison(sdebench):
    a, b = (history(f"{i}.json", "A", f"2024-01-0{i}", 1e-3 * i, data=False) for i in (1, 2))
    (pair,) = json.loads(sdebench("compare", a, b, "--json")[1])
    assert pair["rows"][0]["p"] is None
    status, _, err = sdebench("compare", a, history("c.json", "B", "2024-01-04", 1.0))
    assert (status, err.count("\n")) == (2, 1)
    assert "no machine has two runs" in err
