"""The order study: does a method converge as fast as it claims, and on which grids?

local      error of ONE step of length h from an exact state, with an exact and unequally spaced past
global     error of a whole run, over the number of steps, on each grid family
main       the same from exact starting values: the main scheme without its start-up
start-up   error after the first `memory` steps from an exact state, with no past
end-point  error of the last step alone, with an exact past
tolerance  error of an adaptive run against its tolerance
weak       of a stochastic method: error of its law at the end of a run, on each grid family
strong     of a stochastic method: error of the state on one Brownian path
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdebench._support.registry import register_study
from sdebench.records import WHOLE_RUNS, Record
from sdebench.studies.base import Found, Study, check_size
from sdebench.studies.settings import choices, grids, optional, problems, solvers, whole

if TYPE_CHECKING:
    from sdebench.report.section import Section

PIECES = ("main", "start-up", "end-point")
KINDS = ("local", "global", *PIECES, "tolerance", "weak", "strong")
PIECE_GRID = "irregular"  # the strictest: wrong variable-step coefficients show


@dataclass(frozen=True)
class OrderSettings:
    """What a `[[study]]` table may say.  Weak orders are measured only where a law is exact, unless `kinds` asks for them."""

    problems: tuple[str, ...] = problems("mixture-1d")
    solvers: tuple[str, ...] = solvers("all")
    grids: tuple[str, ...] = grids()
    kinds: tuple[str, ...] | None = optional(choices(KINDS))
    points: int = whole(64, least=1, most=100_000)
    seed: int = whole(0)


@dataclass(frozen=True)
class OrderCase:
    """One kind of order of one solver on one problem; `grid` is "" for kinds that have none."""

    kind: str
    solver: str
    problem: str
    grid: str
    dtype: str = "float64"
    seed: int = 0
    points: int = 64


def grids_of(kind: str, families: tuple[str, ...]) -> tuple[str, ...]:
    """The grids on which a kind is measured: those asked for, the strictest, or none."""
    return families if kind in WHOLE_RUNS else (PIECE_GRID,) if kind in PIECES else ("",)


@register_study("order")
class OrderStudy(Study):
    """Local, global, weak and strong orders, and the pieces of multistep methods."""

    settings, case = OrderSettings, OrderCase

    def cases(self, settings: OrderSettings) -> list[OrderCase]:
        """Every solver on every problem, of every kind and grid asked for; grid by grid, so that solvers share exact states."""
        return list(self._cases(settings))

    def _cases(self, settings: OrderSettings) -> Iterator[OrderCase]:
        from sdebench.catalogue import get_problem, get_solver
        from sdebench.laws.feasible import why_not
        from sdebench.problems.guided_flow import check_has_law
        from sdebench.studies.order.measure import kinds_of

        for problem in settings.problems:
            check_size(settings.points, get_problem(problem).dim, "points")
            if "weak" in (settings.kinds or ()):
                check_has_law(get_problem(problem))
        made = {spec: get_solver(spec) for spec in settings.solvers}
        has = {spec: kinds_of(solver) for spec, solver in made.items()}
        places = [(kind, grid) for kind in settings.kinds or KINDS for grid in grids_of(kind, settings.grids)]
        for problem in settings.problems:
            for kind, grid in places:
                for spec, solver in made.items():
                    is_exact = kind != "weak" or settings.kinds or not why_not(solver, get_problem(problem))
                    if kind in has[spec] and is_exact:
                        yield OrderCase(kind, spec, problem, grid, "float64", settings.seed, settings.points)

    def measure(self, case: OrderCase) -> Found:
        """Run one case."""
        from sdebench.studies.order.measure import measure

        return measure(case)

    def section(self, records: list[Record]) -> "Section":
        """Tables of orders, heat maps, and convergence figures."""
        from sdebench.studies.order.section import make_section

        return make_section(records)
