"""Time grids: tuples of n + 1 floats, strictly decreasing from s (noisier) to t (cleaner).

The smooth ones are images of a uniform grid under a smooth map, so neighbouring steps differ by O(h) and wrong
variable-step coefficients hide.  The irregular ones keep their step RATIOS under refinement, so nothing hides.
A family of your own is a function `(schedule, s, t, n, **settings)` under `@sdebench.register_grid("name")`, or an
entry point in the group `sdebench.grids`; `@IrregularGrid` below it says that it keeps its step ratios.
"""

from collections.abc import Callable

from sdebench._support.registry import GRIDS, split_spec
from sdebench.grids.families import (
    Grid,
    IrregularGrid,
    PracticeGrid,
    check,
    irregular,
    jitter,
    karras,
    quadratic,
    uniform_lam,
    uniform_t,
)

__all__ = [
    "Grid",
    "IrregularGrid",
    "PracticeGrid",
    "check",
    "for_orders",
    "get",
    "irregular",
    "is_irregular",
    "jitter",
    "karras",
    "kind_of",
    "names",
    "normal",
    "quadratic",
    "uniform_lam",
    "uniform_t",
]


def get(spec: str) -> Callable[..., Grid]:
    """The grid family of a spec string, `name[key=value,...]`.  Raises UsageError for an unknown name or setting."""
    return GRIDS.get(spec)  # type: ignore[no-any-return]  # a registry holds anything


def normal(spec: str) -> str:
    """The spec as records keep it: an own list, given as numbers or as a file, becomes `list[sigmas=...]`.

    Raises UsageError for a list that cannot be read.
    """
    from sdebench.grids import lists

    return lists.normal(spec)


def names() -> tuple[str, ...]:
    """The names of all grid families."""
    return GRIDS.names()


def for_orders() -> tuple[str, ...]:
    """The names of the families that orders are measured on where none is named: all but grids of practice."""
    return tuple(name for name in names() if kind_of(name) != "practice")


def kind_of(spec: str) -> str:
    """`irregular`, where a family keeps its step ratios under refinement; `practice`; else `smooth`."""
    name = split_spec(spec)[0]
    factory = GRIDS.entry(name).factory if name in GRIDS.names() else None
    return "irregular" if isinstance(factory, IrregularGrid) else "practice" if isinstance(factory, PracticeGrid) else "smooth"


def is_irregular(spec: str) -> bool:
    """Whether the family keeps its step ratios under refinement; False for one that is not installed."""
    return kind_of(spec) == "irregular"
