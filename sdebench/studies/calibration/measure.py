"""How the calibration study makes its cases and measures them."""

from dataclasses import fields
from functools import lru_cache
from itertools import cycle, islice
from typing import Any

from sdebench.catalogue import get_solver
from sdebench.integration.solver import Method
from sdebench.problems.random import random_problem
from sdebench.records import WHOLE_RUNS, Claims
from sdebench.studies.base import Found
from sdebench.studies.calibration import CalibrationCase, CalibrationSettings
from sdebench.studies.calibration.expected import expected_order
from sdebench.studies.order.judge import CONFIRMED, judge
from sdebench.studies.order.measure import kinds_of, measure_kind
from sdebench.studies.setting import Setting, context

_KEPT = ("n", "h", "rms", "median", "weighted", "floor", "lost", "angles", "parts", "points", "original")


def _in_turn(names: tuple[str, ...], place: int, each: int) -> list[str]:
    """`each` of the names for the problem of that place: over the problems all have their turn."""
    start = place * each % len(names)
    return list(dict.fromkeys(islice(cycle(names), start, start + min(each, len(names)))))


def cases(settings: CalibrationSettings) -> list[CalibrationCase]:
    """Those of each problem together."""
    out = []
    for place in range(settings.problems):
        seed, noise = settings.first + place, place % 3 == 2
        for name in _in_turn(settings.solvers, place, settings.each):
            solver = get_solver(name)
            claim = solver.claimed_order if settings.broken else None
            for kind in (k for k in settings.kinds if k in kinds_of(solver)):
                for grid in settings.grids if kind in WHOLE_RUNS else ("",):
                    out.append(CalibrationCase(kind, name, grid, seed, noise, settings.points, claim))
    return out


@lru_cache(maxsize=2)
def _setting(seed: int, noise: bool, points: int) -> Setting:
    return Setting(random_problem(seed, noise), points, seed)


def measure(case: CalibrationCase) -> Found:
    """Run one case."""
    solver, at = get_solver(case.solver), _setting(case.random, case.noise, case.points)
    data = measure_kind(solver, at, case.kind, case.grid)
    if case.claim is not None and judge(case.kind, data).verdict(_held(solver, case)) == CONFIRMED:
        data |= _beside(solver, at, case)
    about = context(at.problem) | {
        "law": type(at.problem.law).__name__,
        "lams": [at.problem.schedule.lam(t) for t in at.problem.span],
    }
    return Found(about, Claims.of(solver), {key: data[key] for key in _KEPT if key in data})


def _held(solver: Method, case: CalibrationCase) -> float | None:
    return expected_order(Claims.of(solver), case.kind, case.grid, case.claim)


def _beside(solver: Method, at: Setting, case: CalibrationCase) -> dict:
    """The ladder of the method that a broken one is made of: to see whether what is broken shows here."""
    base: Any = type(solver).__bases__[0]
    if not base.__module__.startswith("sdebench.solvers.") or base.__name__.startswith("_"):
        return {}
    original = base(**{field.name: getattr(solver, field.name) for field in fields(base)})
    data = measure_kind(original, at, case.kind, case.grid)
    return {"original": {key: data[key] for key in ("h", "rms", "floor")}}
