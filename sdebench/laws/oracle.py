r"""Reference trajectories of the probability flow, each with an error bar.

The exact flow where the law has one; elsewhere two integrators that share nothing but the model:

    DOP853 (scipy) for x in lam:                       dx/dlam = (d log alpha/dlam) x - sigma eps
    Gragg-Bulirsch-Stoer for y = x/alpha in rho:       dy/drho = eps,        rho = sigma/alpha

Other variables, another family of methods, another step control: a fault of one does not repeat in the other, and their
difference is the error bar.  (Hairer, Norsett and Wanner 1993, Solving Ordinary Differential Equations I, II.5 and II.9.)
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import ceil, exp, log
from typing import NamedTuple

import numpy as np
import torch
from scipy.integrate import solve_ivp
from torch import Tensor

from sdebench._support.errors import UsageError
from sdebench.problems import Problem

_MACRO_STEP = 0.4  # in lam; one hop of a local-order study
_COLUMNS = 12  # of the extrapolation tableau: order 24 at most
_TOLERANCE = 2e-15  # of the extrapolation, relative to the largest entry of the state


class Reference(NamedTuple):
    """States (n, d) at the asked times, and the RMS error (over points and coordinates) of each."""

    states: tuple[Tensor, ...]
    error: tuple[float, ...]


def trajectory(problem: Problem, x: Tensor, times: Sequence[float]) -> Reference:
    """The flow through the state `x`, (n, d), of time `times[0]`, at every one of `times`, in any order.

    The error is the exact flow's conditioning bound, or the RMS difference of the two integrators.  Raises UsageError for
    a state of the wrong shape or a time outside the schedule's domain, RuntimeError where an integrator fails.
    """
    times = tuple(map(float, times))
    if not times:
        raise UsageError("a trajectory at no times: give times[0], where the state is, and those that are wanted")
    if x.ndim != 2 or x.shape[1] != problem.dim or not x.is_floating_point():
        raise UsageError(f"the state is {x.dtype} of shape {tuple(x.shape)}: give a floating (n, {problem.dim}) tensor")
    x = x.double()
    found = {times[0]: (x, 0.0)}
    if problem.has_solution:
        found |= {t: problem.solution_with_error(x, times[0], t) for t in times[1:] if t != times[0]}
    else:
        cleaner = sorted({t for t in times if t < times[0]}, reverse=True)
        noisier = sorted({t for t in times if t > times[0]})
        found |= _sweep(problem, x, times[0], cleaner) | _sweep(problem, x, times[0], noisier)
    return Reference(tuple(found[t][0] for t in times), tuple(found[t][1] for t in times))


def _sweep(problem: Problem, x: Tensor, s: float, times: Sequence[float]) -> dict[float, tuple[Tensor, float]]:
    """Both integrators from one time to the next, each on its own state."""
    found, other = {}, x
    for t in times:
        x, other = extrapolated(problem, x, s, t), dop853(problem, other, s, t)
        found[t] = (x, float((x - other).square().mean().sqrt()))
        s = t
    return found


def dop853(problem: Problem, x: Tensor, s: float, t: float) -> Tensor:
    """The flow x_s -> x_t by DOP853 in lam, at rtol 1e-13."""
    ns, model, shape = problem.schedule, problem.model, tuple(x.shape)

    def slope(lam: float, flat: np.ndarray) -> np.ndarray:
        u = ns.t(lam)
        sigma = ns.sigma(u)
        eps = model(torch.from_numpy(flat).view(shape), u).eps.numpy().ravel()
        # f dt = d log(alpha) and g2 dt = -2 sigma^2 dlam
        return (-2 * sigma * sigma * ns.f(u) / ns.g2(u)) * flat - sigma * eps

    run = solve_ivp(slope, (ns.lam(s), ns.lam(t)), x.numpy().ravel(), method="DOP853", rtol=1e-13, atol=1e-14)
    if not run.success:
        raise RuntimeError(f"DOP853 failed between t = {s:.6g} and {t:.6g}: {run.message}")
    return torch.from_numpy(run.y[:, -1].copy()).view(shape)


def extrapolated(problem: Problem, x: Tensor, s: float, t: float) -> Tensor:
    """The flow x_s -> x_t by Gragg-Bulirsch-Stoer in rho, to rounding."""
    ns, model = problem.schedule, problem.model

    def slope(rho: float, y: Tensor) -> Tensor:
        u = ns.t(-log(rho))
        return model(ns.alpha(u) * y, u).eps

    lam, end = ns.lam(s), ns.lam(t)
    steps = max(1, ceil(abs(end - lam) / _MACRO_STEP - 1e-9))
    nodes = [exp(-(lam + (end - lam) * i / steps)) for i in range(steps + 1)]
    y = x / ns.alpha(s)
    for start, stop in pairwise(nodes):
        y = _macro_step(slope, y, start, stop)
    return ns.alpha(t) * y


def _macro_step(slope: Callable[[float, Tensor], Tensor], y: Tensor, start: float, stop: float, depth: int = 0) -> Tensor:
    """y(stop) from y(start), halved in log(rho) where the tableau does not converge.

    Everything is carried as the increment from y: the rounding that extrapolation amplifies is then that of the small
    increment, not of the state.
    """
    first = slope(start, y)
    scale = float(y.abs().max())
    row, before = [], float("inf")
    for j in range(_COLUMNS):
        new = [_midpoint_rule(slope, y, first, start, stop, 2 * (j + 1))]
        for k in range(j):
            new.append(new[k] + (new[k] - row[k]) / (((j + 1) / (j - k)) ** 2 - 1))
        change = float((new[-1] - new[-2]).abs().max()) if j else float("inf")
        if change <= _TOLERANCE * scale:
            return y + new[-1]
        if change >= before and before <= 1e3 * _TOLERANCE * scale:  # rounding has the last word
            return y + row[-1]
        row, before = new, change
    if depth == 12:
        raise RuntimeError(f"extrapolation does not converge near rho = {start:.6g}: its last change is {before:.3g}")
    middle = (start * stop) ** 0.5
    return _macro_step(slope, _macro_step(slope, y, start, middle, depth + 1), middle, stop, depth + 1)


def _midpoint_rule(slope: Callable, y: Tensor, first: Tensor, start: float, stop: float, n: int) -> Tensor:
    """Increment of Gragg's modified midpoint rule in n (even) substeps: its error has even powers of 1/n only."""
    h = (stop - start) / n
    old, new = torch.zeros_like(y), h * first
    for i in range(1, n):
        old, new = new, torch.add(old, slope(start + i * h, y + new), alpha=2 * h)
    return new
