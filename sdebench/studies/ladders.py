"""How many steps the rungs of a ladder take.  Knows no solver."""

from collections.abc import Iterator, Mapping
from math import inf
from typing import Any

import numpy as np

from sdebench.fit import MARGIN, MIN_POINTS, TOLERANCE, fit_ladder, slopes

MOST_RUNGS, LEAST_STEPS = 12, 8
_NEAR = 0.3  # how far the slope of the last two rungs may be from the order
# Steps of lam of the local study: two an octave; for black boxes, whose asymptotic range is short, four.
LOCAL_STEPS = tuple(0.5 * 2 ** (-i / 2) for i in range(14))
PART_STEPS = tuple(0.25 * 2 ** (-i / 2) for i in range(10))  # of a start-up, or of last steps, by themselves
BLACK_BOX_LOCAL_STEPS = tuple(0.3 * 2 ** (-i / 4) for i in range(16))


def ladder(order: int, main_order: int, memory: int) -> tuple[int, ...]:
    """The first numbers of steps for a global study of a method; multiples of 4, so irregular grids stay similar.

    Multistep methods get long ladders: their constants are large, and where a start-up of low order ends with a main scheme
    of high order, the order of the run shows only once the main scheme's larger but faster term has fallen below it.
    """
    if memory == 0:
        return (24, 32, 48, 64, 96) if order < 5 else (32, 40, 48, 56, 64, 72, 80, 96)
    return (128, 192, 288, 432, 648) if 2 < order < main_order else (64, 96, 144, 216, 324)


def black_box_ladder(order: int, irregular: bool) -> tuple[int, ...]:
    """Numbers of steps over the noisier half of the span for a black box: a step of theirs costs far more than the model.

    Of order 8, the asymptotic range begins at some 6 steps and ends at some 14, in rounding: most cells stay unresolved,
    and where only multiples of 4 are similar, all.
    """
    if order <= 5:
        return (16, 20, 24, 32, 40, 48, 64)
    return (4, 8, 12, 16, 20) if irregular else (5, 6, 7, 8, 10, 12, 14)


def rungs(data: Mapping[str, Any], first: tuple[int, ...], further: bool = True, stated: float = inf) -> Iterator[int]:
    """The numbers of steps of `first`, then further ones, each 3/2 of the last, while the order is not settled.

    `data` is what has been measured so far: the caller adds each rung to it before it asks for the next.  What is asked
    is whether the fit is SHARP, and at an integer (orders are: one in between still drifts), and whether the last slope is
    near it; never whether it agrees with a claim: a ladder must not end where it pleases.  Where a lower order is stated
    than the one that shows, the ladder goes on, for the lower term is still hidden.  Without `further` no rung is finer
    than `first`: for one-step methods of order 5, whose further rungs would meet rounding.

    Where too few rungs stand above the floor, coarser ones are added.
    """
    yield from first
    n = first[0]
    while n > LEAST_STEPS and len(data["n"]) < MOST_RUNGS and _above(data) <= MIN_POINTS:
        n = max(4 * round(n / 6), LEAST_STEPS)
        yield n
    n = first[-1]
    while further and len(data["n"]) < MOST_RUNGS and _is_above(data, data["n"].index(n)) and data["rms"][-1] < inf:
        if _is_settled(data, stated):
            return
        n = 4 * round(n * 3 / 8)
        yield n


def _is_above(data: Mapping[str, Any], i: int) -> bool:
    return not data["rms"][i] <= MARGIN * data["floor"][i]


def _above(data: Mapping[str, Any]) -> int:
    return sum(_is_above(data, i) for i in range(len(data["n"])))


def _is_settled(data: Mapping[str, Any], stated: float) -> bool:
    fit = fit_ladder(data)
    if not fit.half_width <= TOLERANCE or abs(fit.order - round(fit.order)) > TOLERANCE or fit.order > stated + 0.5:
        return False
    finest = np.argsort(data["n"])[-2:]
    errors = data["weighted" if data.get("weighted") else "rms"]
    slope = slopes([data["h"][i] for i in finest], [errors[i] for i in finest])[0]
    return abs(slope - fit.order) < _NEAR and not (fit.order < 0.5 and data.get("lost") and data["lost"][finest[-1]])


def tolerances(order: int) -> tuple[float, ...]:
    """Tolerances that a pair of that order reaches in some thousand steps at most."""
    first, last = {2: (3, 10), 3: (4, 13)}.get(order, (6, 18))
    return tuple(10.0 ** (-k / 2) for k in range(first, last + 1))
