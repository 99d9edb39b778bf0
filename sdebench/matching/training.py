"""Training a network with an objective, and what is measured of it on the way."""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sdebench.matching.batch import Batch
from sdebench.matching.losses import LOSSES, Objective


def train(net: nn.Module, objective: Objective, data: Iterator[Batch], steps: int, rate: float, seed: int) -> Iterator[float]:
    """Adam, its rate falling linearly to zero; after each of its `steps` steps it yields the loss before that step.

    The same arguments give the same bits; `seed` is that of the loss's own random numbers.
    """
    rng = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(net.parameters(), lr=rate)
    for step, batch in enumerate(islice(data, steps)):
        optimiser.param_groups[0]["lr"] = rate * (1 - step / steps)
        optimiser.zero_grad()
        loss = objective(net, batch, rng)  # type: ignore[arg-type]  # the networks of matching.network have a kind
        loss.backward()
        optimiser.step()
        yield float(loss.detach())


class Divergence(NamedTuple):
    """At each level (L,): the Fisher divergence `E norm(s - score)^2`, and its standard error."""

    value: Tensor
    error: Tensor


@torch.no_grad()
def divergence(net: nn.Module, batch: Batch) -> Divergence:
    """The true Fisher divergence, over the draws of a batch kept for that."""
    values = LOSSES["fisher"](net, batch, torch.Generator())  # type: ignore[arg-type]  # the networks of matching.network have a kind
    return Divergence(values.mean(1), values.std(1) / values.shape[1] ** 0.5)


class GradientNoise(NamedTuple):
    """Of the gradient in all parameters over mini-batches: `variance`, the trace of its covariance, and `signal`, the square of
    its mean, estimated without bias, so it may be below zero where noise is all there is."""

    variance: float
    signal: float


def gradient(net: nn.Module, objective: Objective, batch: Batch, rng: torch.Generator) -> Tensor:
    """The gradient of the mean over a batch in all parameters, (P,)."""
    parts = torch.autograd.grad(objective(net, batch, rng), tuple(net.parameters()))  # type: ignore[arg-type]  # the networks of matching.network have a kind
    return torch.cat([part.flatten() for part in parts])


def gradient_noise(net: nn.Module, objective: Objective, data: Iterator[Batch], count: int, seed: int) -> GradientNoise:
    """Over the next `count` mini-batches of the data."""
    rng = torch.Generator().manual_seed(seed)
    found = torch.stack([gradient(net, objective, batch, rng) for batch in islice(data, count)])
    variance = float(found.var(0).sum())
    return GradientNoise(variance, float(found.mean(0).square().sum()) - variance / count)
