"""Fokker-Planck: equations (7) and (8), the processes with equal marginals, the probability flow (9)."""

from math import sqrt

import torch
from torch import Tensor

from sdebench.process.family import Dynamics
from sdebench.survey.fields import POINTS, Bent, Field, Law, divergence, forward_residual, gradient, laplacian, rate
from sdebench.survey.numeric import NS, S, T, at, biggest, density, derivative, flow, points, score
from sdebench.survey.statement import ROUNDING, Chapter, Outcome, holds

chapter = Chapter("Probability flow")
chapter.section("Fokker-Planck equation")
_FINE = 1e-9  # what differentiating a density in time leaves
_AT = 0.4
_FREE = (0.0, 0.3, 1.0, 1.7)  # sigma^2(t), which is free here, over g^2(t)
_LAWS = (Field, Bent)  # of a linear drift, and of one that is not


@chapter("fp-process", "The process", printed="dx = f(x, t) dt + g(t) dw")
def fp_process() -> Outcome:
    """The rates of mean and second moment that it gives, f E[x] and 2 f E[x^2] + g^2, against those of the exact law of a 1-D
    mixture by numerical differentiation.
    """

    def moments(t: float) -> Tensor:
        law = at(t)
        return torch.stack([law.mean()[0], law.cov()[0, 0] + law.mean()[0] ** 2])

    f, g2, now = NS.f(_AT), NS.g2(_AT), moments(_AT)
    due = torch.stack([f * now[0], 2 * f * now[1] + g2])
    return holds(biggest(derivative(moments, _AT) - due), _FINE)


@chapter(
    "eq-7", "Fokker-Planck equation", equation="(7)", printed="dp/dt = -sum_i d/dx_i [f_i p] + 1/2 sum_i d^2/dx_i^2 [g^2 p]"
)
def fokker_planck() -> Outcome:
    """Residual for the exact density of a 2-D mixture, relative to the largest dp/dt: of the linear drift of VPLinear, and of
    grad log sum_k w_k exp(m_k . x) with all norm(m_k) = 1, whose law from 0 is sum_k w_k N(m_k t, t I).
    """
    bent = Bent(_AT)
    other = forward_residual(lambda x, s: bent.f(x), bent.g2, _AT, Bent)
    return holds(biggest(forward_residual(lambda x, s: NS.f(_AT) * x, NS.g2(_AT), _AT), other), _FINE)


def _against_7(right_side) -> float:
    """The largest difference of a right side, `(law, f, g2, sigma2) -> function of x`, from dp/dt, relative to that."""
    gaps = []
    for law in _LAWS:
        p, due = law(_AT), rate(_AT, law)
        sides = [right_side(p, p.f, p.g2, share * p.g2) for share in _FREE]
        gaps.append(biggest(*(side(POINTS).detach() - due for side in sides)) / biggest(due))
    return biggest(*gaps)


def _transport(law: Field, drift):
    """-sum_i d/dx_i [drift_i p]."""
    flux = divergence(lambda x: drift(x) * law.p(x)[:, None])
    return lambda x: -flux(x)


@chapter(
    "fp-split",
    "A part of the diffusion set aside",
    printed="dp/dt = -sum_i d/dx_i [f_i p] + 1/2 sum_i d^2/dx_i^2 [(g^2 - sigma^2) p] + 1/2 sum_i d^2/dx_i^2 [sigma^2 p]",
)
def fp_split() -> Outcome:
    """Residual as for (7), both drifts, at sigma^2 = 0, 0.3, 1 and 1.7 times g^2. (This sigma(t) is free, no noise level.)"""

    def side(law, f, g2, free):
        first, second = laplacian(lambda x: (g2 - free) * law.p(x)), laplacian(lambda x: free * law.p(x))
        return lambda x: _transport(law, f)(x) + 0.5 * first(x) + 0.5 * second(x)

    return holds(_against_7(side), _FINE)


@chapter(
    "fp-first-derivative",
    "One derivative taken inside",
    printed="... + 1/2 sum_i d/dx_i [(g^2 - sigma^2) d/dx_i p] + 1/2 sum_i d^2/dx_i^2 [sigma^2 p]",
)
def fp_first_derivative() -> Outcome:
    """Residual as for (7), at four values of sigma^2."""

    def side(law, f, g2, free):
        first, second = divergence(lambda x: (g2 - free) * gradient(law.p)(x)), laplacian(lambda x: free * law.p(x))
        return lambda x: _transport(law, f)(x) + 0.5 * first(x) + 0.5 * second(x)

    return holds(_against_7(side), _FINE)


@chapter("log-derivative", "Derivative by the logarithm", printed="d/dx_i p = p d/dx_i log p")
def log_derivative() -> Outcome:
    """Automatic derivatives of p and of log p of a 2-D mixture."""
    law = Field(_AT)
    return holds(biggest((gradient(law.p)(POINTS) - law.p(POINTS)[:, None] * law.score(POINTS)).detach()), ROUNDING)


@chapter(
    "fp-score",
    "The score put in",
    printed="... + 1/2 sum_i d/dx_i [(g^2 - sigma^2) p d/dx_i log p] + 1/2 sum_i d^2/dx_i^2 [sigma^2 p]",
)
def fp_score() -> Outcome:
    """Residual as for (7), at four values of sigma^2."""

    def side(law, f, g2, free):
        first = divergence(lambda x: (g2 - free) * law.p(x)[:, None] * law.score(x))
        second = laplacian(lambda x: free * law.p(x))
        return lambda x: _transport(law, f)(x) + 0.5 * first(x) + 0.5 * second(x)

    return holds(_against_7(side), _FINE)


@chapter(
    "eq-8",
    "Fokker-Planck equation of the family",
    equation="(8)",
    printed="dp/dt = -sum_i d/dx_i [(f_i - 1/2 (g^2 - sigma^2) d/dx_i log p) p] + 1/2 sum_i d^2/dx_i^2 [sigma^2 p]",
)
def family_equation() -> Outcome:
    """Residual as for (7), at four values of sigma^2."""

    def side(law, f, g2, free):
        moved, spread = _transport(law, lambda x: f(x) - 0.5 * (g2 - free) * law.score(x)), laplacian(lambda x: free * law.p(x))
        return lambda x: moved(x) + 0.5 * spread(x)

    return holds(_against_7(side), _FINE)


chapter.section("Probability flow ODE")


@chapter(
    "family",
    "Processes with equal marginals",
    printed="dx = (f - 1/2 (g^2 - sigma^2) grad log p) dt + sigma dw has the marginals p_t for any sigma",
)
def family() -> Outcome:
    """Residual of this process's own equation (7), by its drift and its diffusion, at four times and values of sigma^2, with
    both drifts of (7); and the drift of the suite's own family.
    """

    def residual(t: float, share: float, law: Law) -> float:
        p = law(t)
        return forward_residual(lambda x, s: p.f(x) - 0.5 * (p.g2 - share * p.g2) * s, share * p.g2, t, law)

    members = [(share, Dynamics(NS, sqrt(share)).coefficients(_AT, backward=False)) for share in _FREE]
    drifts = [c + 0.5 * (1 - share) * NS.g2(_AT) for share, (_, c) in members] + [a - NS.f(_AT) for _, (a, _) in members]
    gaps = [residual(t, share, law) for t in (0.15, 0.3, 0.5, 0.8) for share in _FREE for law in _LAWS]
    return holds(biggest(*drifts, *gaps), _FINE)


def _drift_9(x: Tensor, t: float) -> Tensor:
    return NS.f(t) * x - 0.5 * NS.g2(t) * score(x, t)


@chapter("eq-9", "Probability flow", equation="(9)", printed="dx = (f - 1/2 g^2 grad log p) dt")
def probability_flow() -> Outcome:
    """Derivative in time of the exact map of quantiles of a 1-D mixture against this drift; and the residual of its continuity
    equation in 2-D, with both drifts of (7).
    """
    x = points()
    moving = derivative(lambda u: flow(x, S, u), _AT) - _drift_9(flow(x, S, _AT), _AT)
    laws = [(law, law(_AT)) for law in _LAWS]
    gaps = [forward_residual(lambda x, s, p=p: p.f(x) - 0.5 * p.g2 * s, 0.0, _AT, law) for law, p in laws]
    return holds(biggest(moving, *gaps), _FINE)


@chapter(
    "flow-marginals",
    "The flow carries p_0 to p_T",
    printed="the solution of (9) is a deterministic path from p_0(x) to p_T(x), with the marginals of (8)",
)
def flow_marginals() -> Outcome:
    """Change of variables under the exact flow of a 1-D mixture: density at the end, times the derivative of the map, against
    density at the start.
    """
    x = points()
    stretch = derivative(lambda d: flow(x + d, S, T), 0.0)
    return holds(biggest(density(flow(x, S, T), T) * stretch / density(x, S) - 1), _FINE)


@chapter("flow-inverse", "The flow is invertible", printed="(9) runs in both directions of time")
def flow_inverse() -> Outcome:
    """Solved numerically from S = 0.5 to T = 0.2 and back, by a Runge-Kutta method of order 4 with 100 steps each way."""

    def rk4(x: Tensor, s: float, t: float, n: int = 100) -> Tensor:
        h = (t - s) / n
        for i in range(n):
            u = s + i * h
            a = _drift_9(x, u)
            b = _drift_9(x + h / 2 * a, u + h / 2)
            c = _drift_9(x + h / 2 * b, u + h / 2)
            x = x + h / 6 * (a + 2 * b + 2 * c + _drift_9(x + h * c, u + h))
        return x

    x = points()
    return holds(biggest(rk4(rk4(x, S, T), T, S) - x, rk4(x, S, T) - flow(x, S, T)), 1e-7)


@chapter(
    "flow-of-reverse",
    "The reverse SDE has the same flow",
    printed="(9) is the probability flow ODE of the reverse SDE dx = [f - g^2 grad log p] dt + g dw-bar as well",
)
def flow_of_reverse() -> Outcome:
    """(9) applied to the reverse SDE in its own time, drift -(f - g^2 s) and diffusion g, and read backwards: against (9)."""
    x = points(_AT)
    f, g2, s = NS.f(_AT) * x, NS.g2(_AT), score(x, _AT)
    in_its_time = -(f - g2 * s) - 0.5 * g2 * s
    return holds(biggest(-in_its_time - derivative(lambda u: flow(x, _AT, u), _AT)), _FINE)
