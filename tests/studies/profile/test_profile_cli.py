"""`sdebench profile`: what it prints, writes and refuses."""

import json

import pytest

from sdebench import records

FEW = ("--seconds", 0.01, "--steps", 4, "--batch", "1,8")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """Records of three solvers, one of them a failure."""
    return tmp_path_factory.mktemp("profile") / "profile.jsonl"


def test_profile_prints_a_table_within_80_columns(sdebench, measured):
    status, out, err = sdebench("profile", "--solvers", "ddim,sde-dpm-solver++-2m", *FEW, "--out", measured)
    assert status == 0
    assert "8 cases measured" in err
    assert max(map(len, out.splitlines())) <= 80
    rows = [line for line in out.splitlines() if line.strip().startswith(("ddim", "sde-dpm-solver++-2m"))]
    assert len(rows) == 8
    assert all(executor in out for executor in ("eager", "fused"))


def test_what_is_held_is_not_measured_again_and_json_says_all(sdebench, measured):
    status, out, err = sdebench("profile", "--solvers", "ddim,sde-dpm-solver++-2m", *FEW, "--out", measured, "--json")
    assert status == 0
    assert "0 cases measured" in err
    assert "8 held already" in err
    cells = json.loads(out)["cells"]
    assert {(c["solver"], c["executor"], c["batch"]) for c in cells} == {
        (solver, executor, batch)
        for solver in ("ddim", "sde-dpm-solver++-2m")
        for executor in ("eager", "fused")
        for batch in (1, 8)
    }
    assert all(c["us"] > 0 and c["images"] > 0 for c in cells)
    assert all((c["noise"] > 0) == c["solver"].startswith("sde") for c in cells)


def test_repeats_add_rounds(sdebench, measured, here):
    def rounds():
        cells = json.loads(sdebench("profile", "--solvers", "ddim", *FEW, "--out", measured, *more, "--json")[1])["cells"]
        return {(c["executor"], c["batch"]): c["rounds"] for c in cells}

    more = ()
    once = rounds()
    more = ("--repeats", 2)
    twice = rounds()
    assert all(twice[key] >= once[key] + 6 for key in once)
    assert len({r.key for r in records.read(measured)}) == 12


def test_a_trace_is_written_beside(sdebench, tmp_path, here):
    one = ("--solvers", "ddim", "--executor", "fused", "--batch", 2, "--steps", 3, "--seconds", 0.01)
    status, _, err = sdebench("profile", *one, "--trace", "trace.json")
    assert status == 0
    assert "perfetto" in err
    names = [e["name"] for e in json.loads((tmp_path / "trace.json").read_text())["traceEvents"]]
    assert names.count("network") == names.count("combine") == 3
    assert (tmp_path / "results" / "profile.jsonl").is_file()


def test_a_failure_is_a_record_and_status_1(sdebench, tmp_path, here):
    (tmp_path / "mine.py").write_text("""
from dataclasses import dataclass
from sdebench import Solver, Step

@dataclass(frozen=True)
class Breaks(Solver):
    order, nfe_per_step = 1, 1

    def step(self, model, x, s, t, past=(), noise=None):
        eps = model(x, t).eps
        if x.numel() > 100_000:
            raise RuntimeError("too large for me")
        return Step(x + (s - t) * eps)
""")
    few = ("--executor", "eager", "--batch", "1,64", "--seconds", 0.01)
    status, _, err = sdebench("profile", "--solvers", "mine:Breaks", *few)
    assert status == 1
    assert "too large for me" in err
    assert "1 of 2 cases failed" in err


ARGUMENTS = {
    "no device": (("--device", "cuda:7"), "no device 'cuda:7' here"),
    "no model": (("--models", "digist"), "did you mean 'digits'"),
    "no executor": (("--executor", "fusde"), "did you mean 'fused'"),
    "no graph on a CPU": (("--executor", "graph"), "needs a CUDA device"),
    "no batch": (("--batch", "1,x"), "--batch is '1,x'"),
    "an empty batch": (("--batch", "0"), "--batch is '0': give whole numbers with commas, 1 or more"),
    "no solver": (("--solvers", ""), "--solvers is '': give a name"),
    "an adaptive solver": (("--solvers", "scipy-rk45"), "chooses its own steps"),
    "no time": (("--seconds", "0"), "seconds is 0"),
    "no steps": (("--steps", "0"), "steps is 0"),
    "several traces": (("--trace", "t.json", "--batch", "8"), "--solvers has 5, --executor has 2: give one of each, as --s"),
    "no folder for a trace": (("--trace", "none/t.json"), "--trace is 'none/t.json', and there is no folder none"),
    "a folder for a trace": (("--trace", "."), "--trace is '.', a folder: give a file"),
    "nothing to compile": (("--compiled", "--solvers", "scipy-rk45"), "chooses its own steps"),
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_bad_input_is_one_line_and_status_2(sdebench, tmp_path, name):
    arguments, said = ARGUMENTS[name]
    status, out, err = sdebench("profile", *arguments)
    assert (status, out) == (2, "")
    assert said in err
    assert len(err.strip().splitlines()) == 1
    assert not (tmp_path / "results").exists()


def test_a_suite_that_times_is_not_measured_beside_itself(sdebench, tmp_path, here):
    few = 'solvers = "ddim"\nbatches = [1]\nsteps = 2\nseconds = 0.01\n'
    (tmp_path / "mine.toml").write_text(f'[[study]]\nstudy = "profile"\n{few}')
    for options in (("--jobs", 2), ("--backend", "dask", "--scheduler", "tcp://localhost:1")):
        status, _, err = sdebench("run", "mine.toml", *options)
        assert status == 2
        assert "times its cases, one at a time" in err
    status, out, _ = sdebench("run", "mine.toml", "--no-report", "--json")
    assert status == 0
    assert json.loads(out)["measured"] == 2
