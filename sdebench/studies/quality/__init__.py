"""Sample quality of trained networks against network evaluations, with the error to the exact trajectory beside it.

    data        the yardstick: the statistics of the images themselves, and the distance of their test part
    error       deterministic solvers: RMS error to the converged trajectory from the same noise, over a ladder of budgets;
                of a student (`student.py`), to its teacher's, within the budgets alone
    samples     a chunk of the samples of (solver, grid, budget): statistics of their features; samples are not kept
    pictures    the first samples of every budget, as pixels; without a solver, those of the converged trajectory

A budget is a number of network evaluations (NFE): a run takes as many steps as fit into it, and its record says what was
counted.  More samples are more chunks: those that are held stay.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sdebench._support.registry import register_study
from sdebench.records import Record
from sdebench.studies.base import Found, Study
from sdebench.studies.dtypes import NETWORK_DTYPES
from sdebench.studies.settings import choice, choices, grids, names, solvers, whole, wholes

if TYPE_CHECKING:
    from sdebench.report.section import Section

KINDS = ("pictures", "data", "samples", "error")
SOLVERS = ("ddim", "dpm-solver++-2m", "unipc-3", "heun-edm")
BUDGETS = (5, 10, 20, 50)
BEYOND = (64, 96, 128, 192)  # further budgets of the error study, for its order
FEWEST = 10  # samples of a case, for neighbours and covariances


@dataclass(frozen=True)
class QualitySettings:
    """What a `[[study]]` table may say; `budgets` and `ladder` are network evaluations, `chunk` the samples of a case.

    `features` and `data` are found by the network's card where they are "".
    """

    models: tuple[str, ...] = names("digits")
    solvers: tuple[str, ...] = solvers(*SOLVERS)
    grids: tuple[str, ...] = grids("uniform_lam")
    budgets: tuple[int, ...] = wholes(BUDGETS, most=100_000)
    ladder: tuple[int, ...] = wholes(BEYOND, most=100_000)
    samples: int = whole(1000, least=FEWEST)
    chunk: int = whole(500, least=FEWEST, most=100_000)
    features: str = ""
    data: str = ""
    dtypes: tuple[str, ...] = choices(NETWORK_DTYPES, ("float32",))
    reference: str = choice(("float64", "float32"), "float64")
    device: str = "cpu"
    seed: int = whole(0)
    points: int = whole(32, least=1, most=100_000)
    kinds: tuple[str, ...] = choices(KINDS)


@dataclass(frozen=True)
class QualityCase:
    """One case of one kind on one network; the fields that a kind has no use for are None."""

    model: str
    model_sha256: str
    device: str
    seed: int
    features: str
    data: str
    data_sha256: str
    kind: str
    solver: str | None = None
    grid: str | None = None
    dtype: str | None = None
    ladder: tuple[int, ...] | None = None
    budgets: tuple[int, ...] | None = None
    budget: int | None = None
    chunk: int | None = None
    first: int | None = None
    size: int | None = None
    points: int | None = None
    reference: str | None = None


@register_study("quality")
class QualityStudy(Study):
    """Errors and sample quality on trained networks."""

    settings, case = QualitySettings, QualityCase

    def cases(self, settings: QualitySettings) -> list[QualityCase]:
        """The long ones first; what cannot be run is left out, with a warning."""
        from sdebench.studies.quality.measure import cases

        return cases(settings)

    def count(self, settings: QualitySettings) -> int:
        """Samples are cut into chunks, and a ladder is one case."""
        chunks = -(-settings.samples // settings.chunk)
        return super().count(replace(settings, ladder=None)) * chunks

    def measure(self, case: QualityCase) -> Found:
        """Run one case."""
        from sdebench.studies.quality.measure import measure

        return measure(case)

    def code(self, case: QualityCase) -> Iterable[Any]:
        """The solver and the grid, and what a network of one's own is made by; its weights are named in the case."""
        from sdebench.networks.loading import get_factory

        return [*super().code(case), *get_factory(case.model)]

    def section(self, records: list[Record]) -> "Section | None":
        """For each network its errors, its distances and its pictures."""
        from sdebench.studies.quality.section import make_section

        return make_section(records)
