"""Weak and strong order of stochastic methods; `order` has the cases, this module the measuring.

    weak     error of the law at the end of a run that begins with the exact marginal, over the number of steps
                 one Gaussian: of mean and covariance, exact, from the tableau (of a method that has none: of samples)
                 one dimension: of E[phi], by quadrature of the chain's kernels, of a method that has them (`laws.feasible`)
                 otherwise: of E[phi], against a reference on the same Brownian path, with its standard error as floor
    strong   error of the state on one Brownian path, over the number of steps

phi(x) = mean over the coordinates of sin x + cos x: smooth and bounded, with neither symmetry to hide an error.
"""

from functools import lru_cache
from math import sqrt
from time import perf_counter
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdebench import grids
from sdebench.fit import pack_angles
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Counted
from sdebench.integration.solver import Sampler, Solver
from sdebench.integration.tableau import tableau
from sdebench.laws.chain import chain_law
from sdebench.laws.feasible import has_noise_inside, is_gaussian, why_not
from sdebench.laws.gaussian import law_of
from sdebench.laws.oracle import Reference
from sdebench.laws.pathwise import Tau, on_path
from sdebench.noise import WhiteNoise
from sdebench.noise.brownian import BrownianPath
from sdebench.problems import Problem
from sdebench.studies.ladders import rungs
from sdebench.studies.setting import Setting, calls, error_norms

STRONG_PATHS, COUPLED_PATHS = 16_384, 20_000
FINE = 576  # steps of the reference on a path: six times the longest run, so that halves and thirds of steps are on it
STRONG_GRID = "uniform_lam"  # as the reference's: its times are then times of the path
STRONG_STEPS = (8, 12, 16, 24, 32, 48, 96)
WEAK_STEPS, QUADRATURE_STEPS = (64, 96, 144, 216, 324), (24, 32, 48, 64, 96, 128)
FEW_STEPS = (16, 24, 32, 48, 64, 96)  # where every noise inside of a step is one more dimension of the quadrature
_PATH_BYTES = 256 << 20  # all normals of a path: its runs come back to each of them
COUPLED_FINE, COUPLED_STEPS = 96, (4, 6, 8, 12, 16, 24, 32)
_PATH_ROUNDING = 1e-6
_MOMENT_ROUNDING = 1e-13
_QUADRATURE = 1e-9  # of E[phi]

Data = dict[str, list]


def _row(out: Data, **values: float) -> None:
    for key, value in values.items():
        out.setdefault(key, []).append(value)


def weak(solver: Solver | Sampler, at: Setting, grid: str) -> Data:
    """Weak errors over the number of steps on a grid family, by the best oracle that there is for the problem."""
    gaussian = is_gaussian(at.problem)
    if why_not(solver, at.problem):
        return (_sampled_moments if gaussian else _coupled)(solver, at, grid)
    return (_moments if gaussian else _expectation)(solver, at, grid)


def _moments(solver: Solver | Sampler, at: Setting, grid: str) -> Data:
    problem = at.problem
    exact = problem.law.marginal(problem.schedule, problem.span[1])
    out: Data = {"n": [], "h": [], "rms": [], "floor": [], "angles": []}
    vectors: list[np.ndarray] = []
    for n in rungs(out, WEAK_STEPS, solver.order > 0, solver.order):
        times, h = at.grid(grid, n)
        start = perf_counter()
        table = tableau(solver, problem.schedule, times, gamma=problem.model.gamma)
        mean, cov = law_of(table, problem.law)  # type: ignore[arg-type]  # one Gaussian, as `weak` has seen
        vectors.append(torch.cat([mean - exact.mean(), (cov - exact.cov()).flatten()]).numpy())
        of_mean, of_cov = float((mean - exact.mean()).norm()), float((cov - exact.cov()).norm())
        both = sqrt(of_mean**2 + of_cov**2)
        _row(
            out,
            n=n,
            h=h,
            nfe=table.nfe,
            rms=both,
            median=both,
            max=both,
            seconds=perf_counter() - start,
            floor=_MOMENT_ROUNDING,
            mean=of_mean,
            cov=of_cov,
        )
        out["angles"] = pack_angles(vectors)
    return out


def _sampled_moments(solver: Solver | Sampler, at: Setting, grid: str) -> Data:
    """The same from samples, each run with its own white noise; the floor is the standard error of both moments."""
    problem, out, count = at.problem, {}, COUPLED_PATHS
    end = problem.law.marginal(problem.schedule, problem.span[1])
    x, cov = problem.initial(count, at.seed), end.cov()
    floor = sqrt(float(cov.trace() + cov.square().sum() + cov.trace() ** 2) / count)
    for n in WEAK_STEPS:
        times, h = at.grid(grid, n)
        model, start = Counted(at.model), perf_counter()
        state = integrate(solver, model, x, times, WhiteNoise(problem.schedule, tuple(x.shape), at.seed + n))
        error = sqrt(float((state.mean(0) - end.mean()).square().sum() + (state.T.cov() - cov).square().sum()))
        _row(
            out,
            n=n,
            h=h,
            nfe=model.nfe,
            rms=error,
            median=error,
            max=error,
            seconds=perf_counter() - start,
            floor=floor,
            stderr=floor,
        )
    return out


def phi(x: Tensor) -> Tensor:
    """The test function, (n, d) -> (n,)."""
    return (x.sin() + x.cos()).mean(1)


def _exact_phi(problem: Problem) -> float:
    """E[phi] of the exact marginal in 1-D: E[sin x] = e^{-v/2} sin(m) for each component, and so for the cosine."""
    law: Any = problem.law.marginal(problem.schedule, problem.span[1]).kernel  # of a line: `Coordinates`
    w, m, v = law.log_weights.exp(), law.means, law.sd.square()
    return float((w * (-0.5 * v).exp() * (m.sin() + m.cos())).sum())


def _expectation(solver: Solver | Sampler, at: Setting, grid: str) -> Data:
    problem, exact, out, signed = at.problem, _exact_phi(at.problem), {}, []
    for n in FEW_STEPS if has_noise_inside(solver, problem) else QUADRATURE_STEPS:
        times, h = at.grid(grid, n)
        start = perf_counter()
        law = chain_law(solver, problem, times)
        signed.append(law.expect(lambda x: np.sin(x) + np.cos(x)) - exact)
        error = abs(signed[-1])
        _row(
            out,
            n=n,
            h=h,
            nfe=calls(solver, problem, times),
            rms=error,
            median=error,
            max=error,
            seconds=perf_counter() - start,
            floor=_QUADRATURE,
        )
    return out | {"angles": pack_angles(signed)}


# A path keeps its normals: in float32, which is a path as good as any.  What it adds up to over a step differs from what it
# adds up to over the parts by 1e-7: that is part of the floor.
@lru_cache(maxsize=1)
def _path(problem: Problem, points: int, seed: int, steps: int, more: tuple[float, ...]) -> tuple[BrownianPath, Tensor]:
    """(path that knows the times of a reference of so many steps and `more`, initial states), for all methods."""
    fine = grids.uniform_lam(problem.schedule, *problem.span, steps)
    shape = (points, problem.dim)
    path = BrownianPath(problem.schedule, (*fine, *more), shape, seed, torch.float32, kept_bytes=_PATH_BYTES)
    return path, problem.initial(points, seed)


@lru_cache(maxsize=8)
def _reference(problem: Problem, points: int, seed: int, tau: Tau | None, steps: int, more: tuple[float, ...]) -> Reference:
    """The solution on that path of the process of tau, for all methods that follow it."""
    path, x = _path(problem, points, seed, steps, more)
    fine = grids.uniform_lam(problem.schedule, *problem.span, steps)
    return on_path(problem, x, fine, path, tau or (lambda t: 1.0))


def _on_one_path(solver: Solver | Sampler, at: Setting, points: int, steps: int, more: tuple[float, ...] = ()) -> tuple:
    """(path, initial states, reference) for the process that the method follows."""
    reference = _reference(at.problem, points, at.seed, _process(solver, at.problem), steps, more)
    return *_path(at.problem, points, at.seed, steps, more), reference


def _process(solver: Solver | Sampler, problem: Problem) -> Tau | None:
    """The eta/g that the method follows, as a key that equal processes share; None is the reverse SDE itself."""
    tau = solver.noise_scale(problem.schedule)
    return None if tau == 1.0 else tau if callable(tau) else _constant(tau)


@lru_cache(maxsize=64)
def _constant(tau: float) -> Tau:
    return lambda t: tau


def _coupled(solver: Solver | Sampler, at: Setting, grid: str) -> Data:
    """E[phi(x_n) - phi(x)] with x the reference on the same path: the difference has little variance."""
    more = tuple(t for n in COUPLED_STEPS for t in at.grid(grid, n)[0][1:-1])
    path, x, reference = _on_one_path(solver, at, COUPLED_PATHS, COUPLED_FINE, more)
    exact, out, signed = phi(reference.states[0]), {}, []
    for n in COUPLED_STEPS:
        times, h = at.grid(grid, n)
        model, start = Counted(at.model), perf_counter()
        difference = phi(integrate(solver, model, x, times, path)) - exact
        signed.append(float(difference.mean()))
        error, stderr = abs(signed[-1]), float(difference.std()) / sqrt(len(x))
        _row(
            out,
            n=n,
            h=h,
            nfe=model.nfe,
            rms=error,
            median=error,
            max=error,
            seconds=perf_counter() - start,
            floor=stderr,
            stderr=stderr,
        )
    return out | {"angles": pack_angles(signed)}


def strong(solver: Solver | Sampler, at: Setting, grid: str) -> Data:
    """Strong errors on one Brownian path over the number of steps, on `STRONG_GRID` whatever `grid` is."""
    path, x, reference = _on_one_path(solver, at, STRONG_PATHS, FINE)
    exact, floor, out = reference.states[0], reference.error[0] + _PATH_ROUNDING * at.scale, {}
    for n in STRONG_STEPS:
        times, h = at.grid(STRONG_GRID, n)
        model, start = Counted(at.model), perf_counter()
        end = integrate(solver, model, x, times, path)
        squares = (end - exact).square().mean(1)
        norms = error_norms(end, exact)
        # delta method: the standard error of the root of a mean
        stderr = float(squares.std()) / sqrt(len(x)) / (2 * norms["rms"]) if norms["rms"] else 0.0
        _row(
            out,
            n=n,
            h=h,
            nfe=model.nfe,
            **norms,
            seconds=perf_counter() - start,
            floor=floor,
            q90=float(squares.sqrt().quantile(0.9)),
            stderr=stderr,
        )
    return out
