"""Variance preserving schedules."""

from dataclasses import dataclass
from math import atan2, cos, exp, expm1, hypot, inf, log, pi, sin, sqrt, tan

from sdebench._support.errors import UsageError
from sdebench.schedules.base import NO_NUMBER, NoiseSchedule, all_numbers, softplus


@dataclass(frozen=True)
class VPLinear(NoiseSchedule):
    r"""Variance preserving with a linear rate, `beta = beta_min + t (beta_max - beta_min)`, t in (0, 1].

    log alpha = -1/2 int_0^t beta,   sigma^2 = 1 - alpha^2.      Song et al. 2021, arXiv:2011.13456, eq. 33.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        if not (all_numbers(self) and 0 < self.beta_min <= self.beta_max < inf):
            raise UsageError(f"VPLinear got beta_min={self.beta_min}, beta_max={self.beta_max}: give 0 < beta_min <= beta_max")

    def _integral(self, t: float) -> float:
        try:
            if 0.0 <= t <= 1.0:
                return t * (self.beta_min + 0.5 * t * (self.beta_max - self.beta_min))
        except NO_NUMBER:
            pass
        raise self._outside(t)

    def alpha(self, t: float) -> float:
        return exp(-0.5 * self._integral(t))

    def sigma(self, t: float) -> float:
        return sqrt(-expm1(-self._integral(t)))

    def levels(self, t: float) -> tuple[float, float]:
        b = self._integral(t)
        return exp(-0.5 * b), sqrt(-expm1(-b))

    def lam(self, t: float) -> float:
        b = self._integral(t)
        if b == 0.0:
            raise self._outside(t)
        return -0.5 * (b + log(-expm1(-b)))

    def t(self, lam: float) -> float:
        try:
            b, slope = softplus(-2 * lam), self.beta_max - self.beta_min
        except NO_NUMBER:
            raise self._lam_outside(lam) from None
        # The root of slope/2 t^2 + beta_min t = b, in the form that does not cancel.
        return self._checked_inverse(2 * b / (self.beta_min + sqrt(self.beta_min**2 + 2 * slope * b)), lam)

    def f(self, t: float) -> float:
        return -0.5 * self.g2(t)

    def g2(self, t: float) -> float:
        try:
            if 0.0 <= t <= 1.0:
                return self.beta_min + t * (self.beta_max - self.beta_min)
        except NO_NUMBER:
            pass
        raise self._outside(t)


@dataclass(frozen=True)
class VPCosine(NoiseSchedule):
    r"""Variance preserving, `alpha = cos(a)/cos(b)`, `a = pi/2 (t + s)/(1 + s)`, `b = a(0)`, t in (0, 1).

    Nichol and Dhariwal 2021, arXiv:2102.09672, eq. 17; their alpha-bar is this alpha squared.  `lam` is -inf at t = 1,
    so `t_max` is the largest t below 1 at which every coefficient is still accurate.  `alpha` and `sigma` hold up to t = 1,
    where they are 0 and 1: zero terminal SNR.
    """

    s: float = 0.008
    t_max = 1 - 1e-6

    def __post_init__(self) -> None:
        if not (all_numbers(self) and 0 <= self.s < inf):
            raise UsageError(f"VPCosine got s={self.s}: give s >= 0")

    def _angles(self, t: float, last: float = 1.0) -> tuple[float, float]:
        """(b, a - b): the offset, and the angle beyond it."""
        try:
            if 0.0 <= t <= last:
                unit = 0.5 * pi / (1 + self.s)
                return unit * self.s, unit * t
        except NO_NUMBER:
            pass
        raise self._outside(t)

    def alpha(self, t: float) -> float:
        b, _ = self._angles(t)
        return sin(0.5 * pi * (1 - t) / (1 + self.s)) / cos(b)  # cos(a), without the cancellation near t = 1

    def sigma(self, t: float) -> float:
        b, d = self._angles(t)
        return sqrt(sin(2 * b + d) * sin(d)) / cos(b)  # cos^2 b - cos^2 a = sin(a + b) sin(a - b)

    def lam(self, t: float) -> float:
        sigma = self.sigma(t)
        if sigma == 0.0 or t > self.t_max:
            raise self._outside(t)
        return log(self.alpha(t) / sigma)

    def t(self, lam: float) -> float:
        try:
            alpha, sigma = exp(-0.5 * softplus(-2 * lam)), exp(-0.5 * softplus(2 * lam))
        except NO_NUMBER:
            raise self._lam_outside(lam) from None
        unit = 0.5 * pi / (1 + self.s)
        b = unit * self.s
        sin_a, cos_a = hypot(sin(b), sigma * cos(b)), alpha * cos(b)
        a = atan2(sin_a, cos_a)
        sin_d = (sigma * cos(b)) ** 2 / sin(a + b) if sigma else 0.0
        cos_d = cos_a * cos(b) + sin_a * sin(b)
        return self._checked_inverse(atan2(sin_d, cos_d) / unit, lam)

    def f(self, t: float) -> float:
        b, d = self._angles(t, self.t_max)
        return -0.5 * pi / (1 + self.s) * tan(b + d)

    def g2(self, t: float) -> float:
        return -2 * self.f(t)  # alpha^2 + sigma^2 = 1
