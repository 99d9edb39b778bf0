"""Every stochastic mutant is rejected by the test named beside it, which its original passes."""

import pytest
from contract import checks_stochastic as check
from golden.test_constants import constant
from mutants import stochastic as broken

import sdebench as sb
from sdebench import grids
from sdebench.noise import TIME

TWO_STEP = {"form": "x0", "kind": "midpoint"}


def additive(path_class) -> None:
    """The integral over a whole is the sum of those over its parts."""
    ns = sb.schedules.VPLinear()
    path = path_class(ns, grids.uniform_lam(ns, 0.8, 0.1, 4), (64, 1), 3)
    whole, parts = path.integral(0.7, 0.2, TIME)[0], sum(path.integral(s, t, TIME)[0] for s, t in ((0.7, 0.41), (0.41, 0.2)))
    assert float((whole - parts).abs().max()) < 1e-12


# mutant, the original's name, the check that must fail for the one and pass for the other
REJECTED = [
    (broken.VarianceOffByAFactor(), "euler-maruyama", check.weak_order),
    (broken.DriftOfTheFlow(), "euler-maruyama", check.weak_order),
    (broken.NoiseOfAnotherStep(), "euler-maruyama", check.weak_order),
    (broken.WrongSignOfTheNoise(), "euler-maruyama", check.strong_order),
    (broken.WrongSignOfTheNoise(), "euler-maruyama", constant),
    (broken.FreshNoise(), "ddpm", check.strong_order),
    (broken.TwoDrawsForOnePair(), "srk-additive", check.weak_order),
    (broken.StagesShareANoise(), "srk-additive", check.strong_order),
    (broken.StalePrediction(**TWO_STEP), "sde-dpm-solver++-2m", check.weak_order),
    (broken.SlopeOfTheOde(**TWO_STEP), "sde-dpm-solver++-2m", check.weak_order),
    (broken.DrawsByItself(), "euler-maruyama", check.pure),
    (broken.NoiseOverTheBatch(), "euler-maruyama", check.batch_size),
    (broken.NoiseOfTheReverseProcess(), "consistency", check.exact_with_a_consistency_function),
    (broken.JumpByTheNextTime(), "consistency", check.exact_with_a_consistency_function),
]

# Why the strict checks are there: these mutants pass a weaker one.
INVISIBLE = [
    (broken.WrongSignOfTheNoise(), check.weak_order),  # normals are symmetric
    (broken.FreshNoise(), check.weak_order),  # the law has no path
    (broken.StagesShareANoise(), check.weak_order),  # the path enters the law's second order only by its mean
    (broken.StalePrediction(**TWO_STEP), check.pure),
    (broken.NoiseOverTheBatch(), check.pure),
]


def apply(test, solver, original: str) -> None:
    """The check as the contract tests call it for the original."""
    test(solver, original) if test is constant else test(solver)


@pytest.mark.parametrize(
    ("mutant", "original", "test"), REJECTED, ids=[f"{type(m).__name__}-{test.__name__}" for m, _, test in REJECTED]
)
def test_a_mutant_is_rejected_and_its_original_is_not(mutant, original, test):
    apply(test, sb.get_solver(original), original)
    with pytest.raises(AssertionError):
        apply(test, mutant, original)


@pytest.mark.parametrize(("mutant", "test"), INVISIBLE, ids=[f"{type(m).__name__}-{test.__name__}" for m, test in INVISIBLE])
def test_a_weaker_check_does_not_see_it(mutant, test):
    test(mutant)


def test_a_path_that_does_not_add_up_is_rejected():
    additive(sb.BrownianPath)
    with pytest.raises(AssertionError):
        additive(broken.ForgetfulPath)
