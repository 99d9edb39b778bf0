"""The order study: local and global order, and for multistep methods main scheme, start-up and end point.

    local      error of ONE step of length h from an exact state, with an exact and unequally spaced past
    global     error of a whole run, over the number of steps, on each grid family
    main       the same from exact starting values: the main scheme without its start-up
    start-up   error after the first `memory` steps from an exact state, with no past
    end-point  error of the last step alone, with an exact past
    tolerance  error of an adaptive run against its tolerance

Stochastic methods have, in their place, `weak` on each grid family and `strong` (see `stochastic`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite

from torch import Tensor

from sdebench import grids
from sdebench._support.clock import threads
from sdebench._support.errors import UsageError, near_miss
from sdebench._support.registry import SOLVERS
from sdebench.catalogue import get_problem, get_solver
from sdebench.fit import Fit, fit_order, verdict
from sdebench.integration.integrate import cross, integrate, integrate_adaptive
from sdebench.integration.prediction import ModelLike
from sdebench.integration.solver import Node, Sampler, Solver, check_solver
from sdebench.laws.feasible import why_not
from sdebench.problems import Problem
from sdebench.records.claims import WHOLE_RUNS, held_to
from sdebench.studies.base import claims
from sdebench.studies.order import stochastic
from sdebench.studies.order.ladders import BLACK_BOX_LOCAL_STEPS, LOCAL_STEPS, black_box_ladder, ladder, rungs, tolerances
from sdebench.studies.setting import PAST_RATIOS, Ladder, Setting, context, setting

KEYS = frozenset({"problems", "solvers", "grids", "kinds", "points", "seed"})
PIECES = ("main", "start-up", "end-point")
KINDS = ("local", "global", *PIECES, "tolerance", "weak", "strong")
_ROUNDING = 1e-8  # a floor above is an error bar, and nothing below it is exact
PIECE_GRID = "irregular"  # the strictest: wrong variable-step coefficients show


def _nodes(model, times, states) -> tuple[Node, ...]:
    """Nodes at exact states, newest first when the times rise."""
    return tuple(Node(t, model(x, t)) for t, x in zip(times, states))


def _reach(memory: int) -> int:
    """How many exact past states to make: the same three for most methods, so that they are made once."""
    if memory > len(PAST_RATIOS):
        raise UsageError(f"a method that wants {memory} past nodes: its pieces are measured for up to {len(PAST_RATIOS)}")
    return max(3, memory)


def _inner(solver: Solver | Sampler) -> Solver | Sampler:
    """The method that crosses an inner interval."""
    return _on_grid(solver) if solver.inner is solver else solver.inner


def _on_grid(solver: Solver | Sampler) -> Solver | Sampler:
    """An adaptive black box made to take exactly the steps of a grid; others are what they are."""
    return solver.on_grid() if isinstance(solver, Sampler) else solver


def _part(at: Setting, solver: Solver | Sampler, kind: str) -> Setting:
    """The part of the span that a case crosses: all of it, but for black boxes on a grid the noisier half.

    On the whole span slopes of order 5 drift from 4.3 to 4.8 until rounding ends them, as where a small leading error changes
    its sign.  Chosen for that, of four parts of the span: benchmarks/README.md has what the others show.
    """
    return at.noisier_half if kind == "global" and _on_grid(solver) is not solver else at


def _crossing(method: Solver | Sampler, x: Tensor, times, past: tuple[Node, ...] = ()) -> Callable[[ModelLike], Tensor]:
    """A run of the method over `times` from the state x with that past, as a function of the model."""
    if isinstance(method, Solver):
        return lambda model: cross(method, model, x, times, past)
    return lambda model: method.sample(model, x, times)


def _local(solver: Solver | Sampler, at: Setting, grid: str) -> dict:
    out, one, k = Ladder(at.model), _inner(solver), solver.memory
    for h in LOCAL_STEPS if _on_grid(solver) is solver else BLACK_BOX_LOCAL_STEPS:
        times, exact = at.local_rung(h, _reach(k))
        past = _nodes(at.model, times[2 : 2 + k], exact.states[2 : 2 + k])
        floor = max(exact.error[1], at.rounding(1) * one.roundings)
        out.rung(1, h, floor, exact.states[1], _crossing(one, exact.states[0], times[:2], past))
    return out.data


def _global(solver: Solver | Sampler, at: Setting, grid: str) -> dict:
    out, method = Ladder(at.model), _on_grid(solver)
    if method is solver:
        first = ladder(solver.order, solver.main_order, solver.memory)
    else:
        first = black_box_ladder(solver.order, grids.is_irregular(grid))
    for n in rungs(out.data, first, further=solver.order < 5 or solver.memory > 0):
        times, h = at.grid(grid, n)
        floor = max(at.end.error[-1], at.rounding(n))
        out.rung(n, h, floor, at.end.states[-1], partial(integrate, method, x=at.x, grid=times))
    return out.data


def _from_exact_start(solver: Solver, at: Setting, grid: str) -> dict:
    out, k = Ladder(at.model), solver.memory
    for n in rungs(out.data, ladder(solver.main_order, solver.main_order, solver.memory)):
        times, h = at.grid(grid, n)
        exact = at.states(times[: _reach(k) + 1])
        past = _nodes(at.model, times[:k][::-1], exact.states[:k][::-1])
        floor = max(at.end.error[-1], *exact.error[: k + 1], at.rounding(n))
        out.rung(n, h, floor, at.end.states[-1], _crossing(solver, exact.states[k], times[k:], past))
    return out.data


def _start_up(solver: Solver, at: Setting, grid: str) -> dict:
    out, k = Ladder(at.model), solver.memory
    for n in rungs(out.data, ladder(2, 2, 1)):
        times, h = at.grid(grid, n)
        exact = at.states(times[: _reach(k) + 1])
        out.rung(n, h, max(exact.error[k], at.rounding(k)), exact.states[k], _crossing(solver, at.x, times[: k + 1]))
    return out.data


def _end_point(solver: Solver | Sampler, at: Setting, grid: str) -> dict:
    last = solver if isinstance(solver, Solver) else solver.closing[-1]
    out, k, reach = Ladder(at.model), last.memory, _reach(solver.memory)
    for n in rungs(out.data, ladder(solver.main_order, solver.main_order, solver.memory)):
        times, h = at.grid(grid, n)
        exact = at.states(times[n - 1 - reach :])
        past = _nodes(at.model, times[n - 1 - k : n - 1][::-1], exact.states[reach - k : reach][::-1])
        floor = max(exact.error[-1], at.rounding(1))
        out.rung(n, h, floor, exact.states[-1], _crossing(last, exact.states[reach], times[n - 1 :], past))
    return out.data


def run_at_tolerance(solver: Solver | Sampler, model, x: Tensor, s: float, t: float, tol: float) -> Tensor:
    """The state at t of an adaptive run, an embedded pair's or a black box's, with both tolerances at `tol`."""
    if isinstance(solver, Solver):
        return integrate_adaptive(solver, model, x, s, t, rtol=tol)[0]
    return solver.at_tolerance(tol).sample(model, x, (s, t))


def _tolerance(solver: Solver | Sampler, at: Setting, grid: str) -> dict:
    out, (s, t) = Ladder(at.model), at.problem.span
    floor = max(at.end.error[-1], at.rounding(64))
    for tol in tolerances(solver.order):
        out.rung(0, tol, floor, at.end.states[-1], lambda m, tol=tol: run_at_tolerance(solver, m, at.x, s, t, tol))
    return out.data


_MEASURES = {
    "local": _local,
    "global": _global,
    "main": _from_exact_start,
    "start-up": _start_up,
    "end-point": _end_point,
    "tolerance": _tolerance,
    "weak": stochastic.weak,
    "strong": stochastic.strong,
}


def kinds_of(solver: Solver | Sampler) -> tuple[str, ...]:
    """The kinds of order that the method has: none, for one whose law does not tend to the exact one (weak order 0)."""
    if solver.stochastic:
        return (*(("weak",) if solver.order else ()), *(() if solver.strong_order is None else ("strong",)))
    adaptive = solver.embedded if isinstance(solver, Solver) else solver.adaptive
    pieces = PIECES if solver.memory and isinstance(solver, Solver) else ("end-point",) if solver.closing else ()
    return ("local", "global", *pieces, *(("tolerance",) if adaptive else ()))


def claim_of(solver: Solver | Sampler, kind: str, grid: str) -> int | None:
    """The exponent that the method states for a kind, or None where it states nothing."""
    return held_to(claims(solver), kind, grid)[1]


def cases(settings: dict) -> list[dict]:
    """The cases of a `[[study]]` table: every solver on every problem, of every kind and grid asked for.

    Weak orders only where the method's law is to be had, unless they are asked for by `kinds`: the rest is Monte Carlo.
    Grid by grid: the exact model keeps its last few thousand times, and all solvers come back to the same ones.
    """
    common = {"dtype": "float64", "seed": settings.get("seed", 0), "points": settings.get("points", 64)}
    kinds = _allowed("kind", settings.get("kinds", KINDS), KINDS)
    solvers = {spec: kinds_of(get_solver(spec)) for spec in settings.get("solvers") or SOLVERS.names()}
    places = [(kind, grid) for kind in kinds for grid in _grids_of(kind, settings.get("grids", list(grids.names())))]
    return [
        {"study": "order", "kind": kind, "solver": spec, "problem": problem, "grid": grid} | common
        for problem in settings.get("problems", ["mixture-1d"])
        for kind, grid in places
        for spec, has in solvers.items()
        if kind in has and (kind != "weak" or "kinds" in settings or not why_not(get_solver(spec), get_problem(problem)))
    ]


def _grids_of(kind: str, families: list[str]) -> list[str]:
    """The grids on which a kind is measured: those asked for, the strictest, or none.  Raises UsageError for an unknown one."""
    if kind not in WHOLE_RUNS:
        return [PIECE_GRID] if kind in PIECES else [""]
    for family in families:
        grids.get(family)
    return families


def _allowed(what: str, given, allowed):
    for item in given:
        if item not in allowed:
            raise UsageError(f"unknown {what} {item!r}{near_miss(item, allowed)} (there are: {', '.join(allowed)})")
    return given


def measure(case: dict) -> dict:
    """Run one case; returns its `context`, `claims` and `data` for the record."""
    solver = get_solver(case["solver"])
    at = _part(setting(case["problem"], case["points"], case["seed"]), solver, case["kind"])
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


def _first_lost(kind: str, data: dict[str, list]) -> str:
    """Where on the ladder, from its largest steps on, an error first is not finite: its square, past 1e154, is not either."""
    n, h = next((n, h) for n, h, error in zip(data["n"], data["h"], data["rms"]) if not isfinite(error))
    if kind == "tolerance":
        return f"at tolerance {h:.3g}"
    return f"at h = {h:.3g}" if kind == "local" else f"at {n} steps"


def default_problem(kind: str) -> str:
    """Where a kind is measured unless a problem is named: weak orders where every chain has an exact law."""
    return "gaussian" if kind == "weak" else "mixture-1d"


def _own_grid(kind: str, grid: str) -> str:
    """The grid that a kind is recorded with: of a whole run the given one; of others their own, or none.

    Raises UsageError for a grid that there is not, or that the kind is not measured on.
    """
    if kind in WHOLE_RUNS:
        return _grids_of(kind, [grid or "uniform_lam"])[0]
    (own,) = _grids_of(kind, [])
    place = stochastic.STRONG_GRID if kind == "strong" else own
    if grid and grid != place:
        where = f"on the grid {place!r} alone" if place else "on no grid"
        raise UsageError(f"grid {grid!r} for kind {kind!r}, which is measured {where}: leave the grid out")
    return own


def measure_order(
    solver, problem=None, kind: str | None = None, grid: str = "", points: int = 64, seed: int = 0, claim: int | None = None
) -> Measurement:
    """Measure one order of a solver (or spec string) on a problem (or spec string), `default_problem` unless given.

    `kind` is "global" unless given, and "weak" for a stochastic method.  `grid` is that of these two, "uniform_lam" unless
    given; other kinds have one of their own, or none.

    Held against `claim`, or else against what the method says of itself.  Raises UsageError for a kind that the method does
    not have, and for a grid that the kind is not measured on.
    """
    solver = check_solver(get_solver(solver) if isinstance(solver, str) else solver)
    kind = kind or ("weak" if solver.stochastic else "global")
    _allowed("kind of order of this method", [kind], kinds_of(solver))
    grid, problem = _own_grid(kind, grid), problem or default_problem(kind)
    at = Setting(problem, points, seed) if isinstance(problem, Problem) else setting(problem, points, seed)
    at = _part(at, solver, kind)
    with threads(1):
        data = _MEASURES[kind](solver, at, grid)
    fit = fit_order(data["h"], data["rms"], data["floor"])
    if fit.exact and max(data["floor"]) > _ROUNDING:
        fit = replace(fit, reason="hidden: the error is below the error bar of the reference, or of the samples")
    if fit.diverges:
        fit = replace(fit, reason=f"diverges: the state is not finite, first {_first_lost(kind, data)}")
    claim = claim_of(solver, kind, grid) if claim is None else claim
    return Measurement(kind, grid, fit, claim, tuple(zip(data["h"], data["rms"])))
