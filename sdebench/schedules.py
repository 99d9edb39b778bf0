r"""Noise schedules: `x_t = alpha_t x_0 + sigma_t eps`, floats in, floats out, float64 throughout.

    lam = log(alpha / sigma)          rises along sampling
    f   = d log(alpha) / dt           drift of the forward SDE  dx = f x dt + g dw
    g2  = d(sigma^2)/dt - 2 f sigma^2 = -2 sigma^2 d(lam)/dt

(Kingma et al. 2021, arXiv:2107.00630; Lu et al. 2022, arXiv:2206.00927, eq. 2.3.)  Every formula is written so that
nothing cancels near an end: `sigma` comes from `expm1` or a product of sines, never from `sqrt(1 - alpha**2)`.
"""

from dataclasses import dataclass, fields
from math import atan2, cos, exp, expm1, hypot, inf, log, log1p, pi, sin, sqrt, tan

from .errors import UsageError, is_number, shown


def _softplus(z: float) -> float:
    """log(1 + e^z) without overflow."""
    return max(z, 0.0) + log1p(exp(-abs(z)))


def _numbers(schedule: "NoiseSchedule") -> bool:
    """Whether every parameter is a number."""
    return all(is_number(getattr(schedule, key.name)) for key in fields(schedule))


class NoiseSchedule:
    """Base of all schedules.  A schedule is a frozen dataclass; `domain` is the interval on which `lam` is finite.

    `alpha` and `sigma` accept the closed interval; `lam`, `f` and `g2` need a point where they are finite.
    Raises `UsageError` (which says what the domain is) outside of it, and for NaN.
    """

    t_max: float = 1.0

    def alpha(self, t: float) -> float:
        """Signal amplitude."""
        raise NotImplementedError

    def sigma(self, t: float) -> float:
        """Noise amplitude."""
        raise NotImplementedError

    def lam(self, t: float) -> float:
        """Half log signal-to-noise ratio, log(alpha/sigma)."""
        raise NotImplementedError

    def t(self, lam: float) -> float:
        """Inverse of `lam`."""
        raise NotImplementedError

    def f(self, t: float) -> float:
        """d log(alpha)/dt."""
        raise NotImplementedError

    def g2(self, t: float) -> float:
        """Squared diffusion coefficient, d(sigma^2)/dt - 2 f sigma^2."""
        raise NotImplementedError

    def rho(self, t: float) -> float:
        """sigma/alpha, the noise level of x/alpha (the `sigma` of EDM, the `rho` of DEIS)."""
        alpha = self.alpha(t)
        if alpha == 0.0:
            raise self._outside(t)
        return self.sigma(t) / alpha

    def _outside(self, t: float) -> UsageError:
        end = "" if self.t_max == inf else f" <= {self.t_max:g}"
        return UsageError(f"time {t!r} is outside the domain of {self}: give 0 < t{end}, without an end where lam is infinite")

    def _lam_outside(self, lam: float) -> UsageError:
        return UsageError(f"lam {lam!r} is not reached by {self}: give lam in [{self.lam_min:.6g}, inf)")

    @property
    def lam_min(self) -> float:
        """The smallest lam of the domain."""
        return self.lam(self.t_max)

    def _checked_inverse(self, t: float, lam: float) -> float:
        """`t`, if it lies in the domain; an overshoot of the end by rounding is the end itself."""
        if 0.0 < t <= self.t_max:
            return t
        if self.t_max < t <= self.t_max * (1 + 1e-12):
            return self.t_max
        raise self._lam_outside(lam)

    def __str__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k.name}={getattr(self, k.name):g}' for k in fields(self))})"


@dataclass(frozen=True)
class VPLinear(NoiseSchedule):
    r"""Variance preserving with a linear rate, `beta = beta_min + t (beta_max - beta_min)`, t in (0, 1].

        log alpha = -1/2 int_0^t beta,   sigma^2 = 1 - alpha^2.      Song et al. 2021, arXiv:2011.13456, eq. 33.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self):
        if not (_numbers(self) and 0 < self.beta_min <= self.beta_max < inf):
            raise UsageError(f"VPLinear got beta_min={self.beta_min}, beta_max={self.beta_max}: give 0 < beta_min <= beta_max")

    def _integral(self, t: float) -> float:
        if not 0.0 <= t <= 1.0:
            raise self._outside(t)
        return t * (self.beta_min + 0.5 * t * (self.beta_max - self.beta_min))

    def alpha(self, t: float) -> float:
        return exp(-0.5 * self._integral(t))

    def sigma(self, t: float) -> float:
        return sqrt(-expm1(-self._integral(t)))

    def lam(self, t: float) -> float:
        b = self._integral(t)
        if b == 0.0:
            raise self._outside(t)
        return -0.5 * (b + log(-expm1(-b)))

    def t(self, lam: float) -> float:
        b, slope = _softplus(-2 * lam), self.beta_max - self.beta_min
        # The root of slope/2 t^2 + beta_min t = b, in the form that does not cancel.
        return self._checked_inverse(2 * b / (self.beta_min + sqrt(self.beta_min**2 + 2 * slope * b)), lam)

    def f(self, t: float) -> float:
        return -0.5 * self.g2(t)

    def g2(self, t: float) -> float:
        if not 0.0 <= t <= 1.0:
            raise self._outside(t)
        return self.beta_min + t * (self.beta_max - self.beta_min)


@dataclass(frozen=True)
class VPCosine(NoiseSchedule):
    r"""Variance preserving, `alpha = cos(a)/cos(b)`, `a = pi/2 (t + s)/(1 + s)`, `b = a(0)`, t in (0, 1).

    Nichol and Dhariwal 2021, arXiv:2102.09672, eq. 17; their alpha-bar is this alpha squared.  `lam` is -inf at t = 1,
    so `t_max` is the largest t below 1 at which every coefficient is still accurate.
    """

    s: float = 0.008
    t_max = 1 - 1e-6

    def __post_init__(self):
        if not (_numbers(self) and 0 <= self.s < inf):
            raise UsageError(f"VPCosine got s={self.s}: give s >= 0")

    def _angles(self, t: float) -> tuple[float, float]:
        """(b, a - b): the offset, and the angle beyond it."""
        if not 0.0 <= t <= self.t_max:
            raise self._outside(t)
        unit = 0.5 * pi / (1 + self.s)
        return unit * self.s, unit * t

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
        unit = 0.5 * pi / (1 + self.s)
        b = unit * self.s
        alpha, sigma = exp(-0.5 * _softplus(-2 * lam)), exp(-0.5 * _softplus(2 * lam))
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
        if not (_numbers(self) and 0 < self.sigma_min < self.sigma_max < inf):
            raise UsageError(f"VE got sigma_min={self.sigma_min}, sigma_max={self.sigma_max}: give 0 < sigma_min < sigma_max")

    @property
    def _rate(self) -> float:
        return log(self.sigma_max / self.sigma_min)

    def alpha(self, t: float) -> float:
        if not 0.0 <= t <= 1.0:
            raise self._outside(t)
        return 1.0

    def sigma(self, t: float) -> float:
        if not 0.0 <= t <= 1.0:
            raise self._outside(t)
        return self.sigma_min * exp(self._rate * t)

    def lam(self, t: float) -> float:
        if not 0.0 <= t <= 1.0:
            raise self._outside(t)
        return -(log(self.sigma_min) + self._rate * t)

    def t(self, lam: float) -> float:
        t = -(lam + log(self.sigma_min)) / self._rate
        if -1e-12 <= t <= 0.0:  # lam(0) is finite here: the end itself, up to rounding
            return 0.0
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
        if not 0.0 <= t < inf:
            raise self._outside(t)
        return 1.0

    def sigma(self, t: float) -> float:
        if not 0.0 <= t < inf:
            raise self._outside(t)
        return t

    def lam(self, t: float) -> float:
        if not 0.0 < t < inf:
            raise self._outside(t)
        return -log(t)

    def t(self, lam: float) -> float:
        if not -700.0 < lam < 700.0:
            raise self._lam_outside(lam)
        return exp(-lam)

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
        if not 0.0 <= t <= 1.0:
            raise self._outside(t)
        return 1.0 - t

    def sigma(self, t: float) -> float:
        if not 0.0 <= t <= 1.0:
            raise self._outside(t)
        return t

    def lam(self, t: float) -> float:
        if not 0.0 < t < 1.0:
            raise self._outside(t)
        return log1p(-t) - log(t)

    def t(self, lam: float) -> float:
        t = exp(-_softplus(lam))
        if not 0.0 < t < 1.0:
            raise self._lam_outside(lam)
        return t

    def f(self, t: float) -> float:
        if not 0.0 <= t < 1.0:
            raise self._outside(t)
        return -1.0 / (1.0 - t)

    def g2(self, t: float) -> float:
        if not 0.0 <= t < 1.0:
            raise self._outside(t)
        return 2.0 * t / (1.0 - t)

    @property
    def lam_min(self) -> float:
        return -inf


def checked(ns: NoiseSchedule) -> NoiseSchedule:
    """The schedule itself; raises UsageError for what has no `lam`, and for a class in the place of its instance."""
    if isinstance(ns, type) or not hasattr(ns, "lam"):
        raise UsageError(f"{shown(ns)} is not a schedule: give one, as sdebench.schedules.VPLinear(), or a problem's .schedule")
    return ns


SCHEDULES = {c.__name__: c for c in (VPLinear, VPCosine, VE, EDM, Rectified)}
