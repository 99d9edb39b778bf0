"""Consistency models: a network that tells, from any point of a path of the probability flow, where the path ends.

Song et al. 2023, arXiv:2303.01469: algorithm 2, where a teacher's step makes the other point of the path, and 3, where the
noise that was added makes it.  Between neighbouring times s > t of a grid of `intervals` equal steps,

    L = E max(alpha_s^2/sigma_s^2, 1) | f(x_s, s) - f(x^_t, t) |^2,      x^_t = alpha_t x0 + sigma_t eps

with (x0, eps) the teacher's reading of x_s, one step of DDIM, or the image and its noise.  f is the x_0 reading of a network of
v, alpha x - sigma v: at sigma = 0 it is x whatever the network says, which is the boundary condition (the parametrisation of
Lu and Song 2024, arXiv:2410.11081, on a cosine schedule), so that the student is a network as any other.

The target comes from the weights as they are now, without a gradient: Song and Dhariwal 2023, arXiv:2310.14189, show why an
average of them is wrong without a teacher, and with one it was not needed.  The weight is that of progressive distillation, so
that v counts alike at all levels.  By a plain norm (theirs, eq. 7, or that times alpha/sigma) v is lost where there is little
noise: that error is in every target from there upwards, and is seen as noise in the images.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from .. import grids
from ..data import Images
from .recipe import Recipe
from .student import Student, ddim, levels, missed


class Consistency(Student):
    """The task: say the same at both ends of an interval."""

    def __init__(self, recipe: Recipe, data: Images, device: str = "cpu"):
        super().__init__(recipe, data, device)
        span = tuple(self.schedule.t(lam) for lam in self.recipe.lams)
        grid = grids.uniform_t(self.schedule, *span, self.recipe.intervals)
        self._prepare(grid[:-1], (*grid[1:-1], 0.0))

    def _errors(self, net: Callable, x0: Tensor, eps: Tensor, level: Tensor) -> Tensor:
        """Weighted mean square of the difference between what is said at the two times, (B,)."""
        s, t = levels(level)
        x = s.alpha * x0 + s.sigma * eps
        devices = [x.device] if x.device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices):  # so that the call below has the same mask of dropout
            said = self._told(x, s) if self.teacher else x0
            target = self._x0(net, ddim(x, said, s, t), t)
        return missed(self._x0(net, x, s), target, s)

    def card(self, figures: dict[str, float]) -> dict[str, Any]:
        """What a reader of the weights must know: the samplers that it is for."""
        return super().card(figures) | {"sampled": {"solver": "consistency", "grid": "uniform_t", "steps": [1, 2, 4]}}

    def picture(self, folder: Path, net: nn.Module, step: int) -> None:
        """A grid of samples in one step."""
        from .pictures import sample_grid

        grid = tuple(self.schedule.t(lam) for lam in self.recipe.lams)
        sample_grid(folder / f"samples-{step:07d}.png", self, net, "ddim", grid)
