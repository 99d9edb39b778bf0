"""Solutions on one Brownian path: three of them that share nothing but the path, and the error bar."""

from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
import torch

import sdebench as sb
from sdebench.laws.pathwise import on_path, sra1, taylor
from sdebench.noise import TIME, Power
from sdebench.noise.brownian import BrownianPath
from sdebench.process.family import Dynamics
from sdebench.solvers.euler_maruyama import EulerMaruyama, SRKAdditive

GAUSSIAN, MIXTURE = sb.get_problem("gaussian"), sb.get_problem("mixture-1d")
FINE = 64


def reverse(t):
    return 1.0


def varied(t):
    return 0.5 + t


def set_out(problem, paths=24, fine=FINE, seed=0):
    """(start, finest grid, path) on a grid whose steps change smoothly."""
    grid = sb.grids.uniform_lam(problem.schedule, *problem.span, fine)
    x = problem.initial(paths, seed)
    return x, grid, BrownianPath(problem.schedule, grid, x.shape, seed)


def rms(v):
    return float(v.square().mean().sqrt())


def orders(errors):
    """Between each two, of twice as many steps."""
    return np.log2(np.divide(errors[:-1], errors[1:]))


@pytest.mark.parametrize("tau", [reverse, varied, lambda t: 0.0])
@pytest.mark.parametrize("problem", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture-1d"])
def test_sra1_is_the_scheme_as_it_is_written_for_any_amount_of_noise(problem, tau):
    """Roessler 2010, scheme SRA1, for dx = a dt + eta dw: H = x - 3/4 h a(x, s) + 3/2 eta_t I_10/h, and the two drifts."""
    x, grid, path = set_out(problem)
    ns, state = problem.schedule, x

    def a(x, t):
        return ns.f(t) * x - (1 + tau(t) ** 2) / 2 * ns.g2(t) * problem.model(x, t).score

    for s, t in pairwise(grid):
        h, (i_1, i_10) = s - t, path.integral(s, t, TIME, Power(1))
        eta_s, eta_t = (tau(u) * sqrt(ns.g2(u)) for u in (s, t))
        first = a(state, s)
        second = a(state - 3 / 4 * h * first + 3 / 2 * eta_t * i_10 / h, s - 3 / 4 * h)
        state = state - h * (first / 3 + 2 / 3 * second) + eta_t * i_1 + (eta_s - eta_t) * i_10 / h
    assert torch.allclose(sra1(problem, x, grid, path, tau), state, rtol=0, atol=1e-13)


@pytest.mark.parametrize("method", [EulerMaruyama, SRKAdditive])
def test_noise_as_a_function_of_time_is_the_multiple_of_g_that_it_is(method):
    x, grid, path = set_out(MIXTURE)
    ns = MIXTURE.schedule
    half, varying = method(lambda t: 0.5 * sqrt(ns.g2(t))), method(lambda t: varied(t) * sqrt(ns.g2(t)))
    ends = [sb.integrate(solver, MIXTURE.model, x, grid, path) for solver in (method(0.5), half, varying)]
    assert torch.equal(*ends[:2])
    assert rms(ends[2] - ends[0]) > 0.01
    assert varying.noise_scale(ns)(0.3) == pytest.approx(varied(0.3), rel=1e-15)
    assert varying.noise_scale(ns) is varying.noise_scale(ns), "one reference for all of its runs"
    with pytest.raises(sb.UsageError, match=r"eta\(.*\) = -1"):
        sb.integrate(method(lambda t: -1.0), MIXTURE.model, x, grid, path)
    with pytest.raises(sb.UsageError, match="or a function eta"):
        method(-1.0)


@pytest.mark.parametrize("method", [sra1, taylor])
def test_both_methods_find_the_linear_solution(method):
    """At order 1.5 and better, from steps of 1/5 to 1/21 in lam; and not from another path."""
    x, grid, path = set_out(GAUSSIAN)
    exact = on_path(GAUSSIAN, x, grid, path, reverse).states[0]
    errors = [rms(method(GAUSSIAN, x, grid[:: FINE // n], path, reverse) - exact) for n in (16, 32, 64)]
    assert (orders(errors) > 1.4).all(), errors
    assert errors[-1] < 5e-3
    other = BrownianPath(GAUSSIAN.schedule, grid, x.shape, 1)
    assert rms(method(GAUSSIAN, x, grid, other, reverse) - exact) > 0.1


@pytest.mark.parametrize("tau", [reverse, varied])
@pytest.mark.parametrize("problem", [GAUSSIAN, MIXTURE], ids=["gaussian", "mixture-1d"])
def test_the_two_methods_find_each_other(problem, tau):
    x, grid, path = set_out(problem)
    apart = []
    for n in (16, 32, 64):
        coarse = grid[:: FINE // n]
        apart.append(rms(sra1(problem, x, coarse, path, tau) - taylor(problem, x, coarse, path, tau)))
    slope = -np.polyfit(np.log2([16, 32, 64]), np.log2(apart), 1)[0]
    assert slope > 1.4, apart


def test_without_noise_both_are_the_flow():
    """tau = 0 is the probability flow: orders 2, towards the exact one."""
    x, grid, path = set_out(MIXTURE)
    exact = MIXTURE.solution(x, *MIXTURE.span)
    for method in (sra1, taylor):
        errors = [rms(method(MIXTURE, x, grid[:: FINE // n], path, lambda t: 0.0) - exact) for n in (16, 32, 64)]
        assert (orders(errors) > 1.8).all(), (method.__name__, errors)


@pytest.mark.parametrize("tau", [reverse, varied])
def test_the_error_bar_covers(tau):
    """The reference of 16 steps against one of 128 on the same path: within twice its bar, which is no wild guess either."""
    x, grid, path = set_out(MIXTURE, 32, 128)
    coarse, fine = on_path(MIXTURE, x, grid[::8], path, tau), on_path(MIXTURE, x, grid, path, tau)
    error = rms(coarse.states[0] - fine.states[0])
    assert error < 2 * coarse.error[0]
    assert error > coarse.error[0] / 50
    assert fine.error[0] < coarse.error[0] / 8


def test_the_linear_solution_has_the_law():
    """Its mean and covariance are the marginal's: the reverse SDE keeps it.  And it does not care for the grid."""
    x, grid, path = set_out(GAUSSIAN, 30_000, 8)
    found = on_path(GAUSSIAN, x, grid, path, reverse)
    exact = GAUSSIAN.law.marginal(GAUSSIAN.schedule, GAUSSIAN.span[1])
    variances, n = exact.cov().diagonal(), len(x)
    assert ((found.states[0].mean(0) - exact.mean()).abs() < 4.5 * (variances / n).sqrt()).all()
    error = ((torch.outer(variances, variances) + exact.cov().square()) / n).sqrt()
    assert ((torch.cov(found.states[0].T) - exact.cov()).abs() < 4.5 * error).all()
    assert found.error[0] < 1e-12


def test_the_linear_solution_goes_on_from_where_it_was():
    x, grid, path = set_out(GAUSSIAN, 6, 8)
    state = x
    for s, t in pairwise(grid[::4]):
        state = on_path(GAUSSIAN, state, (s, t), path, reverse).states[0]
    assert torch.allclose(state, on_path(GAUSSIAN, x, grid, path, reverse).states[0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("steps", [4, 32])
def test_another_amount_of_noise_has_another_solution(steps):
    """Also where tau differs from 1 in a few steps only: there is no linear formula for it."""
    x, grid, path = set_out(GAUSSIAN, 6, steps)
    alone = grid[1]
    found = on_path(GAUSSIAN, x, grid, path, lambda t: 0.5 if t == alone else 1.0)
    assert found.error[0] > 1e-6


def test_the_two_methods_take_their_drift_as_the_family_has_it():
    """One small step without its noise is the family's drift, -(drift) dt, for any tau."""
    x, ns, tau = MIXTURE.initial(4, 0), MIXTURE.schedule, 0.7
    s = MIXTURE.span[0]
    t = s - 1e-6
    path = BrownianPath(ns, (s, t), x.shape)
    path.integral = lambda s, t, *weights: tuple(torch.zeros_like(x) for _ in weights)
    want = Dynamics(ns, tau).drift(MIXTURE.model, x, s)
    for method in (sra1, taylor):
        slope = (method(MIXTURE, x, (s, t), path, lambda t: tau) - x) / (t - s)
        assert torch.allclose(slope, want, rtol=1e-3, atol=1e-4)
