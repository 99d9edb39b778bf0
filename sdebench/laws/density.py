r"""One-dimensional laws that can be asked for density, distribution function, quantiles and moments.

    Density   values on uniform nodes: what a chain yields
    Exact     a one-dimensional Gaussian mixture, in closed form

A density that is smooth and vanishes at both ends is known between its nodes as well as on them (the sampling theorem):
its Fourier series gives the distribution function and a table so fine that quintic interpolation is exact to rounding.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import ceil, isfinite, sqrt

import numpy as np
import torch

from sdebench._support.errors import UsageError
from sdebench.problems import GaussianMixture, ProductMixture

REACH = 9.5  # standard deviations: beyond them a normal law has 2e-21 of its mass
BETWEEN = 0.35  # spacing over width, where a density is wanted between nodes: exp(-(pi/0.35)^2/2) = 3e-18 of it is lost
_TRUSTED = 1e-12  # of the peak: values below may be the dust of a Fourier transform, of 1e-16
_REFINED = 16  # places of the fine table per node
_LEAST = 1e-300


@dataclass(frozen=True, eq=False)
class Density:
    """A law on the line: `density` at uniform, rising `nodes`, with quadrature `weights`, each (n,) float64.

    `sum(weights * density * f(nodes))` is `E[f]` for smooth f.  Raises UsageError for nodes that are not uniform, values
    that are negative or not finite, and a density that is cut off at an end.
    """

    nodes: np.ndarray
    density: np.ndarray
    weights: np.ndarray

    def __post_init__(self):
        x, p = self.nodes, self.density
        if not (x.ndim == 1 and len(x) >= 8 and x.shape == p.shape == self.weights.shape):
            raise UsageError(f"nodes {x.shape}, density {p.shape}, weights {self.weights.shape}: give three of one length >= 8")
        step = np.diff(x)
        if not (step.min() > 0 and np.ptp(step) <= 1e-6 * step.max()):
            raise UsageError("the nodes of a density are not uniform: give np.linspace(low, high, n)")
        if not (np.isfinite(p).all() and p.min() >= 0 and max(p[0], p[-1]) <= 1e-9 * p.max()):
            raise UsageError("a density is negative, not finite or cut off at an end: let its nodes reach to where it vanishes")

    @property
    def spacing(self) -> float:
        """Distance of neighbouring nodes."""
        return float(self.nodes[-1] - self.nodes[0]) / (len(self.nodes) - 1)

    @property
    def support(self) -> tuple[float, float]:
        """The first node and the last."""
        return float(self.nodes[0]), float(self.nodes[-1])

    @property
    def mass(self) -> float:
        """Total mass: 1 up to the error of the quadrature."""
        return float(self.weights @ self.density)

    @property
    def lost(self) -> float:
        """The highest eighth of the Fourier series against its first term: what values between the nodes may lack."""
        size = np.abs(self._spectrum)
        return float(size[-len(size) // 8 :].max() / size[0])

    def expect(self, f: Callable[[np.ndarray], np.ndarray]) -> float:
        """E[f(X)] for a smooth f that takes and returns an array."""
        return float(self.weights @ (self.density * f(self.nodes)))

    @cached_property
    def mean(self) -> float:
        """E[X]."""
        return self.expect(lambda x: x)

    @cached_property
    def variance(self) -> float:
        """E[(X - E[X])^2]."""
        return self.moment(2)

    def moment(self, k: int, central: bool = True) -> float:
        """E[(X - c)^k], c the mean, or 0 where not `central`."""
        centre = self.mean if central else 0.0
        return self.expect(lambda x: (x - centre) ** k)

    def refined(self, spacing: float) -> tuple[np.ndarray, np.ndarray]:
        """(nodes, density) at a spacing that divides this one's and is `spacing` or less, by the Fourier series."""
        factor = max(1, ceil(self.spacing / spacing - 1e-9))
        if factor == 1:
            return self.nodes, self.density
        size = len(self.nodes) * factor
        values = np.fft.irfft(self._spectrum, size)[: size - factor + 1] * factor
        return np.linspace(*self.support, size - factor + 1), np.maximum(values, 0.0)

    @cached_property
    def _spectrum(self) -> np.ndarray:
        found = np.fft.rfft(self.density)
        if len(self.density) % 2 == 0:
            found[-1] *= 0.5  # of the highest frequency there are two in a longer series
        return found

    @cached_property
    def _table(self) -> "_Table":
        """Term by term, `int c e^{iwx} = c e^{iwx}/(iw)`; the constant term integrates to a line."""
        size, fine = len(self.nodes) * _REFINED, self.spacing / _REFINED
        iw = 2j * np.pi * np.fft.rfftfreq(size, fine)
        spectrum = np.zeros(len(iw), complex)
        spectrum[: len(self._spectrum)] = self._spectrum * _REFINED
        integral = np.concatenate([[0.0], spectrum[1:] / iw[1:]])
        x = self.nodes[0] + fine * np.arange(size)
        rows = [np.fft.irfft(c, size) for c in (integral, spectrum, iw * spectrum, iw * iw * spectrum)]
        rows[0] += spectrum[0].real / size * (x - x[0]) - rows[0][0]
        rows[0] = np.maximum.accumulate(np.clip(rows[0], 0.0, 1.0))
        return _Table(x, fine, *rows).cut(size - _REFINED + 1)

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """P(X <= x)."""
        x = np.asarray(x, float)
        inside = self._table.cdf(np.clip(x, *self.support))
        return np.where(x < self.nodes[0], 0.0, np.where(x > self.nodes[-1], 1.0, np.clip(inside, 0.0, 1.0)))

    def pdf(self, x: np.ndarray) -> np.ndarray:
        """Density at any x; zero beyond the nodes."""
        x = np.asarray(x, float)
        outside = (x < self.nodes[0]) | (x > self.nodes[-1])
        return np.where(outside, 0.0, np.maximum(self._table.pdf(np.clip(x, *self.support)), 0.0))

    def log_pdf(self, x: np.ndarray) -> np.ndarray:
        """Log density at any x, of relative accuracy in the tails too.

        There a Fourier series has no digits, but the nodes have theirs: the logarithm is interpolated by polynomials of
        degree 5, and continued as a parabola beyond the nodes that are above `_TRUSTED` of the peak: tails are normal here.
        """
        x, direct = np.asarray(x, float), self.pdf(x)
        first, last = self._trusted[[0, -1]]
        place = (x - self.nodes[0]) / self.spacing
        bent = _lagrange(self._logs, np.clip(np.floor(place).astype(int) - 2, first, last - 5), 1, place, 6)
        far = max(1, (last - first) // 40)  # nodes next to each other would leave the curvature to rounding
        left, right = (_lagrange(self._logs, np.full(x.shape, i), far, place, 3) for i in (first, last - 2 * far))
        out = np.where(place < first, left, np.where(place > last, right, bent))
        good = direct > 1e-8 * self.density.max()
        return np.where(good, np.log(np.where(good, direct, 1.0)), out)

    @cached_property
    def _trusted(self) -> np.ndarray:
        return np.flatnonzero(self.density > _TRUSTED * self.density.max())

    @cached_property
    def _logs(self) -> np.ndarray:
        return np.log(np.maximum(self.density, _LEAST))

    def quantile(self, q: np.ndarray) -> np.ndarray:
        """The x with `cdf(x) = q`, for q in (0, 1): Newton in its cell of the fine table, bisected where it leaves it."""
        q, table = _levels(q), self._table
        cell = np.clip(np.searchsorted(table.f, q, side="right") - 1, 0, len(table.x) - 2)
        low, high = table.x[cell], table.x[cell + 1]
        x = 0.5 * (low + high)
        for _ in range(60):
            value, density = table.cdf(x), table.pdf(x)
            below = value < q
            low, high = np.where(below, x, low), np.where(below, high, x)
            new = x - (value - q) / np.maximum(density, _LEAST)
            new = np.where((new >= low) & (new <= high), new, 0.5 * (low + high))
            if np.max(np.abs(new - x), initial=0.0) <= 1e-15 * max(1.0, max(map(abs, self.support))):
                return new
            x = new
        return x


@dataclass(frozen=True)
class _Table:
    """F, p, p' and p'' at x, spaced by h: quintics with the value and two derivatives at both ends of a cell."""

    x: np.ndarray
    h: float
    f: np.ndarray
    p: np.ndarray
    dp: np.ndarray
    ddp: np.ndarray

    def cut(self, n: int) -> "_Table":
        """The first n rows."""
        return _Table(self.x[:n], self.h, self.f[:n], self.p[:n], self.dp[:n], self.ddp[:n])

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """F at any x within."""
        return self._quintic(x, self.f, self.p, self.dp)

    def pdf(self, x: np.ndarray) -> np.ndarray:
        """p at any x within."""
        return self._quintic(x, self.p, self.dp, self.ddp)

    def _quintic(self, x: np.ndarray, f: np.ndarray, df: np.ndarray, ddf: np.ndarray) -> np.ndarray:
        h, i = self.h, np.clip(np.floor((x - self.x[0]) / self.h).astype(int), 0, len(self.x) - 2)
        u = (x - self.x[i]) / h
        a, c = h * df[i], h * h * ddf[i]
        gap, first, second = f[i + 1] - f[i] - a - 0.5 * c, h * df[i + 1] - a - c, h * h * ddf[i + 1] - c
        k3, k4, k5 = 10 * gap - 4 * first + 0.5 * second, -15 * gap + 7 * first - second, 6 * gap - 3 * first + 0.5 * second
        return f[i] + u * (a + u * (0.5 * c + u * (k3 + u * (k4 + u * k5))))


class Exact:
    """A one-dimensional Gaussian mixture with the questions of a `Density`: arrays in, arrays out.

    Raises UsageError for a law of another kind or dimension.
    """

    def __init__(self, law: GaussianMixture | ProductMixture):
        if not isinstance(law, GaussianMixture) or law.dim != 1:
            raise UsageError(f"{law!r} is no law on the line: give a GaussianMixture of dimension 1, or a Density")
        self.law, self._coordinates = law, law._coordinates()
        mean, self._sd = law.means.numpy()[:, 0], law._variances.sqrt().numpy()[:, 0]
        self.support = float((mean - REACH * self._sd).min()), float((mean + REACH * self._sd).max())
        self.spacing = BETWEEN * float(self._sd.min())

    def log_pdf(self, x: np.ndarray) -> np.ndarray:
        """Log density."""
        return self._coordinates.log_densities(_column(x)).numpy().reshape(np.shape(x))

    def pdf(self, x: np.ndarray) -> np.ndarray:
        """Density."""
        return np.exp(self.log_pdf(x))

    def cdf(self, x: np.ndarray) -> np.ndarray:
        """P(X <= x)."""
        x_ = _column(x)
        return np.exp(self._coordinates.log_tail(x_, torch.ones_like(x_)).numpy()).reshape(np.shape(x))

    def quantile(self, q: np.ndarray) -> np.ndarray:
        """The x with `cdf(x) = q`, for q in (0, 1), each from its smaller tail."""
        q = _levels(q)
        tail, sign = _column(np.minimum(q, 1 - q)).log(), _column(np.where(q <= 0.5, 1.0, -1.0))
        low, high = (torch.full_like(tail, end) for end in self._ends(float(tail.min())))
        start = (0.5 * (low + high)).expand_as(tail)
        return self._coordinates.quantile(tail, sign, low, high, start).numpy().reshape(q.shape)

    def _ends(self, log_tail: float) -> tuple[float, float]:
        """Where every component has less than that tail: P(Z > z) < e^{-z^2/2}."""
        z, mean = sqrt(-2 * log_tail) + 1, self.law.means.numpy()[:, 0]
        return float((mean - z * self._sd).min()), float((mean + z * self._sd).max())

    def density(self, spacing: float | None = None) -> Density:
        """The law on uniform nodes of that spacing, fine enough for values between them unless given finer."""
        low, high = self.support
        n = ceil((high - low) / min(spacing or self.spacing, self.spacing)) + 1
        x = np.linspace(low, high, n)
        return Density(x, self.pdf(x), np.full(n, (high - low) / (n - 1)))


Law1D = Density | Exact


def as_law(law: Density | Exact | GaussianMixture) -> Law1D:
    """The law itself, or the mixture with the questions of a Density."""
    return law if isinstance(law, Density | Exact) else Exact(law)


def as_density(law: Density | Exact | GaussianMixture) -> Density:
    """The law on uniform nodes."""
    law = as_law(law)
    return law if isinstance(law, Density) else law.density()


def _lagrange(values: np.ndarray, first: np.ndarray, stride: int, place: np.ndarray, n: int) -> np.ndarray:
    """At each place, in units of the index, the polynomial through the values at `first + stride k`, k < n."""
    u, out = (place - first) / stride, np.zeros(np.shape(place))
    for k in range(n):
        weight = np.prod([(u - j) / (k - j) for j in range(n) if j != k], axis=0)
        out += weight * values[first + stride * k]
    return out


def _column(x: np.ndarray) -> torch.Tensor:
    return torch.as_tensor(np.ascontiguousarray(x, dtype=float).reshape(-1, 1))


def _levels(q: np.ndarray) -> np.ndarray:
    q = np.asarray(q, float)
    if q.size and not (isfinite(q.min()) and q.min() > 0 and q.max() < 1):
        raise UsageError(f"levels from {q.min():g} to {q.max():g}: give probabilities between 0 and 1, without the ends")
    return q
