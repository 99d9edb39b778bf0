"""The floor: at how many steps rounding overtakes truncation, by the dtype of the state.

The model is evaluated in float64 and answers in the dtype of the state, and coefficients are float64 always: what is
measured is the rounding of the state and of the predictions, which no solver can avoid.
"""

from sdebench import grids
from sdebench._support.registry import SOLVERS
from sdebench.catalogue import get_solver
from sdebench.integration.integrate import integrate
from sdebench.networks.problem import DTYPES, dtype_of
from sdebench.studies.base import claims
from sdebench.studies.setting import Ladder, context, setting

KEYS = frozenset({"problems", "solvers", "grid", "dtypes", "points", "seed"})
STEPS = (4, 8, 16, 32, 64, 128, 256, 512, 1024)


def cases(settings: dict) -> list[dict]:
    """The cases of a `[[study]]` table: every deterministic solver on every problem in every dtype."""
    common = {"seed": settings.get("seed", 0), "points": settings.get("points", 64)}
    common["grid"] = settings.get("grid", "uniform_lam")
    grids.get(common["grid"])
    for dtype in settings.get("dtypes", ()):
        dtype_of(dtype)  # refuses one that is none
    return [
        {"study": "floor", "kind": "global", "solver": spec, "problem": problem, "dtype": dtype} | common
        for problem in settings.get("problems", ["mixture-1d"])
        for spec in settings.get("solvers") or SOLVERS.names()
        if not (getattr(get_solver(spec), "adaptive", False) or get_solver(spec).stochastic)
        for dtype in settings.get("dtypes", DTYPES)
    ]


def measure(case: dict) -> dict:
    """Run one case; returns its `context`, `claims` and `data` for the record."""
    at, solver = setting(case["problem"], case["points"], case["seed"]), get_solver(case["solver"])
    dtype = dtype_of(case["dtype"])
    out, x = Ladder(at.model), at.x.to(dtype)
    for n in STEPS:
        times, h = at.grid(case["grid"], n)
        floor = max(at.end.error[-1], at.rounding(n, dtype))
        out.rung(n, h, floor, at.end.states[-1], lambda m, times=times: integrate(solver, m, x, times))
    return {"context": context(at.problem), "claims": claims(solver), "data": out.data}
