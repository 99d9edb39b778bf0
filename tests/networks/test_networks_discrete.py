"""The schedule of a chain: the chain at its levels, one smooth curve between them, and the index that a network is told."""

import pickle
from itertools import pairwise
from math import cos, exp, inf, log, nan, pi

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sdebench as sb
from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.integration.prediction import Model
from sdebench.networks.discrete import Discrete
from sdebench.problems import GaussianMixture, Problem
from sdebench.schedules import VPLinear

EPS = 2.0**-52


def cosine(n):
    """Nichol and Dhariwal 2021, eq. 17, with its betas capped at 0.999: the roughest chain in use."""
    abar = lambda t: cos(0.5 * pi * (t + 0.008) / 1.008) ** 2  # noqa: E731
    return [min(1 - abar((i + 1) / n) / abar(i / n), 0.999) for i in range(n)]


def sampled(alpha, n):
    """The chain whose levels have the alpha of these times: i/n, i = 1..n."""
    abar = [1.0, *(alpha(i / n) ** 2 for i in range(1, n + 1))]
    return [1 - b / a for a, b in pairwise(abar)]


CHAINS = {
    "linear": Discrete(np.linspace(1e-4, 0.02, 1000)),  # Ho et al. 2020
    "scaled-linear": Discrete(np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2),  # Rombach et al. 2022
    "cosine": Discrete(cosine(1000)),
    "short": Discrete(np.linspace(1e-3, 0.2, 100)),
    "cosine-49": Discrete(cosine(49)),  # 49 (1/49) is not 1 in floats
    "three": Discrete([0.1, 0.2, 0.4]),
    "two": Discrete([0.1, 0.2]),
}
every_chain = pytest.mark.parametrize("ns", CHAINS.values(), ids=CHAINS)


def levels(ns):
    """(i, t_i, abar_i in 50 digits) of every level."""
    with mp.workdps(50):
        abar, found = mp.mpf(1), []
        for i, beta in enumerate(ns.betas):
            abar *= 1 - mp.mpf(beta)
            found.append((i, (i + 1) / ns.steps, abar))
        return found


def times(ns, per_level=4):
    """Times over the whole domain, all levels and some between."""
    n = per_level * (ns.steps - 1)
    return [1 / ns.steps, *((1 + i / per_level) / ns.steps for i in range(1, n)), 1.0]


@every_chain
def test_at_its_levels_it_is_the_chain(ns):
    """alpha^2 = prod (1 - beta), sigma^2 = 1 - alpha^2, to the rounding of a sum of N logarithms and of u = N t - 1."""
    with mp.workdps(50):
        for _, t, abar in levels(ns):
            log_alpha, log_sigma = mp.log(abar) / 2, mp.log(1 - abar) / 2
            rounding = EPS * (4 * abs(ns.f(t)) * t + 2 * abs(log_alpha) * ns.steps**0.5)  # of log(alpha)
            below = 4 * EPS + float(abar / (1 - abar)) * rounding  # of log(sigma)
            assert abs(mp.log(ns.alpha(t)) - log_alpha) <= rounding + 4 * EPS
            assert abs(mp.log(ns.sigma(t)) - log_sigma) <= below
            assert abs(ns.lam(t) - (log_alpha - log_sigma)) <= rounding + below + 4 * EPS * abs(ns.lam(t))


@every_chain
def test_the_index_is_exact_at_the_levels_and_linear_between(ns):
    for i, t, _ in levels(ns):
        assert ns.index(t) == i
    for t in times(ns):
        assert abs(ns.index(t) - (ns.steps * t - 1)) <= 2 * EPS * ns.steps


def test_the_index_is_exact_at_every_length_of_chain():
    for n in (*range(2, 130), 1000, 4000):
        ns = Discrete([0.01] * n)
        assert [ns.index((i + 1) / n) for i in range(n)] == list(range(n))


def test_a_chain_with_a_formula_gives_the_formula_between_its_levels():
    """log(alpha) of VPLinear is quadratic in t, and a spline through a quadratic IS the quadratic: equal everywhere, rates too.

    A chain that sits one level too early or late, or on t_i = i/(N - 1), is off by 1e-3.
    """
    exact = VPLinear(0.1, 12.0)
    ns = Discrete(sampled(exact.alpha, 200))
    for t in times(ns, 7):
        assert ns.lam(t) == pytest.approx(exact.lam(t), abs=1e-12)
        assert ns.alpha(t) == pytest.approx(exact.alpha(t), rel=1e-12)
        assert ns.sigma(t) == pytest.approx(exact.sigma(t), rel=1e-12)
        assert ns.f(t) == pytest.approx(exact.f(t), rel=1e-9)
        assert ns.g2(t) == pytest.approx(exact.g2(t), rel=1e-9)


def test_the_spline_converges_with_order_four():
    """On levels of log(alpha) = 1 - e^{2t}: the error of log(alpha) falls as N^-4, that of f as N^-3."""
    values, rates = [], []
    for n in (20, 40, 80):
        ns = Discrete(sampled(lambda t: exp(1 - exp(2 * t)), n))
        inside = [t for t in times(ns, 8) if t > 0.1]
        values.append(max(abs(log(ns.alpha(t)) - 1 + exp(2 * t)) for t in inside))
        rates.append(max(abs(ns.f(t) + 2 * exp(2 * t)) for t in inside))
    assert all(a / b > 14 for a, b in pairwise(values))
    assert all(a / b > 7 for a, b in pairwise(rates))


@every_chain
def test_t_inverts_lam_and_lam_t(ns):
    """t to 1e-12 relative; lam to 1e-12 besides what a float t can hold of it, |dlam/dt| ulp(t)."""
    for t in times(ns):
        assert abs(ns.t(ns.lam(t)) - t) <= 1e-12 * t
    low, high = ns.lam(1.0), ns.lam(1 / ns.steps)
    for lam in np.linspace(low, high, 3001).tolist():
        t = ns.t(lam)
        slope = ns.g2(t) / (2 * ns.sigma(t) ** 2)
        assert abs(ns.lam(t) - lam) <= 1e-12 + 2 * EPS * slope * t


@every_chain
@given(q=st.floats(0, 1), step=st.floats(1e-6, 1))
def test_lam_falls_as_t_rises(ns, q, step):
    t = 1 / ns.steps + q * (1 - 1 / ns.steps)
    later = min(1.0, t + step)
    if later - t > 1e-6 * (1 - 1e-6):
        assert ns.lam(later) < ns.lam(t)
        assert ns.sigma(later) > ns.sigma(t)
        assert ns.index(later) > ns.index(t)


@every_chain
def test_f_and_g2_are_the_rates_of_what_the_schedule_returns(ns):
    """f = d log(alpha)/dt, g2 = d(sigma^2)/dt - 2 f sigma^2 = -2 sigma^2 dlam/dt: Richardson's extrapolated differences, inside
    of the pieces, where they are those of a cubic."""
    h = 0.02 / ns.steps

    def rate(of, t):
        one, two = ((of(t + d) - of(t - d)) / (2 * d) for d in (h, 2 * h))
        return (4 * one - two) / 3

    for i in range(0, ns.steps - 1, max(1, ns.steps // 97)):
        t = (i + 1.4) / ns.steps
        noise = 8 * EPS * (1 + abs(ns.lam(t))) / h
        assert rate(lambda u: mp.log(ns.alpha(u)), t) == pytest.approx(ns.f(t), rel=1e-6, abs=noise)
        slope = rate(lambda u: ns.sigma(u) ** 2, t)
        assert slope - 2 * ns.f(t) * ns.sigma(t) ** 2 == pytest.approx(ns.g2(t), rel=1e-6, abs=noise)
        assert -2 * ns.sigma(t) ** 2 * rate(ns.lam, t) == pytest.approx(ns.g2(t), rel=1e-5, abs=noise)


@every_chain
def test_two_derivatives_are_continuous_at_the_levels(ns):
    for left, right in pairwise(ns._pieces):
        c3, c2, c1, c0 = left
        scale = abs(c0) + abs(c1) + abs(c2) + abs(c3)
        for a, b in zip((c3 + c2 + c1 + c0, 3 * c3 + 2 * c2 + c1, 6 * c3 + 2 * c2), (right[3], right[2], 2 * right[1])):
            assert abs(a - b) <= 64 * EPS * scale


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid"])
def test_index_i_has_the_abar_that_diffusers_trains_index_i_with(name):
    """Theirs is a product of float32; 1 - abar is compared too, which a shift by one level moves by 10 % or more."""
    scheduler = pytest.importorskip("diffusers").DDPMScheduler(1000, beta_schedule=name)
    ns = Discrete(scheduler.betas.double())
    abar = scheduler.alphas_cumprod.double().tolist()
    for i, t, _ in levels(ns):
        assert ns.alpha(t) ** 2 == pytest.approx(abar[i], rel=2e-4, abs=1e-9)
        assert ns.sigma(t) ** 2 == pytest.approx(1 - abar[i], rel=2e-3 if i < 10 else 1e-4)


LAW = GaussianMixture([0.3, 0.7], [[0.8, -0.4], [-0.5, 0.3]], [0.04, 0.09])


def network(ns):
    """A network of 1000 steps that has learnt LAW on a chain: it is asked with an INTEGER, and has its own table of abar."""
    abar = torch.tensor(ns.betas, dtype=torch.float64).neg().add(1).cumprod(0)

    def eps(x, i):
        alpha, sigma = float(abar[round(i)].sqrt()), float((1 - abar[round(i)]).sqrt())
        means, variances = alpha * LAW.means, alpha**2 * LAW.covs[:, 0, 0] + sigma**2
        away = x.unsqueeze(1) - means
        logits = LAW.weights.log() - variances.log() - 0.5 * away.square().sum(2) / variances
        return sigma * (logits.softmax(1).unsqueeze(2) * away / variances[:, None]).sum(1)

    return eps


def disguise_error(ns, index):
    """The largest difference over a DDIM run on levels between the chain's network, told `index(t)`, and the exact model."""
    net, grid = network(ns), [(i + 1) / ns.steps for i in (999, 900, 700, 450, 300, 150, 60, 20, 5, 1, 0)]
    problem = Problem("disguise", LAW, ns, (grid[0], grid[-1]))
    x, ddim = problem.initial(16, seed=4), sb.get_solver("ddim")
    ours = sb.integrate(ddim, Model(lambda x, t: net(x, index(t)), ns, "eps"), x, grid)
    return float((ours - sb.integrate(ddim, problem.model, x, grid)).abs().max())


@pytest.mark.parametrize("name", ["linear", "scaled-linear", "cosine"])
def test_a_network_of_integer_steps_in_disguise_is_the_exact_model(name):
    ns = CHAINS[name]
    assert disguise_error(ns, ns.index) < 1e-11


WRONG = {
    "one level late": lambda t: min(1000 * t, 999),
    "one level early": lambda t: max(1000 * t - 2, 0),
    "t from 0 to N - 1": lambda t: 999 * t,
    "truncated": lambda t: int(1000 * t - 1 - 1e-9),
}


@pytest.mark.parametrize("name", ["linear", "scaled-linear", "cosine"])
@pytest.mark.parametrize("index", WRONG.values(), ids=WRONG)
def test_wrong_index_maps_are_rejected(name, index):
    assert disguise_error(CHAINS[name], index) > 1e-4


class SameDraws(sb.WhiteNoise):
    """The same numbers for times that are equal up to rounding: the middles of steps are, on two forms of one schedule."""

    def _draw(self, *parts):
        return super()._draw(*(round(p, 9) if isinstance(p, float) else p for p in parts))


FIXED = [name for name in sb.list_solvers() if not getattr(sb.get_solver(name), "adaptive", False)]


@pytest.mark.parametrize("name", FIXED)
def test_every_solver_runs_on_it_as_on_the_schedule_that_it_equals(name):
    """VPLinear by its formula and as a chain, with the same noise: only rounding differs, however it is used."""
    solver, exact = sb.get_solver(name), VPLinear(0.1, 12.0)
    ends = []
    for ns in (exact, Discrete(sampled(exact.alpha, 200))):
        problem = Problem("one", LAW, ns, (0.9, 0.05))
        x, grid = problem.initial(8, seed=1), grids.jitter(exact, 0.9, 0.05, 12)
        noise = SameDraws(ns, tuple(x.shape), 3) if solver.stochastic else None
        ends.append(sb.integrate(solver, problem.model, x, grid, noise))
    assert torch.isfinite(ends[0]).all()
    torch.testing.assert_close(*ends, rtol=1e-8, atol=1e-9)


@every_chain
@pytest.mark.parametrize("reading", ["alpha", "sigma", "lam", "f", "g2", "rho", "index"])
@pytest.mark.parametrize("t", [-0.1, 0.0, 1e-4, 1 + 1e-9, 1.5, nan, inf])
def test_a_time_out_of_the_chain_is_refused_and_the_domain_is_said(ns, reading, t):
    with pytest.raises(UsageError) as caught:
        getattr(ns, reading)(t)
    message = str(caught.value)
    assert repr(t) in message
    assert f"give 1/{ns.steps} <= t <= 1" in message
    assert "\n" not in message
    assert len(message) < 250


@every_chain
def test_a_lam_out_of_the_chain_is_refused_and_the_ends_come_back(ns):
    first, last = ns.lam(1 / ns.steps), ns.lam(1.0)
    assert ns.lam_min == last
    assert ns.t(first) == ns.t(first + 1e-14) == 1 / ns.steps
    assert ns.t(last) == ns.t(last - 1e-14) == 1.0
    for lam in (first + 1e-6, last - 1e-6, nan, inf, -inf):
        with pytest.raises(UsageError, match=r"not reached by .*give lam in"):
            ns.t(lam)


@pytest.mark.parametrize(
    "betas",
    [
        [],
        [0.1],
        [0.1, 0.0],
        [0.1, 1.0],
        [0.1, -0.1],
        [0.1, nan],
        [0.1, inf],
        3,
        None,
        "linear",
        [[0.1, 0.2]],
        ["a", "b"],
        [1e-4] * 10 + [0.3] * 10,
        [0.67, 0.59, 0.23, 0.07, 0.56, 0.72],
    ],
)
def test_what_is_no_chain_is_refused_in_one_line(betas):
    """The last two: a curve through them would rise, the second's only between two levels."""
    with pytest.raises(UsageError, match="give ") as caught:
        Discrete(betas)
    assert "\n" not in str(caught.value)


def test_it_is_a_value():
    """Equal betas are equal, in any container; the name tells chains with the same ends apart; a pickle holds betas alone."""
    betas = np.linspace(1e-4, 0.02, 1000)
    ns = CHAINS["linear"]
    same = Discrete(torch.from_numpy(betas)), Discrete(betas.tolist()), pickle.loads(pickle.dumps(ns))
    assert all(other == ns and hash(other) == hash(ns) and str(other) == str(ns) for other in same)
    assert all(isinstance(beta, float) for beta in ns.betas)
    other = Discrete(np.linspace(1e-2, 0.02**0.5, 1000) ** 2)
    assert other != ns
    assert str(other) != str(ns)
    assert str(ns) == repr(ns) == "Discrete(steps=1000, betas=0.0001..0.02, digest=264fbdf8)"
    nearly = Discrete(betas * (1 - EPS))  # as another library of maths may round them
    assert nearly != ns
    assert str(nearly) == str(ns)
    assert len(pickle.dumps(ns)) < 12_000
