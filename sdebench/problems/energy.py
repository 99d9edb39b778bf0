"""Gamma = E|eps(x_t, t)|^2/d of a law's exact model: what Analytic-DPM asks of a network, here without one."""

from math import ceil

import torch

from sdebench.problems.quantile import Coordinates
from sdebench.schedules import NoiseSchedule

_REACH, _PER_SD = 9.0, 20  # standard deviations beyond the outer means; nodes in the smallest of them
_DRAWS = 1 << 14


def mean_square_eps(law, ns: NoiseSchedule, t: float) -> float:
    """`sigma_t^2 E|score_t|^2/d`, between 0 and 1.

    One Gaussian: `sigma_t^2 tr(C_t^{-1})/d`.  One dimension and products of them: the trapezoidal rule on each coordinate,
    which converges spectrally, to rounding.  Any other law: a mean over 16,384 draws, always the same, as Bao et al. 2022,
    arXiv:2201.06503, estimate it: relative error about 1 % over sqrt(d).
    """
    marginal, sigma = law.marginal(ns, t), ns.sigma(t)
    if getattr(marginal, "_variances", None) is not None and len(marginal.weights) == 1:
        return sigma * sigma * float(marginal._variances.reciprocal().mean())
    kernel = marginal.kernel
    if isinstance(kernel, Coordinates):
        return sigma * sigma * _fisher(kernel)
    return sigma * sigma * float(marginal.score(marginal.sample(_DRAWS, seed=0)).square().mean())


def _fisher(c: Coordinates) -> float:
    """E|score|^2 a coordinate."""
    low, high = (c.means - _REACH * c.sd).amin(0), (c.means + _REACH * c.sd).amax(0)  # (1, d)
    n = ceil(float((high - low).max() / c.sd.min()) * _PER_SD)
    x = low + (high - low) * torch.linspace(0, 1, n + 1, dtype=torch.float64).unsqueeze(1)
    density = c.log_densities(x).exp()
    return float(((density * c.score(x).square()).sum(0) * (high - low) / n).mean())
