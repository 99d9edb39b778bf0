"""Work-precision: error against network evaluations (as counted) and against time.

nfe        a fixed grid, over budgets of evaluations that every method spends as nearly as its cost a step allows
tolerance  adaptive methods, over their tolerance
"""

from sdebench import grids
from sdebench._support.registry import SOLVERS
from sdebench.catalogue import get_solver
from sdebench.integration.integrate import integrate
from sdebench.integration.solver import Sampler, Solver
from sdebench.studies.base import claims
from sdebench.studies.order.measure import kinds_of, run_at_tolerance, tolerances
from sdebench.studies.setting import Ladder, Setting, context, setting

KEYS = frozenset({"problems", "solvers", "grids", "budgets", "points", "seed"})
BUDGETS = (4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)


def steps_for(solver: Solver | Sampler, budgets: tuple[int, ...]) -> tuple[int, ...]:
    """The numbers of steps that fit the budgets, each once; a budget below one step, or below the tail's, is left out."""
    least = len(solver.closing) + 1
    return tuple(dict.fromkeys(n for n in (b // solver.nfe_per_step for b in budgets) if n >= least))


def cases(settings: dict) -> list[dict]:
    """The cases of a `[[study]]` table: every deterministic solver on every problem and grid; adaptive ones over tolerances."""
    common = {"dtype": "float64", "seed": settings.get("seed", 0), "points": settings.get("points", 64)}
    budgets = list(settings.get("budgets", BUDGETS))
    out = []
    for problem in settings.get("problems", ["mixture-2d"]):
        for spec in settings.get("solvers") or SOLVERS.names():
            solver = get_solver(spec)
            if solver.stochastic:  # its states have no exact ones to be compared with: study "law" has its error
                continue
            head = {"study": "work-precision", "solver": spec, "problem": problem} | common
            if "tolerance" in kinds_of(solver):
                out.append(head | {"kind": "tolerance", "grid": ""})
            if isinstance(solver, Solver) or not solver.adaptive:
                out += [head | {"kind": "nfe", "grid": grid, "budgets": budgets} for grid in _families(settings)]
    return out


def _families(settings: dict) -> list[str]:
    for grid in settings.get("grids", ["uniform_lam"]):
        grids.get(grid)  # says so where there is none
    return settings.get("grids", ["uniform_lam"])


def _over_budgets(solver: Solver | Sampler, at: Setting, grid: str, budgets: tuple[int, ...]) -> dict:
    out = Ladder(at.model)
    for n in steps_for(solver, budgets):
        times, h = at.grid(grid, n)
        floor = max(at.end.error[-1], at.rounding(n))
        out.rung(n, h, floor, at.end.states[-1], lambda m, times=times: integrate(solver, m, at.x, times))
    return out.data


def _over_tolerances(solver: Solver | Sampler, at: Setting) -> dict:
    out, (s, t) = Ladder(at.model), at.problem.span
    floor = max(at.end.error[-1], at.rounding(64))
    for tol in tolerances(solver.order):
        out.rung(0, tol, floor, at.end.states[-1], lambda m, tol=tol: run_at_tolerance(solver, m, at.x, s, t, tol))
    return out.data | {"tolerance": out.data["h"]}


def measure(case: dict) -> dict:
    """Run one case; returns its `context`, `claims` and `data` for the record."""
    at, solver = setting(case["problem"], case["points"], case["seed"]), get_solver(case["solver"])
    if case["kind"] == "nfe":
        data = _over_budgets(solver, at, case["grid"], tuple(case["budgets"]))
    else:
        data = _over_tolerances(solver, at)
    return {"context": context(at.problem), "claims": claims(solver), "data": data}
