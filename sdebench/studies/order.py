"""The order study: local and global order, and for multistep methods main scheme, start-up and end point.

    local      error of ONE step of length h from an exact state, with an exact and unequally spaced past
    global     error of a whole run, over the number of steps, on each grid family
    main       the same from exact starting values: the main scheme without its start-up
    start-up   error after the first `memory` steps from an exact state, with no past
    end-point  error of the last step alone, with an exact past
    tolerance  error of an adaptive run against its tolerance
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from time import perf_counter

from torch import Tensor

from .. import grids
from ..catalogue import get_problem, get_solver
from ..errors import UsageError, near_miss
from ..fit import Fit, fit_order, verdict
from ..prediction import Counted
from ..problems import Problem
from ..registry import SOLVERS
from ..solver import Node, Sampler, Solver, integrate, integrate_adaptive
from .setting import LOCAL_STEPS, Setting, chosen_solvers, claims, context, error_norms, setting

KEYS = frozenset({"problems", "solvers", "grids", "kinds", "points", "seed"})
PIECES = ("main", "start-up", "end-point")
KINDS = ("local", "global", *PIECES, "tolerance")
PIECE_GRID = "irregular"  # the strictest: wrong variable-step coefficients show


def ladder(order: int, nfe: int) -> tuple[int, ...]:
    """Numbers of steps for a global study of a method of that order and cost; multiples of 4, so irregular grids stay similar.

    Multistep methods get long ladders: their constants are large, and where a start-up of low order ends with a main scheme
    of high order, the order of the run shows only once the main scheme's larger but faster term has fallen below it.
    """
    if order <= 3 and nfe == 1:
        return (64, 96, 128, 192, 256, 384, 512)
    if order <= 2 or (order <= 5 and nfe == 1):
        return (32, 48, 64, 96, 128, 192, 256)
    return (16, 24, 32, 48, 64, 96, 128) if order <= 5 else (2, 3, 4, 5, 6, 8, 10, 12)


def tolerances(order: int) -> tuple[float, ...]:
    """Tolerances that a pair of that order reaches in some thousand steps at most."""
    first, last = {2: (3, 10), 3: (4, 13)}.get(order, (6, 18))
    return tuple(10.0 ** (-k / 2) for k in range(first, last + 1))


class _Ladder:
    """Collects the rungs of one case."""

    def __init__(self):
        self.data: dict[str, list] = {k: [] for k in ("n", "h", "nfe", "rms", "median", "max", "seconds", "floor")}

    def rung(self, n: int, h: float, floor: float, exact: Tensor, run: Callable[[Counted], Tensor], model) -> None:
        """Run once and keep the errors against `exact`, which are known to `floor`."""
        counted = Counted(model)
        start = perf_counter()
        x = run(counted)
        seconds = perf_counter() - start
        values = {"n": n, "h": h, "nfe": counted.nfe, "seconds": seconds, "floor": floor} | error_norms(x, exact)
        for key, value in values.items():
            self.data[key].append(value)


def _grid_of(at: Setting, family: str, n: int) -> tuple[tuple[float, ...], float]:
    """(grid over the span, mean step in lam)"""
    ns, (s, t) = at.problem.schedule, at.problem.span
    return grids.get(family)(ns, s, t, n), (ns.lam(t) - ns.lam(s)) / n


def _nodes(model, times, states) -> tuple[Node, ...]:
    """Nodes at exact states, newest first when the times rise."""
    return tuple(Node(t, model(x, t)) for t, x in zip(times, states))


def _local(solver: Solver | Sampler, at: Setting, grid: str) -> dict:
    out, one = _Ladder(), _main(solver)
    for h in LOCAL_STEPS:
        times, exact = at.local_rung(h)
        s, t = times[:2]
        past = _nodes(at.model, times[2 : 2 + solver.memory], exact.states[2 : 2 + solver.memory])
        x_s = exact.states[0]
        if isinstance(one, Solver):
            run = lambda m: one.step(m, x_s, s, t, past).x  # noqa: E731
        else:
            run = lambda m: one.sample(m, x_s, (s, t))  # noqa: E731
        out.rung(1, h, max(exact.error[1], at.rounding(1)), exact.states[1], run, at.model)
    return out.data


def _main(solver: Solver | Sampler) -> Solver | Sampler:
    """The method that crosses an inner interval."""
    return getattr(solver, "body", None) or _on_grid(solver)


def _on_grid(solver: Solver | Sampler) -> Solver | Sampler:
    """An adaptive black box made to take exactly the steps of a grid; others are what they are."""
    return solver.fixed() if isinstance(solver, Sampler) and solver.adaptive else solver


def _global(solver: Solver | Sampler, at: Setting, grid: str) -> dict:
    out, run = _Ladder(), _on_grid(solver)
    for n in ladder(solver.order, solver.nfe_per_step):
        times, h = _grid_of(at, grid, n)
        floor = max(at.end.error[-1], at.rounding(n))
        out.rung(n, h, floor, at.end.states[-1], lambda m, times=times: integrate(run, m, at.x, times), at.model)
    return out.data


def _cross(solver: Solver, model, x: Tensor, times, past: tuple[Node, ...]) -> Tensor:
    for s, t in pairwise(times):
        x, past, _ = solver.step(model, x, s, t, past)
    return x


def _from_exact_start(solver: Solver, at: Setting, grid: str) -> dict:
    out, k = _Ladder(), solver.memory
    for n in ladder(solver.main_order, solver.nfe_per_step):
        times, h = _grid_of(at, grid, n)
        exact = at.states(times[: k + 1])
        past = _nodes(at.model, times[:k][::-1], exact.states[:k][::-1])
        floor = max(at.end.error[-1], exact.error[-1], at.rounding(n))
        run = lambda m, x=exact.states[k], times=times, past=past: _cross(solver, m, x, times[k:], past)  # noqa: E731
        out.rung(n, h, floor, at.end.states[-1], run, at.model)
    return out.data


def _start_up(solver: Solver, at: Setting, grid: str) -> dict:
    out, k = _Ladder(), solver.memory
    for n in ladder(2, 1):
        times, h = _grid_of(at, grid, n)
        exact = at.states(times[: k + 1])
        run = lambda m, times=times: _cross(solver, m, at.x, times[: k + 1], ())  # noqa: E731
        out.rung(n, h, max(exact.error[-1], at.rounding(k)), exact.states[-1], run, at.model)
    return out.data


def _end_point(solver: Solver | Sampler, at: Setting, grid: str) -> dict:
    out, k = _Ladder(), solver.memory
    last = solver if isinstance(solver, Solver) else solver.tail[-1]
    for n in ladder(solver.main_order, solver.nfe_per_step):
        times, h = _grid_of(at, grid, n)
        exact = at.states(times[n - 1 - k :])
        past = _nodes(at.model, times[n - 1 - k : n - 1][::-1], exact.states[:k][::-1])
        if isinstance(solver, Sampler):
            past = past[: last.memory]
        run = lambda m, x=exact.states[k], times=times, past=past: last.step(m, x, times[n - 1], times[n], past).x  # noqa: E731, B023
        out.rung(n, h, max(exact.error[-1], at.rounding(1)), exact.states[-1], run, at.model)
    return out.data


def _tolerance(solver: Solver | Sampler, at: Setting, grid: str) -> dict:
    out = _Ladder()
    s, t = at.problem.span
    for tol in tolerances(solver.order):
        if isinstance(solver, Solver):
            run = lambda m, tol=tol: integrate_adaptive(solver, m, at.x, s, t, rtol=tol)[0]  # noqa: E731
        else:
            run = lambda m, tol=tol: solver.at_tolerance(tol).sample(m, at.x, (s, t))  # noqa: E731
        out.rung(0, tol, max(at.end.error[-1], at.rounding(64)), at.end.states[-1], run, at.model)
    return out.data


_MEASURES = {"local": _local, "global": _global, "main": _from_exact_start, "start-up": _start_up,
             "end-point": _end_point, "tolerance": _tolerance}  # fmt: skip


def kinds_of(solver: Solver | Sampler) -> tuple[str, ...]:
    """The kinds of order that the method has."""
    adaptive = solver.embedded if isinstance(solver, Solver) else solver.adaptive
    pieces = PIECES if solver.memory and isinstance(solver, Solver) else ("end-point",) if hasattr(solver, "tail") else ()
    return ("local", "global", *pieces, *(("tolerance",) if adaptive else ()))


def claim_of(solver: Solver | Sampler, kind: str, grid: str) -> int | None:
    """The exponent that the method's claims give for a kind, or None where it claims nothing."""
    if kind == "global":
        return solver.order_irregular if grid in grids.IRREGULAR else solver.order
    return {"local": solver.main_order + 1, "main": solver.main_order, "tolerance": 1}.get(kind)


def cases(settings: dict) -> list[dict]:
    """The cases of a `[[study]]` table: every solver on every problem, of every kind and grid asked for."""
    common = {"dtype": "float64", "seed": settings.get("seed", 0), "points": settings.get("points", 64)}
    out = []
    for problem in settings.get("problems", ["mixture-1d"]):
        get_problem(problem)
        for spec in chosen_solvers(settings.get("solvers", "all")):
            solver = get_solver(spec)
            for kind in _allowed("kind", settings.get("kinds", KINDS), KINDS):
                if kind not in kinds_of(solver):
                    continue
                families = settings.get("grids", list(grids.GRIDS)) if kind == "global" else [PIECE_GRID if kind in PIECES else ""]
                for grid in families:
                    if grid:
                        grids.get(grid)
                    out.append({"study": "order", "kind": kind, "solver": spec, "problem": problem, "grid": grid} | common)
    return out


def _allowed(what: str, given, allowed):
    for item in given:
        if item not in allowed:
            raise UsageError(f"unknown {what} {item!r}{near_miss(item, allowed)} (there are: {', '.join(allowed)})")
    return given


def measure(case: dict) -> dict:
    """Run one case; returns its `context`, `claims` and `data` for the record."""
    at = setting(case["problem"], case["points"], case["seed"])
    solver = get_solver(case["solver"])
    data = _MEASURES[case["kind"]](solver, at, case["grid"])
    return {"context": context(at.problem), "claims": claims(solver), "data": data}


@dataclass(frozen=True)
class Measurement:
    """A measured order.  `points` are the (h, RMS error) pairs; `claim` what it was held against, or None."""

    kind: str
    grid: str
    fit: Fit
    claim: int | None
    points: tuple[tuple[float, float], ...]

    @property
    def order(self) -> float:
        """The order, NaN where none could be fitted."""
        return self.fit.order

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval of the order."""
        return self.fit.half_width

    @property
    def constant(self) -> float:
        """The error constant, e/h^q at the finest rung used."""
        return self.fit.constant

    @property
    def reason(self) -> str:
        """Why nothing is resolved, or an empty string."""
        return self.fit.reason

    @property
    def verdict(self) -> str:
        """`confirmed`, `refuted` or `not asymptotic`; `measured` where there is no claim."""
        return "measured" if self.claim is None else verdict(self.fit, self.claim)


def measure_order(solver, problem="mixture-1d", kind: str = "global", grid: str = "uniform_lam", points: int = 64,
                  seed: int = 0, claim: int | None = None) -> Measurement:  # fmt: skip
    """Measure one order of a solver (or spec string) on a problem (or spec string).

    Held against `claim`, or else against what the method says of itself.  Raises UsageError for a kind that the method does not have.
    """
    solver = get_solver(solver) if isinstance(solver, str) else solver
    _allowed("kind", [kind], kinds_of(solver))
    if kind == "global":
        grids.get(grid)
    at = Setting(problem, points, seed) if isinstance(problem, Problem) else setting(problem, points, seed)
    grid = grid if kind == "global" else PIECE_GRID if kind in PIECES else ""
    data = _MEASURES[kind](solver, at, grid)
    fit = fit_order(data["h"], data["rms"], data["floor"])
    return Measurement(kind, grid, fit, claim if claim is not None else claim_of(solver, kind, grid), tuple(zip(data["h"], data["rms"])))


def describe(solver: Solver | Sampler) -> str:
    """The spec string of a solver object, or its class's path."""
    return SOLVERS.name_of(solver)
