"""`sdebench check` notices every broken method of `tests/mutants` in the place of the one that it came from."""

import json
import sys
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

import sdebench as sb
from sdebench import cli
from sdebench._support.registry import SOLVERS, Entry
from sdebench.catalogue import get_solver
from sdebench.gate import baseline
from sdebench.gate import diff as gate_diff
from sdebench.gate import figures as gate
from sdebench.integration.solver import Sampler, Solver

TESTS = Path(__file__).parents[1]
FILE = TESTS.parent / "results" / "baseline.json"
MODULES = [import_module(f"mutants.{path.stem}") for path in sorted((TESTS / "mutants").glob("*.py"))]
ORIGINALS = {
    type(mutant): (mutant, original)
    for module in MODULES
    for mutant, original, *_ in getattr(module, "REJECTED", ())
    if isinstance(mutant, Solver | Sampler)
}
NAMES = json.loads(FILE.read_text())["solvers"].keys()  # a baseline has solvers by name, without settings


def check(capsys, *names: str) -> tuple[int, list[dict]]:
    """Exit status of `sdebench check NAMES`, and what moved."""
    with pytest.raises(SystemExit) as end:
        cli.main(["check", *names, "--baseline", str(FILE), "--json"])
    return end.value.code, json.loads(capsys.readouterr().out)["moved"]


@pytest.fixture(autouse=True)
def _same_path(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])


def test_every_mutant_has_an_original():
    mutants = {
        its
        for module in MODULES
        if not module.__name__.startswith("mutants.test_")
        for its in vars(module).values()
        if isinstance(its, type) and issubclass(its, Solver | Sampler) and its.__module__ == module.__name__
    }
    assert len(mutants) >= 37
    assert {its.__name__ for its in mutants - ORIGINALS.keys()} == set()


@pytest.mark.parametrize(
    "mutant", [mutant for mutant, (_, spec) in ORIGINALS.items() if spec in NAMES], ids=lambda its: its.__name__
)
def test_check_notices_a_mutant(mutant, capsys, monkeypatch):
    solver, name = ORIGINALS[mutant]
    monkeypatch.setitem(SOLVERS.entries, name, Entry(lambda: solver, {}))
    with suppress(sb.UsageError):  # one that states nonsense cannot be got at all
        assert type(get_solver(name)) is mutant
    status, moved = check(capsys, name)
    assert status == 1
    assert {m["solver"] for m in moved} == {name}


def test_check_passes_on_the_originals(capsys):
    assert check(capsys, *sorted({original for _, original in ORIGINALS.values()} & NAMES)) == (0, [])


def test_a_path_that_does_not_add_up_moves_the_strong_errors(monkeypatch):
    from mutants.stochastic import ForgetfulPath

    monkeypatch.setattr(gate, "BrownianPath", ForgetfulPath)
    for kept in (gate._path, gate._on_path):
        kept.cache_clear()
    try:
        now = gate.measure(["srk-additive"])
    finally:
        for kept in (gate._path, gate._on_path):
            kept.cache_clear()
    held = baseline.load(FILE)
    moved = gate_diff.compare({"srk-additive": held["srk-additive"]}, now)
    assert "error, one path, 16 steps" in {m.what for m in moved}
