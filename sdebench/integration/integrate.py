"""The loops that cross a grid: fixed steps by any executor, and steps chosen by an embedded error."""

from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import pairwise
from math import sqrt
from typing import Any

from torch import Tensor

from sdebench import grids
from sdebench._support.errors import UsageError, is_number, near_miss, shown
from sdebench.integration.ends import at_no_end, failed_there, inner_step, is_of_an_end, place
from sdebench.integration.prediction import ModelLike, check_model, name_not_finite, not_like
from sdebench.integration.solver import Node, Sampler, Solver, Step, check_solver

EXECUTORS = ("eager", "fused", "graph")


def integrate(
    solver: Solver | Sampler, model: ModelLike, x: Tensor, grid: Sequence[float], noise: Any = None, executor: str = "eager"
) -> Tensor:
    """The state at grid[-1], from the state `x`, `(B, *D)`, at grid[0].

    `executor` is who runs it: "eager" calls the method step by step, and is the reference; "fused" runs the same linear
    combinations in the fewest passes over memory, "graph" these as one CUDA graph.  Both agree with it to rounding, record no
    gradients, and take the methods that are linear in their vectors and choose no steps.

    A grid may begin where alpha = 0 and end where sigma = 0: the method states how it crosses there (`ends.ENDS`).

    Raises UsageError for a method or a model that is none, a stochastic method without noise, a noise on another schedule, a
    grid that is not strictly decreasing, a time outside the schedule's domain, an end that the method cannot cross or where
    the model does not tell enough, a step that does not return a Step, an end state of another shape, and an executor that
    is none or cannot run this method.
    """
    if executor not in EXECUTORS:
        raise UsageError(f"unknown executor {executor!r}{near_miss(str(executor), EXECUTORS)}: give {', '.join(EXECUTORS)}")
    grid, solver = grids.check(grid), check_solver(solver)
    _check_run(model, x)
    model.schedule.alpha(grid[0]), model.schedule.alpha(grid[-1])  # refuses an end outside its domain
    if solver.stochastic:
        _check_noise(solver, model, noise, x)
    run = eager if executor == "eager" else find_executor(executor)
    try:
        end = run(solver, model, x, grid, noise)
    except (ArithmeticError, ValueError) as error:
        if at_no_end(model.schedule, grid) or not is_of_an_end(error):
            raise
        raise failed_there(solver, model.schedule, grid[0], grid[-1], error) from error
    if not (isinstance(end, Tensor) and end.shape == x.shape):
        raise not_like(end, x, type(solver).__name__)
    return end


def find_executor(name: str) -> Callable[..., Tensor]:
    """The function that runs a method, by the executor's name; imported here because executors are built on this file."""
    if name == "eager":
        return eager
    return getattr(import_module(f"sdebench.integration.executors.{name}"), name)  # type: ignore[no-any-return]  # by the name of its module


def eager(solver: Solver | Sampler, model: ModelLike, x: Tensor, grid: Sequence[float], noise: Any = None) -> Tensor:
    """What the method says, line by line."""
    if isinstance(solver, Sampler):
        return solver.sample(model, x, grid, noise)
    return cross(solver, model, x, grid, (), noise)


def _check_run(model: ModelLike, x: Tensor) -> None:
    """Raise UsageError unless the model is one, and the state a tensor."""
    check_model(model)
    if not isinstance(x, Tensor):
        raise UsageError(f"the state is {shown(x)}: give a tensor (B, *D), as a problem's .initial(n, seed) is")


def _check_noise(solver: Solver | Sampler, model: ModelLike, noise: Any, x: Tensor) -> None:
    """Raise UsageError unless the noise is one, on the model's schedule and of the state's shape."""
    if not hasattr(noise, "normal") or isinstance(noise, type):
        what = "is stochastic" if noise is None else f"got the noise {shown(noise)}"
        raise UsageError(f"{type(solver).__name__} {what}: give noise=sdebench.WhiteNoise(model.schedule, x.shape, seed)")
    if noise.schedule != model.schedule:
        raise UsageError(f"the noise is on {noise.schedule}, the model on {model.schedule}: give one schedule to both")
    if tuple(getattr(noise, "shape", x.shape)) != tuple(x.shape):
        raise UsageError(f"the noise has shape {tuple(noise.shape)}: give that of the state, {tuple(x.shape)}")


def cross(
    solver: Solver, model: ModelLike, x: Tensor, times: Sequence[float], past: tuple[Node, ...], noise: Any = None
) -> Tensor:
    """The state at times[-1], by the steps of the solver from the state x at times[0] with that past."""
    first, inner, last = solver.step, inner_step(solver), len(times) - 2
    for i, (s, t) in enumerate(pairwise(times)):
        step = (inner if 0 < i < last else first)(model, x, s, t, past, noise)
        if not isinstance(step, Step):
            raise UsageError(f"{type(solver).__name__}.step returned {type(step).__name__}: return sdebench.Step(x, past)")
        x, past, _ = step
    return x


def _scaled_norm(error: Tensor, x: Tensor, x_new: Tensor, rtol: float, atol: float) -> float:
    """The RMS of error / (atol + rtol max(|x|, |x_new|)) over the entries of a sample, at its largest over the samples."""
    scale = x.abs().maximum(x_new.abs()).mul_(rtol).add_(atol)
    return float((error / scale).square().flatten(1).mean(1).max().sqrt())


def _no_pair(solver: Solver | Sampler) -> UsageError:
    return UsageError(f"{solver!r} has no embedded error estimate: use integrate, or a pair such as 'dpm-solver-23'")


def integrate_adaptive(
    solver: Solver,
    model: ModelLike,
    x: Tensor,
    s: float,
    t: float,
    rtol: float = 1e-5,
    atol: float | None = None,
    h: float | None = None,
    safety: float = 0.9,
    max_steps: int = 100_000,
) -> tuple[Tensor, tuple[float, ...]]:
    """Cross from s to t in steps of lam chosen by the solver's embedded error; returns the state and the grid it took.

    In the manner of Lu et al. 2022, arXiv:2206.00927, appendix C: accept when the scaled error E is at most 1, then
    h <- min(safety h E^(-1/p), what is left), p the order of the pair's lower method plus one, h growing or shrinking by 5 at
    most.  `atol` is `rtol` unless given; the first step is a twentieth of the span unless given.  Raises UsageError where the
    solver has no embedded error, or lam is infinite at s or t; RuntimeError when the step size vanishes or `max_steps` is
    passed.
    """
    _check_run(model, x)
    if not isinstance(check_solver(solver), Solver) or solver.stochastic:
        raise _no_pair(solver)
    atol = rtol if atol is None else atol
    numbers = all(map(is_number, (s, t, rtol, atol, 1.0 if h is None else h)))
    if not (numbers and s > t and rtol > 0 and atol >= 0 and (h is None or h > 0)):
        raise UsageError(f"s={s}, t={t}, rtol={rtol}, atol={atol}, h={h}: give s > t, rtol > 0, atol >= 0, and h > 0 or none")
    ns, past = model.schedule, ()
    if not at_no_end(ns, (s, t)):
        raise UsageError(f"{place(solver, ns, s, t)}, where lam is infinite and no error bounds a step: give s and t inside")
    lam, lam_end = ns.lam(s), ns.lam(t)
    h = (lam_end - lam) / 20 if h is None else min(h, lam_end - lam)
    taken = [s]
    for _ in range(max_steps):
        last = lam + h >= lam_end - 1e-12 * abs(lam_end)
        u = t if last else ns.t(lam + h)
        step = solver.step(model, x, s, u, past)
        if step.error is None:
            raise _no_pair(solver)
        error = _scaled_norm(step.error, x, step.x, rtol, atol)
        if error <= 1.0:
            x, past, s, lam = step.x, step.past, u, ns.lam(u)  # type: ignore[assignment]  # it begins empty
            taken.append(u)
            if last:
                return x, tuple(taken)
        if not error < float("inf"):
            raise RuntimeError(f"the error estimate at t = {s:.6g} is {error}: the step diverged ({name_not_finite(step.x)})")
        h = min(min(5.0, max(0.2, safety * max(error, 1e-12) ** (-1 / solver.order))) * h, lam_end - lam)
        if h < 1e-14 * max(1.0, sqrt(abs(lam))):
            raise RuntimeError(f"the step size vanished at t = {s:.6g}: rtol = {rtol:g} cannot be met")
    raise RuntimeError(f"more than {max_steps} steps at rtol = {rtol:g}")
