"""Where the steps of a run should lie: the tuned grid of a method at a number of evaluations, beside known grids."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdebench._support.registry import register_study
from sdebench.records import Record
from sdebench.studies.base import Found, Study, check_size
from sdebench.studies.settings import problems, solvers, whole, wholes

if TYPE_CHECKING:
    from sdebench.report.section import Section


@dataclass(frozen=True)
class SpacingSettings:
    """What a `[[study]]` table may say; `budgets` are network evaluations."""

    problems: tuple[str, ...] = problems("mixture-2d")
    solvers: tuple[str, ...] = solvers("ddim", "dpm-solver++-2m", "unipc-3")
    budgets: tuple[int, ...] = wholes((5, 8, 12), least=2, most=1000)
    points: int = whole(64, least=1, most=100_000)
    seed: int = whole(0)


@dataclass(frozen=True)
class SpacingCase:
    """One solver on one problem within one budget."""

    solver: str
    problem: str
    budget: int
    seed: int
    points: int


@register_study("spacing")
class SpacingStudy(Study):
    """Which grid for which method, and how far each is from the best that there is."""

    settings, case = SpacingSettings, SpacingCase

    def cases(self, settings: SpacingSettings) -> list[SpacingCase]:
        """Every deterministic solver that crosses a grid, on every problem, within every budget of two steps or more."""
        from sdebench.catalogue import get_problem, get_solver
        from sdebench.studies.spacing.tune import why_not

        for problem in settings.problems:
            check_size(settings.points, get_problem(problem).dim, "points")
        made = {spec: get_solver(spec) for spec in settings.solvers}
        return [
            SpacingCase(spec, problem, budget, settings.seed, settings.points)
            for problem in settings.problems
            for spec, solver in made.items()
            for budget in settings.budgets
            if not why_not(solver, budget)
        ]

    def measure(self, case: SpacingCase) -> Found:
        """Run one case."""
        from sdebench.studies.spacing.measure import measure

        return measure(case)

    def section(self, records: list[Record]) -> "Section":
        """The table, and a figure a problem."""
        from sdebench.studies.spacing.section import make_section

        return make_section(records)
