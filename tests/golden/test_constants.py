"""The error constants are those of the committed file."""

import pytest
from golden import figures

import sdebench as sb

RELATIVE, ABSOLUTE = 1e-6, 1e-14  # another processor moves the last bits of a state of size one, and no more


def constant(solver, name: str) -> None:
    """The solver's error in the golden run is the committed one of that name."""
    expected, got = figures.committed()[name], figures.measured(solver)
    off = abs(got - expected)
    assert off <= RELATIVE * expected + ABSOLUTE, f"the error is {got:.9e}, was {expected:.9e}"


def test_the_file_is_about_every_solver():
    assert list(figures.committed()) == figures.solvers(), "type: python -m tests.golden.regenerate"


@pytest.mark.parametrize("name", figures.solvers())
def test_error_constant(name):
    constant(sb.get_solver(name), name)
