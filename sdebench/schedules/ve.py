"""Variance exploding schedules."""

from dataclasses import dataclass
from math import exp, inf, log

from sdebench._support.errors import UsageError
from sdebench.schedules.base import NO_NUMBER, NoiseSchedule, all_numbers


@dataclass(frozen=True)
class VE(NoiseSchedule):
    """Variance exploding: `alpha = 1`, `sigma = sigma_min (sigma_max/sigma_min)^t`, t in (0, 1].

    Song et al. 2021, arXiv:2011.13456, eq. 30 (named for its exploding variance, not for an exponential).
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        if not (all_numbers(self) and 0 < self.sigma_min < self.sigma_max < inf):
            raise UsageError(f"VE got sigma_min={self.sigma_min}, sigma_max={self.sigma_max}: give 0 < sigma_min < sigma_max")

    @property
    def _rate(self) -> float:
        return log(self.sigma_max / self.sigma_min)

    def alpha(self, t: float) -> float:
        self._inside(t)
        return 1.0

    def sigma(self, t: float) -> float:
        return self.sigma_min * exp(self._rate * self._inside(t))

    def lam(self, t: float) -> float:
        return -(log(self.sigma_min) + self._rate * self._inside(t))

    def t(self, lam: float) -> float:
        try:
            t = -(lam + log(self.sigma_min)) / self._rate
            if -1e-12 <= t <= 0.0:  # lam(0) is finite here: the end itself, up to rounding
                return 0.0
        except NO_NUMBER:
            raise self._lam_outside(lam) from None
        return self._checked_inverse(t, lam)

    def f(self, t: float) -> float:
        return 0.0 * self.alpha(t)

    def g2(self, t: float) -> float:
        return 2 * self._rate * self.sigma(t) ** 2


@dataclass(frozen=True)
class EDM(NoiseSchedule):
    """`alpha = 1`, `sigma = t`: time is the noise level.  Karras et al. 2022, arXiv:2206.00364, table 1.  t > 0."""

    t_max = inf

    def alpha(self, t: float) -> float:
        self._inside(t)
        return 1.0

    def sigma(self, t: float) -> float:
        return self._inside(t)

    def levels(self, t: float) -> tuple[float, float]:
        return 1.0, self._inside(t)

    def lam(self, t: float) -> float:
        if self._inside(t) == 0.0:
            raise self._outside(t)
        return -log(t)

    def t(self, lam: float) -> float:
        try:
            if -700.0 < lam < 700.0:
                return exp(-lam)
        except NO_NUMBER:
            pass
        raise self._lam_outside(lam)

    def f(self, t: float) -> float:
        return 0.0 * self.alpha(t)

    def g2(self, t: float) -> float:
        return 2 * self.sigma(t)

    @property
    def lam_min(self) -> float:
        return -700.0
