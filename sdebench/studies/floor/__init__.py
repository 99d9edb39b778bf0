"""The floor: at how many steps rounding overtakes truncation, by the dtype of the state.

The model is evaluated in float64 and answers in the dtype of the state, and coefficients are float64 always: what is
measured is the rounding of the state and of the predictions, which no solver can avoid.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdebench._support.registry import register_study
from sdebench.records import Record
from sdebench.studies.base import Found, Study, check_size
from sdebench.studies.dtypes import DTYPES
from sdebench.studies.settings import choices, grid, problems, solvers, whole

if TYPE_CHECKING:
    from sdebench.report.section import Section


@dataclass(frozen=True)
class FloorSettings:
    """What a `[[study]]` table may say."""

    problems: tuple[str, ...] = problems("mixture-1d")
    solvers: tuple[str, ...] = solvers("all")
    grid: str = grid()
    dtypes: tuple[str, ...] = choices(DTYPES)
    points: int = whole(64, least=1, most=100_000)
    seed: int = whole(0)


@dataclass(frozen=True)
class FloorCase:
    """One solver on one problem in one dtype."""

    solver: str
    problem: str
    dtype: str
    seed: int
    points: int
    grid: str
    kind: str = "global"


@register_study("floor")
class FloorStudy(Study):
    """Where rounding overtakes truncation."""

    settings, case = FloorSettings, FloorCase

    def cases(self, settings: FloorSettings) -> list[FloorCase]:
        """Every deterministic solver that crosses a grid, on every problem, in every dtype."""
        from sdebench.catalogue import get_problem, get_solver

        for problem in settings.problems:
            check_size(settings.points, get_problem(problem).dim, "points")
        made = {spec: get_solver(spec) for spec in settings.solvers}
        return [
            FloorCase(spec, problem, dtype, settings.seed, settings.points, settings.grid)
            for problem in settings.problems
            for spec, solver in made.items()
            if not (solver.adaptive or solver.stochastic)
            for dtype in settings.dtypes
        ]

    def measure(self, case: FloorCase) -> Found:
        """Run one case."""
        from sdebench.studies.floor.measure import measure

        return measure(case)

    def section(self, records: list[Record]) -> "Section":
        """The table, and a figure a problem."""
        from sdebench.studies.floor.section import make_section

        return make_section(records)
