"""How often is this suite wrong?  Its verdicts on random problems, on methods whose true order is known.

Every cell is judged three times: against the order that the method states, which must be confirmed; against one order more,
which must never be; and its interval must hold the true order.  Methods that are broken on purpose, and variants in use that
do less than their paper says, are judged against what they should have had: they must not be confirmed.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdebench._support.registry import register_study
from sdebench.records import Record
from sdebench.studies.base import Found, Study
from sdebench.studies.settings import choices, grids, solvers, whole

if TYPE_CHECKING:
    from sdebench.report.section import Section

KINDS = ("local", "global")
SOLVERS = (
    "ddim",
    "euler-t",
    "heun-lam",
    "heun-edm",
    "kutta3-t",
    "rk4-lam",
    "dpm-solver-2",
    "dpm-solver-3",
    "dpm-solver++-2m",
    "dpm-solver++-3m",
    "dpm-solver++-3m-rk-start",
    "unipc-2",
    "unipc-3",
    "unipc-3-rk-start",
    "lms-3",
    "lms-4-rk-start",
    "deis-tab-3",
    "deis-rhoab-2",
    "ipndm-3",
    "plms",
    "krogstad-4",
    "exprk5s8",
    "res-2m",
    "dpm-solver-fast",
)


@dataclass(frozen=True)
class CalibrationSettings:
    """`problems` random problems from the seed `first` on, every third from pure noise (lam = -5); each meets `each` of the
    solvers, in turn.  Where they are `broken`, they are held to the order that they claim, not to the one that they have."""

    problems: int = whole(60, least=1, most=100_000)
    first: int = whole(0)
    each: int = whole(6, least=1)
    solvers: tuple[str, ...] = solvers(*SOLVERS)
    broken: bool = False
    kinds: tuple[str, ...] = choices(KINDS)
    grids: tuple[str, ...] = grids("uniform_lam", "irregular")
    points: int = whole(64, least=4)


@dataclass(frozen=True)
class CalibrationCase:
    """One kind of order of one solver on one random problem; `claim` is what a broken method is held to."""

    kind: str
    solver: str
    grid: str
    random: int
    noise: bool
    points: int
    claim: int | None = None


@register_study("calibration")
class CalibrationStudy(Study):
    """Verdicts on random problems: how often they are wrong."""

    settings, case = CalibrationSettings, CalibrationCase

    def cases(self, settings: CalibrationSettings) -> list[CalibrationCase]:
        """Problem by problem, so that its solvers share exact states."""
        from sdebench.studies.calibration.measure import cases

        return cases(settings)

    def measure(self, case: CalibrationCase) -> Found:
        """Run one case."""
        from sdebench.studies.calibration.measure import measure

        return measure(case)

    def code(self, case: CalibrationCase) -> Iterable[Any]:
        """The solver, the grid, and what makes the problems."""
        from sdebench.problems.random import random_problem

        return [*super().code(case), random_problem]

    def section(self, records: list[Record]) -> "Section":
        """Counts of right and wrong verdicts, and every cell that is not right."""
        from sdebench.studies.calibration.section import make_section

        return make_section(records)
