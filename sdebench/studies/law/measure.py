"""How the law study measures."""

import warnings
from math import nan
from time import perf_counter
from typing import NamedTuple

from sdebench import grids
from sdebench.catalogue import get_problem, get_solver
from sdebench.integration.solver import Sampler, Solver
from sdebench.integration.tableau import tableau
from sdebench.laws.chain import chain_law
from sdebench.laws.coupling import coupled_distances
from sdebench.laws.distances import gaussian_kl, gaussian_wasserstein2, kl, wasserstein2
from sdebench.laws.feasible import kind_of, why_not
from sdebench.laws.gaussian import law_of
from sdebench.problems import Problem
from sdebench.problems.guided_flow import check_has_law
from sdebench.records import Claims
from sdebench.studies.base import Found, tell_left_out
from sdebench.studies.law import LawCase, LawSettings
from sdebench.studies.setting import Setting, calls, context, setting
from sdebench.studies.work_precision.measure import steps_for

_KEPT = ("n", "h", "nfe", "w2", "kl", "seconds", "floor")
_QUADRATURE = 1e-9  # what the quadrature of a chain's law may be off by


class Rung(NamedTuple):
    """Of one run: Wasserstein-2 and KL of its law from the exact marginal, nan where the law is not resolved; network
    evaluations, and how long the distances took."""

    w2: float
    kl: float
    nfe: int
    seconds: float


def cases(settings: LawSettings) -> list[LawCase]:
    """Every solver on every problem and grid; where its law cannot be computed it is left out, with a warning.

    Raises UsageError where no law can be computed.
    """
    out: list[LawCase] = []
    left: dict[str, dict[str, str]] = {}
    for name in settings.problems:
        problem = get_problem(name)
        check_has_law(problem)
        kind = kind_of(problem)
        for spec in settings.solvers:
            why = why_not(get_solver(spec), problem)
            if why:
                left.setdefault(name, {})[spec] = why
            else:
                out += [LawCase(kind, spec, name, grid, "float64", settings.seed, settings.budgets) for grid in settings.grids]
    _tell(left, bool(out))
    return out


def _tell(left: dict[str, dict[str, str]], anything: bool) -> None:
    """Warn of the solvers that are left out of each problem, problem -> {solver: why}; raise UsageError if all are."""
    if not anything:
        tell_left_out(
            (
                f"solver {spec!r} has no law on {name!r} ({why}): give another"
                for name, its in left.items()
                for spec, why in its.items()
            ),
            anything,
        )
    for name, its in left.items():
        have = "1 solver has" if len(its) == 1 else f"{len(its)} solvers have"
        reasons = (f"{', '.join(s for s in its if its[s] == why)} ({why})" for why in dict.fromkeys(its.values()))
        warnings.warn(f"study law: {have} no exact law on {name!r}, left out: {'; '.join(reasons)}", stacklevel=3)


def _gaussian(solver: Solver | Sampler, problem: Problem, grid: grids.Grid) -> Rung:
    begun, exact = perf_counter(), problem.law.marginal(problem.schedule, grid[-1])
    table = tableau(solver, problem.schedule, grid, gamma=problem.model.gamma)
    found, wanted = law_of(table, problem.law), (exact.mean(), exact.cov())  # type: ignore[arg-type]  # a Gaussian, or a law on the line
    return Rung(gaussian_wasserstein2(found, wanted), gaussian_kl(found, wanted), table.nfe, perf_counter() - begun)


def _quadrature(solver: Solver | Sampler, problem: Problem, grid: grids.Grid) -> Rung:
    begun = perf_counter()
    try:
        w2, divergence = (_of_chain if solver.stochastic else coupled_distances)(solver, problem, grid)
    except RuntimeError:  # a coarse run folds the line, or has a kernel too narrow to resolve
        w2 = divergence = nan
    seconds = perf_counter() - begun
    return Rung(w2, divergence, calls(solver, problem, grid), seconds)


def _of_chain(solver: Solver | Sampler, problem: Problem, grid: grids.Grid) -> tuple[float, float]:
    found, exact = chain_law(solver, problem, grid), problem.law.marginal(problem.schedule, grid[-1])
    return wasserstein2(found, exact), kl(found, exact)  # type: ignore[arg-type]  # a Gaussian, or a law on the line


_RUNGS = {"gaussian": _gaussian, "quadrature": _quadrature}


def _over_budgets(solver: Solver | Sampler, at: Setting, case: LawCase) -> dict:
    rough = case.kind == "quadrature" and solver.stochastic
    rows = []
    for n in steps_for(solver, case.budgets):
        grid, h = at.grid(case.grid, n)
        found = _RUNGS[case.kind](solver, at.problem, grid)
        rows.append({"n": n, "h": h} | found._asdict() | {"floor": max(at.rounding(n), _QUADRATURE * rough)})
    data = {key: [row[key] for row in rows] for key in _KEPT}
    return data | {"rms": data["w2"]}  # under the name that every reader of errors knows


def measure(case: LawCase) -> Found:
    """Run one case."""
    at, solver = setting(case.problem, 1, case.seed), get_solver(case.solver)
    return Found(context(at.problem), Claims.of(solver), _over_budgets(solver, at, case))
