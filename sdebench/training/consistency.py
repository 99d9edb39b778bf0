"""ConsistencyTraining models: a network that tells, from any point of a path of the probability flow, where the path ends.

Song et al. 2023, arXiv:2303.01469: algorithm 2, where a teacher's step makes the other point of the path, and 3, where the
noise that was added makes it.  Between neighbouring times s > t of a grid of `intervals` equal steps,

    L = E max(alpha_s^2/sigma_s^2, 1) | f(x_s, s) - f(x^_t, t) |^2,      x^_t = alpha_t x0 + sigma_t eps

with (x0, eps) the teacher's reading of x_s, one step of DDIM, or the image and its noise; the last t is 0.  f is the x_0
reading of a network of v, alpha x - sigma v: at sigma = 0 it is x whatever the network says, the boundary condition (the
parametrisation of Lu and Song 2024, arXiv:2410.11081, with sigma_d = 1, on a schedule shifted by s).

Not as in the paper: the teacher's steps are of DDIM on equal t, there Heun's on the times of Karras et al.; the target comes
from the weights as they are now, in algorithm 2 from an average of them (Song and Dhariwal 2023, arXiv:2310.14189, show why
that is wrong without a teacher); and `intervals` is fixed, where algorithm 3 raises it as it trains, so that without a teacher
the bias of few intervals stays.  The weight is that of progressive distillation; eq. 7 has lambda(t) d(f, f^).  Tried on the
digits, with the Frechet distance in 1, 2, 4 steps: the pseudo-Huber norm of Song and Dhariwal, 1.43, 1.13, 1.03 after 2000
steps of training; these squares, 0.49, 0.27, 0.25 after 1200 (both with a last t short of 0; with 0, 0.51, 0.27, 0.28).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sdebench import grids
from sdebench.data import Images
from sdebench.training.recipe import Recipe
from sdebench.training.student import Student, check_sampled, ddim, levels, missed


class ConsistencyTraining(Student):
    """The task: say the same at both ends of an interval."""

    def __init__(self, recipe: Recipe, data: Images, device: str = "cpu"):
        super().__init__(recipe, data, device)
        check_sampled(self.teacher, self.spec)
        span = tuple(self.schedule.t(lam) for lam in self.recipe.lams)
        grid = grids.uniform_t(self.schedule, *span, self.recipe.intervals)  # type: ignore[arg-type, call-arg]  # a span of two times
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
        steps = [n for n in (1, 2, 4) if self.recipe.intervals % n == 0]  # their times are of the grid it was taught on
        return super().card(figures) | {"sampled": {"solver": "consistency", "grid": "uniform_t", "steps": steps}}

    def painted_by(self) -> tuple[str, grids.Grid]:
        """One step, which jumps to f."""
        return "ddim", tuple(self.schedule.t(lam) for lam in self.recipe.lams)
