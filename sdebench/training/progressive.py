"""Progressive distillation: a student learns to make in one step of DDIM what its teacher makes in two.

Salimans and Ho 2022, arXiv:2202.00512, algorithm 2.  One round makes of a teacher of 2N steps a student of N, on equal steps of
t; the student is the teacher of the next.  From z at time s, over the teacher's step to m, to z'' at time t:

    x~ = (z'' - sigma_t/sigma_s z) / (alpha_t - sigma_t/sigma_s alpha_s)
    L  = E max(alpha_s^2/sigma_s^2, 1) | x~ - x0(z, s) |^2                                  (section 4, truncated SNR)

One step of DDIM with x~ ends in z''.  For a network of v, x0 - x~ = -sigma (v - v~), so that the weight of v is bounded.

Not as in the paper: it begins from 1024 steps of the teacher or more, a recipe from twice its first of `halvings`, whose error
every student inherits; it trains up to alpha = 0, this up to the teacher's noisier lam; and it trains the last two rounds for
twice as long.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from sdebench import grids
from sdebench.data import Images
from sdebench.training.batches import mixed
from sdebench.training.recipe import Recipe
from sdebench.training.student import BatchLevel, Student, check_sampled, ddim, levels, missed


def target(z: Tensor, end: Tensor, s: BatchLevel, t: BatchLevel) -> Tensor:
    """x~, the x_0 with which one step of DDIM takes z at s to `end` at t."""
    ratio = t.sigma / s.sigma
    return (end - ratio * z) / (t.alpha - ratio * s.alpha)


class Halving(Student):
    """The task of one round: `steps` of DDIM for twice as many of the teacher."""

    def __init__(self, recipe: Recipe, data: Images, device: str, teacher: str, steps: int):
        super().__init__(recipe, data, device, teacher)
        check_sampled(self.teacher, self.spec, 2 * steps)
        self.steps, self.draws = steps, replace(self.recipe, seed=mixed(recipe.seed, 5, steps))  # no two rounds see the same
        grid = grids.uniform_t(self.schedule, *self.teacher.span, 2 * steps)  # type: ignore[call-arg, union-attr]  # a progressive student has a teacher, and a span of two times
        self._prepare(grid[:-1:2], grid[1::2], grid[2::2])

    def _errors(self, net: Callable, x0: Tensor, eps: Tensor, level: Tensor) -> Tensor:
        """Weighted mean square error of each image in its step, (B,)."""
        s, m, t = levels(level)
        z = s.alpha * x0 + s.sigma * eps
        with torch.no_grad():
            middle = ddim(z, self._told(z, s), s, m)
            end = ddim(middle, self._told(middle, m), m, t)
        return missed(self._x0(net, z, s), target(z, end, s, t), s)

    def card(self, figures: dict[str, float]) -> dict[str, Any]:
        """What a reader of the weights must know: it is right in so many steps alone."""
        card = super().card(figures)
        sampled = {"solver": "ddim", "grid": "uniform_t", "steps": self.steps}
        return card | {"name": f"{card['name']}-{self.steps}", "sampled": sampled}

    def painted_by(self) -> tuple[str, grids.Grid]:
        """The steps that it is taught."""
        return "ddim", grids.uniform_t(self.schedule, *self.teacher.span, self.steps)  # type: ignore[call-arg, union-attr]  # a progressive student has a teacher, and a span of two times
