r"""The losses of score matching, a value a sample.  Each has the mean of the Fisher divergence, plus what no network changes:

    fisher      norm(s - score_t(x))^2                                            constant 0
    implicit    2 div s + norm(s)^2                                               constant -E norm(score_t)^2
    sliced-vr   2 v.grad(v.s) + norm(s)^2       E v v' = 1                        the same
    sliced      2 v.grad(v.s) + (v.s)^2                                           the same
    denoising   norm(s + eps/sigma)^2                                             d/sigma^2 - E norm(score_t)^2

(Hyvarinen 2005; Song et al. 2019, arXiv:1905.07088; Vincent 2011.)  `denoising-KIND` says the last one in what
the network predicts; a squared error of KIND is `Levels.weight(KIND)` squared errors of the score, from the one definition in
`prediction`.  An objective weighs a loss with some lambda(t), named by the kind in which it would be the plain squared error.

`sliced-vr` is implicit score matching with Hutchinson's estimate of the trace: one loss with two names.

The divergence is of the network in x, so its activation must be smooth: the kinks of a ReLU move with its parameters, and
automatic differentiation of a trace does not see that.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, near_miss
from sdebench.integration.prediction import KINDS
from sdebench.matching.batch import Batch, Levels


class NetworkLike(Protocol):
    """What a loss needs of a network: the kind of its output, and a call on states (L, m, d) and lam (L, 1, 1)."""

    kind: str

    def __call__(self, x: Tensor, lam: Tensor) -> Tensor:
        """The output, (L, m, d)."""


def read(net: NetworkLike, kind: str, x: Tensor, levels: Levels) -> Tensor:
    """What the network says of x, read as `kind`."""
    out = net(x, levels.lam)
    if net.kind == kind:
        return out
    c, d = levels.conversion(net.kind, kind)
    return c * x + d * out


def rademacher(shape: torch.Size, rng: torch.Generator) -> Tensor:
    """Signs: of all probes with E v v' = 1 that with the least variance of v'Jv, `2 sum_{i != j} J_ij^2` for a symmetric J."""
    return 2.0 * torch.randint(2, shape, generator=rng).double() - 1.0


def normal(shape: torch.Size, rng: torch.Generator) -> Tensor:
    """Standard normal numbers: variance `2 sum_ij J_ij^2`."""
    return torch.randn(shape, dtype=torch.float64, generator=rng)


def _gradient(values: Tensor, x: Tensor) -> Tensor:
    return torch.autograd.grad(values.sum(), x, create_graph=True)[0]


def trace(field: Tensor, x: Tensor) -> Tensor:
    """`div field`, exactly, (..., d) -> (...): one pass backwards a dimension."""
    return sum(_gradient(field[..., i], x)[..., i] for i in range(x.shape[-1]))  # type: ignore[return-value]  # a sum of tensors


def hutchinson(field: Tensor, x: Tensor, v: Tensor) -> Tensor:
    """`v.grad(v.field)`, whose mean is the divergence: one pass backwards at any dimension.

    It has a graph itself where gradients are enabled.
    """
    along = torch.autograd.grad(field, x, v, retain_graph=True, create_graph=torch.is_grad_enabled())[0]
    return (along * v).sum(-1)


Values = Callable[[NetworkLike, Batch, torch.Generator], Tensor]


def _square(z: Tensor) -> Tensor:
    return z.square().sum(-1)


def _differentiable(net: NetworkLike, batch: Batch) -> tuple[Tensor, Tensor]:
    """(x, score of the network there), to be differentiated."""
    x = batch.x.detach().requires_grad_()
    return x, read(net, "score", x, batch.levels)


def fisher(net: NetworkLike, batch: Batch, rng: torch.Generator) -> Tensor:
    """The Fisher divergence itself, where the exact score is known."""
    return _square(read(net, "score", batch.x, batch.levels) - batch.score)


def implicit(net: NetworkLike, batch: Batch, rng: torch.Generator) -> Tensor:
    """By integration by parts; d passes backwards."""
    x, s = _differentiable(net, batch)
    return 2 * trace(s, x) + _square(s)


def sliced_vr(net: NetworkLike, batch: Batch, rng: torch.Generator) -> Tensor:
    """The trace by one probe."""
    x, s = _differentiable(net, batch)
    return 2 * hutchinson(s, x, rademacher(x.shape, rng)) + _square(s)


def sliced(net: NetworkLike, batch: Batch, rng: torch.Generator) -> Tensor:
    """The trace and the square by one probe."""
    x, s = _differentiable(net, batch)
    v = rademacher(x.shape, rng)
    return 2 * hutchinson(s, x, v) + (v * s).sum(-1).square()


def denoising(net: NetworkLike, batch: Batch, rng: torch.Generator, kind: str) -> Tensor:
    """Against the noise that is in each sample, compared as `kind`."""
    gap = read(net, kind, batch.x, batch.levels) - batch.truth(kind)
    return _square(gap) / batch.levels.weight(kind)


LOSSES: dict[str, Values] = {
    "fisher": fisher,
    "implicit": implicit,
    "sliced": sliced,
    "sliced-vr": sliced_vr,
    **{f"denoising-{kind}": partial(denoising, kind=kind) for kind in KINDS},
}


def plain_weight(loss: str) -> str:
    """The lambda(t) under which a loss is usually meant: of a denoising form, that in which it is a plain squared error."""
    return loss.removeprefix("denoising-") if loss.startswith("denoising-") else "eps"


@dataclass(frozen=True)
class Objective:
    """A loss of that name, times lambda(t)."""

    loss: str
    weight: str

    def __post_init__(self):
        if self.loss not in LOSSES:
            raise UsageError(f"unknown loss {self.loss!r}{near_miss(self.loss, LOSSES)} (there are: {', '.join(LOSSES)})")
        if self.weight not in KINDS:
            raise UsageError(f"unknown weight {self.weight!r}{near_miss(self.weight, KINDS)} (there are: {', '.join(KINDS)})")

    def values(self, net: NetworkLike, batch: Batch, rng: torch.Generator) -> Tensor:
        """A value a sample, (L, m)."""
        return batch.levels.weight(self.weight) * LOSSES[self.loss](net, batch, rng)

    def __call__(self, net: NetworkLike, batch: Batch, rng: torch.Generator) -> Tensor:
        """The mean over the batch, a scalar."""
        return self.values(net, batch, rng).mean()
