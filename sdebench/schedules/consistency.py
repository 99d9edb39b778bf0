"""Whether the readings of a schedule fit together: a wrong one would show as a wrong solver."""

from collections.abc import Hashable
from math import exp, isfinite, log
from typing import Any, cast

from sdebench._support.errors import UsageError, shown
from sdebench.schedules.base import NoiseSchedule

READINGS = ("alpha", "sigma", "lam", "t", "f", "g2")
_LAMS = (-3.0, -1.5, -0.5, 0.0, 0.7, 1.5, 2.5)  # where a schedule is looked at, as far as it goes
_SHIFT, _DERIVATIVE, _EQUALITY = 1e-4, 1e-5, 1e-9  # of lam; and what derivatives and equalities may be off by
_sound: dict[Any, Any] = {}  # schedules that were found sound, by themselves or by their id, which is theirs while they live


def check(ns: Any) -> NoiseSchedule:
    """The schedule itself.  Raises UsageError, which names the reading and the time, unless its readings fit together.

        t(lam(t)) = t,   lam = log(alpha/sigma),   f = d log(alpha)/dt,   g2 = -2 sigma^2 d lam/dt

    at seven lams from -3 to 2.5, as far as the schedule reaches; derivatives by central differences, to 1e-5.
    """
    key = ns if isinstance(ns, Hashable) else id(ns)
    if key in _sound:
        return cast(NoiseSchedule, ns)
    lacking = [name for name in READINGS if not callable(getattr(ns, name, None))] if not isinstance(ns, type) else READINGS
    if lacking:
        advice = "derive from sdebench.schedules.NoiseSchedule and define " + ", ".join(f"{name}(...)" for name in READINGS)
        what = "is a class" if isinstance(ns, type) else f"has no {', '.join(lacking)}"
        raise UsageError(f"the schedule {shown(ns)} {what}: {advice}")
    for lam in _LAMS:
        _check_at(ns, lam)
    _sound[key] = ns
    return cast(NoiseSchedule, ns)


def _check_at(ns: Any, lam: float) -> None:
    try:
        before, t, after = (_number(ns, "t", lam + shift) for shift in (_SHIFT, 0.0, -_SHIFT))
    except UsageError as error:
        if isinstance(error, _Unfit):
            raise
        return  # a lam that the schedule does not reach
    alpha, sigma, found = (_number(ns, name, t) for name in ("alpha", "sigma", "lam"))
    if not (alpha > 0 and sigma > 0 and after > t > before):
        raise _Unfit(ns, _where("", t), f"alpha = {alpha:.6g}, sigma = {sigma:.6g}, and t(lam) must fall as lam rises")
    _compare(ns, t, "lam(t(lam))", found, lam, _EQUALITY * max(1.0, abs(lam)))
    _compare(ns, t, "lam", found, log(alpha / sigma), _EQUALITY * max(1.0, abs(lam)))
    width = after - before
    slope = (log(_number(ns, "alpha", after)) - log(_number(ns, "alpha", before))) / width
    scale = 2 * _SHIFT / width
    _compare(ns, t, "f", _number(ns, "f", t), slope, _DERIVATIVE * max(abs(slope), scale))
    g2 = 2 * sigma**2 * scale  # d lam/dt = -2 shift / width
    _compare(ns, t, "g2", _number(ns, "g2", t), g2, _DERIVATIVE * max(abs(g2), exp(-2 * lam) * 1e-3))


class _Unfit(UsageError):
    """Readings that do not fit together."""

    def __init__(self, ns: Any, where: str, what: str):
        super().__init__(f"the schedule {shown(ns)} does not fit together at {where}: {what}")


def _where(name: str, at: float) -> str:
    return f"{'lam' if name == 't' else 't'} = {at:.6g}"


def _number(ns: Any, name: str, at: float) -> float:
    """A reading.  Raises _Unfit where it is not a finite number; a UsageError of the schedule's own passes."""
    try:
        value = float(getattr(ns, name)(at))
    except UsageError:
        raise
    except NotImplementedError:
        raise _Unfit(ns, _where(name, at), f"it has no {name}({'lam' if name == 't' else 't'}) of its own: define it") from None
    except Exception as error:  # a stranger's code may fail in any way
        raise _Unfit(ns, _where(name, at), f"{name} raised {type(error).__name__}: {' '.join(str(error).split())}") from None
    if not isfinite(value):
        raise _Unfit(ns, _where(name, at), f"{name} = {value}")
    return value


def _compare(ns: Any, t: float, name: str, found: float, due: float, tolerance: float) -> None:
    if abs(found - due) > tolerance:
        formula = {"f": "d log(alpha)/dt", "g2": "-2 sigma^2 d lam/dt", "lam": "log(alpha/sigma)"}.get(name, "lam")
        raise _Unfit(ns, _where("", t), f"{name} = {found:.8g}, and {formula} = {due:.8g}")
