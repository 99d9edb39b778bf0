"""The figures of every solver are those of the committed baseline, and a wrong method that keeps its order moves its errors."""

from functools import cache
from pathlib import Path

import pytest

import sdebench as sb
from sdebench.gate import baseline
from sdebench.gate import diff as gate_diff
from sdebench.gate import figures as gate

FILE = Path(__file__).parents[2] / "results" / "baseline.json"


@cache
def committed() -> baseline.Entries:
    """What the file says."""
    return baseline.load(FILE)


def moved(solver, name: str) -> list[gate_diff.Moved]:
    """What is other than in the committed figures of that name."""
    return gate_diff.compare({name: committed()[name]}, {name: gate.figures(solver)})


def constant(solver, name: str) -> None:
    """The solver's errors at fixed numbers of steps are the committed ones of that name, to 1e-6."""
    errors = [m for m in moved(solver, name) if m.what.startswith("error")]
    assert errors == [], errors


def test_the_file_is_about_every_solver():
    assert sorted(committed()) == sorted(sb.list_solvers()), "type: sdebench baseline all"


@pytest.mark.parametrize("name", sb.list_solvers())
def test_figures(name):
    assert moved(sb.get_solver(name), name) == [], "look at it, and if it is right, type: sdebench baseline"
