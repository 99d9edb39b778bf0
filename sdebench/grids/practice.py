"""The grids that people sample with, for comparing methods at a given number of steps.

Each is stretched over the span that it is asked for, with both ends exact, so that a run begins and ends where its reference
does.  What a library does with the last level, as a step from its last sigma to zero, is not part of a grid.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import atan, exp, inf, log, log1p, tan

from sdebench._support.errors import UsageError, is_number, near_miss, shown, whole
from sdebench._support.registry import register_grid
from sdebench.grids.families import Grid, Map, PracticeGrid, between, check, even, mapped, uniform_lam, uniform_t
from sdebench.schedules import NoiseSchedule

_MOST = 700.0  # exp of more is no float64

# Noise levels sigma/alpha, of ten steps: Sabour, Fidler and Kreis 2024, arXiv:2404.14507, as published with the paper.
AYS: dict[str, tuple[float, ...]] = {
    "sd15": (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    "sdxl": (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
    "svd": (700.0, 54.5, 15.886, 7.977, 4.248, 1.789, 0.981, 0.403, 0.173, 0.034, 0.002),
}


@register_grid("exponential")
@PracticeGrid
def exponential(ns: NoiseSchedule, s: float, t: float, n: int) -> Grid:
    """Equal steps in log(sigma/alpha), as graphical front ends call it.  This is `uniform_lam`: lam = -log(sigma/alpha)."""
    return uniform_lam(ns, s, t, n)


@register_grid("sgm_uniform")
@PracticeGrid
def sgm_uniform(ns: NoiseSchedule, s: float, t: float, n: int) -> Grid:
    """Equal steps in the time of the network, as graphical front ends call it.  This is `uniform_t`."""
    return uniform_t(ns, s, t, n)


@register_grid("shifted")
@PracticeGrid
def shifted(ns: NoiseSchedule, s: float, t: float, n: int, shift: float = 3.0) -> Grid:
    """Equal steps of u in `tau = shift u/(1 + (shift - 1) u)`, tau the time of a flow.

    Esser et al. 2024, arXiv:2403.03206, eq. 23.  tau/(1 - tau) is sigma/alpha on `Rectified`, so on every schedule these are
    equal steps of rho/(rho + shift), rho = sigma/alpha.  shift = 1 is `uniform_t` of `Rectified`.
    """
    if not (is_number(shift) and shift > 0):
        raise UsageError(f"shift is {shown(shift)}: give a number above 0, as 3.0")
    to_u, to_t = _flow_time(ns, shift)
    return mapped(s, t, even(ns, s, t, n), to_u, to_t)


def _flow_time(ns: NoiseSchedule, shift: float) -> tuple[Map, Map]:
    """t -> u = rho/(rho + shift), and back; u is 1 at pure noise and 0 at clean data."""

    def to_u(t: float) -> float:
        lam = _lam(ns, t)
        return 1 / (1 + shift * exp(min(lam, _MOST)))

    return to_u, lambda u: ns.t(log1p(-u) - log(u) - log(shift))


def _lam(ns: NoiseSchedule, t: float) -> float:
    """lam, infinite at clean data and at pure noise."""
    alpha, sigma = ns.levels(t)
    return inf if sigma == 0 else -inf if alpha == 0 else ns.lam(t)


@register_grid("kl_optimal")
@PracticeGrid
def kl_optimal(ns: NoiseSchedule, s: float, t: float, n: int) -> Grid:
    """Equal steps in arctan(sigma/alpha): the best for Gaussian data of unit variance.

    Sabour, Fidler and Kreis 2024, arXiv:2404.14507, section 3.1.
    """
    return mapped(s, t, even(ns, s, t, n), lambda t: atan(exp(min(-_lam(ns, t), _MOST))), lambda u: ns.t(-log(tan(u))))


@register_grid("beta")
@PracticeGrid
def beta(ns: NoiseSchedule, s: float, t: float, n: int, a: float = 0.6, b: float = 0.6) -> Grid:
    """Times at equal quantiles of Beta(a, b), close together at both ends (Lee et al. 2024, arXiv:2407.12173)."""
    from scipy.special import betaincinv

    if not (is_number(a) and is_number(b) and a > 0 and b > 0):
        raise UsageError(f"a and b are {shown(a)} and {shown(b)}: give two numbers above 0, as 0.6")
    fractions = [float(betaincinv(b, a, q)) for q in even(ns, s, t, n)]
    return mapped(s, t, fractions, float, float)


@register_grid("linear_quadratic")
@PracticeGrid
def linear_quadratic(ns: NoiseSchedule, s: float, t: float, n: int, threshold: float = 0.025) -> Grid:
    """Steps in the time of a flow, the first half equal and small, the second growing.

    Polyak et al. 2024, arXiv:2410.13720, section 3.4.2.  The first m = n/2 steps cover `threshold` of the way; then
    q(j) = threshold + threshold j/m + c j^2, with no kink and q(n - m) = 1.
    """
    if not (is_number(threshold) and 0 < threshold < 1):
        raise UsageError(f"threshold is {shown(threshold)}: give a number between 0 and 1, as 0.025")
    n = len(even(ns, s, t, n)) - 1
    m = n // 2
    slope = threshold / m if m else 1.0
    if m and slope * n > 1:
        raise UsageError(f"threshold is {threshold:g}: give at most 0.5, or the second half would go back")
    c = (1 - slope * n) / (n - m) ** 2
    fractions = [slope * min(i, n) + c * max(i - m, 0) ** 2 for i in range(n + 1)]
    to_u, to_t = _flow_time(ns, 1.0)
    return mapped(s, t, fractions, to_u, to_t)


@register_grid("ays")
@PracticeGrid
def ays(ns: NoiseSchedule, s: float, t: float, n: int, model: str = "sd15") -> Grid:
    """Align Your Steps: the published list of a model (sd15, sdxl, svd), log-linear between its levels for n other than 10.

    Sabour, Fidler and Kreis 2024, arXiv:2404.14507.  On another span than the list's it is stretched in lam.
    """
    if model not in AYS:
        raise UsageError(f"unknown model {shown(model)}{near_miss(model, AYS)} (there are: {', '.join(AYS)})")
    lams = [-log(sigma) for sigma in AYS[model]]
    wide = lams[-1] - lams[0]
    return mapped(s, t, [(between(lams, 10 * q) - lams[0]) / wide for q in even(ns, s, t, n)], ns.lam, ns.t)


def _chain(ns: NoiseSchedule, s: float, t: float, n: int, train: int, places: Sequence[int]) -> Grid:
    """Times of a chain of `train` steps, numbered 0 (the cleanest) to train - 1, whose last is s; behind number 0 comes t.

    The first time is s, whichever number it has: there the state is.
    """
    if len(places) != n or any(high <= low for high, low in pairwise(places)) or places[-1] < 0:
        raise UsageError(f"{n} steps on a chain of {train}: give at most half as many steps as the chain has")
    return check((s, *(t + (s - t) * (k + 1) / train for k in places[1:]), t))


@register_grid("leading")
@PracticeGrid
def leading(ns: NoiseSchedule, s: float, t: float, n: int, train: int = 1000, offset: int = 1) -> Grid:
    """Numbers i (train // n) + offset of a chain, as DDIM's code has it (Lin et al. 2023, arXiv:2305.08891, table 2).

    Its first number is not the last of the chain: libraries hand it the noisiest state all the same, and so does this grid.
    """
    n, train = len(even(ns, s, t, n)) - 1, whole(train, "train", 2)
    ratio = train // n
    return _chain(ns, s, t, n, train, [min(i * ratio + whole(offset, "offset"), train - 1) for i in range(n)][::-1])


@register_grid("trailing")
@PracticeGrid
def trailing(ns: NoiseSchedule, s: float, t: float, n: int, train: int = 1000) -> Grid:
    """Numbers round(train - i train/n) - 1 of a chain: it begins at its last (Lin et al. 2023, arXiv:2305.08891, table 2)."""
    n, train = len(even(ns, s, t, n)) - 1, whole(train, "train", 2)
    return _chain(ns, s, t, n, train, [round(train - i * train / n) - 1 for i in range(n)])


@register_grid("linspace")
@PracticeGrid
def linspace(ns: NoiseSchedule, s: float, t: float, n: int, train: int = 1000) -> Grid:
    """Numbers from train - 1 to 0 of a chain, evenly and rounded (Lin et al. 2023, arXiv:2305.08891, table 2)."""
    n, train = len(even(ns, s, t, n)) - 1, whole(train, "train", 2)
    return _chain(ns, s, t, n, train, [round((train - 1) * (1 - i / max(n - 1, 1))) for i in range(n)])
