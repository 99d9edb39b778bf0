"""Expectations under a law of one or two dimensions, without sampling."""

from math import ceil, prod

import torch
from torch import Tensor

from sdebench._support.errors import UsageError
from sdebench.problems import GaussianMixture

_REACH, _PER_SD = 8.5, 6  # standard deviations beyond the outer means; nodes in the smallest of them


def nodes(law: GaussianMixture) -> tuple[Tensor, Tensor]:
    """Points (n, d) and weights (n,) of the trapezoidal rule on a product grid, which converges spectrally."""
    if law.dim > 2 or not isinstance(law, GaussianMixture):
        raise UsageError(f"{law!r} is too wide for a grid: give a Gaussian mixture in one or two dimensions, as 'mixture-2d'")
    covs = law.covs
    reach = _REACH * covs.diagonal(dim1=1, dim2=2).sqrt()
    low, high = (law.means - reach).amin(0), (law.means + reach).amax(0)
    least = float(torch.linalg.eigvalsh(covs).min().sqrt())
    axes = [
        torch.linspace(a, b, ceil((b - a) / least * _PER_SD) + 1, dtype=torch.float64)
        for a, b in zip(low.tolist(), high.tolist())
    ]
    x = torch.cartesian_prod(*axes).reshape(-1, law.dim)
    return x, law.log_prob(x).exp() * prod(float(axis[1] - axis[0]) for axis in axes)


def energy(law: GaussianMixture) -> float:
    """`E norm(score)^2` of a law."""
    x, w = nodes(law)
    return float(w @ law.score(x).square().sum(1))
