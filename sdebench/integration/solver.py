"""Solver, Sampler, Node, Step and the two loops that cross a grid.

A Solver says how ONE interval s -> t is crossed, by a pure `step`; a Sampler how a WHOLE grid is.
"""

from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import pairwise
from math import sqrt
from typing import Any, NamedTuple

from torch import Tensor

from sdebench import grids
from sdebench._support.errors import UsageError, is_number, near_miss, shown
from sdebench.integration.prediction import ModelLike, Prediction, check_model, not_like
from sdebench.schedules import NoiseSchedule


class Node(NamedTuple):
    """A model evaluation that a multistep method remembers."""

    t: float
    prediction: Prediction


class Step(NamedTuple):
    """What a step yields: the new state, what to remember, and an embedded error estimate (a tensor like x) or None."""

    x: Tensor
    past: tuple[Node, ...] = ()
    error: Tensor | None = None


class _Claims:
    """What a method says of itself; the contract tests hold it to every line.

    order            true global order of a whole run, with the method's own start-up, on smooth grids
    order_irregular  the same on grids whose step ratios stay away from 1
    main_order       order of the main scheme alone: its local error, from an exact and unequally spaced past, is
                     O(h^(main_order + 1))
    claimed_order    what the literature says
    nfe_per_step     network evaluations a step, once started
    memory           how many past nodes a full step wants
    embedded         whether a step yields an error estimate, for `integrate_adaptive`
    stochastic       whether a step asks for noise; then `order` is the weak order
    strong_order     of a stochastic method, on one Brownian path; None where its noise has no path
    family, reference
    """

    order: int
    nfe_per_step: int
    memory: int = 0
    embedded: bool = False
    stochastic: bool = False
    strong_order: float | None = None
    family: str = "user"
    reference: str = ""

    @property
    def order_irregular(self) -> int:
        return self.order

    @property
    def main_order(self) -> int:
        return self.order_irregular

    @property
    def claimed_order(self) -> int:
        return self.order


class Solver(_Claims):
    """How ONE interval is crossed.  Subclass as a frozen dataclass whose fields are parameters of the method."""

    def step(self, model: ModelLike, x: Tensor, s: float, t: float, past: tuple[Node, ...] = (), noise: Any = None) -> Step:
        """Cross from time s to time t < s.  Pure: the same arguments give the same bits, and no input is changed.

        `past` holds the nodes before, newest first; `past == ()` is the start-up.  A node AT s, where a method leaves
        one, is used in place of evaluating the model there.
        """
        raise NotImplementedError


class StochasticSolver(Solver):
    """A Solver of a process `dx = [f x - (g^2 + eta^2)/2 score] dt + eta dw` (time backwards), whose step asks for noise.

    `weak_order` is the order of the law (Kloeden and Platen 1992, section 9.7), of a whole run, on any grid; 0 where the law
    does not converge to the exact marginal under refinement.  Of a run that begins with the exact marginal, and with the exact
    score: less is asked than by Kloeden and Platen, to whom the start may be any.  Methods that only keep the marginals,
    solving the flow and adding noise, are of a lower order from another law (`ancestral`, `edm_stochastic`, `restart`).
    `main_order` is the weak order without the start-up.
    """

    stochastic = True
    weak_order: int

    @property
    def order(self) -> int:
        return self.weak_order

    def noise_scale(self, ns: NoiseSchedule) -> float | Callable[[float], float]:
        """eta/g of the process that the method follows: a number, or a function of t.  1 is the reverse SDE."""
        return 1.0


class Sampler(_Claims):
    """How a WHOLE grid is crossed, where one interval at a time does not say it: compositions and black boxes.

    `adaptive` samplers use only the two ends of the grid and choose their steps by a tolerance.
    """

    adaptive: bool = False

    def sample(self, model: ModelLike, x: Tensor, grid: Sequence[float], noise: Any = None) -> Tensor:
        """The state at grid[-1], from the state x at grid[0]."""
        raise NotImplementedError


def checked(method: Any) -> Solver | Sampler:
    """The method itself, if it is one that can be measured: an instance, with its step and the claims that have no default.

    Raises UsageError, which says what is missing.
    """
    if not isinstance(method, Solver | Sampler):
        what = f"the class {method.__name__}" if isinstance(method, type) else shown(method)
        raise UsageError(f"{what} is not a solver: give an instance of a subclass of sdebench.Solver or sdebench.Sampler")
    base, verb = (Solver, "step") if isinstance(method, Solver) else (Sampler, "sample")
    if getattr(type(method), verb) is getattr(base, verb):
        raise UsageError(f"{type(method).__name__} has no {verb}: define {verb}(...) in it")
    for claim in ("weak_order" if method.stochastic else "order", "nfe_per_step"):
        if not hasattr(method, claim):
            raise UsageError(f"{type(method).__name__} does not state its {claim}: give it as a class variable, as {claim} = 1")
        value = getattr(method, claim)
        if not (is_number(value) and value >= 0):
            raise UsageError(f"{type(method).__name__} states {claim} = {shown(value)}: give a number, 0 or more")
    return method


def remember(node: Node, past: tuple[Node, ...], memory: int) -> tuple[Node, ...]:
    """`past` with `node` in front, cut to `memory` nodes."""
    return (node, *past[: memory - 1]) if memory else ()


EXECUTORS = {  # who runs it; above this file, so by name
    "eager": "sdebench.integration.solver:eager",
    "fused": "sdebench.integration.executors.fused:fused",
    "graph": "sdebench.integration.executors.graph:graph",
}


def integrate(
    solver: Solver | Sampler, model: ModelLike, x: Tensor, grid: Sequence[float], noise: Any = None, executor: str = "eager"
) -> Tensor:
    """The state at grid[-1], from the state `x`, `(B, *D)`, at grid[0].

    `executor` is who runs it: "eager" calls the method step by step, and is the reference; "fused" runs the same linear
    combinations in the fewest passes over memory, "graph" these as one CUDA graph.  Both agree with it to rounding, record no
    gradients, and take the methods that are linear in their vectors and choose no steps.

    Raises UsageError for a method or a model that is none, a stochastic method without noise, a noise on another schedule, a
    grid that is not strictly decreasing, a time outside the schedule's domain, a step that does not return a Step, an end
    state of another shape, and an executor that is none or cannot run this method.
    """
    if executor not in EXECUTORS:
        raise UsageError(f"unknown executor {executor!r}{near_miss(str(executor), EXECUTORS)}: give {', '.join(EXECUTORS)}")
    grid, solver = grids.check(grid), checked(solver)
    _check_run(model, x)
    model.schedule.alpha(grid[0]), model.schedule.alpha(grid[-1])  # refuses an end outside its domain
    if solver.stochastic:
        _check_noise(solver, model, noise, x)
    module, _, name = EXECUTORS[executor].partition(":")
    end = getattr(import_module(module), name)(solver, model, x, grid, noise)
    if not (isinstance(end, Tensor) and end.shape == x.shape):
        raise not_like(end, x, type(solver).__name__)
    return end


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
    for s, t in pairwise(times):
        step = solver.step(model, x, s, t, past, noise)
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
    solver has no embedded error, RuntimeError when the step size vanishes or `max_steps` is passed.
    """
    _check_run(model, x)
    if not isinstance(checked(solver), Solver) or solver.stochastic:
        raise _no_pair(solver)
    atol = rtol if atol is None else atol
    numbers = all(map(is_number, (s, t, rtol, atol, 1.0 if h is None else h)))
    if not (numbers and s > t and rtol > 0 and atol >= 0 and (h is None or h > 0)):
        raise UsageError(f"s={s}, t={t}, rtol={rtol}, atol={atol}, h={h}: give s > t, rtol > 0, atol >= 0, and h > 0 or none")
    ns, past = model.schedule, ()
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
            x, past, s, lam = step.x, step.past, u, ns.lam(u)
            taken.append(u)
            if last:
                return x, tuple(taken)
        if not error < float("inf"):
            raise RuntimeError(f"the error estimate at t = {s:.6g} is {error}: the step diverged")
        h = min(min(5.0, max(0.2, safety * max(error, 1e-12) ** (-1 / solver.order))) * h, lam_end - lam)
        if h < 1e-14 * max(1.0, sqrt(abs(lam))):
            raise RuntimeError(f"the step size vanished at t = {s:.6g}: rtol = {rtol:g} cannot be met")
    raise RuntimeError(f"more than {max_steps} steps at rtol = {rtol:g}")
