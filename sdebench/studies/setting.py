"""What all studies share: a problem with its starting points and references, the rungs of a ladder, errors over the points."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property, lru_cache, partial
from itertools import accumulate
from math import inf, sqrt
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.catalogue import get_problem
from sdebench.fit import pack_angles
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Counted
from sdebench.integration.solver import Sampler, Solver
from sdebench.laws.oracle import Reference, extrapolated, trajectory
from sdebench.noise import WhiteNoise
from sdebench.problems import ExactModel, Problem

PAST_RATIOS = (0.6, 1.5, 0.8, 1.3, 0.7, 1.1)  # steps before the current one, in units of it: UNEQUAL, so that wrong ratios show
LOCAL_START = 0.4  # where in the span (of lam) the local step stands
_SHIFTS, _SHIFT = 2, 1e-5  # directions in which the flow's amplification is felt, and how far, in units of the state
_LOST = 0.2  # an error this large beside the state's scale: the point ends elsewhere


class Setting:
    """A problem, `points` exact draws at its noisy end, and references of the exact flow, each made once.

    Solvers are strangers' code, so every tensor that is handed out is a copy: what one solver does to it no other sees.
    """

    def __init__(self, problem: Problem, points: int, seed: int):
        self.problem, self.model, self.seed, self.points = problem, problem.model, seed, points
        self._x = problem.initial(points, seed)
        self.scale = float(self._x.square().mean().sqrt())

    @property
    def x(self) -> Tensor:
        """The states at the noisy end, a copy."""
        return self._x.clone()

    @cached_property
    def end(self) -> Reference:
        """The exact state at the clean end of the span."""
        return trajectory(self.problem, self._x, self.problem.span)

    @cached_property
    def weights(self) -> Tensor:
        """One weight a point, (n, 1): the flow's median amplification over its own, where that is larger; else 1.

        A point between two modes amplifies whatever error there is, so that it alone would be the RMS.  The weights come
        from the exact flow, by two shifted trajectories, and know no solver.
        """
        (s, t), rng, most = self.problem.span, torch.Generator().manual_seed(self.seed + 1), torch.zeros(self.points, 1)
        flow = self.problem.solution if self.problem.has_solution else partial(extrapolated, self.problem)
        for _ in range(_SHIFTS):
            way = torch.randn(self._x.shape, generator=rng, dtype=torch.float64)
            shift = _SHIFT * self.scale * way / way.norm(dim=1, keepdim=True)
            ends = (flow(self._x + sign * shift, s, t) for sign in (1, -1))
            most = torch.maximum(most, (next(ends) - next(ends)).norm(dim=1, keepdim=True))
        return (most.median() / most).clamp(max=1.0).nan_to_num(nan=1.0)

    @cached_property
    def noisier_half(self) -> "Setting":
        """The same points, and the first half of the span (of lam)."""
        ns, (s, t) = self.problem.schedule, self.problem.span
        middle = ns.t(0.5 * (ns.lam(s) + ns.lam(t)))
        return Setting(replace(self.problem, span=(s, middle)), self.points, self.seed)

    def states(self, times: tuple[float, ...]) -> Reference:
        """Exact states at `times`, from the points at the noisy end."""
        return _copy(self._states(times))

    @lru_cache(maxsize=512)  # noqa: B019  settings live as long as the process
    def _states(self, times: tuple[float, ...]) -> Reference:
        s = self.problem.span[0]
        if times[0] == s:
            return trajectory(self.problem, self._x, times)
        reference = trajectory(self.problem, self._x, (s, *times))
        return Reference(reference.states[1:], reference.error[1:])

    @cached_property
    def middle(self) -> tuple[float, Tensor]:
        """The time at which local errors are measured, and the exact state there."""
        ns, (s, t) = self.problem.schedule, self.problem.span
        u = ns.t(ns.lam(s) + LOCAL_START * (ns.lam(t) - ns.lam(s)))
        return u, self._states((u,)).states[0]

    def shorten(self, steps: Sequence[float], after: int, past: int) -> tuple[float, ...]:
        """The steps h, all shortened alike where the longest hop would leave the domain of the schedule."""
        ns, lam = self.problem.schedule, self.problem.schedule.lam(self.middle[0])
        ends = -sum(PAST_RATIOS[:past]), sum((1.0, *PAST_RATIOS)[:after])
        factor = 1.0
        while factor > 1e-3:
            try:
                for end in ends:
                    ns.t(lam + factor * max(steps) * end)
                break
            except UsageError:
                factor *= 0.8
        return tuple(factor * h for h in steps)

    def hop(self, h: float, steps: int, past: int) -> tuple[tuple[float, ...], Reference]:
        """Times and exact states about the middle: `past` times before it, the middle itself, `steps` times after it.

        The times fall; the first step after the middle is h of lam long, and all others are unequal.
        """
        times, reference = self._hop(h, steps, past)
        return times, _copy(reference)

    @lru_cache(maxsize=64)  # noqa: B019
    def _hop(self, h: float, steps: int, past: int) -> tuple[tuple[float, ...], Reference]:
        ns, (s, x_s) = self.problem.schedule, self.middle
        lam = ns.lam(s)
        before = [ns.t(lam - h * r) for r in accumulate(PAST_RATIOS[:past])][::-1]
        after = [ns.t(lam + h * r) for r in accumulate((1.0, *PAST_RATIOS)[:steps])]
        reference = trajectory(self.problem, x_s, (s, *before, *after))
        states, error = reference
        return (*before, s, *after), Reference(
            (*states[1 : 1 + past], states[0], *states[1 + past :]), (*error[1 : 1 + past], error[0], *error[1 + past :])
        )

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


def _copy(reference: Reference) -> Reference:
    return Reference(tuple(x.clone() for x in reference.states), reference.error)


class Ladder:
    """The rungs of one case, as the lists that its record keeps."""

    def __init__(self, model: ExactModel):
        self.model = model
        self.data: dict[str, Any] = {k: [] for k in ("n", "h", "nfe", "rms", "median", "max", "seconds", "floor")}

    def rung(self, n: int, h: float, floor: float, exact: Tensor, run: Callable[[Counted], Tensor]) -> Tensor:
        """Run once, counting and timing, as samplers run (no autograd); keep the errors against `exact`, known to `floor`."""
        counted = Counted(self.model)
        start = perf_counter()
        with torch.inference_mode():
            x = run(counted)
        seconds = perf_counter() - start
        values = {"n": n, "h": h, "nfe": counted.nfe, "seconds": seconds, "floor": floor} | error_norms(x, exact)
        for key, value in values.items():
            self.data[key].append(value)
        return x


class OrderLadder(Ladder):
    """A ladder from which an order is read: it also keeps the angles between error vectors, and what each point weighs.

    `weighted` is the RMS of the weighted errors, `angles` are those between them, row by row, and `lost` counts the points
    whose error is comparable to the state: they have ended elsewhere, in another mode.
    """

    def __init__(self, at: Setting, weights: Tensor | float = 1.0):
        super().__init__(at.model)
        self._weights, self._vectors = weights, list[np.ndarray]()
        self.data |= {"weighted": [], "lost": [], "angles": []}

    def rung(self, n: int, h: float, floor: float, exact: Tensor, run: Callable[[Counted], Tensor]) -> Tensor:
        """As every ladder's."""
        x = super().rung(n, h, floor, exact, run)
        vector = ((x.double() - exact) * self._weights).numpy()
        each = (x.double() - exact).square().mean(1).sqrt()
        self._vectors.append(vector)
        self.data["weighted"].append(float(np.sqrt(np.mean(vector**2))))
        scale = float(exact.square().mean().sqrt())
        self.data["lost"].append(int((~(each < _LOST * scale)).sum()))
        self.data["angles"] = pack_angles(self._vectors)
        return x


def error_norms(x: Tensor, exact: Tensor) -> dict[str, float]:
    """RMS, median and maximum over the points of the RMS error over the coordinates; inf where the state is not finite."""
    if x.shape != exact.shape:
        raise UsageError(f"the method returned a state of shape {tuple(x.shape)}: return that which came, {tuple(exact.shape)}")
    e = (x.double() - exact).square().mean(dim=1).sqrt()
    if not bool(torch.isfinite(e).all()):
        return {"rms": inf, "median": inf, "max": inf}
    return {"rms": float(e.square().mean().sqrt()), "median": float(e.median()), "max": float(e.max())}
