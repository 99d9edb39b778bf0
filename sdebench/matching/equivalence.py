r"""The equivalences of the losses, as numbers at one fixed network.

    gap         mean of a loss, less the Fisher divergence and the constant, which is found without the loss
    gradients   of the denoising forms under one lambda(t), which are one gradient
    trace       of v'Jv: the mean over probes less tr J, and the variance beside the one that theory has

In one dimension by quadrature over (x_0, eps); in more by draws, with standard errors of the differences.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from sdebench.integration.prediction import KINDS
from sdebench.matching.batch import Batch, Levels, draw
from sdebench.matching.losses import LOSSES, NetworkLike, Objective, fisher, hutchinson, normal, rademacher, read
from sdebench.matching.quadrature import energy, nodes
from sdebench.matching.training import gradient
from sdebench.problems import GaussianMixture

PROBES = {"rademacher": rademacher, "normal": normal}


class Gap(NamedTuple):
    """A loss at one level: its constant, how far `mean - fisher - constant` is from zero, and the standard error of that, 0
    where it comes from quadrature."""

    fisher: float
    constant: float
    gap: float
    error: float


def pairs(law: GaussianMixture, levels: Levels) -> tuple[Batch, Tensor]:
    """All pairs of nodes of x_0 and of eps at each level, and their weights (m,); in one dimension."""
    (x0, w), (eps, v) = nodes(law), nodes(GaussianMixture([1.0], [[0.0]], [1.0]))
    grid = [z.reshape(1, -1, 1).expand(len(levels.lams), -1, -1) for z in torch.meshgrid(x0[:, 0], eps[:, 0], indexing="ij")]
    return Batch(law, levels, *grid), (w.unsqueeze(1) * v).flatten()


def constant(loss: str, law: GaussianMixture, levels: Levels) -> Tensor:
    """What the mean of a loss is more than the Fisher divergence, (L,)."""
    ns = levels.schedule
    if loss == "fisher":
        return torch.zeros(len(levels.lams), dtype=torch.float64)
    least = torch.tensor([-energy(law.marginal(ns, t)) for t in levels.times], dtype=torch.float64)
    return least + law.dim / levels.sigma.flatten().square() if loss.startswith("denoising-") else least


def gaps(net: NetworkLike, loss: str, law: GaussianMixture, levels: Levels, draws: int, seed: int) -> list[Gap]:
    """One a level."""
    rng = torch.Generator().manual_seed(seed)
    batch, weights = pairs(law, levels) if law.dim == 1 else (draw(law, levels, draws, rng), None)
    exact = fisher(net, batch, rng).detach()
    excess, due = LOSSES[loss](net, batch, rng).detach() - exact, constant(loss, law, levels)
    if weights is not None:
        size, gap, error = exact @ weights, excess @ weights - due, torch.zeros_like(due)
    else:
        size, gap, error = exact.mean(1), excess.mean(1) - due, excess.std(1) / draws**0.5
    return [Gap(*row) for row in torch.stack([size, due, gap, error], 1).tolist()]


def gradient_gaps(net: torch.nn.Module, batch: Batch, weight: str = "eps") -> dict[str, float]:
    """Of each denoising form, the largest difference of its gradient from that of the form in eps, over the largest entry."""
    found = {k: gradient(net, Objective(f"denoising-{k}", weight), batch, torch.Generator()) for k in KINDS}
    scale = found["eps"].abs().max()
    return {k: float((g - found["eps"]).abs().max() / scale) for k, g in found.items()}


class TraceEstimate(NamedTuple):
    """An estimator of `tr J` over points and probes: its error and the standard error, its variance and the one in theory."""

    gap: float
    error: float
    variance: float
    variance_due: float


def trace_estimate(net: NetworkLike, batch: Batch, probe: str, probes: int, seed: int) -> TraceEstimate:
    """Of the network's score at the samples of a batch, each with so many probes."""
    shape = batch.x.shape
    points = Batch(batch.law, batch.levels, *(z.repeat_interleave(probes, 1) for z in (batch.x0, batch.eps)))
    x = points.x.requires_grad_()
    v = PROBES[probe](x.shape, torch.Generator().manual_seed(seed))
    found = hutchinson(read(net, "score", x, batch.levels), x, v).detach().reshape(*shape[:2], probes)
    jacobian = _jacobian(net, batch)
    exact = jacobian.diagonal(dim1=-2, dim2=-1).sum(-1)
    due = 2 * ((jacobian + jacobian.mT) / 2).square()
    if probe == "rademacher":
        due = due - torch.diag_embed(due.diagonal(dim1=-2, dim2=-1))
    due = float(due.sum((-2, -1)).mean())  # type: ignore[assignment]  # from here on a number
    error = (due / found.numel()) ** 0.5
    return TraceEstimate(float((found.mean(-1) - exact).mean()), error, float(found.var(-1).mean()), due)  # type: ignore[arg-type]  # from here on a number


def _jacobian(net: NetworkLike, batch: Batch) -> Tensor:
    """(L, m, d, d)."""
    x = batch.x.detach().requires_grad_()
    s = read(net, "score", x, batch.levels)
    rows = [torch.autograd.grad(s[..., i].sum(), x, retain_graph=True)[0] for i in range(x.shape[-1])]
    return torch.stack(rows, -2)
