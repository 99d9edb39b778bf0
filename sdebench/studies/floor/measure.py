"""How the floor study measures."""

from sdebench.catalogue import get_solver
from sdebench.integration.integrate import integrate
from sdebench.networks.problem import dtype_of
from sdebench.records import Claims
from sdebench.studies.base import Found
from sdebench.studies.floor import FloorCase
from sdebench.studies.purity import check_purity
from sdebench.studies.setting import Ladder, context, setting

STEPS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)


def measure(case: FloorCase) -> Found:
    """Run one case.  Raises UsageError for a method that is not pure."""
    at, solver = setting(case.problem, case.points, case.seed), get_solver(case.solver)
    check_purity(solver, at)
    dtype = dtype_of(case.dtype)
    out, x = Ladder(at.model), at.x.to(dtype)
    for n in STEPS:
        times, h = at.grid(case.grid, n)
        floor = max(at.end.error[-1], at.rounding(n, dtype))
        out.rung(n, h, floor, at.end.states[-1], lambda m, times=times: integrate(solver, m, x, times))  # type: ignore[misc]  # a lambda that binds a loop variable
    return Found(context(at.problem), Claims.of(solver), out.data)
