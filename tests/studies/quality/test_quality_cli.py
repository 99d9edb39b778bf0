"""`sdebench fid`: what it prints, what it refuses, and that killing it loses nothing."""

import json
import random
from collections import Counter
from functools import partial

import pytest
from runs import command_line, kills, pin_code

from sdebench import records
from sdebench.studies.quality import error as quality_error

MODEL = ("--model", "remembering_networks:gaussian", "--features", "digits")
FEW = ("--samples", 40, "--points", 4, "--jobs", 1, "--solvers", "ddim,heun-edm", "--nfe", "3,4")
FINE = quality_error.FINE


@pytest.fixture(autouse=True)
def _short(tmp_path, monkeypatch):
    """A cache of one's own, and short references."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.parent / f"{tmp_path.name}-cache"))
    monkeypatch.setattr(quality_error, "FINE", (("exprk5s8", "uniform_lam", 12), ("rk4-lam", "uniform_lam", 24)))
    quality_error.converged.cache_clear()


def test_fid_prints_quality_and_error_within_80_columns(sdebench, tmp_path):
    status, out, err = sdebench("fid", *MODEL, *FEW)
    assert status == 0
    assert "Traceback" not in err
    assert max(map(len, out.splitlines())) <= 80
    assert out.index("ddim") < out.index("heun-edm")
    assert "(2)" in out, "heun-edm makes two evaluations a step, and 2 of 3 within a budget of 3"
    assert [path.name for path in (tmp_path / "results").glob("*.jsonl")] == ["fid-remembering-networks-gaussian.jsonl"]


def test_fid_as_json_tells_what_was_counted(sdebench, here):
    status, out, _ = sdebench("fid", *MODEL, *FEW, "--json")
    cells = {(cell["solver"], cell["budget"]): cell for cell in json.loads(out)["cells"]}
    assert status == 0
    assert {key: (cell["nfe"], cell["exact"]) for key, cell in cells.items()} == {
        ("ddim", 3): (3, True),
        ("ddim", 4): (4, True),
        ("heun-edm", 3): (2, False),
        ("heun-edm", 4): (4, True),
    }
    assert {cell["samples"] for cell in cells.values()} == {40}
    assert {cell["metric"] for cell in cells.values()} == {"fd_digits"}
    assert cells["ddim", 4]["rms_error"] < cells["ddim", 3]["rms_error"]


def test_a_case_that_fails_ends_with_status_1_and_is_named(sdebench, here):
    status, _, err = sdebench("fid", "--model", "remembering_networks:lost", "--features", "digits", *FEW)
    assert status == 1
    assert "no sample is finite" in err


ARGUMENTS = {
    "no device": (("--device", "cuda:7"), "no device 'cuda:7' here"),
    "another size": (("--model", "remembering_networks:colour", "--features", "digits"), "network and data of one shape"),
    "no network": (("--model", "digist"), "did you mean 'digits'"),
    "no data": (("--data", "no/such/folder"), "no/such/folder"),
    "no solver": (("--solvers", "ddim,unipc-33"), "did you mean"),
    "no budget": (("--nfe", "5,x"), "--nfe is '5,x'"),
    "a budget below 1": (("--nfe", "-5"), "whole numbers with commas, 1 or more"),
    "no names": (("--solvers", ""), "--solvers is '': give a name"),
    "no folder": (("--model", "./nofolder"), "there is no folder './nofolder': give one in the layout of diffusers"),
    "an empty list": (("--nfe", ","), "--nfe is ','"),
    "no inception": (("--inception", "none.pt", "--features", ""), "none.pt"),
    "two feature spaces": (("--inception", "none.pt", "--features", "digits"), "give one of them"),
    "no number format": (("--dtype", "float8"), "unknown dtype 'float8'"),
    "too few samples": (("--samples", 5), "10 or more"),
    "an adaptive solver": (("--solvers", "scipy-rk45"), "chooses its own steps"),
}


@pytest.mark.parametrize("what", ARGUMENTS)
def test_bad_input_ends_with_status_2_and_one_line_and_makes_nothing(sdebench, what, tmp_path):
    arguments, message = ARGUMENTS[what]
    if what == "no device" and __import__("torch").cuda.device_count() > 7:
        pytest.skip("there is such a device")
    status, out, err = sdebench("fid", *MODEL, *FEW, *arguments)
    assert (status, out) == (2, "")
    assert err.startswith("sdebench: ")
    assert err.count("\n") == 1
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_killed_at_random_moments_fid_loses_no_cell_and_counts_none_twice(sdebench, here, tmp_path, monkeypatch):
    """2 kills; afterwards every cell is there once, with its statistics, equal to those of a run that nobody disturbed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path, whole = tmp_path / "r.jsonl", tmp_path / "whole.jsonl"
    command = (
        "fid",
        "--model",
        "remembering_networks:Slow",
        "--features",
        "digits",
        "--solvers",
        "ddim,ddpm",
        "--nfe",
        "4,5,6",
        "--samples",
        1000,
        "--points",
        2,
    )
    killed, held = 0, b""
    begin = partial(command_line, *command, "--jobs", 2, "--out", path)
    for was_running in kills(begin, path, random.Random(11), 2, 0.4, patience=300):
        killed += was_running
        now = path.read_bytes()
        assert now.startswith(held), "a record that was there is gone"
        held = now[: now.rindex(b"\n") + 1]
    run = command_line(*command, "--jobs", 1, "--out", path)
    assert run.wait(600) == 0, run.stderr.read()
    assert killed == 2
    monkeypatch.setattr(quality_error, "FINE", FINE)  # as in the processes
    pin_code(monkeypatch)
    assert sdebench(*command, "--out", whole)[0] == 0
    found, wanted = (records.read(p) for p in (path, whole))
    assert Counter(r.key for r in found) == Counter(r.key for r in wanted)
    expected = {r.key: records.load_arrays(r) for r in wanted}
    for r in found:
        for name, array in records.load_arrays(r).items():
            assert (array == expected[r.key][name]).all()
