"""Every mutant of the ends is rejected by the test named beside it, which its original passes."""

from functools import partial

import pytest
from contract import checks_ends as checks
from mutants import ends as broken

import sdebench as sb
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Counted
from sdebench.problems import exact_model
from sdebench.schedules import Rectified


def crosses(run: str):
    return partial(checks.crosses, name=run)


def reaches(run: str):
    return partial(checks.one_point, name=run)


def evaluations(first: int, last: int):
    return partial(checks.evaluations, first=first, last=last)


def evaluations_of_a_run(solver) -> None:
    """One a step: the last one is shared."""
    ns, x = Rectified(), checks.start(Rectified(), 1.0)
    model = Counted(exact_model(checks.LAW, ns))
    integrate(solver, model, x, (1.0, 0.8, 0.6, 0.3, 0.0))
    assert model.nfe == 4


# mutant, the original's spec, the check that must fail for the one and pass for the other
REJECTED = [
    (broken.AsksAtSigmaZero(), "heun-edm", crosses("EDM")),
    (broken.AsksAtSigmaZero(), "heun-edm", evaluations(1, 1)),
    (broken.CorrectsWithoutCounting(), "heun-edm", evaluations(1, 1)),
    (broken.StatesAFormulaThatDivides(), "ddim", crosses("flow")),
    (broken.StatesNothing(), "dpm-solver-2", crosses("EDM")),
    (broken.StatesNothing(), "dpm-solver-2", checks.claims),
    (broken.LeavesTheNoise(), "ddim", reaches("EDM")),
    (broken.ForgetsTheNoise(), "ddim", checks.one_point_from_noise),
    (broken.KeepsTheNoisesSize(), "ddim", checks.one_point_from_noise),
    (broken.AddsNoiseAtTheEnd(), "ddpm", reaches("EDM")),
    (broken.AddsNoiseAtTheEnd(), "ddpm", checks.tends_to_data),
    (broken.OldNoiseAndNew(), "ddpm", checks.law_from_noise),
    (broken.NewNoiseByEta(), "ddim-eta[eta=0.6]", checks.tends_from_noise),
    (broken.SmallVarianceForLarge(), "ddpm-large", checks.tends_from_noise),
    (broken.CorrectsByOneSide(), "unipc-2", checks.limit_from_noise),
    (broken.EvaluatesAgain(), "unipc-2", evaluations_of_a_run),
    (broken.StageForgotten(), "krogstad-4", checks.limit_from_noise),
    (broken.StageForgotten(), "krogstad-4", evaluations(2, 1)),
    (broken.Uncorrected(), "sa-solver-p2c2", checks.limit_from_noise),
    (broken.RemembersInfinity(), "lms-3", crosses("flow")),
    (broken.ImprovedEulerToZero(), "plms", evaluations(1, 1)),
    (broken.LangevinAtZero(), "annealed-langevin", evaluations(6, 0)),
    (broken.NotAWord(), "ddim", checks.claims),
]

# Why the strict checks are there: these mutants pass a weaker one.
INVISIBLE = [
    (broken.CorrectsWithoutCounting(), reaches("EDM")),
    (broken.ForgetsTheNoise(), reaches("flow")),  # what is left at sigma = 0 does not know where it came from
    (broken.SmallVarianceForLarge(), checks.law_from_noise),
    (broken.StageForgotten(), checks.one_point_from_noise),
    (broken.CorrectsByOneSide(), checks.one_point_from_noise),
    (broken.OldNoiseAndNew(), crosses("flow")),
    (broken.NewNoiseByEta(), checks.law_from_noise),  # of the same law: old noise or new
]


def name_of(check) -> str:
    return getattr(check, "func", check).__name__


@pytest.mark.parametrize(
    ("mutant", "original", "check"), REJECTED, ids=[f"{type(m).__name__}-{name_of(check)}" for m, _, check in REJECTED]
)
def test_a_mutant_is_rejected_and_its_original_is_not(mutant, original, check):
    check(sb.get_solver(original))
    with pytest.raises((AssertionError, sb.UsageError, ZeroDivisionError)):
        check(mutant)


@pytest.mark.parametrize(("mutant", "check"), INVISIBLE, ids=[f"{type(m).__name__}-{name_of(check)}" for m, check in INVISIBLE])
def test_a_weaker_check_does_not_see_it(mutant, check):
    check(mutant)
