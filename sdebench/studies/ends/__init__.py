"""The ends: what the first step from alpha = 0 and the last step to sigma = 0 cost, against the exact flow.

One step, from an exact state and (where the method wants one) an exact past, between an end and a neighbouring level that
tends to it; the error's exponent in that level, alpha/sigma at the noisy end and sigma/alpha at the clean one.  Of a
deterministic method the state, of a stochastic one the law on one Gaussian, which is exact.  Orders are measured inside, by
the order study: an error here does not fall with the step, but with the level next to the end.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdebench._support.registry import register_study
from sdebench.records import Record
from sdebench.studies.base import Found, Study
from sdebench.studies.ends.levels import ENDS
from sdebench.studies.settings import choices, problems, solvers, whole

if TYPE_CHECKING:
    from sdebench.report.section import Section


@dataclass(frozen=True)
class EndsSettings:
    """What a `[[study]]` table may say; `laws` are the problems of one Gaussian on which stochastic methods are measured."""

    laws: tuple[str, ...] = problems("gaussian[schedule=Rectified]")
    problems: tuple[str, ...] = problems("mixture-1d[schedule=Rectified]")
    solvers: tuple[str, ...] = solvers("all")
    ends: tuple[str, ...] = choices(ENDS)
    points: int = whole(64, least=1)
    seed: int = whole(0)


@dataclass(frozen=True)
class EndsCase:
    """One solver at one end of one problem, over all levels."""

    solver: str
    problem: str
    end: str
    seed: int
    points: int


@register_study("ends")
class EndsStudy(Study):
    """The cost of the first step from alpha = 0 and of the last step to sigma = 0."""

    settings, case = EndsSettings, EndsCase

    def cases(self, settings: EndsSettings) -> list[EndsCase]:
        """Every solver whose step can be asked for alone, at both ends of every problem that has them."""
        from sdebench.studies.ends.measure import cases

        return cases(settings)

    def measure(self, case: EndsCase) -> Found:
        """Run one case."""
        from sdebench.studies.ends.measure import measure

        return measure(case)

    def section(self, records: list[Record]) -> "Section":
        """A table of solver x end of states and one of laws, and a figure an end."""
        from sdebench.studies.ends.section import make_section

        return make_section(records)
