"""The forward SDE: signal and noise, f and g, equations (1) to (5), Euler and Euler-Maruyama."""

from collections.abc import Callable
from itertools import pairwise
from math import cos, exp, log, pi, sqrt

import torch

from sdebench.schedules import EDM, VE, NoiseSchedule
from sdebench.survey.numeric import (
    LAW,
    NS,
    SCHEDULES,
    TIMES,
    Average,
    at,
    biggest,
    controlled,
    density,
    derivative,
    integral,
    log_alpha,
)
from sdebench.survey.statement import ROUNDING, Chapter, Outcome, holds, outcome

chapter = Chapter("Forward SDE")
chapter.section("Diffusion model and SDE")


def _conditional_variance(ns: NoiseSchedule, s: float, t: float) -> float:
    """Var(x_t given x_s), s < t, from the marginals alone."""
    return ns.sigma(t) ** 2 - (ns.alpha(t) / ns.alpha(s) * ns.sigma(s)) ** 2


@chapter("forward-sde", "Forward SDE", printed="dx_t = f(x, t) dt + g(t) dw_t")
def forward_sde() -> Outcome:
    """Mean rate f x and variance rate g^2 of x_t given x_s, from the marginals of five schedules by numerical derivatives."""
    pairs = [(ns, t) for ns in SCHEDULES for t in TIMES]
    drift = [derivative(lambda u, ns=ns, t=t: ns.alpha(u) / ns.alpha(t), t) - ns.f(t) for ns, t in pairs]
    spread = [(derivative(lambda u, ns=ns, t=t: _conditional_variance(ns, t, u), t) - ns.g2(t)) / ns.g2(t) for ns, t in pairs]
    return holds(biggest(*drift, *spread), 1e-9)


@chapter(
    "forward-g",
    "g is the variance of the noise",
    printed="dx = f dt + g dw, and g(t) is the variance (scale) of the noise",
    right="g(t) is the scale; g(t)^2 is the variance that a unit of time adds",
    correction="n1",
)
def forward_g() -> Outcome:
    """Rate of the conditional variance against g and against g^2."""
    rate = {t: derivative(lambda u, t=t: _conditional_variance(NS, t, u), t) for t in TIMES}
    printed = [rate[t] - sqrt(NS.g2(t)) for t in TIMES]
    return outcome(biggest(*printed), biggest(*(rate[t] - NS.g2(t) for t in TIMES)), 1e-9)


@chapter(
    "forward-w",
    "w_t is a standard Gaussian noise",
    printed="dx = f dt + g dw, and w_t is a standard Gaussian noise",
    right="w_t is a standard Brownian motion, as the slide on (6) says of dw-bar: w_t - w_s ~ N(0, t - s)",
    correction="n11",
)
def forward_w() -> Outcome:
    """Variance of x_t - x_s on VE and EDM, where f = 0, against int g^2 dVar[w], relative: with Var[w_t] = 1 at all times, and
    with Var[w_t] = t.
    """

    def gaps(variance: Callable[[float], float]) -> list[float]:
        added = [integral(lambda u, ns=ns: ns.g2(u) * derivative(variance, u), 0.2, 0.4) for ns in (VE(), EDM())]
        return [a / _conditional_variance(ns, 0.2, 0.4) - 1 for a, ns in zip(added, (VE(), EDM()))]

    return outcome(biggest(*gaps(lambda u: 1.0)), biggest(*gaps(lambda u: u)), 1e-9)


@chapter(
    "eq-1",
    "The drift of a noising process is linear",
    equation="(1)",
    printed="dx_t = f(t) x_t dt + g(t) dw_t: it is proved that the drift is linear",
    instead="a linear drift is a choice, which makes (2) Gaussian; other drifts noise as well",
    correction="d",
)
def linear_drift() -> Outcome:
    """A noising SDE of drift 4x - 4x^3: how far that is from its best line; that its stationary law has no flux in (7); and
    that a linear drift does give alpha_t.
    """

    def p(x: float) -> float:
        return exp(2 * x**2 - x**4)

    # Langevin's dx = 4 (x - x^3) dt + sqrt(2) dw forgets where it started: its stationary law is p, whose flux b p - p' is 0.
    grid = [0.1 * i for i in range(-20, 21)]
    drift = {x: 4 * x - 4 * x**3 for x in grid}
    line = sum(b * x for x, b in drift.items()) / sum(x * x for x in grid)
    flux = [b * p(x) - derivative(p, x, 0.01) for x, b in drift.items()]
    gap = NS.alpha(0.7) - NS.alpha(0.4) * exp(integral(NS.f, 0.4, 0.7))
    printed = biggest(*(b - line * x for x, b in drift.items())) / biggest(*drift.values())
    return outcome(printed, biggest(*flux, gap), 1e-9)


@chapter("snr", "Signal-to-noise ratio", printed="SNR(t) = alpha_t^2 / sigma_t^2, falling in t")
def snr() -> Outcome:
    """Five schedules, 19 times: no rise, and log SNR = 2 lambda."""
    grid = [0.05 * i for i in range(1, 20)]
    ratio = {ns: [ns.alpha(t) ** 2 / ns.sigma(t) ** 2 for t in grid] for ns in SCHEDULES}
    rises = [max(0.0, b - a) for values in ratio.values() for a, b in pairwise(values)]
    gaps = [log(v) - 2 * ns.lam(t) for ns, values in ratio.items() for t, v in zip(grid, values)]
    return holds(biggest(*rises, *gaps), ROUNDING)


@chapter("eq-2", "Conditional law", equation="(2)", printed="q(x_t given x_0) = N(alpha_t x_0, sigma_t^2 I)")
def conditional_law() -> Outcome:
    """The exact solution of (1) carries N(alpha_s x_0, sigma_s^2) into N(alpha_t x_0, sigma_t^2): quadrature of f and g^2,
    five schedules.
    """
    gaps = []
    for ns in SCHEDULES:
        s, t = 0.15, 0.7
        decay = integral(ns.f, s, t)
        added = integral(lambda u, ns=ns, t=t: exp(2 * integral(ns.f, u, t)) * ns.g2(u), s, t)
        gaps += [log(ns.alpha(t) / ns.alpha(s)) - decay, (exp(2 * decay) * ns.sigma(s) ** 2 + added) / ns.sigma(t) ** 2 - 1]
    return holds(biggest(*gaps), 1e-11)


@chapter(
    "snr-law",
    "The signal-to-noise ratio decides the Gaussian",
    printed="the Gaussian N(alpha_t x_0, sigma_t^2 I) is decided by SNR(t)",
    right="up to its scale: SNR(t) decides the law of x_t/alpha_t, N(x_0, I/SNR(t))",
    correction="n12",
)
def snr_law() -> Outcome:
    """At three signal-to-noise ratios on five schedules: alpha_t and sigma_t against VPLinear's; and the densities of
    x_t/alpha_t for a 1-D mixture against those of x_0 + e^{-lambda} z by quadrature.
    """
    data, x, scales, gaps = Average(LAW), torch.linspace(-2, 2, 9, dtype=torch.float64), [], []
    for lam in (-0.5, 0.0, 1.0):
        noise = exp(-lam)
        due = torch.exp(-0.5 * ((x[:, None] - data.x) / noise) ** 2) @ data.w / (noise * sqrt(2 * pi))
        for ns in SCHEDULES:
            t, one = ns.t(lam), NS.t(lam)
            scales += [ns.alpha(t) - NS.alpha(one), ns.sigma(t) - NS.sigma(one)]
            gaps.append(ns.alpha(t) * density(ns.alpha(t) * x, t, ns) - due)
    return outcome(biggest(*scales), biggest(*gaps), 1e-11)


@chapter("f", "Drift coefficient", printed="f(t) = d log(alpha_t)/dt")
def drift_coefficient() -> Outcome:
    """Numerical derivative of log alpha, five schedules."""
    gaps = [ns.f(t) - derivative(log_alpha(ns), t) for ns in SCHEDULES for t in TIMES]
    return holds(biggest(*gaps), 1e-9)


@chapter("g2", "Diffusion coefficient", printed="g^2(t) = d(sigma_t^2)/dt - 2 (d log(alpha_t)/dt) sigma_t^2")
def diffusion_coefficient() -> Outcome:
    """Numerical derivatives against the schedules' g^2, and the variance that this g^2 adds over an interval against the
    marginals, five schedules.
    """

    def printed(ns: NoiseSchedule, t: float) -> float:
        return derivative(lambda u: ns.sigma(u) ** 2, t) - 2 * derivative(log_alpha(ns), t) * ns.sigma(t) ** 2

    def added(ns: NoiseSchedule, s: float, t: float) -> float:
        """What the noise of [s, t] adds to the variance at t, once the drift has shrunk it."""
        return integral(lambda u: (ns.alpha(t) / ns.alpha(u)) ** 2 * printed(ns, u), s, t, 12)

    gaps = [printed(ns, t) / ns.g2(t) - 1 for ns in SCHEDULES for t in TIMES]
    gaps += [added(ns, 0.3, 0.6) / _conditional_variance(ns, 0.3, 0.6) - 1 for ns in SCHEDULES]
    return holds(biggest(*gaps), 1e-9)


@chapter(
    "eq-3",
    "Integral form",
    equation="(3)",
    printed="x_t = x_0 + int_0^t f(s) x_t ds + int_0^t g(s) dw_t",
    right="x_t = x_0 + int_0^t f(s) x_s ds + int_0^t g(s) dw_s",
    correction="a",
)
def integral_form() -> Outcome:
    """Residual at the solution driven by the smooth path w = sin 5s."""
    s, t = 0.1, 0.6
    x, rest = controlled(t), 1.0 + integral(lambda u: sqrt(NS.g2(u)) * 5 * cos(5 * u), s, t)
    printed = x - rest - integral(NS.f, s, t) * x
    right = x - rest - integral(lambda u: NS.f(u) * controlled(u), s, t)
    return outcome(printed, right, ROUNDING)


def _mean(t: float) -> float:
    """E[x_t] of the mixture."""
    return float(at(t).mean())


def _mean_equation() -> tuple[float, float]:
    """Residuals of the equation of the mean between two times: with x_t under the integral, and with x_s."""
    s, t = 0.1, 0.6
    printed = _mean(t) - _mean(s) - integral(NS.f, s, t) * _mean(t)
    return printed, _mean(t) - _mean(s) - integral(lambda u: NS.f(u) * _mean(u), s, t)


@chapter(
    "eq-4",
    "Mean of the integral form",
    equation="(4)",
    printed="E[x_t] = E[x_0] + int_0^t E[f(s) x_t] ds + 0",
    right="E[x_t] = E[x_0] + int_0^t E[f(s) x_s] ds + 0",
    correction="a",
)
def mean_of_integral() -> Outcome:
    """Means of the mixture's marginals, quadrature over time."""
    return outcome(*_mean_equation(), ROUNDING)


@chapter(
    "ito-integral",
    "The noise integral is a standard Gaussian, so its mean is 0",
    printed="int_0^t g(s) dw ~ N(0, 1)",
    right="int_0^t g(s) dw_s ~ N(0, int_0^t g^2(s) ds): the mean is 0 for any g",
    correction="n2",
)
def ito_integral() -> Outcome:
    """Variance of x_t - x_s on the VE schedule, where f = 0."""
    ns = VE()  # f = 0, so that x_t - x_s is the integral itself
    variance = _conditional_variance(ns, 0.2, 0.4)
    return outcome(variance - 1, variance / integral(ns.g2, 0.2, 0.4) - 1, ROUNDING)


@chapter(
    "eq-5",
    "Equation of the mean",
    equation="(5)",
    printed="E[x_t] = E[x_0] + int_0^t E[x_t] f(s) ds",
    right="E[x_t] = E[x_0] + int_0^t E[x_s] f(s) ds; its solution is alpha_t E[x_0]",
    correction="a",
)
def mean_equation() -> Outcome:
    """Means of the mixture's marginals, quadrature over time."""
    printed, right = _mean_equation()
    return outcome(printed, biggest(right, _mean(0.6) - NS.alpha(0.6) * _mean(0.0)), ROUNDING)


@chapter(
    "variance",
    "Variance",
    printed="Var[x_t] = sigma_t^2",
    right="Var[x_t given x_0] = sigma_t^2; Var[x_t] = alpha_t^2 Var[x_0] + sigma_t^2",
    correction="c",
)
def variance() -> Outcome:
    """Second moment of the mixture's marginal by quadrature; the equation of the conditional variance solved from 0."""
    t, ns, average = 0.3, NS, Average(at(0.3))
    whole = average(average.x**2) - average(average.x) ** 2
    given = integral(lambda s: (ns.alpha(t) / ns.alpha(s)) ** 2 * ns.g2(s), 0.0, t)  # of d Var/dt = 2 f Var + g^2
    right = given - ns.sigma(t) ** 2, whole - ns.alpha(t) ** 2 * float(LAW.cov()) - ns.sigma(t) ** 2
    return outcome(whole - ns.sigma(t) ** 2, biggest(*right), ROUNDING)
