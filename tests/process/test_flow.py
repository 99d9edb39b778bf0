"""Exact flows: against two integrators, multiprecision quantiles, and the properties that any flow has."""

import mpmath as mp
import pytest
import torch

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.laws.oracle import dop853, extrapolated
from sdebench.problems import GaussianMixture
from sdebench.schedules import EDM, SCHEDULES, VPLinear

F = torch.float64
EXACT = ("gaussian", "mixture-1d", "product-16d")


def rms(x):
    return float(x.square().mean().sqrt())


@pytest.mark.parametrize("integrator", [dop853, extrapolated])
@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("schedule", ["VPLinear", "EDM", "Rectified"])
def test_flow_matches_integration(name, schedule, integrator):
    """The formula and each of two unrelated integrators agree to 1e-11 (they do to 1e-14), in both directions of time."""
    problem = sb.get_problem(f"{name}[schedule={schedule}]")
    s, t = problem.span
    x = problem.initial(20, seed=3)
    y = problem.solution(x, s, t)
    assert rms(integrator(problem, x, s, t) - y) < 1e-13
    assert rms(integrator(problem, y, t, s) - problem.solution(y, t, s)) < 1e-13


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_flow_composes_and_inverts(name, schedule):
    problem = sb.get_problem(f"{name}[schedule={schedule}]")
    s, t = problem.span
    m = problem.schedule.t(0.4)
    x = problem.initial(64, seed=0)
    y = problem.solution(x, s, t)
    assert rms(problem.solution(problem.solution(x, s, m), m, t) - y) < 2e-14
    assert rms(problem.solution(y, t, s) - x) < 2e-13
    assert rms(problem.solution(x, s, s) - x) < 1e-14


@pytest.mark.parametrize("name", EXACT)
def test_flow_carries_the_marginal(name):
    """Change of variables: log p_s(x) = log p_t(flow(x)) + log |det d flow/dx|, the derivative by central differences."""
    problem = sb.get_problem(name)
    s, t = problem.span
    x, h = problem.initial(4, seed=1), 1e-4
    steps = h * torch.eye(problem.dim, dtype=F)
    columns = [(problem.solution(x + e, s, t) - problem.solution(x - e, s, t)) / (2 * h) for e in steps]
    logdet = torch.linalg.slogdet(torch.stack(columns, -1)).logabsdet
    before = problem.law.marginal(problem.schedule, s).log_prob(x)
    after = problem.law.marginal(problem.schedule, t).log_prob(problem.solution(x, s, t))
    assert (before - after - logdet).abs().max() < 1e-6


def exact_quantile(law, ns, s, t, x):
    """F_t^-1(F_s(x)) in 50 digits; the smaller tail, so that 50 digits suffice anywhere."""

    def tail(at, time, sign):
        alpha, v = mp.mpf(ns.alpha(time)), mp.mpf(ns.sigma(time)) ** 2
        parts = zip(law.weights.tolist(), law._means.flatten().tolist(), law._variances.flatten().tolist())
        return mp.fsum(w * mp.ncdf(sign * (at - alpha * m) / mp.sqrt(alpha**2 * c + v)) for w, m, c in parts)

    sign = 1 if tail(mp.mpf(x), s, 1) < 0.5 else -1
    target = mp.log(tail(mp.mpf(x), s, sign))
    guess = mp.mpf(float(law.flow(torch.tensor([[x]], dtype=F), ns, s, t)))
    return mp.findroot(lambda u: mp.log(tail(u, t, sign)) - target, (guess, guess * (1 + mp.mpf(1e-9)) + mp.mpf(1e-12)))


@pytest.mark.parametrize("x", [-30.0, -8.0, -1.0, 0.03, 0.9, 6.0, 25.0])
def test_quantiles_match_multiprecision_even_in_the_tails(x):
    problem = sb.get_problem("mixture-1d")
    (s, t), law, ns = problem.span, problem.law, problem.schedule
    y, bound = problem.solution_with_error(torch.tensor([[x]], dtype=F), s, t)
    with mp.workdps(50):
        gap = abs(mp.mpf(float(y)) - exact_quantile(law, ns, s, t, x))
    assert gap <= bound
    assert bound <= 1e-13 * max(1, abs(float(y)))


@pytest.mark.parametrize("name", EXACT)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_shipped_problems_are_well_conditioned(name, schedule):
    """64 points, seed 0: no point ends where the density is so small that its position is not known to 1e-13."""
    problem = sb.get_problem(f"{name}[schedule={schedule}]")
    x = problem.initial(64, 0)
    assert 0 < problem.solution_with_error(x, *problem.span)[1] <= 1e-13


def test_separated_modes_do_not_lose_the_quantile():
    """Modes 40 standard deviations apart: the root lies in a desert where Newton alone would leave for infinity."""
    law, ns = GaussianMixture([0.3, 0.7], [[-20.0], [20.0]], [0.25, 0.25]), EDM()
    x = torch.linspace(-60, 60, 241, dtype=F)[:, None]
    y = law.flow(x, ns, 30.0, 0.1)
    assert torch.isfinite(y).all()
    assert (y.diff(dim=0) > 0).all()
    assert rms(law.flow(y, ns, 0.1, 30.0) - x) < 1e-9


def test_gaussian_flow_in_closed_form():
    """Two dimensions, axes known by hand: each is stretched by the ratio of its standard deviations."""
    law = GaussianMixture([1.0], [[1.0, -2.0]], torch.diag(torch.tensor([4.0, 0.25], dtype=F))[None])
    x = torch.tensor([[3.0, 0.0], [1.0, -2.0]], dtype=F)
    y = law.flow(x, EDM(), 2.0, 0.5)
    scale = torch.tensor([(4.25 / 8) ** 0.5, (0.5 / 4.25) ** 0.5], dtype=F)
    assert torch.allclose(y, torch.tensor([1.0, -2.0], dtype=F) + (x - torch.tensor([1.0, -2.0], dtype=F)) * scale, rtol=1e-15)


def test_one_component_in_one_dimension_by_either_formula():
    x = torch.linspace(-3, 3, 7, dtype=F)[:, None]
    one = GaussianMixture([1.0], [[0.5]], [0.2])
    two = GaussianMixture([0.5, 0.5], [[0.5], [0.5]], [0.2, 0.2])
    assert rms(one.flow(x, VPLinear(), 0.8, 0.1) - two.flow(x, VPLinear(), 0.8, 0.1)) < 1e-14


def test_flow_keeps_the_dtype_and_refuses_what_has_no_formula():
    problem = sb.get_problem("mixture-1d")
    x = problem.initial(5, 0).float()
    assert problem.solution(x, *problem.span).dtype == torch.float32
    other = sb.get_problem("mixture-2d")
    assert not other.has_solution
    with pytest.raises(UsageError, match=r"no formula for its flow: use sdebench\.oracle"):
        other.solution(other.initial(3, 0), *other.span)
    with pytest.raises(UsageError, match="outside the domain"):
        problem.solution(x, 1.5, 0.1)
