"""What the harness did before, or must not do.  Each docstring says what is wrong; `test_rejected_harness` names the test."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from scipy.stats import t as student

from sdebench import fit
from sdebench.fit import MARGIN, MIN_POINTS, RESOLVED, TOLERANCE, Fit, fit_ladder, slopes

POSTERIOR = fit._posterior


def straight_line(h, error, floor=0.0, angles=None, spread=0.0) -> Fit:
    """The old fit: a line through log e, one correction `1 + r h`, Student's interval of the window where it is sharpest."""
    h, error = np.asarray(h, float), np.asarray(error, float)
    order = np.argsort(-h)
    used = order[error[order] > MARGIN * np.broadcast_to(floor, h.shape)[order]]
    shortest = min(len(used), MIN_POINTS + 1)
    windows = [used[i:] for i in range(len(used) - shortest + 1)]
    (p, half_width), window = min(((_regress(h[w], error[w]), w) for w in windows), key=lambda found: found[0][1])
    reason = "" if half_width <= RESOLVED else "slopes disagree"
    return Fit(p, half_width, float(error[window[-1]] / h[window[-1]] ** round(p)), tuple(map(int, window)), reason)


def _regress(h: np.ndarray, e: np.ndarray) -> tuple[float, float]:
    x, y, u = np.log(h), np.log(e), h / h.max()
    line = np.stack([np.ones_like(x), x], axis=1)
    candidates = np.concatenate([np.linspace(-0.9, 0, 19), np.geomspace(0.01, 100, 60)])
    candidates = candidates[u.min() * candidates <= 3.0]
    right = y[:, None] - np.log1p(u[:, None] * candidates)
    solution = np.linalg.lstsq(line, right, rcond=None)[0]
    squares = ((right - line @ solution) ** 2).sum(axis=0)
    best = int(squares.argmin())
    jacobian = np.column_stack([line, u / (1 + candidates[best] * u)])
    degrees = max(len(h) - 3, 1)
    covariance = np.linalg.pinv(jacobian.T @ jacobian) * squares[best] / degrees
    p, (before, finest) = solution[1, best], np.diff(y[-3:]) / np.diff(x[-3:])
    half_width = student.ppf(0.975, degrees) * np.sqrt(covariance[1, 1]) + 0.25 * abs(p - finest) + abs(finest - before)
    return float(p), float(half_width)


def first_rungs_alone(
    data: Mapping[str, Any], first: tuple[int, ...], further: bool = True, stated: float = 0.0
) -> Iterator[int]:
    """A ladder of its first rungs, whatever they show."""
    yield from first


def settled_at_any_integer(data: Mapping[str, Any], stated: float) -> bool:
    """The old stop rule: a sharp integer ends a ladder, a sharp 0 of lost points and an order above the stated one too."""
    fit = fit_ladder(data)
    if not fit.half_width <= TOLERANCE or abs(fit.order - round(fit.order)) > TOLERANCE:
        return False
    finest = np.argsort(data["n"])[-2:]
    return bool(abs(slopes(np.array(data["h"])[finest], np.array(data["rms"])[finest])[0] - fit.order) < 0.3)


def nothing_is_lost(data: Mapping[str, Any], fit: Fit) -> str:
    """No look at the points that end in another mode."""
    return ""


def no_parts(data: Mapping[str, Any]) -> list[tuple[str, float]]:
    """No look at what the start-up shows by itself."""
    return []


def whatever_comes(*arguments: Any) -> Any:
    """A check that finds nothing."""
    return arguments[0]


def every_sampler_has_a_step(solver: Any) -> tuple[str, ...]:
    """A local order of all, of a wrapped multistep method too, which has no past."""
    return ("local", "global")


def every_entry_is_a_voice(h, e, turn, noise, voices=64.0) -> tuple[float, float, float, float]:
    """A posterior that takes all entries of the error vectors for independent: sharper than it can know."""
    return POSTERIOR(h, e, turn, noise, voices)
