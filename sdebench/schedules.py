r"""Noise schedules: `x_t = alpha_t x_0 + sigma_t eps`, floats in, floats out, float64 throughout.

    lam = log(alpha / sigma)          rises along sampling
    f   = d log(alpha) / dt           drift of the forward SDE  dx = f x dt + g dw
    g2  = d(sigma^2)/dt - 2 f sigma^2 = -2 sigma^2 d(lam)/dt

(Kingma et al. 2021, arXiv:2107.00630; Lu et al. 2022, arXiv:2206.00927, eq. 2.3.)  Every formula is written so that
nothing cancels near an end: `sigma` comes from `expm1` or a product of sines, never from `sqrt(1 - alpha**2)`.
"""

from dataclasses import dataclass
from math import atan2, cos, exp, expm1, hypot, inf, log, log1p, pi, sin, sqrt, tan

from .errors import UsageError
from .noise_schedule import NO_NUMBER, NoiseSchedule, all_numbers
from .noise_schedule import checked as checked


def _softplus(z: float) -> float:
    """log(1 + e^z) without overflow."""
    return max(z, 0.0) + log1p(exp(-abs(z)))


@dataclass(frozen=True)
class VPLinear(NoiseSchedule):
    r"""Variance preserving with a linear rate, `beta = beta_min + t (beta_max - beta_min)`, t in (0, 1].

    log alpha = -1/2 int_0^t beta,   sigma^2 = 1 - alpha^2.      Song et al. 2021, arXiv:2011.13456, eq. 33.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self):
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
            b, slope = _softplus(-2 * lam), self.beta_max - self.beta_min
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
    so `t_max` is the largest t below 1 at which every coefficient is still accurate.
    """

    s: float = 0.008
    t_max = 1 - 1e-6

    def __post_init__(self):
        if not (all_numbers(self) and 0 <= self.s < inf):
            raise UsageError(f"VPCosine got s={self.s}: give s >= 0")

    def _angles(self, t: float) -> tuple[float, float]:
        """(b, a - b): the offset, and the angle beyond it."""
        try:
            if 0.0 <= t <= self.t_max:
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
        if sigma == 0.0:
            raise self._outside(t)
        return log(self.alpha(t) / sigma)

    def t(self, lam: float) -> float:
        try:
            alpha, sigma = exp(-0.5 * _softplus(-2 * lam)), exp(-0.5 * _softplus(2 * lam))
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
        b, d = self._angles(t)
        return -0.5 * pi / (1 + self.s) * tan(b + d)

    def g2(self, t: float) -> float:
        return -2 * self.f(t)  # alpha^2 + sigma^2 = 1


@dataclass(frozen=True)
class VE(NoiseSchedule):
    """Variance exploding: `alpha = 1`, `sigma = sigma_min (sigma_max/sigma_min)^t`, t in (0, 1].

    Song et al. 2021, arXiv:2011.13456, eq. 30 (named for its exploding variance, not for an exponential).
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self):
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


@dataclass(frozen=True)
class Rectified(NoiseSchedule):
    """Straight paths: `alpha = 1 - t`, `sigma = t`, t in (0, 1).  Liu et al. 2022, arXiv:2209.03003; Lipman et al. 2022,
    arXiv:2210.02747 (with time reversed).  `alpha` and `sigma` hold at t = 1 too; `lam`, `f`, `g2` are infinite there.
    """

    def alpha(self, t: float) -> float:
        return 1.0 - self._inside(t)

    def sigma(self, t: float) -> float:
        return self._inside(t)

    def lam(self, t: float) -> float:
        if self._inside(t) in (0.0, 1.0):
            raise self._outside(t)
        return log1p(-t) - log(t)

    def t(self, lam: float) -> float:
        try:
            t = exp(-_softplus(lam))
            if 0.0 < t < 1.0:
                return t
        except NO_NUMBER:
            pass
        raise self._lam_outside(lam)

    def f(self, t: float) -> float:
        return -1.0 / self._left(t)

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


SCHEDULES = {c.__name__: c for c in (VPLinear, VPCosine, VE, EDM, Rectified)}
