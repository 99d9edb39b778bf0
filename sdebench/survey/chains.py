"""VP and VE: the two forward processes, and the chains that DDPM and NCSN are."""

from collections.abc import Callable
from itertools import pairwise
from math import exp, log, pi, sqrt

import torch

from sdebench.problems import GaussianMixture
from sdebench.process.forward import ddpm, ncsn
from sdebench.schedules import EDM, VE
from sdebench.survey.numeric import LAW, MEAN, NS, TIMES, VAR, Average, biggest, derivative, integral, log_alpha, misses
from sdebench.survey.statement import ROUNDING, Chapter, Outcome, holds, outcome, to_order

chapter = Chapter("VP and VE")
chapter.section("VP-SDE and the forward process of DDPM")


@chapter(
    "vp-sde",
    "VP-SDE",
    printed="dx = sqrt(1 - sigma_t^2) x dt + sqrt(sigma_t^2) dw",
    right="dx = -(beta/2) x dt + sqrt(beta) dw, with alpha_t = exp(-1/2 int_0^t beta)",
    correction="1",
)
def vp_sde() -> Outcome:
    """The f and g^2 that alpha_t = sqrt(1 - sigma_t^2) asks for, by numerical derivatives on VPLinear."""
    f = {t: derivative(log_alpha(NS), t) for t in TIMES}  # what alpha_t = sqrt(1 - sigma_t^2) asks for
    g2 = {t: derivative(lambda u: NS.sigma(u) ** 2, t) - 2 * f[t] * NS.sigma(t) ** 2 for t in TIMES}
    beta = {t: 0.1 + 19.9 * t for t in TIMES}
    printed = [z for t in TIMES for z in (f[t] - sqrt(1 - NS.sigma(t) ** 2), g2[t] - NS.sigma(t) ** 2)]
    right = [z for t in TIMES for z in (f[t] + beta[t] / 2, g2[t] - beta[t], NS.alpha(t) - exp(-0.5 * integral(NS.g2, 0, t)))]
    return outcome(biggest(*printed), biggest(*right), 1e-9)


@chapter(
    "vp-alpha",
    "VP's signal",
    printed="this SDE, dx = sqrt(1 - sigma_t^2) x dt + sqrt(sigma_t^2) dw, comes of alpha_t = sqrt(1 - sigma_t^2), with the law"
    " N(sqrt(1 - sigma_t^2) x_0, sigma_t^2 I)",
    right="dx = -(beta/2) x dt + sqrt(beta) dw does, and has that law",
    correction="1",
)
def vp_alpha() -> Outcome:
    """Mean and variance of either SDE from x_0, by quadrature."""

    def gaps(f: Callable[[float], float], g2: Callable[[float], float]) -> list[float]:
        found = []
        for t in TIMES:
            added = integral(lambda s, t=t: exp(2 * integral(f, s, t)) * g2(s), 0, t)
            found += [exp(integral(f, 0, t)) - sqrt(1 - NS.sigma(t) ** 2), added - NS.sigma(t) ** 2]
        return found

    printed = gaps(lambda t: sqrt(1 - NS.sigma(t) ** 2), lambda t: NS.sigma(t) ** 2)
    return outcome(biggest(*printed), biggest(*gaps(lambda t: -NS.g2(t) / 2, NS.g2)), ROUNDING)


def _standardised() -> GaussianMixture:
    """The mixture moved and scaled to mean 0 and variance 1."""
    sd = sqrt(float(LAW.cov()))
    return GaussianMixture(LAW.weights, (LAW.means - LAW.mean()) / sd, LAW._variances[:, 0] / sd**2)


@chapter(
    "vp-preserves",
    "VP preserves the variance",
    printed="E[x_0] = 0 and E[x_0^2] = 1  give  E[x_t] = 0, E[x_t^2] = 1, V[x_t] = 1",
)
def vp_preserves() -> Outcome:
    """Moments by quadrature of a mixture of mean 0 and variance 1, noised by the SDE as corrected."""
    laws = [Average(_standardised().marginal(NS, t)) for t in TIMES]
    return holds(biggest(*(z for e in laws for z in (e(e.x), e(e.x**2) - 1))), ROUNDING)


def _off_normal(t: float) -> float:
    """Largest difference of the density of x_t, for standardised data, from the standard normal's."""
    x = torch.linspace(-4, 4, 401, dtype=torch.float64)
    law = _standardised().marginal(NS, t)
    return biggest(law.log_prob(x[:, None]).exp() - torch.exp(-0.5 * x * x) / sqrt(2 * pi))


@chapter(
    "vp-end",
    "The end of VP",
    printed="x_T ~ N(0, 1)",
    right="x_T tends to N(0, 1) as alpha_T tends to 0: for data of mean 0 and variance 1 with error O(alpha_T^3)",
    correction="n3",
)
def vp_end() -> Outcome:
    """Largest difference of the density at the end of VPLinear from the standard normal's; its order in alpha_T is 3."""

    # t at which alpha is a given number: the error is the first moment that differs, the third, so alpha^3.
    def error(alpha: float) -> float:
        return _off_normal(NS.t(log(alpha / sqrt(1 - alpha * alpha))))

    return to_order(_off_normal(NS.t_max), misses(error, 3, 0.1))


def _ddpm(n: int, t: float = 0.5) -> list[float]:
    """beta_i of the chain of n steps whose marginals are those of NS at equally spaced times."""
    alpha = [NS.alpha(t * i / n) for i in range(n + 1)]
    return [1 - (b / a) ** 2 for a, b in pairwise(alpha)]


def _runs(steps: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Factor of x_0 and variance after each step of a chain x <- a x + b z."""
    found = [(1.0, 0.0)]
    for a, b in steps:
        factor, variance = found[-1]
        found.append((a * factor, a * a * variance + b * b))
    return found


def _run(steps: list[tuple[float, float]]) -> tuple[float, float]:
    """Factor of x_0 and variance after the chain."""
    return _runs(steps)[-1]


@chapter(
    "ddpm-chain",
    "DDPM's chain",
    printed="x_i = sqrt(1 - sigma_t^2) x_{i-1} + sqrt(sigma_t^2) z_{i-1}",
    right="x_i = sqrt(1 - beta_i) x_{i-1} + sqrt(beta_i) z_{i-1}, with beta_i = 1 - alpha_i^2/alpha_{i-1}^2",
    correction="2",
)
def ddpm_chain() -> Outcome:
    """Factor of x_0 and variance after 100 steps against (2); and those of the suite's ddpm chain."""
    n, t = 100, 0.5
    due = NS.alpha(t), NS.sigma(t) ** 2
    sigma = [NS.sigma(t * i / n) for i in range(1, n + 1)]
    printed = _run([(sqrt(1 - s * s), s) for s in sigma])
    right, suite = _run([(sqrt(1 - b), sqrt(b)) for b in _ddpm(n)]), ddpm(_ddpm(n))
    gaps = (*(a - b for a, b in zip(right, due)), suite.alpha(n) - due[0], suite.sigma(n) ** 2 - due[1])
    return outcome(biggest(*(a - b for a, b in zip(printed, due))), biggest(*gaps), ROUNDING)


@chapter("small-beta", "The steps are small", printed="beta_i is small, so that Taylor's formula applies")
def small_beta() -> Outcome:
    """Means and variances from x_0 of DDPM's chain and of Taylor's, with (1 - beta_i/2) for sqrt(1 - beta_i), after each of
    DDPM's 1000 steps, for the marginals of VPLinear: within 0.01. (With 100 steps they would be 0.045 apart.)
    """
    betas = _ddpm(1000, 1.0)
    chains = [_runs([(a(b), sqrt(b)) for b in betas]) for a in (lambda b: sqrt(1 - b), lambda b: 1 - b / 2)]
    return holds(biggest(*(x - y for one, other in zip(*chains) for x, y in zip(one, other))), 0.01)


@chapter(
    "ddpm-taylor",
    "DDPM's chain by Taylor's formula",
    printed="x_i = -1/2 sigma_t^2 x_{i-1} + sqrt(sigma_t^2 z_{i-1})",
    right="x_i = (1 - beta_i/2) x_{i-1} + sqrt(beta_i) z_{i-1}, equal to DDPM's chain up to O(beta_i^2)",
    correction="2",
)
def ddpm_taylor() -> Outcome:
    """Factor of x_{i-1} against the chain's at beta = 0.01; the right one differs with order 2 in beta. (As printed the root
    also holds z, which has a sign).
    """

    def right(b: float) -> float:
        return abs(sqrt(1 - b) - (1 - b / 2))

    printed = sqrt(1 - 0.01) + 0.5 * 0.01
    return to_order(printed, misses(right, 2))


@chapter(
    "ddpm-euler-maruyama",
    "DDPM's chain is Euler-Maruyama for VP",
    printed="Euler-Maruyama for the VP-SDE gives DDPM's chain",
    right="the two differ by O(dt^2) a step; after all steps they differ by O(dt)",
    correction="n4",
)
def ddpm_euler_maruyama() -> Outcome:
    """Factor of x_0 and variance after 50 steps; the difference has order 2 in one step and 1 in all."""

    def whole(dt: float) -> float:
        n = round(0.5 / dt)
        chain = _run([(sqrt(1 - b), sqrt(b)) for b in _ddpm(n)])
        euler = _run([(1 - NS.g2(i * dt) * dt / 2, sqrt(NS.g2(i * dt) * dt)) for i in range(n)])
        return max(abs(a - b) for a, b in zip(chain, euler))

    def one(dt: float) -> float:
        b = 1 - (NS.alpha(0.3 + dt) / NS.alpha(0.3)) ** 2
        return abs(sqrt(1 - b) - (1 - NS.g2(0.3) * dt / 2)) + abs(b - NS.g2(0.3) * dt)

    return to_order(whole(0.01), max(misses(one, 2, 0.01), misses(whole, 1, 0.005)))


chapter.section("VE-SDE and the forward process of NCSN")


@chapter("ve-sde", "VE-SDE", printed="dx = sqrt(d[sigma^2(t)]/dt) dw: alpha_t = 1, f = 0, g^2 = d(sigma_t^2)/dt")
def ve_sde() -> Outcome:
    """Numerical derivatives on VE and EDM."""
    gaps = []
    for ns in (VE(), EDM()):
        for t in TIMES:
            rate = derivative(lambda u, ns=ns: ns.sigma(u) ** 2, t)
            gaps += [ns.alpha(t) - 1, derivative(log_alpha(ns), t), ns.f(t), rate / ns.g2(t) - 1]
    return holds(biggest(*gaps), 1e-9)


@chapter(
    "ve-sigma", "VE's noise", printed="sigma(t) = sigma_min (sigma_max/sigma_min)^t, from the smallest to the largest scale"
)
def ve_sigma() -> Outcome:
    """The schedule at five times."""
    ns, low, high = VE(), 0.01, 50.0
    gaps = [ns.sigma(t) / (low * (high / low) ** t) - 1 for t in TIMES]
    return holds(biggest(*gaps, ns.sigma(0) / low - 1, ns.sigma(1) / high - 1), ROUNDING)


@chapter(
    "ve-start",
    "VE's conditional law",
    printed="(2) with alpha_t = 1 and sigma(t) = sigma_min (sigma_max/sigma_min)^t",
    right="x_t given x_0 ~ N(x_0, sigma^2(t) - sigma_min^2): (2) needs sigma_0 = 0, or data that carry noise sigma_min",
    correction="n5",
)
def ve_start() -> Outcome:
    """Variance that g^2 adds from 0 to 0.3, by quadrature, at sigma_min = 0.1. (The slides print no law for VE: f and g^2 come
    from (2), and this sigma(t) is sigma_min at 0.)
    """
    ns = VE(sigma_min=0.1, sigma_max=5.0)
    added = integral(ns.g2, 0, 0.3)
    due = ns.sigma(0.3) ** 2
    return outcome(added - due, added - (due - 0.01), ROUNDING)


@chapter(
    "ve-name",
    "Why VE is called so",
    printed="it is called variance exploding because sigma(t) is an exponential in t",
    instead="it is called so because its variance grows without bound: sigma = t serves as well",
    correction="e",
)
def ve_name() -> Outcome:
    """Sigma = t is no exponential (how much the slope of log sigma changes), yet has f = 0, g^2 = d(sigma^2)/dt and a
    variance without bound.
    """
    ns = EDM()
    bend = derivative(lambda u: log(ns.sigma(u)), 0.8) - derivative(lambda u: log(ns.sigma(u)), 0.4)
    due = [z for t in TIMES for z in (ns.f(t), ns.g2(t) - derivative(lambda u: ns.sigma(u) ** 2, t))]
    law = GaussianMixture([1.0], [[MEAN]], [VAR]).marginal(ns, 1e3)
    return outcome(bend, biggest(*due, float(law.cov()) / 1e6 - VAR / 1e6 - 1), 1e-9)


@chapter(
    "ncsn-step",
    "NCSN's step",
    printed="x_i = x_{i-1} + sqrt((d sigma^2/dt) dt) z_{i-1} = x_{i-1} + sqrt(sigma_i^2 - sigma_{i-1}^2) z",
    right="the two variances differ by O(dt^2)",
    correction="n6",
)
def ncsn_step() -> Outcome:
    """Ratio of the two variances, minus 1, at dt = 0.1 on VE; relative, its order is 1."""
    ns = VE()

    def gap(dt: float) -> float:
        return abs(ns.g2(0.3) * dt / (ns.sigma(0.3 + dt) ** 2 - ns.sigma(0.3) ** 2) - 1)  # relative: one order less

    return to_order(gap(0.1), misses(gap, 1, 0.01))


@chapter("ncsn-chain", "NCSN's chain", printed="x_i = x_{i-1} + sqrt(sigma_i^2 - sigma_{i-1}^2) z_{i-1}")
def ncsn_chain() -> Outcome:
    """Factor of x_0 and variance after 100 steps against the SDE's, sigma_T^2 - sigma_0^2: exact at any number of steps. And
    the noise of the suite's ncsn chain, which begins with sigma_0.
    """
    ns, n = VE(), 100
    sigma = [ns.sigma(i / n) for i in range(n + 1)]
    factor, variance = _run([(1.0, sqrt(b * b - a * a)) for a, b in pairwise(sigma)])
    due = ns.sigma(1.0) ** 2 - ns.sigma(0.0) ** 2
    return holds(biggest(factor - 1, variance / due - 1, ncsn(sigma).sigma(n) / ns.sigma(1.0) - 1), ROUNDING)
