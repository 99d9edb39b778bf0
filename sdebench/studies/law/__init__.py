"""Distance of laws against network evaluations: methods of the ODE and of the SDE on one scale, with no sampling.

    gaussian     the law of a method on one Gaussian, exactly, against the exact marginal at the end of the span
    quadrature   in one dimension: one-step stochastic methods by their transition kernels, deterministic ones by the map
                 that they are, coupled with the exact flow

The distance is Wasserstein-2, with the Kullback-Leibler divergence beside it.  The error of a state says nothing of a
stochastic method, and the error of a law says less than that of a state; but it is the scale that all methods share.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdebench._support.registry import register_study
from sdebench.records import Record
from sdebench.studies.base import Found, Study
from sdebench.studies.settings import grids, problems, solvers, whole, wholes
from sdebench.studies.work_precision import BUDGETS

if TYPE_CHECKING:
    from sdebench.report.section import Section


@dataclass(frozen=True)
class LawSettings:
    """What a `[[study]]` table may say; `budgets` are network evaluations."""

    problems: tuple[str, ...] = problems("gaussian", "mixture-1d")
    solvers: tuple[str, ...] = solvers("all")
    grids: tuple[str, ...] = grids("uniform_lam")
    budgets: tuple[int, ...] = wholes(BUDGETS, least=1, most=100_000)
    seed: int = whole(0)


@dataclass(frozen=True)
class LawCase:
    """One solver on one problem and grid, over all budgets."""

    kind: str
    solver: str
    problem: str
    grid: str
    dtype: str
    seed: int
    budgets: tuple[int, ...]


@register_study("law")
class LawStudy(Study):
    """Distance of a run's law from the exact one."""

    settings, case = LawSettings, LawCase

    def cases(self, settings: LawSettings) -> list[LawCase]:
        """Every solver whose law can be computed; the others are left out, with a warning."""
        from sdebench.studies.law.measure import cases

        return cases(settings)

    def measure(self, case: LawCase) -> Found:
        """Run one case."""
        from sdebench.studies.law.measure import measure

        return measure(case)

    def section(self, records: list[Record]) -> "Section":
        """Distances within budgets, and figures."""
        from sdebench.studies.law.section import make_section

        return make_section(records)
