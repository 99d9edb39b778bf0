"""Straight paths between data and noise."""

from dataclasses import dataclass
from math import exp, inf, log, log1p

from sdebench.schedules.base import NO_NUMBER, NoiseSchedule, softplus


@dataclass(frozen=True)
class Rectified(NoiseSchedule):
    """Straight paths: `alpha = 1 - t`, `sigma = t`, t in (0, 1).  Liu et al. 2022, arXiv:2209.03003; Lipman et al. 2022,
    arXiv:2210.02747 (with time reversed).  `alpha` and `sigma` hold at t = 1 too; `lam`, `f`, `g2` are infinite there.
    """

    def alpha(self, t: float) -> float:
        return 1.0 - self._inside(t)

    def sigma(self, t: float) -> float:
        return self._inside(t)

    def levels(self, t: float) -> tuple[float, float]:
        self._inside(t)
        return 1.0 - t, t

    def lam(self, t: float) -> float:
        if self._inside(t) in (0.0, 1.0):
            raise self._outside(t)
        return log1p(-t) - log(t)

    def t(self, lam: float) -> float:
        try:
            t = exp(-softplus(lam))
            if 0.0 < t < 1.0:
                return t
        except NO_NUMBER:
            pass
        raise self._lam_outside(lam)

    def f(self, t: float) -> float:
        return -1.0 / self._left(t)

    def slopes(self, t: float) -> tuple[float, float]:
        self._inside(t)
        return -1.0, 1.0

    def g2(self, t: float) -> float:
        left = self._left(t)  # refuses what is no time before it is multiplied
        return 2.0 * t / left

    def _left(self, t: float) -> float:
        """1 - t, which may not be 0."""
        if self._inside(t) == 1.0:
            raise self._outside(t)
        return 1.0 - t

    @property
    def lam_min(self) -> float:
        return -inf
