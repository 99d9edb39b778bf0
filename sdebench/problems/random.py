"""Random problems that nobody tuned for: a law, a schedule and a span from one seed."""

from math import exp, log

import numpy as np
import torch

from sdebench.problems.mixture import GaussianMixture
from sdebench.problems.problem import Law, Problem
from sdebench.problems.product import ProductMixture
from sdebench.schedules import EDM, SCHEDULES, NoiseSchedule

LAMS = (-5.0, 6.0)  # a span lies in here
_LEAST = 1.5  # of a span
_CLEAN = 1e-9  # a time as near to the data as any schedule is asked for


def _line(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights, means in [-2, 2] and variances (standard deviations 0.08 to 0.8) of a mixture on a line."""
    sd = np.exp(rng.uniform(log(0.08), log(0.8), count))
    return rng.dirichlet(np.full(count, 3.0)), rng.uniform(-2, 2, count), sd**2


def _rotation(rng: np.random.Generator, d: int) -> np.ndarray:
    return np.linalg.qr(rng.normal(size=(d, d)))[0]


def _full(rng: np.random.Generator, d: int) -> GaussianMixture:
    """One to five components with covariances turned at random (standard deviations 0.15 to 0.8)."""
    count = int(rng.integers(1, 6))
    covs = []
    for _ in range(count):
        basis = _rotation(rng, d)
        cov = (basis * np.exp(rng.uniform(log(0.15), log(0.8), d)) ** 2) @ basis.T
        covs.append((cov + cov.T) / 2)
    means = torch.tensor(rng.uniform(-2, 2, (count, d)))
    return GaussianMixture(rng.dirichlet(np.full(count, 3.0)).tolist(), means, torch.tensor(np.array(covs)))


def _law(rng: np.random.Generator) -> Law:
    """In one dimension a mixture of one to five; in two to eight a turned product of mixtures, or a mixture of Gaussians."""
    d = int(rng.integers(1, 9))
    if d == 1:
        w, mean, var = _line(rng, int(rng.integers(1, 6)))
        return GaussianMixture(w.tolist(), [[m] for m in mean], var.tolist())
    if rng.random() < 0.3:
        return _full(rng, d)
    lines = [np.array(part) for part in zip(*(_line(rng, 2) for _ in range(d)))]
    return ProductMixture(torch.tensor(_rotation(rng, d)), *(torch.tensor(part) for part in lines))


def _reach(ns: NoiseSchedule) -> tuple[float, float]:
    """The lams between which a span on the schedule may lie."""
    top = LAMS[1] if isinstance(ns, EDM) else min(LAMS[1], ns.lam(_CLEAN))
    return max(LAMS[0], ns.lam_min) + 1e-6, top - 1e-6


def random_problem(seed: int, noise: bool = False) -> Problem:
    """The problem of that seed; with `noise` its span begins at the noisiest lam, -5 or the schedule's own."""
    rng = np.random.default_rng(seed)
    ns = list(SCHEDULES.values())[int(rng.integers(len(SCHEDULES)))]()
    law, (low, high) = _law(rng), _reach(ns)
    start = low if noise else rng.uniform(low, min(2.0, high - _LEAST))
    length = exp(rng.uniform(log(_LEAST), log(min(8.0, high - start))))
    return Problem(f"random-{seed}", law, ns, (ns.t(start), ns.t(start + length)))
