"""What the checks compute with: derivatives, integrals, expectations and orders, none of them by sampling.

derivative    central differences, extrapolated: error O(h^8)
integral      Gauss-Legendre
Average       expectation under a Gaussian mixture: the trapezoidal rule, which converges exponentially there
order         the slope of an error over the last halving of h
"""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from math import cos, log, log2, sqrt
from typing import TypeVar

import torch
from torch import Tensor

from sdebench._support.quadrature import gauss_legendre
from sdebench.problems import GaussianMixture
from sdebench.schedules import EDM, VE, NoiseSchedule, Rectified, VPCosine, VPLinear

NS = VPLinear()
SCHEDULES = (VPLinear(), VPCosine(), VE(), EDM(), Rectified())
TIMES = (0.15, 0.4, 0.7)
LAW = GaussianMixture([0.4, 0.6], [[-1.0], [0.9]], [0.4**2, 0.5**2])  # two modes of unequal weight and width
MEAN, VAR = 0.3, 0.45**2  # of the Gaussian data on which reverse kernels are known
S, T = 0.5, 0.2  # the interval that most checks cross, in the clock of NS

Value = TypeVar("Value", float, Tensor)


def biggest(*values: float | Tensor) -> float:
    """The largest absolute value of all."""
    return max(float(torch.as_tensor(v, dtype=torch.float64).abs().max()) for v in values)


def derivative(fn: Callable[[float], Value], t: float, h: float = 0.02) -> Value:
    """fn'(t) of a smooth function of a float."""
    row: list = []
    for i in range(4):
        step = h / 2**i
        new = [(fn(t + step) - fn(t - step)) / (2 * step)]
        for k in range(i):
            new.append(new[k] + (new[k] - row[k]) / (4 ** (k + 1) - 1))
        row = new
    return row[-1]


def integral(fn: Callable[[float], Value], a: float, b: float, n: int = 32) -> Value:
    """The integral of a smooth function of a float from a to b."""
    nodes, weights = gauss_legendre(n)
    return (b - a) * sum(w * fn(a + (b - a) * x) for x, w in zip(nodes.tolist(), weights.tolist()))


class Average:
    """Expectation under a 1-D law, by the trapezoidal rule: `x` are nodes, (n,), and `average(values at x)` the weighted sum.

    For what is analytic near the line its error is exp(-2 pi d/h), d the distance of the nearest pole: of a mixture's score, a
    complex zero of its density, which Gauss-Hermite does not stand well.
    """

    def __init__(self, law: GaussianMixture, n: int = 601):
        half = 8.5 * float(law._variances.max().sqrt())
        low, high = float(law.means.min()) - half, float(law.means.max()) + half
        self.x = torch.linspace(low, high, n, dtype=torch.float64)
        self.w = law.log_prob(self.x[:, None]).exp() * ((high - low) / (n - 1))

    def __call__(self, values: Tensor) -> float:
        return float(self.w @ values)


def at(t: float, ns: NoiseSchedule = NS) -> GaussianMixture:
    """The law of x_t for the mixture."""
    return LAW.marginal(ns, t)


def score(x: Tensor, t: float, ns: NoiseSchedule = NS) -> Tensor:
    """grad log p_t of the mixture at the points x, (n,)."""
    return at(t, ns).score(x[:, None])[:, 0]


def density(x: Tensor, t: float, ns: NoiseSchedule = NS) -> Tensor:
    """p_t of the mixture at the points x, (n,)."""
    return at(t, ns).log_prob(x[:, None]).exp()


def posterior(x: Tensor, t: float, ns: NoiseSchedule = NS) -> Tensor:
    """E[x_0 given x_t = x] of the mixture, (n,), by Bayes and quadrature over x_0: it never meets a score."""
    data = Average(LAW)
    likelihood = torch.exp(-0.5 * ((x[:, None] - ns.alpha(t) * data.x) / ns.sigma(t)) ** 2) * data.w
    return likelihood @ data.x / likelihood.sum(1)


def flow(x: Tensor, s: float, t: float, ns: NoiseSchedule = NS) -> Tensor:
    """The exact solution of the probability flow of the mixture, x_s -> x_t, (n,): the map of quantiles."""
    return LAW.flow(x[:, None], ns, s, t)[:, 0]


def points(t: float = S, n: int = 9, ns: NoiseSchedule = NS) -> Tensor:
    """Points (n,) over the bulk of the law at t."""
    law = at(t, ns)
    return float(law.mean()) + sqrt(float(law.cov())) * torch.linspace(-2, 2, n, dtype=torch.float64)


@cache
def solved(s: float, t: float) -> Tensor:
    """`flow` from `points(s)`: kept, as integrals along one path come back to its nodes.  Not to be changed in place."""
    return flow(points(s), s, t)


def order(error: Callable[[float], float], h: float = 0.02, halvings: int = 3) -> float:
    """The order at which error(h) vanishes: the slope over the last halving, extrapolated once."""
    e = [error(h / 2**i) for i in range(halvings)]
    slopes = [log2(a / b) for a, b in pairwise(e)]
    return 2 * slopes[-1] - slopes[-2]


def misses(error: Callable[[float], float], claim: float, h: float = 0.02, halvings: int = 3) -> float:
    """By how much the order of `error` misses the claim."""
    return abs(order(error, h, halvings) - claim)


def controlled(t: float) -> float:
    """The solution of (1) at t, x = 1 at time 0.1, along the smooth path w(s) = sin 5s in the place of Brownian motion."""
    ns, s = NS, 0.1
    noise = integral(lambda u: sqrt(ns.g2(u)) / ns.alpha(u) * 5 * cos(5 * u), s, t)
    return ns.alpha(t) * (1 / ns.alpha(s) + noise)


def log_alpha(ns: NoiseSchedule) -> Callable[[float], float]:
    """log alpha, from alpha alone."""
    return lambda t: log(ns.alpha(t))


def reverse_kernel(s: float, t: float, ns: NoiseSchedule = NS, mean: float = MEAN, var: float = VAR) -> tuple[float, ...]:
    """q(x_t given x_s), t < s, for data N(mean, var): (a, b, v) with x_t ~ N(a x_s + b, v).  Bayes, with no score.

    x_s = k x_t + r z  and  x_t ~ N(alpha_t mean, alpha_t^2 var + sigma_t^2).
    """
    k = ns.alpha(s) / ns.alpha(t)
    r2 = ns.sigma(s) ** 2 - (k * ns.sigma(t)) ** 2
    v_t, m_t = ns.alpha(t) ** 2 * var + ns.sigma(t) ** 2, ns.alpha(t) * mean
    v = 1 / (1 / v_t + k * k / r2)
    return v * k / r2, v * m_t / v_t, v


def gaussian_score(t: float, ns: NoiseSchedule = NS, mean: float = MEAN, var: float = VAR) -> tuple[float, float]:
    """(c, d) with score_t(x) = c x + d for data N(mean, var)."""
    v = ns.alpha(t) ** 2 * var + ns.sigma(t) ** 2
    return -1 / v, ns.alpha(t) * mean / v


def kernel_gap(kernel: tuple[float, ...], other: tuple[float, ...]) -> float:
    """The largest difference of two Gaussian kernels (a, b, v)."""
    return max(abs(x - y) for x, y in zip(kernel, other))
