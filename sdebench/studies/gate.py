"""The gate: a few deterministic figures of every solver, to notice that its accuracy changed.

Each solver crosses the irregular grid of one problem at two numbers of steps (an adaptive one at two tolerances), from
the same states; kept are the two RMS errors e, the order between them, the error constant `e_2 N_2^p` with p the order
that the solver states for irregular grids, and the number of model calls.

A stochastic solver runs on one white noise, the same on every machine: its "errors" are distances from the states of the
probability flow, which do not fall, but tell of any change.
"""

from collections.abc import Iterable, Iterator
from math import isfinite, log
from typing import Any, NamedTuple

from .. import grids
from ..noise import WhiteNoise
from ..prediction import Counted
from ..records import clean
from ..solver import integrate
from . import base
from .setting import one_thread

PROBLEM, GRID, POINTS, SEED = "mixture-1d", "irregular", 64, 0
STEPS, TOLERANCES = (24, 48), (1e-5, 1e-7)
RTOL, ATOL = 1e-6, 1e-12  # of an error: another processor or library changes the last bits of the states, and no more
ORDER_TOLERANCE = 0.05


class Moved(NamedTuple):
    """A figure that is no longer what it was; `change` in words, None for a figure that is not there."""

    solver: str
    what: str
    before: float | None
    now: float | None
    change: str


def _adaptive(solver: Any) -> bool:
    return bool(getattr(solver, "adaptive", False))


def _errors(solver: Any, problem: Any) -> tuple[list[float], list[int]]:
    """RMS errors at the two settings, and how often the model was called."""
    x, (s, t) = problem.initial(POINTS, SEED), problem.span
    exact, errors, calls = problem.solution(x, s, t), [], []
    noise = WhiteNoise(problem.schedule, tuple(x.shape), SEED) if solver.stochastic else None
    for n, tolerance in zip(STEPS, TOLERANCES):
        sampler = solver.at_tolerance(tolerance) if _adaptive(solver) else solver
        grid = (s, t) if _adaptive(solver) else grids.get(GRID)(problem.schedule, s, t, n)
        model = Counted(problem.model)
        errors.append(float((integrate(sampler, model, x, grid, noise) - exact).square().mean().sqrt()))
        calls.append(model.nfe)
    return errors, calls


def _figures(spec: str, problem: Any) -> dict[str, Any]:
    solver = base.solver(spec)
    try:
        (coarse, fine), calls = _errors(solver, problem)
    except Exception as error:  # a solver that begins to raise has moved too
        lines = f"{type(error).__name__}: {error}".splitlines()
        return {"order": None, "constant": None, "errors": [None, None], "nfe": [None, None], "message": lines[0]}
    work = [1 / tolerance for tolerance in TOLERANCES] if _adaptive(solver) else STEPS
    power = 1 if _adaptive(solver) else 0 if solver.stochastic else solver.order_irregular
    apart = isfinite(coarse) and isfinite(fine) and min(coarse, fine) > ATOL
    order = log(coarse / fine) / log(work[1] / work[0]) if apart and not solver.stochastic else None
    constant = fine * work[1] ** power
    return clean({"order": order, "constant": constant, "errors": [coarse, fine], "nfe": calls, "message": ""})


def measure(names: Iterable[str]) -> dict[str, dict]:
    """The figures of each named solver: `order`, `constant`, `errors`, `nfe`; the same on every run.

    A figure is None where there is none: a solver that raises (`message` says how), diverges, or is exact.
    """
    problem = base.problem(PROBLEM)
    with one_thread():
        return {name: _figures(name, problem) for name in names}


def _moved(before: float | None, now: float | None, rtol: float, atol: float) -> str:
    """How a figure changed, in words, or "" where it stayed."""
    if before is None or now is None:
        return "" if before is now else "gone" if now is None else "appeared"
    if abs(now - before) <= rtol * abs(before) + atol:
        return ""
    return f"{100 * (now / before - 1):+.2g}%" if rtol and before else f"{now - before:+.3g}"


def _compare_one(solver: str, before: dict, now: dict) -> Iterator[Moved]:
    scale = now["constant"] / now["errors"][1] if now["constant"] and now["errors"][1] else 1.0
    figures = [("order", before["order"], now["order"], 0.0, ORDER_TOLERANCE),
               ("constant", before["constant"], now["constant"], RTOL, ATOL * scale),
               *((f"error {i + 1} of 2", before["errors"][i], now["errors"][i], RTOL, ATOL) for i in (0, 1)),
               *((f"NFE {i + 1} of 2", before["nfe"][i], now["nfe"][i], 0.0, 0.0) for i in (0, 1))]  # fmt: skip
    for what, old, new, rtol, atol in figures:
        change = _moved(old, new, rtol, atol)
        if change:
            yield Moved(solver, what, old, new, change)


def compare(before: dict[str, dict], now: dict[str, dict]) -> list[Moved]:
    """What moved from one set of figures to another; a solver that is gone has moved, one that is new has not."""
    found = []
    for solver, figures in before.items():
        if solver in now:
            found += _compare_one(solver, figures, now[solver])
        else:
            found.append(Moved(solver, "solver", None, None, "gone"))
    return found
