"""Laws of chains on the line: against exact Gaussian recursions, Monte Carlo, finer grids; and what is refused."""

from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
import torch

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.fit import fit_order, verdict
from sdebench.laws import carrier, chain
from sdebench.laws.chain import chain_law, chain_laws, pushforward
from sdebench.laws.coupling import coupled_distances
from sdebench.laws.density import Density, Exact
from sdebench.laws.distances import distances, total_variation
from sdebench.laws.kernel import kernels
from sdebench.noise import WhiteNoise
from sdebench.problems import GaussianMixture, Problem
from sdebench.schedules import EDM, VPLinear

ONE_STEP = (
    "euler-maruyama",
    "srk-additive",
    "ddpm",
    "dpm2-ancestral",
    "dpm++-sde",
    "seeds-2",
    "edm-stochastic-gamma",
    "annealed-langevin",
    "restart",
    "analytic-dpm",
)
MU, V = 0.7, 0.3


def gaussian(schedule=None, lams=(-1.0, 1.5)):
    ns = schedule or VPLinear()
    return Problem("gaussian-1d", GaussianMixture([1.0], [[MU]], [V]), ns, (ns.t(lams[0]), ns.t(lams[1])))


def irregular(problem, n):
    return sb.grids.irregular(problem.schedule, *problem.span, n)


def recursion(ns, grid, mean, variance):
    """(mean, variance) of Euler-Maruyama on N(MU, V): x - h [f x - g^2 score] + g sqrt(h) z, score = (alpha MU - x)/v_s."""
    for s, t in pairwise(grid):
        h, f, g2 = s - t, ns.f(s), ns.g2(s)
        v = ns.alpha(s) ** 2 * V + ns.sigma(s) ** 2
        a = 1 - h * (f + g2 / v)
        mean, variance = a * mean + h * g2 * ns.alpha(s) * MU / v, a * a * variance + h * g2
    return mean, variance


def normal(mean, variance):
    return GaussianMixture([1.0], [[mean]], [variance])


@pytest.mark.parametrize("schedule", [VPLinear(), EDM()])
@pytest.mark.parametrize("n", [1, 3, 16, 64])
def test_euler_maruyama_on_a_gaussian_is_the_moment_recursion(schedule, n):
    problem = gaussian(schedule)
    grid = irregular(problem, n)
    start = problem.law.marginal(schedule, grid[0])
    mean, variance = recursion(schedule, grid, float(start.mean()), float(start.cov()))
    law = chain_law(sb.get_solver("euler-maruyama"), problem, grid)
    assert abs(law.mean - mean) < 1e-12
    assert abs(law.variance - variance) < 1e-12
    assert total_variation(law, normal(mean, variance)) < 1e-12


def test_a_start_of_its_own_is_used():
    problem = gaussian()
    grid = irregular(problem, 5)
    mean, variance = recursion(problem.schedule, grid, -1.5, 0.2)
    solver = sb.get_solver("euler-maruyama")
    for start in (normal(-1.5, 0.2), Exact(normal(-1.5, 0.2)).density()):
        law = chain_law(solver, problem, grid, start)
        assert total_variation(law, normal(mean, variance)) < 1e-12


@pytest.mark.parametrize("name", [n for n in ONE_STEP if n != "annealed-langevin"])
def test_laws_on_a_gaussian_are_the_tableaus(name):
    problem = gaussian()
    grid = irregular(problem, 5)
    solver = sb.get_solver(name)
    mean, cov = sb.gaussian_law(solver, problem.law, problem.schedule, grid)
    law = chain_law(solver, problem, grid)
    assert abs(law.mean - float(mean)) < 1e-10
    assert abs(law.variance - float(cov)) < 1e-10
    assert total_variation(law, normal(float(mean), float(cov))) < 1e-9


@pytest.mark.parametrize("name", ONE_STEP)
@pytest.mark.parametrize("n", [3, 12])
def test_mass_and_independence_of_the_grid(name, n, monkeypatch):
    problem = sb.get_problem("mixture-1d")
    grid, solver = irregular(problem, n), sb.get_solver(name)
    law = chain_law(solver, problem, grid)
    assert abs(law.mass - 1) < 1e-10
    monkeypatch.setattr(carrier, "PER_WIDTH", 0.5 * carrier.PER_WIDTH)
    monkeypatch.setattr(chain, "PER_WIDTH", 0.5 * chain.PER_WIDTH)
    finer = chain_law(solver, problem, grid)
    assert total_variation(law, finer) < 1e-9
    assert abs(law.mean - finer.mean) < 1e-10
    assert abs(law.variance - finer.variance) < 1e-10


def test_one_step_of_euler_maruyama_on_a_mixture_is_its_integral():
    """Against the integral itself, by a plain sum over far more nodes."""
    problem, solver = sb.get_problem("mixture-1d"), sb.get_solver("euler-maruyama")
    ns, (s, t) = problem.schedule, problem.span
    x = np.linspace(-9, 9, 20001)
    score = problem.law.marginal(ns, s).score(torch.from_numpy(x)[:, None])[:, 0].numpy()
    p = Exact(problem.law.marginal(ns, s)).pdf(x)
    place, width = x - (s - t) * (ns.f(s) * x - ns.g2(s) * score), sqrt(ns.g2(s) * (s - t))
    law = chain_law(solver, problem, (s, t))
    y = np.linspace(-3, 3, 13)
    expected = (p * np.exp(-0.5 * ((y[:, None] - place) / width) ** 2)).sum(1) * (x[1] - x[0]) / (width * sqrt(2 * np.pi))
    assert np.abs(law.pdf(y) - expected).max() < 1e-12


def test_densities_are_right_far_out():
    """Relative accuracy where the density is 1e-14 of its peak: what KL reads."""
    problem = gaussian()
    grid = irregular(problem, 6)
    start = problem.law.marginal(problem.schedule, grid[0])
    mean, variance = recursion(problem.schedule, grid, float(start.mean()), float(start.cov()))
    law = chain_law(sb.get_solver("euler-maruyama"), problem, grid)
    z = (law.nodes - mean) / sqrt(variance)
    near = np.abs(z) < 8
    exact = np.exp(-0.5 * z * z) / sqrt(2 * np.pi * variance)
    assert np.abs(law.density[near] / exact[near] - 1).max() < 1e-6


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_STEP)
def test_monte_carlo_agrees(name):
    problem, n = sb.get_problem("mixture-1d"), 1_000_000
    grid, solver = irregular(problem, 5), sb.get_solver(name)
    law = chain_law(solver, problem, grid)
    noise = WhiteNoise(problem.schedule, (n, 1), seed=3)
    y = np.sort(sb.integrate(solver, problem.model, problem.initial(n, seed=1), grid, noise).squeeze(1).numpy())
    for f in (lambda x: x, lambda x: x * x, np.sin, lambda x: np.cos(2 * x), lambda x: np.exp(-4 * x * x)):
        assert abs(f(y).mean() - law.expect(f)) < 4 * f(y).std() / sqrt(n)
    # Kolmogorov and Smirnov: sqrt(n) sup|F_n - F| exceeds 2 once in 1500 runs.
    assert np.abs(law.cdf(y) - (np.arange(n) + 0.5) / n).max() < 2 / sqrt(n)


@pytest.mark.parametrize(("name", "order"), [("euler-maruyama", 1), ("dpm++-2s-ancestral", 2)])
def test_weak_order_of_a_smooth_function(name, order):
    problem, solver = sb.get_problem("mixture-1d"), sb.get_solver(name)
    exact = Exact(problem.law.marginal(problem.schedule, problem.span[1])).density()

    def phi(x):
        return np.cos(2 * x)

    steps = (16, 24, 32, 48, 64, 96)
    errors = [abs(chain_law(solver, problem, irregular(problem, n)).expect(phi) - exact.expect(phi)) for n in steps]
    fit = fit_order([1 / n for n in steps], errors, floor=1e-12)
    assert verdict(fit, order) == "confirmed"
    assert fit.order < order + 0.3


def test_laws_at_all_times_end_with_the_law():
    problem, solver = sb.get_problem("mixture-1d"), sb.get_solver("ddpm")
    grid = irregular(problem, 4)
    laws = chain_laws(solver, problem, grid)
    assert len(laws) == 5
    assert total_variation(laws[0], problem.law.marginal(problem.schedule, grid[0])) < 1e-12
    assert total_variation(laws[2], chain_law(solver, problem, grid[:3])) < 1e-12
    assert total_variation(laws[-1], chain_law(solver, problem, grid)) == 0


def test_steps_are_cut_where_one_number_carries_all():
    problem = sb.get_problem("mixture-1d")
    grid = irregular(problem, 2)

    def shape(name):
        steps = kernels(sb.get_solver(name), problem.model, grid)
        return [[(len(k.stages), k.inside, k.width > 0) for k in step] for step in steps]

    assert shape("euler-maruyama") == [[(1, 0, True)]] * 2
    assert shape("srk-additive") == [[(2, 1, True)]] * 2
    assert shape("dpm++-2s-ancestral") == [[(2, 0, True)]] * 2
    assert shape("seeds-3") == [[(3, 2, True)]] * 2
    churn = shape("edm-stochastic-gamma")[0]
    assert churn == [(0, 0, True), (2, 0, False)]
    langevin = shape("annealed-langevin")[0]
    assert len(langevin) > 1
    assert set(langevin) == {(1, 0, True)}


@pytest.mark.parametrize("name", ["srk-additive", "dpm++-sde", "seeds-2", "ddpm"])
def test_a_kernel_is_the_step(name):
    """M(x, zeta) at zeta = 0 is the step whose noise is nought."""

    class Nought:
        schedule = VPLinear()

        def normal(self, *args, **kwargs):
            return torch.zeros(7, 1, dtype=torch.float64)

        def integral(self, s, t, *weights, tag=0):
            return tuple(self.normal() for _ in weights)

        fresh = normal

    problem, solver = sb.get_problem("mixture-1d"), sb.get_solver(name)
    s, t = problem.span
    ((kernel,),) = kernels(solver, problem.model, problem.span)
    x = torch.linspace(-2, 2, 7, dtype=torch.float64)[:, None]
    expected = solver.step(problem.model, x, s, t, (), Nought()).x
    assert np.abs(kernel.apply(x.numpy()[:, 0]) - expected.numpy()[:, 0]).max() < 1e-13


def test_rules_that_are_too_coarse_are_refused(monkeypatch):
    problem = sb.get_problem("mixture-1d")
    monkeypatch.setattr(carrier, "PER_WIDTH", 4.0)
    monkeypatch.setattr(chain, "PER_WIDTH", 4.0)
    monkeypatch.setattr(chain, "_REFINEMENTS", 1)
    with pytest.raises(RuntimeError, match="not resolved"):
        chain_law(sb.get_solver("euler-maruyama"), problem, irregular(problem, 3))


def test_rules_that_are_too_coarse_are_refined(monkeypatch):
    problem, solver = sb.get_problem("mixture-1d"), sb.get_solver("euler-maruyama")
    grid = irregular(problem, 6)
    law = chain_law(solver, problem, grid)
    monkeypatch.setattr(chain, "PER_WIDTH", 1.5)  # of the atoms; nodes stay fine
    assert total_variation(law, chain_law(solver, problem, grid)) < 1e-8


def test_refusals():
    line, plane = sb.get_problem("mixture-1d"), sb.get_problem("mixture-2d")
    grid = irregular(line, 3)
    with pytest.raises(UsageError, match="dimension 2"):
        chain_law(sb.get_solver("euler-maruyama"), plane, irregular(plane, 3))
    with pytest.raises(UsageError, match="memory of 1"):
        chain_law(sb.get_solver("sde-dpm-solver++-2m"), line, grid)
    with pytest.raises(UsageError, match=r"draws no noise.*pushforward"):
        chain_law(sb.get_solver("ddim"), line, grid)
    with pytest.raises(UsageError, match="not linear"):
        chain_law(sb.get_solver("predictor-corrector"), line, grid)
    with pytest.raises(UsageError, match=r"stochastic.*chain_law"):
        pushforward(sb.get_solver("euler-maruyama"), line, grid)
    with pytest.raises(UsageError, match="no law on the line"):
        chain_law(sb.get_solver("euler-maruyama"), line, grid, plane.law)


def test_pushforward_of_a_linear_run_is_gaussian():
    problem = gaussian()
    grid, solver = irregular(problem, 4), sb.get_solver("ddim")
    mean, cov = sb.gaussian_law(solver, problem.law, problem.schedule, grid)
    law = pushforward(solver, problem, grid)
    assert total_variation(law, normal(float(mean), float(cov))) < 1e-10


@pytest.mark.parametrize("name", ["ddim", "dpm-solver-2", "dpm-solver++-3m"])
def test_pushforward_on_a_mixture(name):
    """Mean by the map itself over a fine rule, W2 by quantiles and by the map: two ways each."""
    problem, solver = sb.get_problem("mixture-1d"), sb.get_solver(name)
    grid = irregular(problem, 6)
    law = pushforward(solver, problem, grid)
    start = Exact(problem.law.marginal(problem.schedule, grid[0])).density(1e-2)
    image = sb.integrate(solver, problem.model, torch.from_numpy(start.nodes)[:, None], grid)[:, 0].numpy()
    assert abs(law.mass - 1) < 1e-10
    assert abs(law.mean - start.weights @ (start.density * image)) < 1e-9
    found = distances(law, problem.law.marginal(problem.schedule, grid[-1]))
    assert abs(found.w2 - coupled_distances(solver, problem, grid).w2) < 1e-8
    assert 0 < found.w1 <= found.w2
    assert found.tv <= sqrt(found.kl / 2)  # Pinsker


def test_a_map_that_folds_the_line_has_no_density():
    law = Exact(normal(0.0, 1.0)).density()
    with pytest.raises(RuntimeError, match="folds"):
        carrier.mapped_density(law, lambda x: x**2)
    image = carrier.mapped_density(law, lambda x: x + 0.5 * np.tanh(x))
    assert isinstance(image, Density)
    assert abs(image.cdf(0.5 + 0.5 * np.tanh(0.5)) - law.cdf(0.5)) < 1e-10


def test_distances_of_runs_fall_with_the_order():
    problem = sb.get_problem("mixture-1d")
    exact = problem.law.marginal(problem.schedule, problem.span[1])
    for name, order, law_of in (("ddim", 1, pushforward), ("dpm-solver-2", 2, pushforward), ("euler-maruyama", 1, chain_law)):
        coarse, fine = (distances(law_of(sb.get_solver(name), problem, irregular(problem, n)), exact) for n in (32, 64))
        for a, b, power in zip(coarse, fine, (2, 1, 1, 1)):
            assert abs(np.log2(a / b) - power * order) < 0.25, (name, a, b)
