"""Solvers and studies from other packages: `pip install` is all that it takes, and a broken one stops nothing."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import forks
import pytest

from sdebench import records

ROOT, PLUGIN = Path(__file__).parents[2], Path(__file__).parents[1] / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which pip has installed the demo plugin, from a copy, without a network."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for path in PLUGIN.iterdir():
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True, text=True)
    return target


@pytest.fixture
def broken(tmp_path) -> Path:
    """A folder with two installed plugins: one raises when imported, one lacks its class."""
    for name, code in (("breaks", "raise ImportError('needs a\\nGPU')"), ("empty", "")):
        (tmp_path / f"{name}_plugin.py").write_text(code)
        info = tmp_path / f"{name}_plugin-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n")
        points = (
            f"[sdebench.solvers]\n{name}-1 = {name}_plugin:Solver\n[sdebench.studies]\n{name}-study = {name}_plugin:Study\n"
        )
        (info / "entry_points.txt").write_text(points)
    return tmp_path


def sdebench(*arguments: str, path: tuple[Path, ...], cwd: Path | None = None) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT))), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [*forks.command("sdebench"), *arguments],
        env=environment,
        cwd=cwd or path[0],
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_installed_solver_is_known_and_broken_plugins_are_named_and_stop_nothing(installed, broken):
    done = sdebench("list", "solvers", "--json", path=(installed, broken))
    assert done.returncode == 0, done.stderr
    listed = {row["name"]: row for row in json.loads(done.stdout)}
    assert listed["demo-ralston-2"]["reference"] == "Ralston 1962"
    assert "ddim" in listed
    said = done.stderr.splitlines()
    assert len(said) == 2
    assert any("'breaks-1'" in line and "needs a GPU" in line for line in said)
    assert any("'empty-1'" in line for line in said)


def test_an_installed_solver_is_measured(installed, broken):
    done = sdebench("order", "demo-ralston-2", "--grid", "irregular", "--json", path=(installed, broken))
    assert done.returncode == 0, done.stderr
    orders = {row["kind"]: row for row in json.loads(done.stdout)}
    assert orders["local"]["order"] == pytest.approx(3, abs=0.1)
    assert orders["global"]["order"] == pytest.approx(2, abs=0.1)
    assert {row["verdict"] for row in orders.values()} == {"confirmed"}


@contextmanager
def edited(file: Path, old: str, new: str) -> Iterator[None]:
    """A file of the plugin that is another for a while."""
    text = file.read_text()
    assert text.count(old) == 1
    try:
        file.write_text(text.replace(old, new))
        yield
    finally:
        file.write_text(text)


def test_a_run_measures_the_plugin_in_its_workers_and_knows_its_functions_as_code(installed, tmp_path):
    toml = tmp_path / "s.toml"
    toml.write_text('[[study]]\nstudy = "order"\nsolvers = ["demo-ralston-2"]\ngrids = ["uniform_lam"]\npoints = 8\n')
    command = ("run", str(toml), "--out", str(tmp_path / "r.jsonl"), "--no-report", "--json", "--jobs", "1")
    first = json.loads(sdebench(*command, path=(installed,)).stdout)
    assert (first["measured"], first["failed"]) == (2, [])
    assert {r.claims.family for r in records.read(tmp_path / "r.jsonl")} == {"Demo"}
    module = installed / "sdebench_demo_plugin.py"
    with edited(module, '"""What a third party writes: one solver."""', "# another version"):
        same = json.loads(sdebench(*command, path=(installed,)).stdout)
    with edited(module, "3 * k_2", "3.0 * k_2"):
        why = json.loads(sdebench(*command, "--why", path=(installed,)).stdout)
        changed = json.loads(sdebench(*command, path=(installed,)).stdout)
    assert (same["measured"], same["skipped"]) == (0, 2)
    assert {row["why"] for row in why} == {"changed sdebench_demo_plugin.Ralston2"}
    assert (changed["measured"], changed["skipped"]) == (2, 0)


STUDY = """[[study]]
study = "demo-dimensions"
solvers = ["ddim", "heun-edm"]
dims = [1, 3]
"""


@pytest.fixture(scope="module")
def measured(installed, tmp_path_factory) -> Path:
    """A folder with a suite of the plugin's study that has been measured, beside the suite's own, and its report."""
    folder = tmp_path_factory.mktemp("measured")
    order = '\n[[study]]\nstudy = "order"\nsolvers = ["ddim"]\ngrids = ["uniform_lam"]\nkinds = ["local"]\npoints = 8\n'
    (folder / "s.toml").write_text(STUDY + order)
    done = sdebench("run", "s.toml", "--jobs", "2", path=(installed,), cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "5 cases measured" in done.stderr
    (folder / "said").write_text(done.stdout)
    return folder


def test_an_installed_study_is_listed_with_its_settings(installed, broken):
    done = sdebench("list", "studies", "--json", path=(installed, broken))
    assert done.returncode == 0, done.stderr
    listed = {row["study"]: row for row in json.loads(done.stdout)}
    assert listed["demo-dimensions"] == {
        "study": "demo-dimensions",
        "about": "Error of a run against the dimension of a Gaussian",
        "settings": "solvers, dims, steps, points",
    }
    assert list(listed)[:3] == ["order", "calibration", "ends"]
    assert "breaks-study" not in listed
    assert any("'breaks-study'" in line and "needs a GPU" in line for line in done.stderr.splitlines())


def test_a_suite_of_an_installed_study_is_measured_once(installed, measured):
    found = [r for r in records.read(measured / "results" / "s.jsonl") if r.study == "demo-dimensions"]
    errors = {(r.case["solver"], r.case["dim"]): r.data["rms"][0] for r in found}
    assert errors.keys() == {("ddim", 1), ("ddim", 3), ("heun-edm", 1), ("heun-edm", 3)}
    assert all(0 < errors["heun-edm", d] < errors["ddim", d] < 1 for d in (1, 3))
    assert {r.claims.order for r in found if r.case["solver"] == "heun-edm"} == {2}
    again = sdebench("run", "s.toml", "--no-report", "--json", "--jobs", "1", path=(installed,), cwd=measured)
    assert (json.loads(again.stdout)["measured"], json.loads(again.stdout)["skipped"]) == (0, 5)


def test_only_what_a_study_measures_with_is_its_code(installed, measured):
    module, why = installed / "sdebench_demo_study.py", ("run", "s.toml", "--why", "--json")

    def reasons() -> set[tuple[str, str]]:
        found = json.loads(sdebench(*why, path=(installed,), cwd=measured).stdout)
        return {(row["case"]["study"], row["why"]) for row in found}

    with edited(module, '"Error by dimension"', '"Errors by dimension"'):
        assert reasons() == set()
    with edited(module, "0.25 * (i + 1)", "0.5 * (i + 1)"):
        assert reasons() == {("demo-dimensions", "changed sdebench_demo_study.gaussian")}
    with edited(module, ".square().mean()", ".abs().mean()"):
        assert reasons() == {("demo-dimensions", "changed sdebench_demo_study.DimensionStudy.measure")}


def test_an_installed_study_has_its_section_table_and_figure_on_the_page(installed, measured):
    report = measured / "reports" / "s"
    page = (report / "index.html").read_text()
    assert 'id="demo-dimensions"' in page
    assert "Dimensions</h2>" in page
    assert "figures/demo-dimensions-error.svg" in page
    assert "which is not installed" not in page
    assert "<svg" in (report / "figures" / "demo-dimensions-error.svg").read_text()
    rows = (report / "tables" / "demo-dimensions.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in rows[1:]] == [["ddim", "1"], ["ddim", "3"], ["heun-edm", "1"], ["heun-edm", "3"]]
    readme = (report / "README.md").read_text()
    assert "## Dimensions" in readme
    assert "![Error over the dimension of the data.](figures/demo-dimensions-error.svg)" in readme
    assert "| heun-edm | 3 |" in readme
    assert readme.index("## Dimensions") > readme.index("## Orders"), "the suite's own sections come first"
    assert "Error by dimension, 4 rows" in (measured / "said").read_text()
    again = sdebench("report", "results/s.jsonl", "--out", "again", path=(installed,), cwd=measured)
    assert again.returncode == 0, again.stderr
    assert 'id="demo-dimensions"' in (measured / "again" / "index.html").read_text()
    assert (measured / "again" / "README.md").read_text() == readme


WRONG = {
    "a setting that it has not": ("dims =", "dimz =", "unknown key 'dimz' of study 'demo-dimensions'; did you mean 'dims'?"),
    "no dimension": ("[1, 3]", "[0]", "dims is [0]: give whole numbers, 1 or more"),
    "a text for a number": ("dims = [1, 3]", 'steps = "many"', "steps is 'many': give a whole number, 1 or more"),
    "a misspelt solver": ("ddim", "dimm", "unknown solver 'dimm'; did you mean 'ddim'"),
    "a misspelt study": ("dimensions", "dimension", "unknown study 'demo-dimension'; did you mean 'demo-dimensions'?"),
}


@pytest.mark.parametrize("what", WRONG)
def test_a_wrong_setting_of_an_installed_study_is_refused_in_one_line(installed, tmp_path, what):
    old, new, message = WRONG[what]
    (tmp_path / "s.toml").write_text(STUDY.replace(old, new))
    done = sdebench("run", "s.toml", path=(installed,), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("sdebench: s.toml: ")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["s.toml"]


def test_records_of_a_study_that_is_not_installed_stay_readable_and_the_page_says_so(measured, tmp_path):
    path = measured / "results" / "s.jsonl"
    assert len(records.read(path)) == 5
    done = sdebench("report", str(path), "--out", "page", path=(tmp_path,))
    assert done.returncode == 0, done.stderr
    page, readme = ((tmp_path / "page" / name).read_text() for name in ("index.html", "README.md"))
    for text in (page, readme):
        assert text.count("which is not installed") == 1
    assert "4 record(s) of the study 'demo-dimensions', which is not installed." in readme
    assert "## Orders" in readme, "the other sections are there"
    done = sdebench("run", str(measured / "s.toml"), path=(tmp_path,))
    assert (done.returncode, done.stdout) == (2, "")
    assert "unknown study 'demo-dimensions'" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_study_that_cannot_be_loaded_is_named_and_stops_no_report(broken, measured):
    info = broken / "breaks_plugin-1.0.dist-info" / "entry_points.txt"
    info.write_text("[sdebench.studies]\ndemo-dimensions = breaks_plugin:Study\n")
    done = sdebench("report", str(measured / "results" / "s.jsonl"), "--out", "page", path=(broken,))
    assert done.returncode == 0, done.stderr
    assert "4 record(s) of the study 'demo-dimensions', which" in (broken / "page" / "README.md").read_text()
    done = sdebench("run", str(measured / "s.toml"), path=(broken,))
    assert done.returncode == 2
    assert "study plugin 'demo-dimensions' could not be loaded (ImportError: needs a GPU)" in done.stderr
    assert done.stderr.count("\n") == 1
