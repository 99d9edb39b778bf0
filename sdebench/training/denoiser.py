"""Denoising score matching: the loss of a network that predicts `kind` at random noise levels.

    L = E_{t, x_0, eps} | net(alpha_t x_0 + sigma_t eps, t) - (p_t x_0 + q_t eps) |^2 / d

with the (p, q) of the kind predicted (`prediction.target`) and t uniform over the recipe's interval (Ho et al. 2020,
arXiv:2006.11239, eq. 14 for eps; Salimans and Ho 2022, arXiv:2202.00512, for v).  The times of a batch are stratified, which
takes most of their share of the variance out of the gradient.
"""

from collections.abc import Callable
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.data import Images, to_state
from sdebench.integration.prediction import target
from sdebench.networks.model import Scaled
from sdebench.networks.parametrisation import schedule_of
from sdebench.training.batches import augmented, generator, indices
from sdebench.training.card import card
from sdebench.training.recipe import Recipe

_NUMBERS = 1 << 26  # of the images of a batch, at most
_LEVELS = 4096  # times on which the schedule is tabulated
_PAINTED = 20  # steps of a picture
_VALIDATED = 8  # noise levels of the validation loss, evenly spaced in lam


class Denoiser:
    """The task: noise the data, predict, compare."""

    def __init__(self, recipe: Recipe, data: Images, device: str = "cpu"):
        self.recipe, self.data, self.device = recipe, data, device
        if recipe.batch * prod(data.shape) > _NUMBERS:
            raise UsageError(f"batch {recipe.batch} of images of {data.shape}: give {_NUMBERS // prod(data.shape)} at most")
        self.draws = recipe  # the one by whose seed batches are drawn
        self.schedule, self.time = schedule_of(recipe.schedule), Scaled(recipe.time_scale)
        noisy, clean = recipe.lams
        last, first = self.schedule.t(noisy), self.schedule.t(clean)
        self.table = self._levels([first + (last - first) * (i + 0.5) / _LEVELS for i in range(_LEVELS)])
        ladder = [clean + (noisy - clean) * i / (_VALIDATED - 1) for i in range(_VALIDATED)]
        self.lams, self.checked = ladder, self._levels([self.schedule.t(lam) for lam in ladder])
        self.train = data.train.to(device)

    def _levels(self, times: list[float]) -> Tensor:
        """(3, n) rows: t, alpha, sigma."""
        rows = [times, [self.schedule.alpha(t) for t in times], [self.schedule.sigma(t) for t in times]]
        return torch.tensor(rows, dtype=torch.float32, device=self.device)

    def network(self) -> nn.Module:
        """A new network, its weights a function of the recipe's seed."""
        from sdebench.networks import unet

        torch.manual_seed(self.recipe.seed)
        net = unet.make(self.recipe.network)
        if unet.shape(net) != tuple(self.data.shape):
            shapes = f"images {unet.shape(net)}, and the data has {self.data.shape}"
            raise UsageError(
                f"the network of recipe {self.recipe.name!r} is of {shapes}: give it the channels and the size of the data"
            )
        return net

    def loss(self, net: nn.Module, step: int) -> Tensor:
        """The loss of the batch of a step."""
        recipe, rng = self.draws, generator(self.draws.seed, 3, step)
        x0 = augmented(to_state(self.train[indices(len(self.train), recipe, step).to(self.device)]), recipe, step)
        eps = torch.randn(x0.shape, generator=rng).to(self.device)
        strata = (torch.arange(recipe.batch) + torch.rand(recipe.batch, generator=rng)) / recipe.batch
        n = self.table.shape[1]
        chosen = (strata * n).long().clamp(max=n - 1)  # in float32 the last of the strata may round to 1
        level = self.table[:, chosen.to(self.device)]
        torch.manual_seed(step)  # of dropout, where there is any
        return self._errors(net, x0, eps, level).mean()

    def _errors(self, net: nn.Module, x0: Tensor, eps: Tensor, level: Tensor) -> Tensor:
        """Mean square error of each image at its level, (B,)."""
        t, alpha, sigma = (row.reshape(-1, *[1] * (x0.ndim - 1)) for row in level)
        x = alpha * x0 + sigma * eps
        value = self._value(net, x, t)
        return (value - target(self.recipe.kind, x0, eps, alpha, sigma)).square().flatten(1).mean(1)

    def _value(self, net: Callable, x: Tensor, t: Tensor) -> Tensor:
        """What the network says of x at the times t, one for each image."""
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.recipe.autocast):
            value = net(x, self.time(t.flatten())).sample.float()
        if value.shape != x.shape:
            shapes = f"{tuple(value.shape[1:])} of images of {tuple(x.shape[1:])}"
            raise UsageError(
                f"the network of recipe {self.recipe.name!r} makes {shapes}: give it the channels and the size of the data"
            )
        return value

    @torch.no_grad()
    def validate(self, net: nn.Module, most: int = 512) -> dict[str, float]:
        """The loss on held-out images at each of eight levels of lam, with fixed noise, and its mean."""
        x0 = to_state(self.data.test[:most]).to(self.device)
        eps = torch.randn(x0.shape, generator=generator(self.recipe.seed, 4)).to(self.device)
        found = {}
        for lam, level in zip(self.lams, self.checked.T):
            parts = [self._errors(net, x, e, level[:, None].expand(-1, len(x))) for x, e in zip(x0.split(128), eps.split(128))]
            found[f"lam={lam:+.1f}"] = float(torch.cat(parts).mean())
        return {"validation": sum(found.values()) / len(found)} | found

    def card(self, figures: dict[str, float]) -> dict[str, Any]:
        """What a reader of the weights must know."""
        recipe, time = self.recipe, {"kind": "continuous", "scale": self.recipe.time_scale}
        how = {"kind": recipe.kind, "schedule": recipe.schedule, "time": time, "lams": list(recipe.lams)}
        return card(self.data.name, recipe, self.data, figures) | how

    def save(self, folder: Path, net: nn.Module, figures: dict[str, float]) -> Path:
        """Write the model's folder, in the layout of diffusers, weights in float16."""
        from sdebench.networks import unet

        return unet.save(folder, net, self.card(figures))

    def picture(self, folder: Path, net: nn.Module, step: int) -> None:
        """A grid of samples, as the network paints now."""
        from sdebench.training.pictures import sample_grid

        sample_grid(folder / f"samples-{step:07d}.png", self, net, *self.painted_by())

    def painted_by(self) -> tuple[str, grids.Grid]:
        """The solver and the grid of its pictures."""
        return "dpm-solver++-2m", grids.uniform_lam(self.schedule, *map(self.schedule.t, self.recipe.lams), _PAINTED)  # type: ignore[arg-type, call-arg]  # a span of two times
