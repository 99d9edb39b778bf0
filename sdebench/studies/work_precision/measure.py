"""How the work-precision study measures."""

from dataclasses import replace
from functools import partial
from typing import Any

from sdebench import grids
from sdebench.catalogue import get_problem, get_solver
from sdebench.integration.ends import at_no_end
from sdebench.integration.integrate import integrate
from sdebench.integration.solver import Sampler, Solver
from sdebench.records import Claims
from sdebench.studies.base import Found, check_size
from sdebench.studies.order.measure import kinds_of, run_at_tolerance, tolerances
from sdebench.studies.purity import check_purity
from sdebench.studies.setting import Ladder, Setting, context, setting
from sdebench.studies.work_precision import WorkPrecisionCase, WorkPrecisionSettings

_INSIDE = 2.0  # lam


def steps_for(solver: Solver | Sampler, budgets: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of steps that fit the budgets, each once; a budget below one step, or below the tail's, is left out."""
    least = len(solver.closing) + 1
    return tuple(dict.fromkeys(n for n in (b // solver.nfe_per_step for b in budgets) if n >= least))


def cases(settings: WorkPrecisionSettings) -> list[WorkPrecisionCase]:
    """Every deterministic solver: of a stochastic one the states have no exact ones to be compared with."""
    out = []
    for problem in settings.problems:
        check_size(settings.points, get_problem(problem).dim, "points")
        for spec in settings.solvers:
            solver = get_solver(spec)
            common: dict[str, Any] = {"dtype": "float64", "seed": settings.seed, "points": settings.points}
            if solver.stochastic:
                continue
            if "tolerance" in kinds_of(solver):
                out.append(WorkPrecisionCase(spec, problem, "tolerance", "", **common))
            if not solver.adaptive:
                out += [
                    WorkPrecisionCase(spec, problem, "nfe", grid, budgets=settings.budgets, **common) for grid in settings.grids
                ]
    return out


def _reaches_an_end(at: Setting) -> bool:
    """Whether the span begins at alpha = 0 or ends at sigma = 0."""
    return not at_no_end(at.problem.schedule, at.problem.span)


def _inside(at: Setting) -> Setting:
    """The same problem where lam is finite: that is where a method is asked whether it is pure."""
    ns = at.problem.schedule
    return Setting(replace(at.problem, span=(ns.t(-_INSIDE), ns.t(_INSIDE))), at.points, at.seed)


def _grid(at: Setting, family: str, n: int) -> tuple[grids.Grid, float]:
    """(grid of n steps over the span, mean step in lam; in t where lam is infinite)"""
    if not _reaches_an_end(at):
        return at.grid(family, n)
    s, t = at.problem.span
    return grids.get(family)(at.problem.schedule, s, t, n), (s - t) / n


def _over_budgets(solver: Solver | Sampler, at: Setting, grid: str, budgets: tuple[int, ...]) -> dict:
    out = Ladder(at.model)
    for n in steps_for(solver, budgets):
        times, h = _grid(at, grid, n)
        floor = max(at.end.error[-1], at.rounding(n))
        out.rung(n, h, floor, at.end.states[-1], lambda m, times=times: integrate(solver, m, at.x, times))  # type: ignore[misc]  # a lambda that binds a loop variable
    return out.data


def _over_tolerances(solver: Solver | Sampler, at: Setting) -> dict:
    out, (s, t) = Ladder(at.model), at.problem.span
    floor = max(at.end.error[-1], at.rounding(64))
    for tol in tolerances(solver.order):
        out.rung(0, tol, floor, at.end.states[-1], partial(run_at_tolerance, solver, at.x, s, t, tol))
    return out.data | {"tolerance": out.data["h"]}


def measure(case: WorkPrecisionCase) -> Found:
    """Run one case.  Raises UsageError for a method that is not pure."""
    at, solver = setting(case.problem, case.points, case.seed), get_solver(case.solver)
    check_purity(solver, _inside(at) if _reaches_an_end(at) else at)
    data = _over_budgets(solver, at, case.grid, case.budgets) if case.budgets else _over_tolerances(solver, at)
    return Found(context(at.problem), Claims.of(solver), data)
