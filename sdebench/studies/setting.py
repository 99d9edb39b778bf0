"""What all studies share: a problem with its starting points and references, the rungs of a ladder, errors over the points."""

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property, lru_cache
from itertools import accumulate
from math import inf, sqrt
from time import perf_counter

import torch
from torch import Tensor

from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.catalogue import get_problem
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Counted
from sdebench.integration.solver import Sampler, Solver
from sdebench.laws.oracle import Reference, trajectory
from sdebench.noise import WhiteNoise
from sdebench.problems import ExactModel, Problem

PAST_RATIOS = (0.6, 1.5, 0.8, 1.3, 0.7, 1.1)  # steps before the current one, in units of it: UNEQUAL, so that wrong ratios show
LOCAL_START = 0.4  # where in the span (of lam) the local step stands


class Setting:
    """A problem, `points` exact draws at its noisy end, and references of the exact flow, each made once."""

    def __init__(self, problem: Problem, points: int, seed: int):
        self.problem, self.model, self.seed = problem, problem.model, seed
        self.x = problem.initial(points, seed)
        self.scale = float(self.x.square().mean().sqrt())

    @cached_property
    def end(self) -> Reference:
        """The exact state at the clean end of the span."""
        return trajectory(self.problem, self.x, self.problem.span)

    @cached_property
    def noisier_half(self) -> "Setting":
        """The same points, and the first half of the span (of lam)."""
        ns, (s, t) = self.problem.schedule, self.problem.span
        middle = ns.t(0.5 * (ns.lam(s) + ns.lam(t)))
        return Setting(replace(self.problem, span=(s, middle)), len(self.x), self.seed)

    @lru_cache(maxsize=512)  # noqa: B019  settings live as long as the process
    def states(self, times: tuple[float, ...]) -> Reference:
        """Exact states at `times`, from the points at the noisy end."""
        s = self.problem.span[0]
        if times[0] == s:
            return trajectory(self.problem, self.x, times)
        reference = trajectory(self.problem, self.x, (s, *times))
        return Reference(reference.states[1:], reference.error[1:])

    @cached_property
    def middle(self) -> tuple[float, Tensor]:
        """The time at which local errors are measured, and the exact state there."""
        ns, (s, t) = self.problem.schedule, self.problem.span
        u = ns.t(ns.lam(s) + LOCAL_START * (ns.lam(t) - ns.lam(s)))
        return u, self.states((u,)).states[0]

    @lru_cache(maxsize=64)  # noqa: B019
    def local_rung(self, h: float, past: int) -> tuple[tuple[float, ...], Reference]:
        """Times (s, t, and `past` unequally spaced before s) for a step h of lam at the middle, and the exact states there."""
        ns, (s, x_s) = self.problem.schedule, self.middle
        lam = ns.lam(s)
        times = (s, ns.t(lam + h), *(ns.t(lam - h * r) for r in accumulate(PAST_RATIOS[:past])))
        return times, trajectory(self.problem, x_s, times)

    def grid(self, family: str, n: int) -> tuple[grids.Grid, float]:
        """(grid of n steps over the span, mean step in lam)"""
        ns, (s, t) = self.problem.schedule, self.problem.span
        return grids.get(family)(ns, s, t, n), (ns.lam(t) - ns.lam(s)) / n

    def rounding(self, steps: int, dtype: torch.dtype = torch.float64) -> float:
        """Estimate of what rounding does to the state over `steps` steps."""
        return 2 * torch.finfo(dtype).eps * self.scale * sqrt(steps)


@lru_cache(maxsize=8)
def setting(problem: str, points: int, seed: int) -> Setting:
    """The setting of a problem spec; kept, because every case of a study comes back to it."""
    return Setting(get_problem(problem), points, seed)


def calls(solver: Solver | Sampler, problem: Problem, grid: grids.Grid) -> int:
    """Network evaluations of one run, as the model's counter sees them."""
    model, x = Counted(problem.model), problem.initial(1, 0)
    integrate(solver, model, x, grid, WhiteNoise(problem.schedule, tuple(x.shape)) if solver.stochastic else None)
    return model.nfe


def context(problem: Problem) -> dict:
    """What the record says of the problem."""
    return {"schedule": str(problem.schedule), "span": list(problem.span), "dim": problem.dim}


class Ladder:
    """The rungs of one case, as the lists that its record keeps."""

    def __init__(self, model: ExactModel):
        self.model = model
        self.data: dict[str, list] = {k: [] for k in ("n", "h", "nfe", "rms", "median", "max", "seconds", "floor")}

    def rung(self, n: int, h: float, floor: float, exact: Tensor, run: Callable[[Counted], Tensor]) -> None:
        """Run once, counting and timing, as samplers run (no autograd); keep the errors against `exact`, known to `floor`."""
        counted = Counted(self.model)
        start = perf_counter()
        with torch.inference_mode():
            x = run(counted)
        seconds = perf_counter() - start
        values = {"n": n, "h": h, "nfe": counted.nfe, "seconds": seconds, "floor": floor} | error_norms(x, exact)
        for key, value in values.items():
            self.data[key].append(value)


def error_norms(x: Tensor, exact: Tensor) -> dict[str, float]:
    """RMS, median and maximum over the points of the RMS error over the coordinates; inf where the state is not finite."""
    if x.shape != exact.shape:
        raise UsageError(f"the method returned a state of shape {tuple(x.shape)}: return that which came, {tuple(exact.shape)}")
    e = (x.double() - exact).square().mean(dim=1).sqrt()
    if not bool(torch.isfinite(e).all()):
        return {"rms": inf, "median": inf, "max": inf}
    return {"rms": float(e.square().mean().sqrt()), "median": float(e.median()), "max": float(e.max())}
