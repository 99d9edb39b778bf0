"""The family of processes with equal marginals: one law for every amount of noise `eta`, until it is discretised.

    fokker-planck  residual of the exact density under the drift of each eta, and under the drift that the survey prints
    distance       distance of Euler-Maruyama's law from the exact marginal, over time, for each eta at equal NFE
    amount         the same at the end of the span, against eta
    forward        how far the marginals of the forward chains (DDPM, NCSN, Euler-Maruyama) are from those of the SDE
    paths          data to noise by the forward SDE, and back from there by the member of the family with noise eta

`eta` is a multiple of g: 0 is the probability flow, 1 the reverse SDE.  Laws are those of quadrature (`sdebench.laws.chain`),
begun with the exact marginal, which leaves the error of the steps alone, and with the normal law that one begins with where
the marginal is not known, which shows what noise is for: it forgets the error of the start, and the flow keeps it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sdebench._support.errors import UsageError, shown
from sdebench._support.registry import register_study
from sdebench.records import Record
from sdebench.studies.base import Found, Study, named_by
from sdebench.studies.settings import LISTED, choices, grid, optional, problems, whole, wholes

if TYPE_CHECKING:
    from sdebench.report.section import Section

KINDS = ("fokker-planck", "distance", "amount", "forward", "paths")
ETAS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
AMOUNTS = {
    "euler-maruyama": (0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
    "ddim-eta": (0.0, 0.125, 0.25, 0.5, 0.75, 1.0),
}
WITHOUT_NOISE = {"euler-maruyama": "euler-t", "ddim-eta": "ddim"}  # what each is at eta = 0, as a deterministic method
STARTS = ("exact", "normal")
CHAINS = {
    "VPLinear": ("ddpm-exact", "ddpm-integral", "ddpm-left", "ddpm-right", "euler-maruyama"),
    "VPCosine": ("ddpm-exact", "ddpm-integral", "ddpm-left", "ddpm-right", "euler-maruyama"),
    "VE": ("ncsn", "euler-maruyama"),
    "Rectified": ("euler-maruyama",),
}
_MOST_ETA = 1000.0
TIMES, KEPT = 8, 64  # times at which distances are taken, and steps of a path that are kept


def _read_etas(value: Any, name: str) -> tuple[float, ...]:
    etas = value if isinstance(value, list | tuple) else [value]
    if not 0 < len(etas) <= LISTED or not all(type(e) in (int, float) and 0 <= e <= _MOST_ETA for e in etas):
        raise UsageError(f"{name} is {shown(value)}: give numbers, 0 or more, {_MOST_ETA:g} at most, multiples of g")
    return tuple(float(e) for e in etas)


@dataclass(frozen=True)
class FamilySettings:
    """What a `[[study]]` table may say; what is left out has a default of its own in each kind."""

    kinds: tuple[str, ...] = choices(KINDS)
    problems: tuple[str, ...] | None = optional(problems())
    solvers: tuple[str, ...] = choices(AMOUNTS)
    etas: tuple[float, ...] | None = field(default=None, metadata={"read": _read_etas})
    grid: str = grid()
    budgets: tuple[int, ...] = wholes((8, 16, 32, 64), most=100_000)
    steps: int | None = optional(whole(0, least=1, most=100_000))
    points: int | None = optional(whole(0, least=1, most=10_000))
    seed: int = whole(0)


@dataclass(frozen=True)
class FamilyCase:
    """One case of one kind; the fields that a kind has no use for are None."""

    kind: str
    problem: str | None = None
    solver: str | None = None
    drift: str | None = None
    eta: float | None = None
    start: str | None = None
    grid: str | None = None
    budgets: tuple[int, ...] | None = None
    chain: str | None = None
    schedule: str | None = None
    steps: int | None = None
    points: int | None = None
    seed: int | None = None


def spec_of(case: FamilyCase) -> str:
    """The solver of a case: with its amount of noise, or the deterministic method that it is without."""
    return WITHOUT_NOISE[str(case.solver)] if case.eta == 0 else f"{case.solver}[eta={case.eta!r}]"


@register_study("family")
class FamilyStudy(Study):
    """One law for every amount of noise, and what a solver makes of it."""

    settings, case = FamilySettings, FamilyCase

    def cases(self, settings: FamilySettings) -> list[FamilyCase]:
        """The cases of every kind asked for."""
        makers = {
            "fokker-planck": _fokker_planck,
            "distance": _distance,
            "amount": _amount,
            "forward": _forward,
            "paths": _paths,
        }
        return [case for kind in settings.kinds for case in makers[kind](settings)]

    def measure(self, case: FamilyCase) -> Found:
        """Run one case."""
        from sdebench.studies.family.measure import measure

        return measure(case)

    def code(self, case: FamilyCase) -> Iterable[Any]:
        """The solver as it is run, the problem and the grid."""
        return named_by(replace(case, solver=spec_of(case)) if case.solver and case.kind != "paths" else case)

    def section(self, records: list[Record]) -> "Section":
        """Tables and figures of each kind."""
        from sdebench.studies.family.section import make_section

        return make_section(records)


def _one_dimensional(settings: FamilySettings) -> tuple[str, ...]:
    from sdebench.catalogue import get_problem
    from sdebench.problems import GaussianMixture

    names = settings.problems or ("mixture-1d",)
    for name in names:
        problem = get_problem(name)
        if problem.dim != 1 or not isinstance(problem.law, GaussianMixture):
            raise UsageError(f"problem {name!r} is not a mixture in one dimension: give one, as 'mixture-1d'")
    return names


def _steps(settings: FamilySettings, default: int, of: int) -> int:
    steps = default if settings.steps is None else settings.steps
    if steps % of:
        raise UsageError(f"steps is {steps}: give a multiple of {of}")
    return steps


def _fokker_planck(settings: FamilySettings) -> list[FamilyCase]:
    points = settings.points or 200
    members = [("family", eta) for eta in settings.etas or ETAS] + [("printed", 1.0)]
    return [
        FamilyCase("fokker-planck", name, drift=drift, eta=eta, points=points, seed=settings.seed)
        for name in settings.problems or ("mixture-1d", "mixture-2d")
        for drift, eta in members
    ]


def _distance(settings: FamilySettings) -> list[FamilyCase]:
    steps = _steps(settings, 32, TIMES)
    return [
        FamilyCase("distance", name, "euler-maruyama", eta=eta, start=start, grid=settings.grid, steps=steps)
        for name in _one_dimensional(settings)
        for start in STARTS
        for eta in settings.etas or ETAS
    ]


def _amount(settings: FamilySettings) -> list[FamilyCase]:
    return [
        FamilyCase("amount", name, spec, eta=eta, start=start, grid=settings.grid, budgets=settings.budgets)
        for name in _one_dimensional(settings)
        for spec in settings.solvers
        for start in STARTS
        for eta in settings.etas or AMOUNTS[spec]
        if eta <= max(AMOUNTS[spec])
    ]


def _forward(settings: FamilySettings) -> list[FamilyCase]:
    return [FamilyCase("forward", chain=chain, schedule=schedule) for schedule, chains in CHAINS.items() for chain in chains]


def _paths(settings: FamilySettings) -> list[FamilyCase]:
    steps = _steps(settings, 256, KEPT)
    return [
        FamilyCase("paths", name, "euler-maruyama", eta=eta, steps=steps, points=settings.points or 40, seed=settings.seed)
        for name in _one_dimensional(settings)
        for eta in settings.etas or (0.0, 1.0)
    ]
