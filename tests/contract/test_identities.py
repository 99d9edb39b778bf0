"""Methods that are one map under several names, to rounding: over an irregular grid, or one step from an unequal past."""

import pytest
from contract.checks import difference, irregular, one_step, unequal_past

import sdebench as sb
from sdebench import grids
from sdebench.integration.integrate import integrate
from sdebench.schedules import EDM
from sdebench.studies.setting import setting

ROUNDING = 1e-13  # over 16 steps, relative to the largest entry

RUNS = [
    ("ddim", "dpm-solver-1"),
    ("ddim", "lms-1"),
    ("ddim", "deis-rhoab-1"),
    ("ddim", "deis-tab-1"),  # one node: the integral of drho, whatever the variable
    ("ddim", "unip-1"),
    ("ddim", "unip-1-bh1"),
    ("ddim", "ipndm-1"),
    ("deis-rhork-2", "heun-edm"),
    ("dpm-solver-2", "dpm-solver-2[r=0.5]"),
    ("dpm-solver-2[r=0.5]", "midpoint-log-sigma"),
    ("dpm-solver-2", "dpm-solver-12"),
    ("dpm-solver-3", "dpm-solver-23"),
    ("lms-2", "deis-rhoab-2"),
    ("lms-3", "deis-rhoab-3"),
    ("lms-4", "deis-rhoab-4"),
    ("lms-4-rk-start", "deis-rhoab-4-rk-start"),
    ("lms-2", "ipndm-v-2-shipped"),
    ("gradient-estimation[gamma=1.0]", "ddim"),
]
ONE_STEP = [
    ("unip-3", "dpm-solver++-3m"),
    ("unip-3", "unip-3-bh1"),
    ("unip-4", "unip-4-bh1"),
    ("unipc-3", "unipc-3-bh1"),
    ("unipc-4", "unipc-4-bh1"),
    ("lms-3", "lms-3-rk-start"),
    ("unipc-4", "unipc-4-rk-start"),
    ("res-2m", "sa-solver-p2[tau=0.0]"),
]
ON_EDM = [("euler-t", "ddim"), ("heun-t", "heun-edm"), ("kutta3-t", "deis-rhork-3"), ("rk4-t", "deis-rhork-4")]


@pytest.mark.parametrize(("one", "other"), RUNS)
def test_one_map_over_a_run(one, other):
    at = setting("mixture-1d", 64, 0)
    grid = irregular(at.problem, 16)
    a, b = (integrate(sb.get_solver(spec), at.model, at.x, grid) for spec in (one, other))
    assert difference(a, b) < ROUNDING


def off_by(one: str, other: str) -> float:
    """The difference of one step from the same past."""
    at = setting("mixture-1d", 64, 0)
    s, t = irregular(at.problem, 16)[5:7]
    a, b = (sb.get_solver(spec) for spec in (one, other))
    past = unequal_past(at.model, at.x, s, 0.07, a.memory)
    return difference(one_step(a, at.model, at.x, s, t, past), one_step(b, at.model, at.x, s, t, past))


@pytest.mark.parametrize(("one", "other"), ONE_STEP)
def test_one_map_once_started(one, other):
    assert off_by(one, other) < ROUNDING


@pytest.mark.parametrize("k", [1, 2])
def test_where_one_difference_is_used_the_choice_of_b_stays(k):
    """In UniP-2 and in the corrector of UniPC-1; and in UniPC-2 by its predictor."""
    assert off_by(f"unipc-{k}", f"unipc-{k}-bh1") > 1e-6


@pytest.mark.parametrize(("one", "other"), ON_EDM)
def test_on_edm_time_is_the_noise_level(one, other):
    problem = sb.get_problem("mixture-1d[schedule=EDM]")
    x, grid = problem.initial(64, 0), grids.irregular(EDM(), *problem.span, 16)
    a, b = (integrate(sb.get_solver(spec), problem.model, x, grid) for spec in (one, other))
    assert difference(a, b) < ROUNDING


@pytest.mark.parametrize("k", [2, 3, 4])
def test_fixed_weights_are_adams_weights_on_equal_steps(k):
    """iPNDM-k is LMS-k, and plain LMS-k after it has started, where all steps in sigma are equal; and is not elsewhere."""
    problem = sb.get_problem("mixture-1d[schedule=EDM]")
    x, equal = problem.initial(64, 0), grids.uniform_t(EDM(), *problem.span, 12)
    fixed, variable = sb.get_solver(f"ipndm-{k}"), sb.get_solver(f"lms-{k}")
    run = lambda solver, grid: integrate(solver, problem.model, x, grid)  # noqa: E731
    assert difference(run(fixed, equal), run(variable, equal)) < ROUNDING
    if k == 2:
        assert difference(run(sb.get_solver("gradient-estimation[gamma=1.5]"), equal), run(variable, equal)) < ROUNDING
    unequal = grids.irregular(EDM(), *problem.span, 12)
    assert difference(run(fixed, unequal), run(variable, unequal)) > 1e-4
