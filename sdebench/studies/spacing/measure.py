"""How the spacing study measures."""

from sdebench.catalogue import get_problem, get_solver
from sdebench.records import Claims
from sdebench.studies.base import Found
from sdebench.studies.purity import check_purity
from sdebench.studies.setting import context, setting
from sdebench.studies.spacing import SpacingCase
from sdebench.studies.spacing.tune import on_problem, tune


def measure(case: SpacingCase) -> Found:
    """Run one case.  Raises UsageError for a method that is not pure."""
    problem, solver = get_problem(case.problem), get_solver(case.solver)
    check_purity(solver, setting(case.problem, case.points, case.seed))
    tuned = tune(solver, on_problem(solver, problem, case.points, case.seed), case.budget)
    data = {
        "grid": [row.grid for row in tuned.rows],
        "searched": [row.searched for row in tuned.rows],
        "unseen": [row.unseen for row in tuned.rows],
        "sigmas": [[problem.schedule.rho(t) for t in row.times] for row in tuned.rows],
        "floor": tuned.floor,
    }
    return Found(context(problem), Claims.of(solver), data)
