"""How the ends are measured: one step between an end and each level, from the exact state or the exact law."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache, partial
from itertools import accumulate
from math import inf, log, sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sdebench._support.errors import UsageError
from sdebench.catalogue import get_problem, get_solver
from sdebench.integration.ends import is_data, is_noise
from sdebench.integration.prediction import Counted
from sdebench.integration.solver import Node, Sampler, Solver
from sdebench.integration.tableau import tableau
from sdebench.laws.gaussian import law_of
from sdebench.laws.oracle import dop853, extrapolated
from sdebench.problems import Problem
from sdebench.records import Claims
from sdebench.schedules import NoiseSchedule
from sdebench.studies.base import Found, tell_left_out
from sdebench.studies.ends import EndsCase, EndsSettings
from sdebench.studies.ends.levels import LEVELS
from sdebench.studies.setting import PAST_RATIOS, error_norms

PAST = log(2)  # of lam: the step before the last, as steps are where the last one is taken
TINY = {"noise": 2e-6, "data": 1e-8}  # a level between which and the end one step is exact to rounding, of order 3 and 2
_ROUNDING = 2.0**-51


def end_time(ns: NoiseSchedule, end: str) -> float | None:
    """The time of an end; None where the schedule has none."""
    if end == "data":
        return 0.0 if is_data(ns, 0.0) else None
    for t in (ns.t_max, 1.0):  # some schedules have levels at t = 1 but no lam
        try:
            if t < inf and is_noise(ns, t):
                return t
        except UsageError:
            pass
    return None


def level_time(ns: NoiseSchedule, end: str, level: float) -> float:
    """The time at which alpha/sigma (next to noise) or sigma/alpha (next to data) is `level`."""
    return ns.t(log(level) if end == "noise" else -log(level))


class Trajectory(NamedTuple):
    """The exact trajectory through the points of a case: its states at the end and at all levels, and how well they are known.

    The error bars are the larger of the flow's conditioning bound and the distance to DOP853's, which crosses the same span
    but for the part beyond `TINY`.  Where the flow has no formula, the other integrator stands in its place.
    """

    end: Tensor
    states: tuple[Tensor, ...]
    errors: tuple[float, ...]


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


@lru_cache(maxsize=16)
def exact(problem: str, end: str, points: int, seed: int) -> Trajectory:
    """The exact trajectory; the points are drawn at the end where alpha = 0, or at the first level where that is data's."""
    pb = get_problem(problem)
    ns, u = pb.schedule, end_time(pb.schedule, end)
    assert u is not None
    times, tiny = [level_time(ns, end, level) for level in LEVELS], level_time(ns, end, TINY[end])
    if end == "noise":
        x = _draw(pb, u, points, seed)
        left = _left_noise(pb, x, u, tiny)
        found = [pb.solution_with_error(x, u, t) if pb.has_solution else (extrapolated(pb, left, tiny, t), 0.0) for t in times]
        errors, s, other = [], tiny, left
        for t, (state, bound) in sorted(zip(times, found), key=lambda pair: -pair[0]):
            other, s = dop853(pb, other, s, t), t
            errors.append(max(bound, _rms(other - state)))
        return Trajectory(x, tuple(state for state, _ in found), tuple(reversed(errors)))
    x = _draw(pb, times[0], points, seed)
    states = [x, *(_flow(pb)(x, times[0], t) for t in times[1:])]
    last, other = (by(pb, x, times[0], tiny) / ns.alpha(tiny) * ns.alpha(u) for by in (extrapolated, dop853))
    bound = 0.0
    if pb.has_solution:
        last, bound = pb.solution_with_error(x, times[0], u)
    off = _rms(other - last)
    return Trajectory(last, tuple(states), (max(bound, off),) * len(states))


def _draw(pb: Problem, t: float, points: int, seed: int) -> Tensor:
    """The problem's draws at another time than its first."""
    return replace(pb, span=(t, pb.span[1])).initial(points, seed)


def _flow(pb: Problem) -> Callable[[Tensor, float, float], Tensor]:
    """The exact flow x_s -> x_t inside, by its formula or by one of the two integrators."""
    return pb.solution if pb.has_solution else partial(extrapolated, pb)


def _left_noise(pb: Problem, x: Tensor, s: float, t: float) -> Tensor:
    """The state at t from x at s, alpha_s = 0: the trapezoidal rule in alpha/sigma for `d(x/sigma) = x0 d(alpha/sigma)`."""
    ns = pb.schedule
    noise, mean = ns.sigma(t) / ns.sigma(s) * x, pb.model(x, s).x0
    return noise + 0.5 * ns.alpha(t) * (mean + pb.model(noise + ns.alpha(t) * mean, t).x0)


def _stepper(solver: Solver | Sampler, end: str) -> Any:
    """What crosses that end: of a composition the method of its first or last interval; a black box on its own grid."""
    if isinstance(solver, Solver):
        return solver
    if solver.adaptive:
        return solver.on_grid()
    return solver.closing[-1] if end == "data" and solver.closing else solver.inner


def _one_step(solver: Solver | Sampler, model: Counted, x: Tensor, s: float, t: float, past: tuple[Node, ...]) -> Tensor:
    if isinstance(solver, Sampler):
        return solver.sample(model, x, (s, t))
    return solver.step(model, x, s, t, past).x


def _past(pb: Problem, x: Tensor, s: float, size: int) -> tuple[Node, ...]:
    """Exact nodes before s, at unequal distances."""
    ns = pb.schedule
    times = [ns.t(ns.lam(s) - PAST * r) for r in accumulate(PAST_RATIOS[:size])]
    return tuple(Node(t, pb.model(_flow(pb)(x, s, t), t)) for t in times)


def _states(solver: Solver | Sampler, case: EndsCase) -> Iterator[dict]:
    """One row a level of a deterministic solver."""
    pb, known = get_problem(case.problem), exact(case.problem, case.end, case.points, case.seed)
    u = end_time(pb.schedule, case.end)
    for level, state, error in zip(LEVELS, known.states, known.errors):
        model, t = Counted(pb.model), level_time(pb.schedule, case.end, level)
        with torch.inference_mode():
            if case.end == "noise":
                out, right = _one_step(solver, model, known.end, u, t, ()), state
            else:
                past = _past(pb, state, t, solver.memory)
                out, right = _one_step(solver, model, state, t, u, past), known.end
        yield {"nfe": model.nfe, "floor": max(error, _ROUNDING * _rms(right))} | error_norms(out, right)


def _laws(solver: Solver | Sampler, case: EndsCase) -> Iterator[dict]:
    """One row a level of a stochastic solver: the distance of mean and covariance."""
    pb = get_problem(case.problem)
    ns, law, u = pb.schedule, pb.law, end_time(pb.schedule, case.end)
    for level in LEVELS:
        t = level_time(ns, case.end, level)
        grid = (u, t) if case.end == "noise" else (t, u)
        table, right = tableau(solver, ns, grid, "v", pb.model.gamma), law.marginal(ns, grid[1])
        mean, cov = law_of(table, law)
        size = sqrt(float(right.mean().square().sum() + right.cov().square().sum()))
        off = sqrt(float((mean - right.mean()).square().sum() + (cov - right.cov()).square().sum()))
        yield {"nfe": table.nfe, "floor": 8 * _ROUNDING * size, "rms": off}


def measure(case: EndsCase) -> Found:
    """Run one case."""
    solver, pb = get_solver(case.solver), get_problem(case.problem)
    step = _stepper(solver, case.end)
    rows = list(_laws(step, case) if step.stochastic else _states(step, case))
    data = {key: [row[key] for row in rows] for key in rows[0]}
    claim = step.from_noise if case.end == "noise" else step.to_data
    context = {"schedule": str(pb.schedule), "dim": pb.dim, "time": end_time(pb.schedule, case.end)}
    return Found(context, Claims.of(solver), {"h": list(LEVELS), "claim": claim} | data)


def _why_not(spec: str, problem: str, end: str) -> str:
    """Why there is no such case; empty where there is one."""
    solver, pb = get_solver(spec), get_problem(problem)
    u = end_time(pb.schedule, end)
    if u is None:
        return f"{pb.schedule} has no time at which {'alpha' if end == 'noise' else 'sigma'} = 0"
    if not solver.stochastic:
        return ""
    if isinstance(solver, Sampler):
        return f"{spec} is a run, not a step: its steps are those of other methods"
    if len(getattr(pb.law, "weights", ())) != 1:
        return f"problem {problem!r} is not one Gaussian: give one in laws, for stochastic solvers"
    try:
        tableau(
            solver, pb.schedule, (u, level_time(pb.schedule, end, 0.5))[:: 1 if end == "noise" else -1], "v", pb.model.gamma
        )
    except UsageError as error:
        return str(error)
    return ""


def cases(settings: EndsSettings) -> list[EndsCase]:
    """Deterministic solvers on the problems, stochastic ones on the laws, at each of the ends.  Warns of what is left out."""
    found, reasons = [], []
    for spec in settings.solvers:
        for problem in settings.laws if get_solver(spec).stochastic else settings.problems:
            for end in settings.ends:
                why = _why_not(spec, problem, end)
                reasons.append(why)
                if not why:
                    found.append(EndsCase(spec, problem, end, settings.seed, settings.points))
    tell_left_out(reasons, bool(found))
    return found
