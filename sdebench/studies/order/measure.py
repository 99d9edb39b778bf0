"""How the order study measures: one function a kind, each a ladder of errors against the exact flow."""

from collections.abc import Callable
from functools import partial
from itertools import pairwise

from torch import Tensor

from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.catalogue import get_solver
from sdebench.integration.integrate import cross, integrate, integrate_adaptive
from sdebench.integration.prediction import ModelLike
from sdebench.integration.solver import Node, Sampler, Solver
from sdebench.records import Claims
from sdebench.studies.base import Found
from sdebench.studies.ladders import BLACK_BOX_LOCAL_STEPS, LOCAL_STEPS, PART_STEPS, black_box_ladder, ladder, rungs, tolerances
from sdebench.studies.order import PIECES, OrderCase, stochastic
from sdebench.studies.purity import check_purity
from sdebench.studies.setting import PAST_RATIOS, Ladder, OrderLadder, Setting, context, setting


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
    return _on_grid(solver) if solver.inner is solver else solver.inner  # type: ignore[return-value]  # of a composition


def _on_grid(solver: Solver | Sampler) -> Solver | Sampler:
    """An adaptive black box made to take exactly the steps of a grid; others are what they are."""
    return solver.on_grid() if isinstance(solver, Sampler) else solver


def part_of(at: Setting, solver: Solver | Sampler, kind: str) -> Setting:
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
    out, one, k, reach = OrderLadder(at), _inner(solver), solver.memory, _reach(solver.memory)
    for h in at.shorten(LOCAL_STEPS if _on_grid(solver) is solver else BLACK_BOX_LOCAL_STEPS, 1, reach):
        times, exact = at.hop(h, 1, reach)
        past = _nodes(at.model, times[reach - k : reach][::-1], exact.states[reach - k : reach][::-1])
        floor = max(exact.error[-1], at.rounding(1) * one.roundings)
        out.rung(1, h, floor, exact.states[-1], _crossing(one, exact.states[reach], times[reach:], past))
    return out.data


def _global(solver: Solver | Sampler, at: Setting, grid: str) -> dict:
    out, method = OrderLadder(at, at.weights), _on_grid(solver)
    if method is solver:
        first = ladder(solver.order, solver.main_order, solver.memory)
    else:
        first = black_box_ladder(solver.order, grids.is_irregular(grid))
    stated = solver.order_irregular if grids.is_irregular(grid) else solver.order
    for n in rungs(out.data, first, further=solver.order < 5 or solver.memory > 0, stated=stated):
        times, h = at.grid(grid, n)
        floor = max(at.end.error[-1], at.rounding(n))
        out.rung(n, h, floor, at.end.states[-1], partial(integrate, method, x=at.x, grid=times))
    return out.data | {"parts": _parts(solver, at)}


def _parts(solver: Solver | Sampler, at: Setting) -> dict[str, dict]:
    """The error of the start-up, and of the last steps, by themselves, in the middle of the span: no run can have a higher
    order, for what they leave behind is carried to the end."""
    found = {}
    if isinstance(solver, Solver) and solver.memory:
        found["its start-up"] = _part(at, [solver] * solver.memory, 0)
    if solver.closing:
        found["its last steps"] = _part(at, list(solver.closing), solver.memory)
    return found


def _part(at: Setting, methods: list[Solver], memory: int) -> dict:
    """Errors after a few steps of these methods from an exact state with an exact past, over the length of the first."""
    out = OrderLadder(at)
    for h in at.shorten(PART_STEPS, len(methods), memory):
        times, exact = at.hop(h, len(methods), memory)
        past = _nodes(at.model, times[:memory][::-1], exact.states[:memory][::-1])
        steps, x = list(zip(methods, pairwise(times[memory:]))), exact.states[memory]
        floor = max(exact.error[-1], at.rounding(len(methods)))
        out.rung(len(methods), h, floor, exact.states[-1], partial(_take, steps, x=x, past=past))
    return {key: out.data[key] for key in ("h", "rms", "floor", "angles")}


def _take(steps: list, model: ModelLike, x: Tensor, past: tuple[Node, ...]) -> Tensor:
    for method, (s, t) in steps:
        x, past, _ = method.step(model, x, s, t, past)
    return x


def _from_exact_start(solver: Solver, at: Setting, grid: str) -> dict:
    out, k = OrderLadder(at, at.weights), solver.memory
    for n in rungs(out.data, ladder(solver.main_order, solver.main_order, solver.memory)):
        times, h = at.grid(grid, n)
        exact = at.states(times[: _reach(k) + 1])
        past = _nodes(at.model, times[:k][::-1], exact.states[:k][::-1])
        floor = max(at.end.error[-1], *exact.error[: k + 1], at.rounding(n))
        out.rung(n, h, floor, at.end.states[-1], _crossing(solver, exact.states[k], times[k:], past))
    return out.data


def _start_up(solver: Solver, at: Setting, grid: str) -> dict:
    out, k = OrderLadder(at), solver.memory
    for n in rungs(out.data, ladder(2, 2, 1)):
        times, h = at.grid(grid, n)
        exact = at.states(times[: _reach(k) + 1])
        out.rung(n, h, max(exact.error[k], at.rounding(k)), exact.states[k], _crossing(solver, at.x, times[: k + 1]))
    return out.data


def _end_point(solver: Solver | Sampler, at: Setting, grid: str) -> dict:
    last = solver if isinstance(solver, Solver) else solver.closing[-1]
    out, k, reach = OrderLadder(at), last.memory, _reach(solver.memory)
    for n in rungs(out.data, ladder(solver.main_order, solver.main_order, solver.memory)):
        times, h = at.grid(grid, n)
        exact = at.states(times[n - 1 - reach :])
        past = _nodes(at.model, times[n - 1 - k : n - 1][::-1], exact.states[reach - k : reach][::-1])
        floor = max(exact.error[-1], at.rounding(1))
        out.rung(n, h, floor, exact.states[-1], _crossing(last, exact.states[reach], times[n - 1 :], past))
    return out.data


def run_at_tolerance(solver: Solver | Sampler, x: Tensor, s: float, t: float, tol: float, model) -> Tensor:
    """The state at t of an adaptive run, an embedded pair's or a black box's, with both tolerances at `tol`."""
    if isinstance(solver, Solver):
        return integrate_adaptive(solver, model, x, s, t, rtol=tol)[0]
    return solver.at_tolerance(tol).sample(model, x, (s, t))


def _tolerance(solver: Solver | Sampler, at: Setting, grid: str) -> dict:
    out, (s, t) = Ladder(at.model), at.problem.span
    floor = max(at.end.error[-1], at.rounding(64))
    for tol in tolerances(solver.order):
        out.rung(0, tol, floor, at.end.states[-1], partial(run_at_tolerance, solver, at.x, s, t, tol))
    return out.data


_MEASURES: dict[str, Callable[..., dict]] = {
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
    local = ("local",) if isinstance(solver, Solver) or solver.inner is not solver or solver.one_step else ()
    return (*local, "global", *pieces, *(("tolerance",) if adaptive else ()))


def measure_kind(solver: Solver | Sampler, at: Setting, kind: str, grid: str) -> dict:
    """The ladder of one kind of order, as a record keeps it."""
    return _MEASURES[kind](solver, part_of(at, solver, kind), grid) | {"points": at.points}


def measure(case: OrderCase) -> Found:
    """Run one case.  Raises UsageError for a method that is not pure."""
    solver, at = get_solver(case.solver), setting(case.problem, case.points, case.seed)
    check_purity(solver, at)
    crossed = part_of(at, solver, case.kind).problem
    return Found(context(crossed), Claims.of(solver), measure_kind(solver, at, case.kind, case.grid))
