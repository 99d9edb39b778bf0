r"""Distances of a deterministic run's law from the exact one in one dimension, from the two maps: nothing is inverted.

T is the run and F the exact flow, from the law p at the start; both rise, so T(x) and F(x) are coupled best on the line.

    W2^2   = int (T(x) - F(x))^2 p(x) dx
    KL     = int p [r - 1 - log r] dx,      r = q(T(x)) T'(x)/p(x),   q the exact law at the end;   int p r = int q = 1

Both are sums over the points of one batch, where the density of the run's law would want its inverse at tens of thousands.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from sdebench.integration.integrate import integrate
from sdebench.integration.solver import Sampler, Solver
from sdebench.laws.density import Exact
from sdebench.problems import Problem

_FINE = 32  # nodes for each that p itself wants: both maps are steep between the modes
_SEEN = 1e-16  # of the largest density
_WEIGHTS = (4 / 5, -1 / 5, 4 / 105, -1 / 280)  # of the central difference of order 8
_MARGIN = len(_WEIGHTS)


class Coupled(NamedTuple):
    """Wasserstein-2 and KL(run|exact)."""

    w2: float
    kl: float


def coupled_distances(method: Solver | Sampler, problem: Problem, grid: Sequence[float]) -> Coupled:
    """Of the run's law at grid[-1] from the exact marginal, begun with the exact one at grid[0].

    Raises RuntimeError where T is not increasing: coarse runs may fold the line.
    """
    x, p, spacing, flow = _exact(problem, grid[0], grid[-1])
    exact = Exact(problem.law.marginal(problem.schedule, grid[-1]))
    run = integrate(method, problem.model, torch.from_numpy(x).unsqueeze(1), grid).squeeze(1).numpy()
    slope = _slope(run, spacing)
    if slope.min() <= 0:
        raise RuntimeError(f"the run folds the law near {x[int(slope.argmin())]:.4g}")
    inner = slice(_MARGIN, -_MARGIN)
    excess = exact.pdf(run[inner]) * slope / p[inner] - 1
    w2 = np.sqrt(spacing * (p @ (run - flow) ** 2))
    return Coupled(float(w2), float(spacing * (p[inner] @ (excess - np.log1p(excess)))))


@lru_cache(maxsize=8)
def _exact(problem: Problem, s: float, t: float) -> tuple[np.ndarray, np.ndarray, float, np.ndarray]:
    """(nodes (n,), density at s, their spacing, where the exact flow takes them at t)."""
    start = Exact(problem.law.marginal(problem.schedule, s))
    law = start.density(start.spacing / _FINE)
    bulk = law.density > _SEEN * law.density.max()
    x = law.nodes[bulk]
    return x, law.density[bulk], law.spacing, problem.solution(torch.from_numpy(x).unsqueeze(1), s, t).squeeze(1).numpy()


def _slope(values: np.ndarray, spacing: float) -> np.ndarray:
    """The derivative at all nodes but `_MARGIN` at either end, of order 8."""
    n = len(values)
    return (
        sum(
            w * (values[_MARGIN + k : n - _MARGIN + k] - values[_MARGIN - k : n - _MARGIN - k])
            for k, w in enumerate(_WEIGHTS, 1)
        )
        / spacing
    )
