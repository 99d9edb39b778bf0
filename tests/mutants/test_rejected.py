"""Every mutant is rejected by the test named beside it, which its original passes: the tests can fail, and rightly."""

from functools import partial

import pytest
from contract import checks
from contract.test_solvers import start_up
from golden.test_constants import constant
from mutants import multistep, one_step

import sdebench as sb
from sdebench.solvers.runge_kutta import ButcherTableau

on_irregular = partial(checks.global_order, grid="irregular")
on_uniform = partial(checks.global_order, grid="uniform_lam")

# mutant, the original's name, the check that must fail for the one and pass for the other
REJECTED = [
    (multistep.InvertedRatio(), "dpm-solver++-2m", checks.local_order),
    (multistep.MissingFactor(), "dpm-solver++-3m", checks.local_order),
    (multistep.WrongSignOfTheSlope(), "dpm-solver++-2m", checks.local_order),
    (multistep.StartOfOrderZero(), "dpm-solver++-2m", on_irregular),
    (multistep.FirstStepSkipped(), "lms-2", on_irregular),
    (multistep.StaleHistory(), "dpm-solver++-2m", on_irregular),
    (multistep.WeightsInTheWrongOrder(), "lms-3", checks.local_order),
    (multistep.PastOffByOne(), "unipc-3", on_irregular),
    (multistep.PredictionOfAnotherState(), "unipc-2", on_irregular),
    (multistep.EvaluatesTheCorrectedState(), "unipc-2", checks.nfe),
    (multistep.WeightsNotSummingToOne(), "plms", checks.exact_for_one_point),
    (multistep.WeightsNotSummingToOne(), "plms", checks.local_order),
    (multistep.KeepsState(), "dpm-solver++-2m", checks.remembers_nothing),
    (multistep.MisstatesItsMemory(), "dpm-solver++-3m", checks.memory),
    (one_step.MeanOfTimes(), "dpm-solver++-2s", constant),
    (one_step.ThirdsOfTime(), "dpm-solver-3", checks.local_order),
    (one_step.WrongSign(), "dpm-solver-2", checks.local_order),
    (one_step.PhiTwoForPhiOne(), "dpm-solver-1", checks.local_order),
    (one_step.PhiTwoForPhiOne(), "dpm-solver-1", checks.exact_for_one_point),
    (one_step.PhiOfTheWholeStep(), "krogstad-4", checks.local_order),
    (one_step.CancellingCoefficient(), "dpm-solver-1", checks.rounding),
    (one_step.OtherMiddle(), "dpm-solver-2", constant),
    (one_step.ModelAtTheWrongEnd(), "ddim", constant),
    (one_step.MutatesItsInput(), "ddim", checks.pure),
    (one_step.MisstatesItsCost(), "heun-edm", checks.nfe),
    (one_step.ChangesTheDtype(), "ddim", checks.keeps_dtype_and_shape),
    (one_step.NotAffine(), "ddim", checks.affine_on_a_gaussian),
    (one_step.NotFrozen(), "ddim", checks.frozen),
]

# Why the strict checks are there: these mutants pass a weaker one.
INVISIBLE = [
    (multistep.InvertedRatio(), on_uniform),  # equal steps hide an inverted ratio
    (multistep.StartOfOrderZero(), checks.local_order),  # an exact past hides a start-up
    (multistep.StaleHistory(), checks.local_order),  # an exact past hides what is handed on
    (multistep.PastOffByOne(), checks.local_order),
    (one_step.MeanOfTimes(), checks.local_order),  # of order 2 all the same
    (one_step.OtherMiddle(), checks.local_order),
    (one_step.ModelAtTheWrongEnd(), checks.nfe),
    (one_step.CancellingCoefficient(), checks.local_order),  # float64 hides it
]


def name_of(check) -> str:
    return getattr(check, "func", check).__name__


def apply(check, solver, original: str) -> None:
    """The check as the contract tests call it for the original."""
    if check is constant:
        check(solver, original)
    elif check is checks.nfe:
        check(solver, start_up(original))
    else:
        check(solver)


@pytest.mark.parametrize(
    ("mutant", "original", "check"), REJECTED, ids=[f"{type(m).__name__}-{name_of(check)}" for m, _, check in REJECTED]
)
def test_a_mutant_is_rejected_and_its_original_is_not(mutant, original, check):
    apply(check, sb.get_solver(original), original)
    with pytest.raises(AssertionError):
        apply(check, mutant, original)


@pytest.mark.parametrize(("mutant", "check"), INVISIBLE, ids=[f"{type(m).__name__}-{name_of(check)}" for m, check in INVISIBLE])
def test_a_weaker_check_does_not_see_it(mutant, check):
    check(mutant)


def test_a_tableau_whose_row_does_not_sum_to_its_node_is_refused():
    with pytest.raises(AssertionError, match="does not sum to its node"):
        ButcherTableau((0.0, 0.5), ((), (0.4,)), (0.0, 1.0), 2, "mutant")


def test_a_tableau_whose_weights_do_not_sum_to_one_is_refused():
    with pytest.raises(AssertionError, match="do not sum to 1"):
        ButcherTableau((0.0, 1.0), ((), (1.0,)), (0.5, 0.4), 2, "mutant")
