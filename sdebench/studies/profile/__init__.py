"""What a step costs beside the network: solver x executor x batch x dtype x device, on a null model, an exact one, a network.

One case is one of them all; `repeats` makes it several times, far apart, for the machine's slow hours.  Cases are not to be
measured beside each other: `sdebench run` does not, where a suite has this study.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdebench._support.processes import most_threads
from sdebench._support.registry import PROBLEMS, register_study, split_spec
from sdebench.records import Record
from sdebench.studies.base import Found, Study, named_by, problem_factory
from sdebench.studies.dtypes import NETWORK_DTYPES
from sdebench.studies.settings import choices, flags, grid, names, real, solvers, whole, wholes

if TYPE_CHECKING:
    from sdebench.report.section import Section

SOLVERS = ("ddim", "dpm-solver++-2m", "dpm-solver++-3m", "unipc-3", "heun-edm")
BATCHES = (1, 16, 256)


@dataclass(frozen=True)
class ProfileSettings:
    """What a `[[study]]` table may say; `models` are "null", problems, networks; `seconds` is how long a case is timed."""

    models: tuple[str, ...] = names("null")
    solvers: tuple[str, ...] = solvers(*SOLVERS)
    executors: tuple[str, ...] = choices(("eager", "fused", "graph"), ("eager", "fused"))
    batches: tuple[int, ...] = wholes(BATCHES, most=1_000_000)
    dtypes: tuple[str, ...] = choices(NETWORK_DTYPES, ("float32",))
    devices: tuple[str, ...] = names("cpu")
    compiled: tuple[bool, ...] = flags(False)
    threads: int = whole(1, least=1, most=most_threads())
    grid: str = grid()
    steps: int = whole(20, least=1, most=100_000)
    seed: int = whole(0)
    repeats: int = whole(1, least=1, most=1000)
    seconds: float = real(1.0, least=0.0, most=3600.0)


@dataclass(frozen=True)
class ProfileCase:
    """One solver by one executor on one model, batch, dtype and device."""

    machine: str
    repeat: int
    model: str
    dtype: str
    device: str
    compiled: bool
    batch: int
    solver: str
    executor: str
    threads: int
    grid: str
    steps: int
    seed: int
    seconds: float


@register_study("profile")
class ProfileStudy(Study):
    """The time, memory and kernels of a step."""

    settings, case, alone = ProfileSettings, ProfileCase, True

    def cases(self, settings: ProfileSettings) -> list[ProfileCase]:
        """Those that are compared one after the other; what cannot be run is left out, with a warning."""
        from sdebench.studies.profile.measure import cases

        return cases(settings)

    def count(self, settings: ProfileSettings) -> int:
        """Everything is measured so many times."""
        return super().count(settings) * settings.repeats

    def measure(self, case: ProfileCase) -> Found:
        """Run one case."""
        from sdebench.studies.profile.measure import measure

        return measure(case)

    def code(self, case: ProfileCase) -> Iterable[Any]:
        """The solver, the grid, the executor, and the problem of an exact model."""
        from sdebench.integration.integrate import find_executor

        name = split_spec(case.model)[0]
        problem = [problem_factory(case.model)] if name in PROBLEMS.names() else []
        return [*named_by(case), find_executor(case.executor), *problem]

    def section(self, records: list[Record]) -> "Section | None":
        """Where the time of a step goes."""
        from sdebench.studies.profile.section import make_section

        return make_section(records)
