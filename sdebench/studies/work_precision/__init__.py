"""Work-precision: error against network evaluations, as counted, and against time.

nfe        a fixed grid, over budgets of evaluations that every method spends as nearly as its cost a step allows
tolerance  adaptive methods, over their tolerance
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdebench._support.registry import register_study
from sdebench.records import Record
from sdebench.studies.base import Found, Study
from sdebench.studies.settings import grids, problems, solvers, whole, wholes

if TYPE_CHECKING:
    from sdebench.report.section import Section

BUDGETS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


@dataclass(frozen=True)
class WorkPrecisionSettings:
    """What a `[[study]]` table may say; `budgets` are network evaluations."""

    problems: tuple[str, ...] = problems("mixture-2d")
    solvers: tuple[str, ...] = solvers("all")
    grids: tuple[str, ...] = grids("uniform_lam")
    budgets: tuple[int, ...] = wholes(BUDGETS, least=1, most=100_000)
    points: int = whole(64, least=1, most=100_000)
    seed: int = whole(0)


@dataclass(frozen=True)
class WorkPrecisionCase:
    """One solver on one problem and grid over all budgets, or over tolerances."""

    solver: str
    problem: str
    kind: str
    grid: str
    dtype: str = "float64"
    seed: int = 0
    points: int = 64
    budgets: tuple[int, ...] | None = None


@register_study("work-precision")
class WorkPrecisionStudy(Study):
    """Error within a budget of network evaluations, and in a given time."""

    settings, case = WorkPrecisionSettings, WorkPrecisionCase

    def cases(self, settings: WorkPrecisionSettings) -> list[WorkPrecisionCase]:
        """Every deterministic solver on every problem and grid; adaptive ones over tolerances."""
        from sdebench.studies.work_precision.measure import cases

        return cases(settings)

    def measure(self, case: WorkPrecisionCase) -> Found:
        """Run one case."""
        from sdebench.studies.work_precision.measure import measure

        return measure(case)

    def section(self, records: list[Record]) -> "Section":
        """Errors within budgets, and figures."""
        from sdebench.studies.work_precision.section import make_section

        return make_section(records)
