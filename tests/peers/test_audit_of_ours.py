"""The audit finds nothing in our own methods, wrapped as foreign code, and finds the mutants of the tests."""

from dataclasses import replace

import pytest
from mutants import multistep, one_step, stochastic
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
SHIPPED_WITH_A_FAULT = {("ipndm-v-4-shipped", "sigmas")}  # a method of a library, kept with its fault
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
    found = faults(replace(as_peer(solver, kind), claim=claim_of(solver)))
    assert bool(found) == ((name, kind) in SHIPPED_WITH_A_FAULT), found


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

MUTANTS_WITHOUT_A_CLAIM = [
    (multistep.KeepsState(), "runs"),
    (stochastic.VarianceOffByAFactor(), "law"),
    (stochastic.DriftOfTheFlow(), "law"),
    (stochastic.NoiseOfAnotherStep(), "law"),
]

# A wrong first step leaves the order of the main scheme alone: it is told as a price.
PRICED = [(multistep.StartOfOrderZero(), "where the state is at"), (multistep.FirstStepSkipped(), "where the state is at")]

# What an audit cannot call wrong.  Of the order that is claimed in every run: other constants, nothing else.
ANOTHER_METHOD = [(multistep.InvertedRatio(), 2), (multistep.EvaluatesTheCorrectedState(), 3), (one_step.OtherMiddle(), 2)]
# What only the suite asks of its own methods: foreign code states no memory and no cost, its state is
# float64 here, the data lie inside of every clip, and the normals of a law have no sign.
INVISIBLE = [
    (multistep.MisstatesItsMemory(), 3),
    (one_step.MisstatesItsCost(), 2),
    (one_step.NotFrozen(), 1),
    (one_step.CancellingCoefficient(), 1),
    (one_step.NotAffine(), 1),
    (one_step.ChangesTheDtype(), 1),
    (stochastic.WrongSignOfTheNoise(), None),
    (stochastic.FreshNoise(), None),
    (stochastic.DrawsByItself(), None),
]


def name_of(value):
    return type(value).__name__ if isinstance(value, Solver) else str(value)


@pytest.mark.parametrize("kind", ["sigmas", "scheduler"])
@pytest.mark.parametrize(("mutant", "original", "check"), MUTANTS, ids=name_of)
def test_a_mutant_is_found(mutant, original, check, kind):
    if kind == "scheduler" and original == "plms":  # its first step asks twice, and takes no levels of ours
        check = "levels"
    claim = claim_of(get_solver(original))
    found = faults(replace(as_peer(mutant, kind), claim=claim), (check,))
    assert found, f"{type(mutant).__name__} was not found"
    assert faults(replace(as_peer(get_solver(original), kind), claim=claim), (check,)) == []


@pytest.mark.parametrize("kind", ["sigmas", "scheduler"])
@pytest.mark.parametrize(("mutant", "check"), MUTANTS_WITHOUT_A_CLAIM, ids=name_of)
def test_a_mutant_is_found_without_a_claim(mutant, check, kind):
    assert faults(as_peer(mutant, kind), (check,)), f"{name_of(mutant)} was not found"


@pytest.mark.parametrize(("mutant", "words"), PRICED, ids=name_of)
def test_a_wrong_first_step_has_a_price(mutant, words):
    readings = audit(as_peer(mutant, "sigmas"), only=("levels",))
    assert any(one.verdict == "price" and words in one.what for one in readings)


@pytest.mark.parametrize(("mutant", "claim"), ANOTHER_METHOD, ids=name_of)
def test_another_method_of_the_order_claimed_is_said_to_be_none_of_ours(mutant, claim):
    readings = audit(replace(as_peer(mutant, "sigmas"), claim=claim), only=("order", "identity"))
    assert [one.what for one in readings if one.verdict == "fault"] == []
    assert any(one.name == "none" for one in readings)


@pytest.mark.parametrize(("mutant", "claim"), INVISIBLE, ids=name_of)
def test_what_is_invisible_is_known(mutant, claim):
    assert faults(replace(as_peer(mutant, "sigmas"), claim=claim), (*CHECKS, "law")) == []
