"""The weights of an Ito integral, the covariances of several, and what a noise is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import expm1, sqrt
from typing import Protocol

import numpy as np
from torch import Tensor

from sdebench._support.errors import UsageError
from sdebench._support.quadrature import gauss_legendre
from sdebench.schedules import NoiseSchedule


@dataclass(frozen=True)
class Exponential:
    """`w = e^{c (lam - lam_t)}`, in the clock of lam; the variance over a step h is `(1 - e^{-2 c h})/(2 c)`."""

    c: float

    def density(self, ns: NoiseSchedule, t: float, lam: np.ndarray) -> np.ndarray:
        """The weight at the given lams."""
        return np.exp(self.c * (lam - ns.lam(t)))


@dataclass(frozen=True)
class Power:
    """`int (u - t)^p dW_u` with W Brownian in the clock of TIME: p = 0 is the plain increment W_s - W_t."""

    p: int

    def density(self, ns: NoiseSchedule, t: float, lam: np.ndarray) -> np.ndarray:
        """The weight at the given lams: `(u - t)^p sqrt(-du/dlam)`, from `g^2 = -2 sigma^2 dlam/dt`."""
        times = [ns.t(float(v)) for v in lam]
        return np.array([max(u - t, 0.0) ** self.p * ns.sigma(u) * sqrt(2 / ns.g2(u)) for u in times])


@dataclass(frozen=True)
class Custom:
    """Any weight `fn(lam)`, smooth over a step."""

    fn: Callable[[float], float]

    def density(self, ns: NoiseSchedule, t: float, lam: np.ndarray) -> np.ndarray:
        """The weight at the given lams."""
        return np.array([self.fn(float(v)) for v in lam])


Weight = Exponential | Power | Custom


DATA = Exponential(1.0)  # of methods in x0: sigma_t sqrt(2) in front


EPS = Exponential(-1.0)  # of methods in eps: sigma_t sqrt(2) in front, too


TIME = Power(0)  # the plain increment of Euler-Maruyama


def covariance(ns: NoiseSchedule, s: float, t: float, a: Weight, b: Weight) -> float:
    """E[int a dB int b dB] over the step s -> t: closed forms where both weights are of one kind, else Gauss-Legendre."""
    if isinstance(a, Power) and isinstance(b, Power):
        n = a.p + b.p + 1
        return (s - t) ** n / n
    lam, h = ns.lam(s), ns.lam(t) - ns.lam(s)
    if isinstance(a, Exponential) and isinstance(b, Exponential):
        c = a.c + b.c
        return -expm1(-c * h) / c if c else h
    q, w = gauss_legendre(32)
    nodes = lam + h * q
    return h * float(np.sum(w * a.density(ns, t, nodes) * b.density(ns, t, nodes)))


def gram(ns: NoiseSchedule, s: float, t: float, weights: Sequence[Weight]) -> np.ndarray:
    """The covariance matrix (k, k) of the integrals of k weights over the step s -> t."""
    out = np.empty((len(weights), len(weights)))
    for i, a in enumerate(weights):
        for j, b in enumerate(weights[: i + 1]):
            out[i, j] = out[j, i] = covariance(ns, s, t, a, b)
    return out


def sd(ns: NoiseSchedule, s: float, t: float, weight: Weight) -> float:
    """The standard deviation of `int weight dB` over the step s -> t."""
    return sqrt(covariance(ns, s, t, weight, weight))


class Noise(Protocol):
    """What a step needs of a noise.  Times s > t; tensors have the shape, dtype and device of the state."""

    schedule: NoiseSchedule

    def normal(self, s: float, t: float, weight: Weight, tag: int = 0) -> Tensor:
        """The integral of one weight, divided by its standard deviation: what papers write as z."""

    def integral(self, s: float, t: float, *weights: Weight, tag: int = 0) -> tuple[Tensor, ...]:
        """The integrals of several weights over one interval, jointly right."""

    def fresh(self, t: float, tag: int = 0) -> Tensor:
        """A standard normal that belongs to no interval (Langevin steps, jumps back to a higher noise)."""


def check(s: float, t: float, weights: Sequence[Weight]) -> None:
    """Raise UsageError unless s > t, and the weights are some."""
    if not s > t:
        raise UsageError(f"noise over the interval from s = {s!r} to t = {t!r}: give s > t, as the step has them")
    for weight in weights:
        if not hasattr(weight, "density"):
            raise UsageError(f"noise with the weight {weight!r}: give sdebench.noise.TIME, DATA, EPS or another Weight")


def factor(covariances: np.ndarray) -> np.ndarray:
    """Lower triangular L with L L^T the given matrix, also where it is singular (two weights alike): scaled, then Cholesky
    that stops at rounding."""
    size = np.sqrt(np.diag(covariances))
    size = np.where(size > 0, size, 1.0)  # a weight of zero
    a = covariances / np.outer(size, size)
    out = np.zeros_like(a)
    for i in range(len(a)):
        for j in range(i + 1):
            rest = a[i, j] - out[i, :j] @ out[j, :j]
            if i == j:
                out[i, i] = sqrt(rest) if rest > 1e-14 else 0.0
            else:
                out[i, j] = rest / out[j, j] if out[j, j] else 0.0
    return out * size[:, None]  # type: ignore[no-any-return]  # numpy's stubs


def combined(coefficients: Sequence[float], vectors: Sequence[Tensor]) -> Tensor:
    """sum_k c_k v_k."""
    out = float(coefficients[0]) * vectors[0]
    for c, v in zip(coefficients[1:], vectors[1:]):
        out.add_(v, alpha=float(c))
    return out
