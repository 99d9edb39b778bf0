"""Sampling with a consistency function: exact with the exact one, and without a limit worth having with a denoiser."""

import pytest
import torch
from contract import checks_stochastic as check
from contract.checks import difference
from contract.test_stochastic_identities import NARROW, settles

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.laws.oracle import dop853
from sdebench.problems import consistency_model
from sdebench.schedules import EDM

EXACT = ("gaussian", "mixture-1d", "product-16d")
SCHEDULES = ("VPLinear", "VPCosine", "VE", "EDM", "Rectified")
SOLVER = sb.get_solver("consistency")


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", EXACT)
def test_the_consistency_function_is_constant_on_a_path_and_ends_at_the_state(name, schedule):
    """f of where an integrator that knows no formula takes x: the same, to 1e-12.  And f(x, t) = x/alpha to O(rho^2)."""
    problem = sb.get_problem(f"{name}[schedule={schedule}]")
    ns, (s, t), x = problem.schedule, problem.span, problem.initial(20, seed=3)
    f = consistency_model(problem.law, ns)
    assert difference(f(dop853(problem, x, s, t), t).x0, f(x, s).x0) < 1e-12
    near = [ns.t(lam) for lam in (3.5, 4.5)]
    gaps = [difference(f(y, u).x0, y / ns.alpha(u)) for u in near for y in [problem.solution(x, s, u)]]
    assert gaps[0] / gaps[1] == pytest.approx((ns.rho(near[0]) / ns.rho(near[1])) ** 2, rel=0.02)


@pytest.mark.parametrize("name", EXACT)
def test_one_step_is_the_flow_and_the_noise_of_the_end(name):
    problem = sb.get_problem(f"{name}[schedule=EDM]")
    (s, t), x, ns = problem.span, problem.initial(20, seed=3), problem.schedule
    noise = sb.WhiteNoise(ns, x.shape, 5)
    out = sb.integrate(SOLVER, consistency_model(problem.law, ns), x, (s, t), noise)
    assert difference(out - ns.sigma(t) * noise.fresh(t), problem.solution(x, s, 0.0)) < 1e-14


def test_its_law_is_the_marginal_after_every_step():
    check.exact_with_a_consistency_function(SOLVER)


def test_its_mean_and_covariance_are_the_marginal_s_in_three_dimensions():
    """5 steps of 40,000 samples: mean and variance along every principal axis, in standard errors; a denoiser's are far off."""
    problem, n = sb.get_problem("gaussian"), 40_000
    ns, x = problem.schedule, problem.initial(n, seed=1)
    grid, exact = sb.grids.irregular(ns, *problem.span, 5), problem.law.marginal(ns, problem.span[1])
    variances, basis = torch.linalg.eigh(exact.cov())

    def off(model) -> float:
        y = (sb.integrate(SOLVER, model, x, grid, sb.WhiteNoise(ns, x.shape, 2)) - exact.mean()) @ basis
        means, seconds = y.mean(0) / variances.sqrt(), (y.square().mean(0) / variances - 1) / 2**0.5
        return n**0.5 * float(torch.cat([means, seconds]).abs().max())

    assert off(consistency_model(problem.law, ns)) < 4
    assert off(problem.model) > 20


def test_with_a_denoiser_it_settles_at_less_than_the_variance_of_the_data():
    """`m' = k (m + rho z)`, k = C/(C + rho^2), of the posterior mean m: C^2/(2 C + rho^2) at rest, and rho^2 of noise."""
    c, rho2 = float(NARROW.cov()), EDM().t(2.0) ** 2
    settles("consistency", rho2 + c * c / (2 * c + rho2))


def test_a_law_whose_flow_has_no_formula_is_refused():
    with pytest.raises(UsageError, match="no exact consistency function: give"):
        consistency_model(sb.get_problem("mixture-2d").law, EDM())
