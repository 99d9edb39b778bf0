"""What every noise schedule has: its readings, its domain, and what is said of a time or a lam that is not in it."""

from dataclasses import fields
from math import cos, exp, inf, log1p, pi

from sdebench._support.errors import UsageError, is_number, shown

# What comparing and reckoning raise with what is not one number: text, an array, a tensor.  Caught where it arises, because a
# reading is asked for several times a step, and a `try` costs nothing until then.
NO_NUMBER = (TypeError, ValueError, RuntimeError)


class OutsideDomain(UsageError):
    """A time that a reading does not have: outside of the schedule, or at an end where the reading is infinite."""


class NoiseSchedule:
    """Base of all schedules.  A schedule is a frozen dataclass; `domain` is the interval on which `lam` is finite.

    `alpha` and `sigma` accept the closed interval; `lam`, `f` and `g2` need a point where they are finite.  (So lam raises
    at an end, rather than be infinite: what computes with it would go on with NaN.  Who crosses an end asks for the levels.)
    Raises `UsageError` (which says what the domain is) outside of it, and for NaN.
    """

    t_max: float = 1.0

    def alpha(self, t: float) -> float:
        """Signal amplitude."""
        raise NotImplementedError

    def sigma(self, t: float) -> float:
        """Noise amplitude."""
        raise NotImplementedError

    def levels(self, t: float) -> tuple[float, float]:
        """(alpha, sigma), to the bit; a schedule whose two share their work says it once here, for the hot path."""
        return self.alpha(t), self.sigma(t)

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

    def slopes(self, t: float) -> tuple[float, float]:
        """(d alpha/dt, d sigma/dt) at the noisy end, where alpha = 0 and f is infinite: `dx/dt = alpha' x0 + sigma' eps`.

        The derivative at t of the interpolants in 17 Chebyshev points of [0.9 t, t]: to 1e-13 for levels that are smooth
        there.  (Trefethen 2000, Spectral Methods in Matlab, chapter 6.)
        """
        reach, n, out = 0.05 * t, 16, [0.0, 0.0]
        here = self.levels(t)
        for j in range(1, n + 1):
            x = cos(pi * j / n)
            weight = 2 * (-1) ** j / (1 - x) / reach * (0.5 if j == n else 1.0)
            there = self.levels(t - reach * (1 - x))
            out = [total + weight * (b - a) for total, a, b in zip(out, here, there)]
        return out[0], out[1]

    def rho(self, t: float) -> float:
        """sigma/alpha, the noise level of x/alpha (the `sigma` of EDM, the `rho` of DEIS)."""
        alpha = self.alpha(t)
        if alpha == 0.0:
            raise self._outside(t)
        return self.sigma(t) / alpha

    def _inside(self, t: float) -> float:
        """The time itself; raises UsageError unless it is finite, and in [0, t_max]."""
        try:
            if 0.0 <= t <= self.t_max and t < inf:
                return t
        except NO_NUMBER:
            pass
        raise self._outside(t)

    def _outside(self, t: float) -> OutsideDomain:
        end = "" if self.t_max == inf else f" <= {self.t_max:g}"
        what = "outside the domain" if is_number(t) else "not one number of the domain"
        return OutsideDomain(f"time {shown(t)} is {what} of {self}: give 0 < t{end}, without an end where lam is infinite")

    def _lam_outside(self, lam: float) -> UsageError:
        what = "not reached by" if is_number(lam) else "not one number, for"
        return UsageError(f"lam {shown(lam)} is {what} {self}: give lam in [{self.lam_min:.6g}, inf)")

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
        return f"{type(self).__name__}({', '.join(f'{k.name}={getattr(self, k.name):g}' for k in fields(self))})"  # type: ignore[arg-type]  # every schedule is a dataclass


def check_schedule(ns: NoiseSchedule) -> NoiseSchedule:
    """The schedule itself; raises UsageError for what has no `lam`, and for a class in the place of its instance."""
    if isinstance(ns, type) or not hasattr(ns, "lam"):
        raise UsageError(f"{shown(ns)} is not a schedule: give one, as sdebench.schedules.VPLinear(), or a problem's .schedule")
    return ns


def all_numbers(ns: NoiseSchedule) -> bool:
    """Whether every parameter is a number."""
    return all(is_number(getattr(ns, key.name)) for key in fields(ns))  # type: ignore[arg-type]  # every schedule is a dataclass


def softplus(z: float) -> float:
    """log(1 + e^z) without overflow."""
    return max(z, 0.0) + log1p(exp(-abs(z)))
