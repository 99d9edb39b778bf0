"""The audit finds nothing in our own methods, wrapped as foreign code, and finds the mutants of the tests."""

from dataclasses import replace

import pytest
from mutants import multistep, one_step
from wrapped import as_scheduler, as_sigmas_function

from sdebench.catalogue import get_solver, list_solvers
from sdebench.integration.solver import Solver
from sdebench.peers import from_scheduler, from_sigmas_function
from sdebench.studies.audit.measure import audit

DETERMINISTIC = [
    name
    for name in list_solvers()
    if isinstance(get_solver(name), Solver) and not (get_solver(name).stochastic or get_solver(name).adaptive)
]
A_FEW = (
    "ddim",
    "euler-t",
    "heun-edm",
    "dpm-solver-3",
    "dpm-solver++-2m",
    "unipc-3",
    "lms-4",
    "deis-tab-3",
    "krogstad-4",
    "res-2m",
)
CHECKS = ("runs", "levels", "ladder", "order")


def claim_of(solver):
    """The order from an exact past: of its main scheme, where it has a past."""
    return solver.main_order if solver.memory else solver.order_irregular


def faults(peer, checks=CHECKS):
    return [(one.check, one.what) for one in audit(peer, only=checks) if one.verdict == "fault"]


def as_peer(solver, kind):
    wrapped = as_sigmas_function(solver) if kind == "sigmas" else as_scheduler(solver)
    return (from_sigmas_function if kind == "sigmas" else from_scheduler)(wrapped)


@pytest.mark.parametrize("kind", ["sigmas", "scheduler"])
@pytest.mark.parametrize("name", A_FEW)
def test_nothing_is_found_in_a_method_of_ours(name, kind):
    solver = get_solver(name)
    assert faults(replace(as_peer(solver, kind), claim=claim_of(solver))) == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sigmas", "scheduler"])
@pytest.mark.parametrize("name", DETERMINISTIC)
def test_nothing_is_found_in_any_method_of_ours(name, kind):
    solver = get_solver(name)
    assert faults(replace(as_peer(solver, kind), claim=claim_of(solver))) == []


MUTANTS = [  # mutant, its original, a check that finds it
    (multistep.MissingFactor(), "dpm-solver++-3m", "order"),
    (multistep.WrongSignOfTheSlope(), "dpm-solver++-2m", "order"),
    (multistep.StaleHistory(), "dpm-solver++-2m", "order"),
    (multistep.WeightsInTheWrongOrder(), "lms-3", "order"),
    (multistep.PastOffByOne(), "unipc-3", "order"),
    (multistep.PredictionOfAnotherState(), "unipc-2", "order"),
    (multistep.WeightsNotSummingToOne(), "plms", "order"),
    (one_step.ThirdsOfTime(), "dpm-solver-3", "order"),
    (one_step.WrongSign(), "dpm-solver-2", "order"),
    (one_step.PhiTwoForPhiOne(), "dpm-solver-1", "levels"),
    (one_step.PhiOfTheWholeStep(), "krogstad-4", "order"),
    (one_step.MutatesItsInput(), "ddim", "runs"),
]

# What no audit sees: an inverted ratio keeps the order of a run on every grid, and shows only in one step from an unequal past;
# a cast of the state to float32 is what published schedulers do, and is told as a price.
INVISIBLE = [(multistep.InvertedRatio(), "dpm-solver++-2m"), (one_step.ChangesTheDtype(), "ddim")]


@pytest.mark.parametrize("kind", ["sigmas", "scheduler"])
@pytest.mark.parametrize(
    ("mutant", "original", "check"), MUTANTS, ids=lambda v: type(v).__name__ if isinstance(v, Solver) else v
)
def test_a_mutant_is_found(mutant, original, check, kind):
    if kind == "scheduler" and original == "plms":  # its first step asks twice, and takes no levels of ours
        check = "levels"
    claim = claim_of(get_solver(original))
    found = faults(replace(as_peer(mutant, kind), claim=claim), (check,))
    assert found, f"{type(mutant).__name__} was not found"
    assert faults(replace(as_peer(get_solver(original), kind), claim=claim), (check,)) == []


@pytest.mark.parametrize(("mutant", "original"), INVISIBLE, ids=lambda v: type(v).__name__ if isinstance(v, Solver) else v)
def test_what_is_invisible_is_known(mutant, original):
    assert faults(replace(as_peer(mutant, "sigmas"), claim=claim_of(get_solver(original)))) == []
