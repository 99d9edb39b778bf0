"""How many steps the rungs of a ladder take.  Knows no solver."""

from collections.abc import Iterator
from math import inf

from sdebench.fit import MARGIN, TOLERANCE, fit_order

MOST_RUNGS = 12
# Steps of lam of the local study: two an octave; for black boxes, whose asymptotic range is short, four.
LOCAL_STEPS = tuple(0.5 * 2 ** (-i / 2) for i in range(14))
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


def rungs(data: dict[str, list], first: tuple[int, ...], further: bool = True) -> Iterator[int]:
    """The numbers of steps of `first`, then further ones, each 3/2 of the last, while the order is not known to 0.1.

    `data` is what has been measured so far: the caller adds each rung to it before he asks for the next.  What is asked
    is whether the fit is SHARP, and at an integer (orders are: one in between still drifts), never whether it agrees with
    a claim: a ladder must not end where it pleases.  Without `further` there is only `first`: for one-step methods of
    order 5, whose further rungs would meet rounding.
    """
    yield from first
    n = first[-1]
    while further and len(data["n"]) < MOST_RUNGS and MARGIN * data["floor"][-1] < data["rms"][-1] < inf:
        fit = fit_order(data["h"], data["rms"], data["floor"])
        if fit.half_width <= TOLERANCE and abs(fit.order - round(fit.order)) <= TOLERANCE:
            return
        n = 4 * round(n * 3 / 8)
        yield n


def tolerances(order: int) -> tuple[float, ...]:
    """Tolerances that a pair of that order reaches in some thousand steps at most."""
    first, last = {2: (3, 10), 3: (4, 13)}.get(order, (6, 18))
    return tuple(10.0 ** (-k / 2) for k in range(first, last + 1))
