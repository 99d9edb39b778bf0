r"""Noise levels, and samples of the forward process at them: `x = alpha x0 + sigma eps`.

Shapes are `(L, m, d)`: m samples at each of L levels.  Every coefficient comes from `prediction`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from sdebench._support.errors import UsageError
from sdebench.integration.prediction import conversion, target
from sdebench.problems.problem import Law
from sdebench.schedules import NoiseSchedule


@dataclass(frozen=True)
class Levels:
    """L noise levels of a schedule, by their lam."""

    schedule: NoiseSchedule
    lams: tuple[float, ...]

    @cached_property
    def times(self) -> tuple[float, ...]:
        """The time of each level."""
        return tuple(map(self.schedule.t, self.lams))

    def _column(self, values: list[float]) -> Tensor:
        return torch.tensor(values, dtype=torch.float64).reshape(-1, 1, 1)

    @cached_property
    def lam(self) -> Tensor:
        """(L, 1, 1)."""
        return self._column(list(self.lams))

    @cached_property
    def alpha(self) -> Tensor:
        """(L, 1, 1)."""
        return self._column([self.schedule.alpha(t) for t in self.times])

    @cached_property
    def sigma(self) -> Tensor:
        """(L, 1, 1)."""
        return self._column([self.schedule.sigma(t) for t in self.times])

    def conversion(self, source: str, target: str) -> tuple[Tensor, Tensor]:
        """`(c, d)`, each (L, 1, 1), with `target = c x + d source`."""
        pairs = [conversion(source, target, self.schedule.alpha(t), self.schedule.sigma(t)) for t in self.times]
        return self._column([c for c, _ in pairs]), self._column([d for _, d in pairs])

    def weight(self, kind: str) -> Tensor:
        """(L, 1): by how much a squared error grows when it is read as `kind` and not as a score.

        `norm(kind - kind')^2 = weight norm(score - score')^2`, so this is lambda(t) of the loss that is plain in `kind`:
        1 of score, sigma^2 of eps, sigma^4/alpha^2 of x0, sigma^2 (alpha^2 + sigma^2)^2/alpha^2 of v.
        """
        return self.conversion("score", kind)[1].square().squeeze(2)


def stratified(ns: NoiseSchedule, lams: tuple[float, float], count: int, offset: float = 0.5) -> Levels:
    """`count` levels evenly over the interval `lams`, all moved by `offset` in [0, 1) of their distance: uniform in lam for a
    uniform offset, with less variance than independent levels (Kingma et al. 2021, arXiv:2107.00630, appendix I.1)."""
    low, high = lams
    return Levels(ns, tuple(low + (high - low) * (k + offset) / count for k in range(count)))


@dataclass(frozen=True, eq=False)
class Batch:
    """`x0`, `eps` (L, m, d) at the levels, and the law of x0, which only the Fisher divergence asks for."""

    law: Law
    levels: Levels
    x0: Tensor
    eps: Tensor

    @cached_property
    def x(self) -> Tensor:
        """The noised samples."""
        return self.levels.alpha * self.x0 + self.levels.sigma * self.eps

    @cached_property
    def score(self) -> Tensor:
        """The exact score of the marginals at x."""
        ns, times = self.levels.schedule, self.levels.times
        return torch.stack([self.law.marginal(ns, t).score(x) for t, x in zip(times, self.x)])

    def truth(self, kind: str) -> Tensor:
        """What denoising is to tell of each sample: the data and the noise that are in it, as `kind` has them."""
        return target(kind, self.x0, self.eps, self.levels.alpha, self.levels.sigma)


def draw(law: Law, levels: Levels, size: int, rng: torch.Generator) -> Batch:
    """`size` exact draws at each level."""
    seed = int(torch.randint(1 << 31, (), generator=rng))
    shape = (len(levels.lams), size, law.dim)
    x0 = law.sample(shape[0] * size, seed).reshape(shape)
    return Batch(law, levels, x0, torch.randn(shape, dtype=torch.float64, generator=rng))


def batches(law: Law, ns: NoiseSchedule, lams: tuple[float, float], shape: tuple[int, int], seed: int) -> Iterator[Batch]:
    """Batches without end, each of `shape` = (levels, samples a level), the levels moved at random each time."""
    count, size = shape
    if count < 1 or size < 1:
        raise UsageError(f"batches of {count} levels by {size} samples: give 1 or more of either")
    rng = torch.Generator().manual_seed(seed)
    while True:
        offset = float(torch.rand((), dtype=torch.float64, generator=rng))
        yield draw(law, stratified(ns, lams, count, offset), size, rng)
