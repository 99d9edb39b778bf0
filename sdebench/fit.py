"""The order that a ladder of errors shows, how sure it is, and what that says of a claim.  Knows no solver; numpy only.

The model is `e = C h^p (1 + r h)`: a power law and the next one, which may still be the larger of the two (a start-up
of order p under a main scheme of order p + 1).  Two-point slopes telescope to the two end points of a ladder, and a mean
of them hides a bend; a regression on log e with the correction term does neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.stats import t as student

MARGIN = 10.0  # an error this many times its floor shifts a slope over a factor of two in h by less than 0.15
RESOLVED = 0.2  # a half-width beyond this decides nothing
TOLERANCE = 0.1  # how far below its claim an order may be measured
MIN_POINTS = 4
# r h at the coarsest rung: from a correction that halves the error there to one far above the leading term.
_CORRECTIONS = np.concatenate([-np.geomspace(0.5, 0.003, 24), [0.0], np.geomspace(0.003, 1000.0, 60)])


@dataclass(frozen=True)
class Fit:
    """An order, `order +- half_width` (95 %), and where it was read.

    `constant` is `e / h^q` at the finest rung used, q the nearest integer to the order; `window` the indices of the
    rungs used; `reason` says why nothing is resolved and is empty where something is.
    """

    order: float
    half_width: float
    constant: float
    window: tuple[int, ...]
    reason: str = ""

    @property
    def resolved(self) -> bool:
        """Whether the order may decide anything."""
        return not self.reason

    @property
    def exact(self) -> bool:
        """Whether no rung stood above the floor: the method is exact here, as far as can be measured."""
        return self.reason.startswith("exact")

    @property
    def diverges(self) -> bool:
        """Whether the error is not finite, where smaller steps should have made it small."""
        return self.reason.startswith("diverges")


def _unresolved(reason: str, order: float = np.nan, half_width: float = np.inf, window: tuple[int, ...] = ()) -> Fit:
    return Fit(order, half_width, np.nan, window, reason)


def _regress(h: np.ndarray, e: np.ndarray) -> tuple[float, float]:
    """(order, half-width) over one window.

    For each r the model is linear in (log C, p), so r is found by a scan and the rest by least squares.  The half-width is
    Student's 95 % interval, plus a quarter of what the correction moved the slope from that of the two finest rungs (the
    extrapolation is trusted, but not for free), plus what the two finest slopes differ by (they may go on drifting).
    """
    x, y, u = np.log(h), np.log(e), h / h.max()
    line = np.stack([np.ones_like(x), x], axis=1)
    # A second term far above the first at the FINEST rung too cannot be told from a law of the next order.
    candidates = _CORRECTIONS[u.min() * _CORRECTIONS <= 3.0] if len(h) > MIN_POINTS else np.zeros(1)
    right = y[:, None] - np.log1p(u[:, None] * candidates)
    solution = np.linalg.lstsq(line, right, rcond=None)[0]
    squares = ((right - line @ solution) ** 2).sum(axis=0)
    best = int(squares.argmin())
    slope_of_r = u / (1 + candidates[best] * u)  # d log e / d r
    jacobian = np.column_stack([line, slope_of_r]) if len(candidates) > 1 else line
    degrees = len(h) - jacobian.shape[1]
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * squares[best] / degrees
    p, (before, finest) = solution[1, best], np.diff(y[-3:]) / np.diff(x[-3:])
    return p, _student(degrees) * np.sqrt(covariance[1, 1]) + 0.25 * abs(p - finest) + abs(finest - before)


@cache
def _student(degrees: int) -> float:
    """The 97.5 % point of Student's distribution."""
    return float(student.ppf(0.975, degrees))


def fit_order(h: Sequence[float], error: Sequence[float], floor: Sequence[float] | float = 0.0) -> Fit:
    """The order of `error` as `h` falls.

    Rungs not above `MARGIN` times their floor are left out.  The asymptotic window always ends at the finest rung left,
    and starts where the order is sharpest, four rungs or more: nothing can be cherry-picked from the coarse end.
    A ladder that diverges keeps its sign: its order is negative, not its absolute value.
    """
    h, error = np.asarray(h, float), np.asarray([np.nan if e is None else e for e in error], float)
    floor = np.broadcast_to(np.asarray(floor, float), h.shape)
    order = np.argsort(-h, kind="stable")
    is_finite = np.isfinite(error[order])
    if len(order) and not is_finite[is_finite.argmax() :].all():  # at the largest steps alone it may be anything
        return _unresolved("diverges: the error is not finite at small steps")
    finite = order[is_finite]
    above = finite[error[finite] > MARGIN * floor[finite]]
    if len(above) == 0:
        return _unresolved("exact: the error is at the floor at every step")
    used = above[_last_run(np.flatnonzero(np.isin(order, above))) :]
    if len(used) < MIN_POINTS:
        reason = f"only {len(used)} rungs stand above the floor, {MIN_POINTS} are needed"
        return _unresolved(reason, window=tuple(map(int, used)))
    shortest = min(len(used), MIN_POINTS + 1)  # four rungs leave the correction out: only where there are no more
    fits = [(_regress(h[w], error[w]), w) for w in (used[i:] for i in range(len(used) - shortest + 1))]
    (p, half_width), window = min(fits, key=lambda f: f[0][1])
    window = tuple(map(int, window))
    if not half_width <= RESOLVED:
        return _unresolved(f"slopes disagree: {p:.2f} +- {half_width:.2f}", float(p), float(half_width), window)
    last = window[-1]
    return Fit(float(p), float(half_width), float(error[last] / h[last] ** round(p)), window)


def _last_run(positions: np.ndarray) -> int:
    """Where the last run of consecutive positions begins: a rung lost in between ends the window."""
    gaps = np.flatnonzero(np.diff(positions) > 1)
    return int(gaps[-1]) + 1 if len(gaps) else 0


def verdict(fit: Fit, claim: float) -> str:
    """`confirmed`, `refuted` or `not asymptotic`.

    Confirmed: the order is the claim or a higher integer, to 0.1 beyond its interval.  Orders are integers, or multiples of
    1/2 where the claim is one (strong order 1.5): one in between is the mark of an error that changes sign, and a one-sided
    test would let its spuriously high slope confirm anything.
    Refuted: the whole interval lies below the claim less 0.1, or the error diverges.  Anything else, and anything
    unresolved, is not asymptotic, which is never counted as confirmed.
    """
    if fit.diverges:
        return "refuted"
    if not fit.resolved:
        return "not asymptotic"
    if fit.order >= claim - TOLERANCE:
        unit, most = (1.0, 0.25) if claim == round(claim) else (0.5, 0.15)
        nearest = unit * round(fit.order / unit)
        near = abs(fit.order - nearest) <= min(most, fit.half_width + TOLERANCE)
        return "confirmed" if near and nearest >= claim else "not asymptotic"
    return "refuted" if fit.order + fit.half_width < claim - TOLERANCE else "not asymptotic"


def slopes(h: Sequence[float], error: Sequence[float]) -> np.ndarray:
    """The two-point slopes between neighbouring rungs, NaN where an error is zero or not finite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.diff(np.log(np.asarray(error, float))) / np.diff(np.log(np.asarray(h, float)))
