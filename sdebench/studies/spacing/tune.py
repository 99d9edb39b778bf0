r"""The best grid of a method at a number of steps: the interior lams that minimise the exact error.

The steps are `(lam_t - lam_s) softmax(theta)`, so every theta is a grid.  The error at the end of the span is the RMS over a
set of points, and its logarithm is minimised from the best grids that are known; another set of points judges what is found.
Two searches: L-BFGS on finite differences finds the valley, Nelder-Mead its floor.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from math import exp, inf, log

import numpy as np
from scipy.optimize import minimize
from torch import Tensor

from sdebench import grids
from sdebench._support.errors import UsageError, shown
from sdebench.integration.integrate import integrate
from sdebench.integration.solver import Sampler, Solver
from sdebench.problems import Problem
from sdebench.schedules import NoiseSchedule
from sdebench.studies.setting import Setting

KNOWN = ("uniform_lam", "uniform_t", "quadratic", "karras", "kl_optimal", "beta", "shifted", "ays[model=sd15]")
_STARTS = 3  # of the grids that are known, the best ones from which a search begins
_MOST_STEPS = 100


@dataclass(frozen=True)
class GridErrors:
    """A grid: its name, its RMS error on the points of the search and on unseen ones, and its times."""

    grid: str
    searched: float
    unseen: float
    times: grids.Grid


@dataclass(frozen=True)
class Tuned:
    """What a search gave: the rows, the best on unseen points first, and the floor below which no error means anything."""

    rows: tuple[GridErrors, ...]
    schedule: NoiseSchedule
    floor: float

    @property
    def best(self) -> GridErrors:
        """The grid to take: the tuned one, unless a known one is better on unseen points."""
        return self.rows[0]

    @property
    def known(self) -> GridErrors:
        """The best of the known grids."""
        return next(row for row in self.rows if row.grid != "tuned")

    @property
    def gain(self) -> float:
        """The error of the best known grid over that of the one to take, on unseen points."""
        return self.known.unseen / self.best.unseen

    def sigmas(self) -> list[float]:
        """The noise levels sigma/alpha of the grid to take, as libraries want them."""
        return [self.schedule.rho(t) for t in self.best.times]


def why_not(solver: Solver | Sampler, nfe: int) -> str:
    """Why a method has no grid to tune within a budget of evaluations; empty where it has."""
    if solver.adaptive:
        return "it chooses its own steps: give a method that crosses a grid"
    if solver.stochastic:
        return "it is stochastic, and its states have no exact ones to compare with: give a deterministic method"
    n = nfe // solver.nfe_per_step
    if not len(solver.closing) + 1 < n <= _MOST_STEPS:
        return f"{nfe} evaluations are {n} steps of this method: give a budget of 2 to {_MOST_STEPS} steps"
    return ""


@dataclass(frozen=True)
class Target:
    """What a grid is tuned for: the span of a schedule, and the RMS error of a run on two sets of points, with its floor."""

    schedule: NoiseSchedule
    span: tuple[float, float]
    searched: Callable[[grids.Grid], float]
    unseen: Callable[[grids.Grid], float]
    floor: float
    starts: int = _STARTS


def on_problem(solver: Solver | Sampler, problem: Problem, points: int, seed: int) -> Target:
    """An exact problem: `points` draws, and as many others."""
    here, other = (Setting(problem, points, at) for at in (seed, seed + 1))
    floor = max(here.end.error[-1], here.rounding(_MOST_STEPS))
    return Target(problem.schedule, problem.span, partial(_error, solver, here), partial(_error, solver, other), floor)


def on_network(solver: Solver | Sampler, model: str, points: int, seed: int) -> Target:
    """A network: the samples 0 to `points - 1`, and as many after them, against their converged trajectories."""
    from sdebench.studies.quality.error import converged
    from sdebench.studies.quality.run import Sampling, sample

    at = Sampling(model, "float32", "cpu", seed)
    exact = converged(at, 2 * points)

    def error(first: int, grid: grids.Grid) -> float:
        found = sample(solver, at.problem.model, grid, at, first, points).flatten(1).double()
        return _finite(found - exact.ends[first : first + points])

    here, other = partial(error, 0), partial(error, points)
    return Target(at.problem.schedule, at.problem.span, here, other, exact.error, starts=1)


def steps_within(solver: Solver | Sampler, nfe: int) -> int:
    """The steps of a run within a budget of evaluations.  Raises UsageError where there is no grid to tune."""
    if why := why_not(solver, nfe):
        raise UsageError(f"{shown(solver)} cannot be tuned, for {why}")
    return nfe // solver.nfe_per_step


def tune(solver: Solver | Sampler, target: Target, nfe: int) -> Tuned:
    """The best grid of a method within a budget of evaluations, judged on unseen points.

    Raises UsageError for a method without a fixed grid, and for a budget below two steps.
    """
    n, ns, (s, t) = steps_within(solver, nfe), target.schedule, target.span
    known = {name: grid for name in KNOWN if (grid := _grid(name, ns, s, t, n))}
    before = {name: target.searched(grid) for name, grid in known.items()}
    best = sorted(before, key=lambda name: before[name])[: target.starts]
    found = min((_search(ns, known[name], target.searched) for name in best), key=target.searched)
    rows = [GridErrors(name, before[name], target.unseen(grid), grid) for name, grid in known.items()]
    rows.append(GridErrors("tuned", target.searched(found), target.unseen(found), found))
    return Tuned(tuple(sorted(rows, key=lambda row: (row.unseen, row.grid))), ns, target.floor)


def _grid(name: str, ns: NoiseSchedule, s: float, t: float, n: int) -> grids.Grid:
    """The grid of a family; nothing where the schedule has no such."""
    try:
        return grids.get(name)(ns, s, t, n)
    except UsageError:
        return ()


def _error(solver: Solver | Sampler, at: Setting, grid: grids.Grid) -> float:
    """RMS error of a run, infinite where it is not finite."""
    return _finite(integrate(solver, at.model, at.x, grid) - at.end.states[-1])


def _finite(difference: Tensor) -> float:
    """The RMS, infinite where it is not a number."""
    error = float(difference.square().mean().sqrt())
    return error if error < inf else inf


def _search(ns: NoiseSchedule, start: grids.Grid, error: Callable[[grids.Grid], float]) -> grids.Grid:
    """A grid of lower error, from one that is known; that one where none is found."""
    s, t = start[0], start[-1]

    def grid_of(theta: np.ndarray) -> grids.Grid:
        return _times(ns, s, t, theta)

    def cost(theta: np.ndarray) -> float:
        try:
            return log(max(error(grid_of(theta)), 1e-300))
        except UsageError:  # two times that cannot be told apart
            return 1e3

    theta = np.log([ns.lam(b) - ns.lam(a) for a, b in pairwise(start)])
    theta = minimize(cost, theta, method="L-BFGS-B", options={"maxiter": 60}).x
    polished = minimize(cost, theta, method="Nelder-Mead", options={"maxfev": 60 * len(theta), "fatol": 1e-4, "xatol": 1e-4}).x
    found = grid_of(polished)
    return found if error(found) < error(start) else start


def _times(ns: NoiseSchedule, s: float, t: float, theta: Sequence[float] | np.ndarray) -> grids.Grid:
    """The grid whose steps in lam are in proportion to exp(theta)."""
    low, high = ns.lam(s), ns.lam(t)
    top = max(theta)
    weights = [exp(v - top) for v in theta]
    sums = np.cumsum(weights) / sum(weights)
    return grids.check((s, *(ns.t(low + float(q) * (high - low)) for q in sums[:-1]), t))
