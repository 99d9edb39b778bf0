r"""The schedule of a network that was trained on a chain of N noise levels: smooth, through every one of them.

The chain, `x_i = sqrt(abar_i) x_0 + sqrt(1 - abar_i) eps` with `abar_i = prod_{j <= i} (1 - beta_j)`, i = 0..N-1, knows N
times; a solver wants any.  Here

    t_i = (i + 1)/N,     u = N t - 1 the index,     log alpha = S(u),     sigma^2 = 1 - alpha^2 = -expm1(2 S)
    f = N S'(u),         g2 = -2 f                  (alpha^2 + sigma^2 = 1)

with S the cubic spline of two continuous derivatives through `log(abar_i)/2`, "not a knot" at its ends.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import exp, expm1, log, log1p, sqrt

import numpy as np

from sdebench._support.errors import UsageError
from sdebench.schedules import NoiseSchedule, OutsideDomain, softplus

_EPS = 2.0**-52


@dataclass(frozen=True, repr=False)
class Discrete(NoiseSchedule):
    """The chain of these `betas` (Ho et al. 2020, arXiv:2006.11239, eq. 4) in continuous time, t in [1/N, 1].

    `index(t)` is what the network is told.  t = 1/N is the chain's FIRST level, index 0, which still has noise: there is no
    level at t = 0, and a network was never asked there.  (DPM-Solver's discrete schedule, Lu et al. 2022, arXiv:2206.00927,
    has the same times, with straight lines in the place of the spline: only continuous, its rates jump.)
    The third derivative jumps at the levels, which a method in lam never notices and one in t hardly does: rk4-t keeps its
    order to 1e-11 on the linear chain.  On the cosine chain, whose last levels are capped, it stops near 1e-6 below lam = -4.

    Raises UsageError for a beta outside (0, 1), and for a chain so uneven that the spline through it is not monotone.
    """

    betas: Sequence[float]

    def __post_init__(self):
        try:
            betas = tuple(map(float, self.betas))
        except (TypeError, ValueError):
            raise UsageError(f"a chain of betas {str(self.betas)[:60]!r}: give a sequence of numbers") from None
        if len(betas) < 2:
            raise UsageError(f"a chain of {len(betas)} beta(s): give at least two")
        for i, beta in enumerate(betas):
            if not 0.0 < beta < 1.0:
                raise UsageError(f"beta[{i}] = {beta!r}: give 0 < beta < 1 (a chain that ends in pure noise has no lam there)")
        object.__setattr__(self, "betas", betas)
        c3, c2, c1 = np.array(self._pieces).T[:3]
        inside = -c2 / np.where(c3 == 0.0, np.inf, 3 * c3)  # where the slope of a piece has its extremum
        extremum = np.where((inside > 0) & (inside < 1), c1 + c2 * inside, c1)
        slopes = np.stack((c1, c1 + 2 * c2 + 3 * c3, extremum)).max(0)
        if not slopes.max() < 0.0:
            i = int(slopes.argmax())
            raise UsageError(
                f"no smooth falling curve runs through the chain at beta[{i}] = {betas[i]:g}, beta[{i + 1}] = "
                f"{betas[i + 1]:g}: give betas that change gradually"
            )

    def __reduce__(self):  # the spline is made again where it is used
        return Discrete, (self.betas,)

    def __str__(self) -> str:
        text = ",".join(f"{beta:.9e}" for beta in self.betas)  # without the last bits, which no two libraries of maths share
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        return f"Discrete(steps={self.steps}, betas={self.betas[0]:g}..{self.betas[-1]:g}, digest={digest})"

    __repr__ = __str__

    @property
    def steps(self) -> int:
        """N, the number of levels of the chain."""
        return len(self.betas)

    @cached_property
    def _levels(self) -> list[float]:
        """-log(alpha) at the levels, rising."""
        return list(accumulate(-0.5 * log1p(-beta) for beta in self.betas))

    @cached_property
    def _pieces(self) -> list[tuple[float, float, float, float]]:
        """Of each piece the coefficients of S, the highest first, in the distance from its left level."""
        from scipy.interpolate import CubicSpline

        spline = CubicSpline(np.arange(self.steps), -np.array(self._levels))
        return [tuple(piece) for piece in spline.c.T.tolist()]

    def _u(self, t: float) -> float:
        """N t - 1, checked; rounding may leave it below 0 by some 1e-16."""
        if not (1.0 - 4 * _EPS) / self.steps <= t <= 1.0:
            raise self._outside(t)
        return self.steps * t - 1.0

    def index(self, t: float) -> float:
        """The place of t in the chain, in [0, N - 1]: exactly i at t_i, what lies between is between."""
        u = self._u(t)
        return float(round(u)) if abs(u - round(u)) <= 2 * _EPS * self.steps else u

    def _piece(self, t: float) -> tuple[float, tuple[float, float, float, float]]:
        """(distance from the left level, coefficients) at t."""
        u = self._u(t)
        k = min(int(u), self.steps - 2)
        return u - k, self._pieces[k]

    def _log_alpha(self, t: float) -> float:
        d, (c3, c2, c1, c0) = self._piece(t)
        return ((c3 * d + c2) * d + c1) * d + c0

    def alpha(self, t: float) -> float:
        return exp(self._log_alpha(t))

    def sigma(self, t: float) -> float:
        return sqrt(-expm1(2 * self._log_alpha(t)))

    def lam(self, t: float) -> float:
        s = self._log_alpha(t)
        return s - 0.5 * log(-expm1(2 * s))

    def f(self, t: float) -> float:
        d, (c3, c2, c1, _) = self._piece(t)
        return self.steps * ((3 * c3 * d + 2 * c2) * d + c1)

    def g2(self, t: float) -> float:
        return -2 * self.f(t)

    def t(self, lam: float) -> float:
        low, high = self.lam_min, self.lam(1 / self.steps)
        slack = 1e-12 * max(1.0, abs(low), abs(high))  # an overshoot of an end by rounding is the end itself
        if not low - slack <= lam <= high + slack:
            raise self._lam_outside(lam)
        if lam <= low or lam >= high:
            return 1.0 if lam <= low else 1 / self.steps
        b = 0.5 * softplus(-2 * lam)  # -log(alpha)
        k = min(max(bisect_right(self._levels, b) - 1, 0), self.steps - 2)
        return (k + 1 + _root(*self._pieces[k][:3], b - self._levels[k])) / self.steps

    def _outside(self, t: float) -> OutsideDomain:
        n = self.steps
        return OutsideDomain(
            f"time {t!r} is outside the domain of {self}: give 1/{n} <= t <= 1, from its first level to its last"
        )

    def _lam_outside(self, lam: float) -> UsageError:
        ends = f"[{self.lam_min:.6g}, {self.lam(1 / self.steps):.6g}]"
        return UsageError(f"lam {lam!r} is not reached by {self}: give lam in {ends}")


def _root(c3: float, c2: float, c1: float, rest: float) -> float:
    """The d in [0, 1] at which the falling cubic `c3 d^3 + c2 d^2 + c1 d + rest` is zero: Newton's method, in a bracket."""
    low, high, d = 0.0, 1.0, 0.5
    for _ in range(60):
        value = ((c3 * d + c2) * d + c1) * d + rest
        low, high = (d, high) if value > 0.0 else (low, d)
        old, d = d, d - value / ((3 * c3 * d + 2 * c2) * d + c1)
        if not low <= d <= high:
            d = 0.5 * (low + high)
        if abs(d - old) <= _EPS * d:
            break
    return d
