r"""The order that a ladder of errors shows, how sure it is, and what that says of a claim.  Knows no solver; numpy only.

The error after steps of length h is a vector, one entry a point and coordinate, and expands as

    E(h) = h^p (C_0 + C_1 h + C_2 h^2 + ...),      C_j vectors of unknown size that falls like l^-j.

The prior on the C_j, independent normals of variance 1/(j! l^(2j)), makes E(h) a Gaussian process with the kernel
`(h h')^p exp(h h'/l^2)`; the unknown scale is integrated out, p and log l have flat priors, and the posterior of p is the
measured order (probabilistic Richardson extrapolation: Oates et al. 2024, arXiv:2401.07562).  What enters are the norms of the
error vectors and the angles between them, so two terms that point in different directions are told apart even where their
norms add up to what looks like one power law.

Where only norms are known, of a scalar ladder, two laws are weighed: terms that add along one direction, `|a + b|`, and terms
that add in squares, `sqrt(a^2 + b^2)`.  The interval covers both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np

MARGIN = 10.0  # an error this many times its floor is known to 10 %
RESOLVED = 0.2  # a half-width beyond this decides nothing
TOLERANCE = 0.1  # how far below its claim an order may be measured
MIN_POINTS = 4
LEAST_HALF_WIDTH = 0.005  # what the model itself is trusted to
_VOICES = 2.0  # independent voices that the entries of an error vector are worth; see benchmarks/calibration.toml
_ORDERS, _INTEGERS, _FIRST_BLUR = np.arange(-3.0, 12.01, 0.1), np.arange(-3.0, 12.5), 0.1
_DOUBT = 5.0  # a law whose log evidence is this much less is given up
Numbers = Sequence[float] | np.ndarray
_LENGTHS = 32  # values of l: from far below the smallest step, where nothing is known, to far above the largest


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


@cache
def _lengths(low: float, high: float) -> np.ndarray:
    return np.geomspace(0.3 * low, 300 * high, _LENGTHS)


def _log_evidence(
    h: np.ndarray, e: np.ndarray, turn: np.ndarray, noise: np.ndarray, orders: np.ndarray, voices: float
) -> np.ndarray:
    """log p(ladder | order), the length integrated out; `turn` is 1 - cos of the angles, `noise` relative to each error.

    With R = the correlation matrix of the kernel plus noise, w_k = e_k / (h_k^p s_k) and K rungs, the scale integrates to
    `-v/2 [log det R + 2 sum log(h^p s) + K log sum_kl w_k R^-1_kl cos_kl w_l]`.
    """
    log_h, log_e = np.log(h), np.log(e)
    lengths = _lengths(float(h.min()), float(h.max()))
    u = np.outer(h, h) / lengths[:, None, None] ** 2
    half = 0.5 * np.diagonal(u, axis1=1, axis2=2)  # log s
    values, vectors = np.linalg.eigh(np.exp(u - half[:, :, None] - half[:, None, :]) + np.diag(noise**2))
    values = np.maximum(values, 1e-15 * values[:, -1:])
    inverse = (vectors / values[:, None]) @ vectors.swapaxes(1, 2)
    logs = log_e - np.outer(orders, log_h) - half[:, None]
    top = logs.max(2, keepdims=True)
    w = np.exp(logs - top)
    square = ((w @ (inverse * (1 - turn))) * w).sum(2)
    determinant = np.log(values).sum(1)[:, None] + 2 * (orders * log_h.sum() + half.sum(1)[:, None])
    out = -0.5 * voices * (determinant + len(h) * (np.log(np.maximum(square, 1e-300)) + 2 * top[:, :, 0]))
    best = out.max(0)
    evidence: np.ndarray = best + np.log(np.exp(out - best).sum(0))
    return evidence


def _posterior(
    h: np.ndarray, e: np.ndarray, turn: np.ndarray, noise: np.ndarray, voices: float = _VOICES
) -> tuple[float, float, float, float]:
    """(median, low, high, log evidence) of the order: 95 % of the posterior lies between low and high.

    Half of the prior mass lies on the integers, the orders of methods, and half is spread evenly over all orders between.
    """
    orders, log = _continuum(h, e, turn, noise, voices)
    places = np.concatenate([_INTEGERS, orders])
    spread = np.log((orders[1] - orders[0]) / np.ptp(_ORDERS))
    logs = np.concatenate([_log_evidence(h, e, turn, noise, _INTEGERS, voices) - np.log(len(_INTEGERS)), log + spread])
    sort = np.argsort(places, kind="stable")
    weight = np.exp(logs - logs.max())[sort]
    mass = np.cumsum(weight) / weight.sum()
    middle, low, high = (float(places[sort][np.searchsorted(mass, q)]) for q in (0.5, 0.025, 0.975))
    return middle, low, high, float(logs.max() + np.log(weight.sum()))


def _continuum(
    h: np.ndarray, e: np.ndarray, turn: np.ndarray, noise: np.ndarray, voices: float
) -> tuple[np.ndarray, np.ndarray]:
    """A mesh of orders about where the posterior lies that knows no integers, and their log evidence.

    A mesh steps over a peak that is narrower than itself.  So the first mesh sees the ladder under much noise, and each
    further one, where the posterior then lies, under an eighth of that, down to the noise that there is.
    """
    orders, blur = _ORDERS, _FIRST_BLUR
    while True:
        log = _log_evidence(h, e, turn, np.maximum(noise, blur), orders, voices)
        if blur <= noise.min():
            return orders, log
        weight = np.exp(log - log.max())
        mass = (np.cumsum(weight) - 0.5 * weight) / weight.sum()
        low, high = (float(np.interp(q, mass, orders)) for q in (0.005, 0.995))
        pad = 0.25 * (high - low) + 2 * (orders[1] - orders[0])
        orders, blur = np.linspace(low - pad, high + pad, 61), blur / 8


def _scalar_posterior(h: np.ndarray, e: np.ndarray, noise: np.ndarray) -> tuple[float, float, float]:
    """(median, low, high) of the order where angles are not known: over both laws, unless the ladder tells them apart."""
    still = np.zeros((len(h), len(h)))
    e = e / np.exp(np.log(e).mean())  # neither law knows a scale, and e^2 overflows past 1e154
    aligned = _posterior(h, e, still, noise, 1.0)
    squares = _posterior(h**2, e**2, still, 2 * noise, 1.0)
    evidence = aligned[3], squares[3] + float(np.log(2 * e).sum())  # both are densities of e
    kept = [found for found, log in zip((aligned, squares), evidence) if log > max(evidence) - _DOUBT]
    middle = (aligned if evidence[0] > evidence[1] else squares)[0]
    return middle, min(found[1] for found in kept), max(found[2] for found in kept)


def pack_angles(vectors: Sequence[Numbers | float]) -> list[list[float]]:
    """1 - cos of the angle between each two error vectors: row k holds those with the vectors before it.

    From the difference of the unit vectors, `|u - v|^2 / 2`, which does not cancel where they are nearly parallel.
    """
    units = [v / norm if (norm := float(np.linalg.norm(v))) > 0 else v for v in (np.ravel(v).astype(float) for v in vectors)]
    return [[float(f"{0.5 * np.sum((units[k] - units[j]) ** 2):.12g}") for j in range(k)] for k in range(len(units))]


def _unpack(angles: Sequence[Sequence[float]], chosen: np.ndarray) -> np.ndarray:
    full = np.zeros((len(angles), len(angles)))
    for k, row in enumerate(angles):
        full[k, :k] = full[:k, k] = row
    cos = 1 - full[np.ix_(chosen, chosen)]
    values, vectors = np.linalg.eigh(cos)  # what was rounded on its way is made a matrix of cosines again
    turned: np.ndarray = 1 - (vectors * np.maximum(values, 0.0)) @ vectors.T
    return turned


def fit_order(
    h: Numbers,
    error: Numbers,
    floor: Numbers | float = 0.0,
    angles: Sequence[Sequence[float]] | None = None,
    spread: Numbers | float = 0.0,
) -> Fit:
    """The order of `error` as `h` falls; `angles` are those between the error vectors, as `pack_angles` gives them.

    `spread` is the standard error of each error, where it is a mean over samples.

    Rungs not above `MARGIN` times their floor are left out; the window is the last unbroken run of the others, down to the
    finest.  A ladder that diverges keeps its sign: its order is negative, not its absolute value.
    """
    h, error = np.asarray(h, float), np.asarray([np.nan if e is None else e for e in error], float)
    floor, spread = (np.broadcast_to(np.asarray(bar, float), h.shape) for bar in (floor, spread))
    if len(h) == 0:
        return _unresolved("no rungs: there is nothing to fit")
    order = np.argsort(-h, kind="stable")
    is_finite = np.isfinite(error[order])
    if not is_finite[is_finite.argmax() :].all():  # at the largest steps alone it may be anything
        return _unresolved("diverges: the error is not finite at small steps")
    finite = order[is_finite]
    above = finite[error[finite] > MARGIN * floor[finite]]
    if len(above) == 0:
        return _unresolved("exact: the error is at the floor at every step")
    used = above[_last_run(np.flatnonzero(np.isin(order, above))) :]
    window = tuple(map(int, used))
    if len(used) < MIN_POINTS:
        return _unresolved(f"only {len(used)} rungs stand above the floor, {MIN_POINTS} are needed", window=window)
    if (slopes(h[used], error[used]) < _ORDERS[0]).all():
        return _unresolved("diverges: the error grows as the steps shrink", window=window)
    noise = (floor[used] + spread[used]) / error[used] + 1e-6
    if angles is None:
        middle, low, high = _scalar_posterior(h[used], error[used], noise)
    else:
        middle, low, high, _ = _posterior(h[used], error[used], _unpack(angles, used), noise)
    half_width = max(high - middle, middle - low, LEAST_HALF_WIDTH)
    if not half_width <= RESOLVED:
        return _unresolved(f"slopes disagree: {middle:.2f} +- {half_width:.2f}", middle, half_width, window)
    last = window[-1]
    return Fit(middle, half_width, float(error[last] / h[last] ** round(middle)), window)


def fit_ladder(data: Mapping[str, Any]) -> Fit:
    """The order of a ladder as a record keeps it: by its weighted errors and their angles, where it has them."""
    if not data:
        return fit_order((), ())
    error, spread = data.get("weighted") or data["rms"], data.get("stderr") or 0.0
    fit = fit_order(data["h"], error, data["floor"], data.get("angles") or None, spread)
    if not fit.resolved:
        return fit
    last = fit.window[-1]
    return replace(fit, constant=float(data["rms"][last] / data["h"][last] ** round(fit.order)))


def _last_run(positions: np.ndarray) -> int:
    """Where the last run of consecutive positions begins: a rung lost in between ends the window."""
    gaps = np.flatnonzero(np.diff(positions) > 1)
    return int(gaps[-1]) + 1 if len(gaps) else 0


def verdict(fit: Fit, claim: float) -> str:
    """`confirmed`, `refuted` or `not asymptotic`.

    Confirmed: the order is the claim or a higher integer, to 0.1 beyond its interval.  Orders are integers, or multiples of
    1/2 where the claim is one (strong order 1.5): one in between is the mark of an error that changes sign, and a one-sided
    test would let its spuriously high slope confirm anything.
    Refuted: the whole interval lies below the claim less 0.1, or the error diverges.  A claim of 0, that a method does not
    converge, is not refuted by errors that still rise towards their limit.  Anything else, and anything
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
    return "refuted" if claim > 0 and fit.order + fit.half_width < claim - TOLERANCE else "not asymptotic"


def slopes(h: Numbers, error: Numbers) -> np.ndarray:
    """The two-point slopes between neighbouring rungs, NaN where an error is zero or not finite."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: np.ndarray = np.diff(np.log(np.asarray(error, float))) / np.diff(np.log(np.asarray(h, float)))
    return found
