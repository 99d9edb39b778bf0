"""The forward side: coefficients and amplitudes tell each other, chains are what the seed derives them from."""

from itertools import pairwise
from math import exp, inf, log, log1p, sqrt

import pytest
import torch

from sdebench._support.errors import UsageError
from sdebench.fit import fit_order
from sdebench.noise import TIME, WhiteNoise
from sdebench.noise.brownian import BrownianPath
from sdebench.problems import GaussianMixture
from sdebench.process import forward
from sdebench.process.forward import CHAINS, Chain, amplitudes, betas, coefficients, ddpm, kernels, ncsn, vp_euler_maruyama
from sdebench.schedules import EDM, VE, Rectified, VPCosine, VPLinear

ALL = [VPLinear(), VPCosine(), VE(), EDM(), Rectified(), VPLinear(0.05, 3.0), VE(0.002, 80.0)]
VP = [VPLinear(), VPCosine()]
LAW = GaussianMixture([0.4, 0.6], [[-1.0], [0.9]], [0.4**2, 0.5**2])


def rising(n, low=0.02, high=0.9):
    """n unequal steps."""
    q = [(i / n) ** 1.5 for i in range(n + 1)]
    return [low + (high - low) * v for v in q]


def ids(ns):
    return str(ns)


@pytest.mark.parametrize("ns", ALL, ids=ids)
@pytest.mark.parametrize("t", [1e-4, 0.05, 0.5, 0.9, 0.999])
def test_amplitudes_come_back_from_the_coefficients(ns, t):
    """alpha = exp(int f), sigma^2 = alpha^2 int g2/alpha^2: to 1e-12, on every schedule."""
    alpha, sigma = amplitudes(ns.f, ns.g2, t, start=(ns.alpha(0.0), ns.sigma(0.0)))
    assert abs(alpha / ns.alpha(t) - 1) < 1e-12
    assert abs(sigma / ns.sigma(t) - 1) < 1e-12
    half, middle = t / 2, (ns.alpha(t / 2), ns.sigma(t / 2))
    assert amplitudes(ns.f, ns.g2, t, half, middle) == pytest.approx((alpha, sigma), rel=1e-12)


@pytest.mark.parametrize("ns", ALL, ids=ids)
@pytest.mark.parametrize("t", [0.05, 0.5, 0.9])
def test_coefficients_come_from_the_amplitudes(ns, t):
    """f = d log(alpha)/dt and g2 = d(sigma^2)/dt - 2 f sigma^2: to 1e-12 where rounding allows it."""
    f, g2 = coefficients(ns.alpha, ns.sigma, t, 0.5 * min(t, 1 - t))
    assert abs(f - ns.f(t)) < 1e-12 * max(1.0, abs(ns.f(t)))
    assert abs(g2 / ns.g2(t) - 1) < 1e-12


def test_coefficients_and_amplitudes_refuse_what_is_none():
    ns = Rectified()
    with pytest.raises(UsageError, match="reach > 0"):
        coefficients(ns.alpha, ns.sigma, 0.5, 0.0)
    with pytest.raises(UsageError, match="since <= t"):
        amplitudes(ns.f, ns.g2, 0.1, since=0.2)
    with pytest.raises(UsageError, match="not finite"):
        amplitudes(lambda t: inf, ns.g2, 0.5)


@pytest.mark.parametrize("ns", ALL, ids=ids)
def test_the_signal_to_noise_ratio_falls_and_its_logarithm_never_overflows(ns):
    times = rising(20)
    values = [forward.snr(ns, t) for t in times]
    assert values == sorted(values, reverse=True)
    for t, value in zip(times, values):
        assert value == pytest.approx((ns.alpha(t) / ns.sigma(t)) ** 2, rel=1e-13)
        assert forward.log_snr(ns, t) == pytest.approx(log(value), abs=1e-13)
    tiny = EDM()
    assert forward.log_snr(tiny, 1e-300) == pytest.approx(600 * log(10))
    assert forward.snr(tiny, 1e-300) == inf


@pytest.mark.parametrize("ns", ALL, ids=ids)
def test_the_kernels_compose_to_the_marginals(ns):
    """Chapman and Kolmogorov: q(x_t | x_s) chained is q(x_t | x_0), at every time."""
    chain = kernels(ns, rising(30))
    assert forward.distance(chain, ns) == pytest.approx((0.0, 0.0), abs=2e-14 * ns.sigma(0.9))


@pytest.mark.parametrize("ns", VP, ids=ids)
def test_the_ddpm_chain_is_the_vp_sde_seen_at_its_times(ns):
    """x_i = sqrt(1 - beta_i) x + sqrt(beta_i) z with beta_i = 1 - exp(-int beta) is q(x_t | x_s) of the VP SDE."""
    times = rising(25)
    chain, exact = CHAINS["ddpm-exact"](ns, times), kernels(ns, times)
    assert chain.a == pytest.approx(exact.a, rel=1e-14)
    assert chain.b == pytest.approx(exact.b, rel=1e-12)
    assert forward.distance(chain, ns) == pytest.approx((0.0, 0.0), abs=1e-14)


@pytest.mark.parametrize("ns", VP, ids=ids)
def test_euler_maruyama_of_the_vp_sde_is_the_chain_of_the_seed_after_taylor(ns):
    """(1 - beta_i/2) x + sqrt(beta_i) z is Euler-Maruyama with beta_i = beta(t) dt: to rounding."""
    times = rising(25)
    euler = forward.euler_maruyama(ns, times)
    seed = vp_euler_maruyama(betas(ns, times, "left"), times, (ns.alpha(0.02), ns.sigma(0.02)))
    assert (euler.a, euler.b) == (pytest.approx(seed.a, rel=1e-15), pytest.approx(seed.b, rel=1e-15))
    assert euler.start == seed.start


def test_the_ddpm_chain_is_euler_maruyama_to_second_order_in_beta():
    """Taylor's formula of the seed: sqrt(1 - beta) = 1 - beta/2 - beta^2/8 - ...; so the chains part at order 2 in a step."""
    steps = [0.2 * 2.0**-k for k in range(8)]
    gap = [abs(ddpm([b]).a[0] - vp_euler_maruyama([b]).a[0]) for b in steps]
    fit = fit_order(steps, gap)
    assert fit.order == pytest.approx(2, abs=0.02)
    assert fit.constant == pytest.approx(1 / 8, rel=0.02)
    assert ddpm(steps).b == vp_euler_maruyama(steps).b


def test_the_seed_s_misprint_of_that_chain_forgets_the_data():
    """Printed `-1/2 sigma_t^2 x`, without the 1: after two steps of DDPM's own rates nothing of the data is left."""
    beta = [1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)]
    printed = Chain((0.0, 1.0, 2.0), tuple(-b / 2 for b in beta[:2]), tuple(map(sqrt, beta[:2])))
    assert vp_euler_maruyama(beta[:2]).alpha(2) == pytest.approx(1.0, abs=1e-3)
    assert abs(printed.alpha(2)) < 1e-7


def test_the_ncsn_chain_is_euler_maruyama_of_the_ve_sde_with_a_difference_quotient():
    """The seed: x + sqrt(d sigma^2/dt dt) z becomes x + sqrt(sigma_i^2 - sigma_{i-1}^2) z, which is exact."""
    ns, times = VE(), rising(25)

    class Quotient(VE):
        """d sigma^2/dt as the difference quotient over the step that begins at t."""

        def g2(self, t):
            after = times[times.index(t) + 1]
            return (self.sigma(after) ** 2 - self.sigma(t) ** 2) / (after - t)

    chain, euler, exact = CHAINS["ncsn"](ns, times), forward.euler_maruyama(Quotient(), times), kernels(ns, times)
    assert chain.a == euler.a == exact.a == (1.0,) * 25
    assert chain.b == pytest.approx(euler.b, rel=1e-13)
    assert chain.b == pytest.approx(exact.b, rel=1e-13)
    assert [chain.sigma(i) for i in range(26)] == pytest.approx([ns.sigma(t) for t in times], rel=1e-14)


@pytest.mark.parametrize("rate", forward.RATES)
def test_the_ddpm_chain_preserves_the_variance_and_euler_maruyama_does_not(rate):
    times, ns = rising(60), VPLinear()
    chain = CHAINS[f"ddpm-{rate}"](ns, times)
    euler = vp_euler_maruyama(betas(ns, times, rate), times, chain.start)
    assert all(chain.alpha(i) ** 2 + chain.sigma(i) ** 2 == pytest.approx(1, abs=1e-14) for i in range(61))
    assert euler.alpha(60) ** 2 + euler.sigma(60) ** 2 > 1 + 1e-3


def test_ddpm_s_own_rates_give_its_product_formula():
    """q(x_i | x_0) = N(sqrt(prod(1 - beta)) x_0, 1 - prod(1 - beta)): Ho et al. 2020, eq. 4."""
    beta = [1e-4 + (0.02 - 1e-4) * i / 999 for i in range(1000)]
    chain, log_bar = ddpm(beta), sum(log1p(-b) for b in beta)
    assert chain.alpha(1000) == pytest.approx(exp(log_bar / 2), rel=1e-12)
    assert chain.sigma(1000) ** 2 == pytest.approx(1 - exp(log_bar), rel=1e-12)
    assert chain.times[-1] == 1000.0


ORDERS = [
    ("ddpm-integral", VPLinear(), 1),
    ("ddpm-left", VPLinear(), 1),
    ("ddpm-right", VPCosine(), 1),
    ("euler-maruyama", VPLinear(), 1),
    ("euler-maruyama", VE(), 1),
    ("euler-maruyama", Rectified(), 1),
]


@pytest.mark.parametrize(("name", "ns", "order"), ORDERS, ids=str)
def test_the_order_at_which_the_marginals_of_a_chain_tend_to_those_of_the_sde(name, ns, order):
    sizes = [64 * 2**k for k in range(6)]
    gaps = [max(forward.distance(CHAINS[name](ns, rising(n)), ns)) for n in sizes]
    fit = fit_order([1 / n for n in sizes], gaps)
    assert fit.resolved
    assert fit.order == pytest.approx(order, abs=0.05)


def test_the_marginal_of_a_chain_is_the_mixture_that_a_moment_recursion_gives():
    ns, times = VPLinear(), rising(60)
    chain = CHAINS["ddpm-right"](ns, times)
    start = LAW.marginal(ns, times[0])
    mean, variance = start.mean(), start.cov()
    for i, (a, b) in enumerate(zip(chain.a, chain.b), 1):
        mean, variance = a * mean, a**2 * variance + b**2
        law = chain.marginal(LAW, i)
        assert float(law.mean() - mean) == pytest.approx(0, abs=1e-14)
        assert float(law.cov() - variance) == pytest.approx(0, abs=1e-14)
    assert len(law.weights) == 2


def test_paths_have_the_law_of_the_chain_and_the_path_of_the_noise():
    """40,000 paths: mean and variance at every time within 5 standard errors; the same noise gives the same bits."""
    ns, times, n = VPLinear(), rising(6), 40_000
    chain = forward.euler_maruyama(ns, times)
    x, noise = LAW.marginal(ns, times[0]).sample(n, seed=1), WhiteNoise(ns, (n, 1), 2, dtype=torch.float64)
    paths = chain.paths(x, noise)
    assert paths.shape == (7, n, 1)
    assert torch.equal(paths[0], x)
    assert torch.equal(paths, chain.paths(x, noise))
    for i, state in enumerate(paths):
        law = chain.marginal(LAW, i)
        variance = float(law.cov())
        assert abs(float(state.mean() - law.mean())) < 5 * sqrt(variance / n)
        assert abs(float(state.var()) / variance - 1) < 5 * sqrt(2 / n)
    steps = torch.stack([(y - a * x) / b for a, b, (x, y) in zip(chain.a, chain.b, pairwise(paths))]).squeeze(-1)
    assert float((torch.corrcoef(steps) - torch.eye(6)).abs().max()) < 5 / sqrt(n)


def test_a_chain_adds_what_the_noise_says_of_the_same_interval():
    """Not its negative, nor another interval's: the path that a reverse method then sees is the same one."""
    ns, times = VPLinear(), rising(5)
    chain, noise = forward.euler_maruyama(ns, times), WhiteNoise(ns, (3, 2), 4)
    x = torch.ones(3, 2, dtype=torch.float64)
    paths = chain.paths(x, noise)
    for i, (t, s) in enumerate(pairwise(times)):
        x = x + ns.f(t) * (s - t) * x + sqrt(ns.g2(t) * (s - t)) * noise.normal(s, t, TIME)
        torch.testing.assert_close(paths[i + 1], x, rtol=1e-13, atol=1e-13)


def test_forward_paths_converge_strongly_on_one_brownian_path():
    """Euler-Maruyama of the forward SDE: strong order 1, for its noise is additive; the limit is that of fine steps."""
    ns, n = VPLinear(), 200
    finest = rising(512, 0.02, 0.6)
    noise = BrownianPath(ns, finest, (n, 1), 3)
    x = LAW.marginal(ns, finest[0]).sample(n, seed=1)
    paths = {k: forward.euler_maruyama(ns, finest[::k]).paths(x, noise) for k in (1, 2, 4, 8, 16, 32, 64)}
    gaps = [float((paths[k][-1] - paths[k // 2][-1]).square().mean().sqrt()) for k in (2, 4, 8, 16, 32, 64)]
    fit = fit_order([k / 512 for k in (2, 4, 8, 16, 32, 64)], gaps)
    assert fit.order == pytest.approx(1, abs=0.1)
    at_half = [float((p[len(p) // 2] - paths[1][256]).abs().max()) for p in paths.values()]
    assert max(at_half) < 1.0  # one path: nothing is a fresh draw


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Chain((0.0, 1.0), (1.0, 1.0), (0.0,)), "n \\+ 1, n and n"),
        (lambda: ddpm([0.1, 1.5]), "smaller steps"),
        (lambda: Chain((1.0, 0.5), (1.0,), (0.0,)), "strictly increasing"),
        (lambda: betas(VE(), (0.1, 0.2)), "does not preserve"),
        (lambda: betas(VPLinear(), (0.1, 0.2), "middle"), "unknown rate"),
        (lambda: ncsn([1.0, 2.0]).alpha(2), "give 0 to 1"),
    ],
)
def test_what_is_no_chain_is_refused(make, message):
    with pytest.raises(UsageError, match=message):
        make()
