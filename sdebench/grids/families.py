"""The grid families that come with the package, each a function `(schedule, s, t, n, **settings) -> grid`."""

import random
from collections.abc import Callable, Sequence
from functools import update_wrapper
from itertools import pairwise
from math import exp, inf, log, sqrt
from typing import Any

from sdebench._support.errors import UsageError, is_number, shown, whole
from sdebench._support.registry import register_grid
from sdebench.schedules import NoiseSchedule, check_schedule

Grid = tuple[float, ...]
Map = Callable[[float], float]


def check(grid: Sequence[float]) -> Grid:
    """The grid as a tuple of floats; raises UsageError unless it is finite, strictly decreasing, of two times or more."""
    try:
        grid = tuple(map(float, grid))
    except (TypeError, ValueError):
        advice = "give a sequence of times, as sdebench.grids.uniform_lam(schedule, s, t, n) makes one"
        raise UsageError(f"a grid of {shown(grid)}: {advice}") from None
    if len(grid) < 2:
        raise UsageError(f"a grid of {len(grid)} time(s): give at least two, from the noisier end down")
    for i, (s, t) in enumerate(pairwise(grid)):
        if not inf > s > t > -inf:  # false for NaN too
            raise UsageError(f"grid[{i}] = {s!r} is followed by {t!r}: give finite times, strictly decreasing")
    return grid


class _Marked:
    """Decorator of a grid family, which says what kind it is."""

    def __init__(self, make: Callable[..., Grid]):
        self._make = make
        update_wrapper(self, make)

    def __call__(self, *args: Any, **settings: Any) -> Grid:
        return self._make(*args, **settings)


class IrregularGrid(_Marked):
    """Decorator of a grid family whose step ratios stay away from 1 however many steps it has."""


class PracticeGrid(_Marked):
    """Decorator of a grid family for comparing methods at a number of steps: no order is measured on it unless it is named."""


def mapped(s: float, t: float, fractions: Sequence[float], to_u: Map, to_t: Map) -> Grid:
    """The times at the given fractions of the way from u(s) to u(t), with both ends exact."""
    u_s, u_t = to_u(s), to_u(t)
    inner = (to_t(u_s + q * (u_t - u_s)) for q in fractions[1:-1])
    return check((s, *inner, t))


def between(values: Sequence[float], place: float) -> float:
    """The value at a place between two of a list, linearly."""
    low = min(int(place), len(values) - 2)
    return values[low] + (place - low) * (values[low + 1] - values[low])


def _count(ns: NoiseSchedule, s: float, t: float, n: int) -> int:
    """The n of a grid.  Raises UsageError for what is no schedule, no time of its domain, or no number of steps."""
    for end in (s, t):
        if not is_number(end):
            raise UsageError(f"a grid from s = {shown(s)} to t = {shown(t)}: give two times, as *problem.span")
        check_schedule(ns).alpha(end)  # refuses a time out of the domain, which a map of t alone would not
    return whole(n, "the number of steps n", 1)


def even(ns: NoiseSchedule, s: float, t: float, n: int) -> list[float]:
    """0, 1/n, ..., 1.  Raises UsageError for what is no schedule, no time of its domain, or no number of steps."""
    n = _count(ns, s, t, n)
    return [i / n for i in range(n + 1)]


@register_grid("uniform_t")
def uniform_t(ns: NoiseSchedule, s: float, t: float, n: int) -> Grid:
    """Equal steps in t.  Near t = 0 its steps in lam are huge: not asymptotic there for any affordable n."""
    return mapped(s, t, even(ns, s, t, n), float, float)


@register_grid("uniform_lam")
def uniform_lam(ns: NoiseSchedule, s: float, t: float, n: int) -> Grid:
    """Equal steps in lam (Lu et al. 2022, arXiv:2206.00927, section 3.3)."""
    return mapped(s, t, even(ns, s, t, n), ns.lam, ns.t)


@register_grid("quadratic")
def quadratic(ns: NoiseSchedule, s: float, t: float, n: int) -> Grid:
    """Equal steps in sqrt(t) (Song et al. 2020, arXiv:2010.02502, appendix D.2)."""
    return mapped(s, t, even(ns, s, t, n), sqrt, lambda u: u * u)


@register_grid("karras")
def karras(ns: NoiseSchedule, s: float, t: float, n: int, rho: float = 7.0) -> Grid:
    """Equal steps in (sigma/alpha)^(1/rho) (Karras et al. 2022, arXiv:2206.00364, eq. 5)."""
    if not is_number(rho) or rho == 0:
        raise UsageError(f"rho is {shown(rho)}: give a number, as 7.0")
    return mapped(s, t, even(ns, s, t, n), lambda t: exp(-ns.lam(t) / rho), lambda u: ns.t(-rho * log(u)))


def _weighted(ns: NoiseSchedule, s: float, t: float, n: int, pattern: Sequence[float]) -> Grid:
    """Steps in lam in proportion to the pattern, repeated."""
    sums = [0.0]
    for i in range(_count(ns, s, t, n)):
        sums.append(sums[-1] + pattern[i % len(pattern)])
    return mapped(s, t, [w / sums[-1] for w in sums], ns.lam, ns.t)


@register_grid("irregular")
@IrregularGrid
def irregular(ns: NoiseSchedule, s: float, t: float, n: int, ratio: float = 2.0) -> Grid:
    """Steps in lam alternating 1 : ratio, at every n."""
    if not (is_number(ratio) and ratio > 0):
        raise UsageError(f"ratio is {shown(ratio)}: give a number above 0, as 2.0")
    return _weighted(ns, s, t, n, (1.0, ratio))


@register_grid("jitter")
@IrregularGrid
def jitter(ns: NoiseSchedule, s: float, t: float, n: int, seed: int = 0) -> Grid:
    """Steps in lam from a seeded pattern of four lengths in [1/2, 3/2], repeated: self-similar at every multiple of 4.

    A longer pattern would hold too few periods in an affordable n: an error that is made in one region would then follow
    the part of the pattern that happens to lie there.
    """
    rng = random.Random(whole(seed, "seed"))
    return _weighted(ns, s, t, n, [0.5 + rng.random() for _ in range(4)])
