"""One measured order, for whoever asks for it in Python: `measure_order`."""

from dataclasses import dataclass
from html import escape
from math import isfinite
from typing import Any

import numpy as np
import pandas as pd

from sdebench import grids
from sdebench._support.clock import threads
from sdebench._support.errors import UsageError, near_miss, shown, whole
from sdebench._support.escape import latex
from sdebench.catalogue import get_problem, get_solver
from sdebench.fit import Fit, slopes
from sdebench.integration.solver import check_solver
from sdebench.problems import Problem
from sdebench.problems.guided_flow import check_has_law
from sdebench.records import WHOLE_RUNS, Claims, held_to
from sdebench.studies.base import check_size
from sdebench.studies.order import grids_of, stochastic
from sdebench.studies.order.judge import OPEN, Judgement, judge
from sdebench.studies.order.measure import kinds_of, measure_kind
from sdebench.studies.purity import check_purity
from sdebench.studies.setting import Setting, setting


@dataclass(frozen=True, repr=False)
class Measurement:
    """A measured order: `.order +- .half_width` (95 %), its `.verdict` on `claim`, and the `points` it was read from.

    `points` are the (h, RMS error) pairs, coarsest first; `claim` is what it was held against, or None.  `.frame()` is a
    DataFrame of them with slopes, `.plot()` a figure, `.to_latex()` a table of booktabs; a notebook shows all three.
    """

    kind: str
    grid: str
    judged: Judgement
    claim: float | None
    points: tuple[tuple[float, float], ...]

    @property
    def fit(self) -> Fit:
        """The fitted order with its interval and window."""
        return self.judged.fit

    @property
    def order(self) -> float:
        """The order, NaN where none could be fitted."""
        return self.fit.order

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval of the order."""
        return self.fit.half_width

    @property
    def constant(self) -> float:
        """The error constant, e/h^q at the finest rung used."""
        return self.fit.constant

    @property
    def reason(self) -> str:
        """Why nothing is resolved or confirmed, or an empty string."""
        return self.judged.reason

    @property
    def verdict(self) -> str:
        """`confirmed`, `refuted` or `not asymptotic`; `measured` where there is no claim."""
        if self.claim is None:
            return "measured"
        return OPEN if self.fit.exact else self.judged.verdict(self.claim)

    def frame(self) -> pd.DataFrame:
        """One row a rung: h, error, the slope from the rung before, and whether the fit used it."""
        h, error = (np.array(column, float) for column in zip(*self.points))
        used = np.isin(np.arange(len(h)), self.fit.window)
        return pd.DataFrame({"h": h, "error": error, "slope": [np.nan, *slopes(h, error)], "used": used})

    def plot(self, ax: Any = None) -> Any:
        """Draw the errors against h with the fitted and the claimed slope; returns the axes."""
        from sdebench.studies.order.figures import draw_measurement

        return draw_measurement(self, ax)

    def to_latex(self) -> str:
        """The rungs as a table with the rules of booktabs; the caption says order and verdict."""
        shown = self.frame().drop(columns="used").rename(columns={"h": "$h$"})
        caption = latex(str(self))
        return shown.to_latex(index=False, float_format=lambda v: f"{v:.3g}", na_rep="", caption=caption)

    def __str__(self) -> str:
        where = f"{self.kind} order on {self.grid}" if self.grid else f"{self.kind} order"
        found = f"{self.order:.2f} ± {self.half_width:.2f}" if isfinite(self.half_width) else "not found"
        claim = "" if self.claim is None else f", claim {self.claim:g}"
        return f"{where}: {found}{claim}: {self.verdict}" + (f" ({self.reason})" if self.reason else "")

    def __repr__(self) -> str:
        return f"<Measurement {self}>"

    def _repr_html_(self) -> str:
        return f"<p>{escape(str(self))}</p>" + self.frame().to_html(index=False, na_rep="", float_format=lambda v: f"{v:.3g}")


def default_problem(kind: str) -> str:
    """Where a kind is measured unless a problem is named: weak orders where every chain has an exact law."""
    return "gaussian" if kind == "weak" else "mixture-1d"


def _own_grid(kind: str, grid: str) -> str:
    """The grid that a kind is recorded with: of a whole run the given one; of others their own, or none.

    Raises UsageError for a grid that there is not, or that the kind is not measured on.
    """
    if kind in WHOLE_RUNS:
        grids.get(grid or "uniform_lam")
        return grid or "uniform_lam"
    (own,) = grids_of(kind, ())
    place = stochastic.STRONG_GRID if kind == "strong" else own
    if grid and grid != place:
        where = f"on the grid {place!r} alone" if place else "on no grid"
        raise UsageError(f"grid {grid!r} for kind {kind!r}, which is measured {where}: leave the grid out")
    return own


def measure_order(
    solver, problem=None, kind: str | None = None, grid: str = "", points: int = 64, seed: int = 0, claim: int | None = None
) -> Measurement:
    """Measure one order of a solver (or spec string) on a problem (or spec string), `default_problem` unless given.

    `kind` is "global" unless given, and "weak" for a stochastic method.  `grid` is that of these two, "uniform_lam" unless
    given; other kinds have one of their own, or none.

    Held against `claim`, or else against what the method says of itself.  Raises UsageError for a kind that the method does
    not have, and for a grid that the kind is not measured on.
    """
    solver = check_solver(get_solver(solver) if isinstance(solver, str) else solver)
    points, seed = whole(points, "points", 1, 100_000), whole(seed, "seed")
    kind = kind or ("weak" if solver.stochastic else "global")
    if kind not in kinds_of(solver):
        allowed = kinds_of(solver)
        raise UsageError(
            f"unknown kind of order of this method {kind!r}{near_miss(kind, allowed)} (there are: {', '.join(allowed)})"
        )
    grid, problem = _own_grid(kind, grid), default_problem(kind) if problem is None else problem
    if not isinstance(problem, str | Problem):
        raise UsageError(f"the problem is {shown(problem)}: give a sdebench.Problem, or the name of one")
    made = get_problem(problem) if isinstance(problem, str) else problem
    check_size(points, made.dim, "points")
    if kind == "weak":
        check_has_law(made)
    at = Setting(problem, points, seed) if isinstance(problem, Problem) else setting(problem, points, seed)
    check_purity(solver, at)
    with threads(1):
        data = measure_kind(solver, at, kind, grid)
    stated = held_to(Claims.of(solver), kind, grid)[1]
    judged = judge(kind, data, stated)
    return Measurement(kind, grid, judged, stated if claim is None else claim, tuple(zip(data["h"], data["rms"])))
