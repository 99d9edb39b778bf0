r"""Where implicit matching breaks down: laws of thin support, and the noise of the losses' gradients at the exact score.

The implicit losses have the minimum `-E norm(score_t)^2`, which falls without bound as 1/sigma^2 where the support is of lower
dimension than the space.  What their gradients vary by is compared at the exact score, in fields phi_k that are added to it:

    s = score_t + sum_k theta_k phi_k,      noise = sum_k Var[d loss/d theta_k] / (4 E sum_k norm(phi_k)^2)   at theta = 0

which is what one sample costs, in units of the Fisher divergence; it is zero for the Fisher divergence itself.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, near_miss
from sdebench.matching.batch import Batch
from sdebench.matching.losses import LOSSES
from sdebench.problems import GaussianMixture

SUPPORTS = ("full", "segments", "points")
_THICKNESS = 1e-6  # the standard deviation that stands for none
_FIELDS, _PARTS = 16, 8


def on_support(law: GaussianMixture, support: str) -> GaussianMixture:
    """The mixture as it is; with its components as segments along their longest axes; or as its means, as points."""
    if support not in SUPPORTS:
        raise UsageError(f"unknown support {support!r}{near_miss(support, SUPPORTS)} (there are: {', '.join(SUPPORTS)})")
    if support == "full":
        return law
    values, axes = torch.linalg.eigh(law.covs)
    values[:, : law.dim - (support == "segments")] = _THICKNESS**2
    covs = (axes * values.unsqueeze(1)) @ axes.transpose(1, 2)
    return GaussianMixture(law.weights, law.means, (covs + covs.transpose(1, 2)) / 2)


@dataclass(eq=False)
class Perturbed:
    """The exact score at a batch, plus theta phi, phi_k = a_k tanh(w_k.x + b_k); a theta of its own for each sample, (L, m, K),
    so that one pass gives the gradient of each."""

    batch: Batch
    seed: int
    kind = "score"

    def __post_init__(self):
        rng, d = torch.Generator().manual_seed(self.seed), self.batch.law.dim
        w, b, a = (torch.randn(size, _FIELDS, dtype=torch.float64, generator=rng) for size in (d, 1, d))
        self.w, self.b, self.a = w, b, (a / a.norm(dim=0)).T
        self.theta = torch.zeros(*self.batch.x.shape[:2], _FIELDS, dtype=torch.float64, requires_grad=True)

    def fields(self, x: Tensor) -> Tensor:
        """tanh(w_k.x + b_k), (L, m, K)."""
        return torch.tanh(x @ self.w + self.b)

    def __call__(self, x: Tensor, lam: Tensor) -> Tensor:
        return self.batch.score + (self.theta * self.fields(x)) @ self.a


def gradient_noise(loss: str, batch: Batch, seed: int) -> tuple[Tensor, Tensor]:
    """(noise, standard error), each (L,)."""
    net = Perturbed(batch, seed)
    values = LOSSES[loss](net, batch, torch.Generator().manual_seed(seed))
    (gradients,) = torch.autograd.grad(values.sum(), net.theta)
    sizes = 4 * net.fields(batch.x).square().sum(-1).mean(1)
    parts = torch.stack([part.var(1).sum(-1) for part in gradients.chunk(_PARTS, 1)]) / sizes
    return gradients.var(1).sum(-1) / sizes, parts.std(0) / len(parts) ** 0.5
