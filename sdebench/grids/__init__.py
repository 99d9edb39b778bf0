"""Time grids: tuples of n + 1 floats, strictly decreasing from s (noisier) to t (cleaner).

The smooth ones are images of a uniform grid under a smooth map, so neighbouring steps differ by O(h) and wrong
variable-step coefficients hide.  The irregular ones keep their step RATIOS under refinement, so nothing hides.
A family of your own is a function `(schedule, s, t, n, **settings)` under `@sdebench.register_grid("name")`, or an
entry point in the group `sdebench.grids`; `@IrregularGrid` below it says that it keeps its step ratios.
"""

from collections.abc import Callable

from sdebench._support.registry import GRIDS, split_spec
from sdebench.grids.families import Grid, IrregularGrid, check, irregular, jitter, karras, quadratic, uniform_lam, uniform_t

__all__ = [
    "Grid",
    "IrregularGrid",
    "check",
    "get",
    "irregular",
    "is_irregular",
    "jitter",
    "karras",
    "names",
    "quadratic",
    "uniform_lam",
    "uniform_t",
]


def get(spec: str) -> Callable[..., Grid]:
    """The grid family of a spec string, `name[key=value,...]`.  Raises UsageError for an unknown name or setting."""
    return GRIDS.get(spec)  # type: ignore[no-any-return]  # a registry holds anything


def names() -> tuple[str, ...]:
    """The names of all grid families, the smooth ones first."""
    return GRIDS.names()


def is_irregular(spec: str) -> bool:
    """Whether the family keeps its step ratios under refinement; False for one that is not installed."""
    name = split_spec(spec)[0]
    return name in GRIDS.names() and isinstance(GRIDS.entry(name).factory, IrregularGrid)
