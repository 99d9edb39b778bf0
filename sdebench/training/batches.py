"""The batch of a step: a pure function of (seed, step), so that a resumed training sees what an unbroken one would."""

from functools import lru_cache

import torch
from torch import Tensor

from sdebench.training.recipe import Recipe


def mixed(*parts: int) -> int:
    """A seed that is a function of the given non-negative numbers."""
    seed = 0
    for part in parts:
        seed = (seed * 6364136223846793005 + part + 1442695040888963407) % 2**63
    return seed


def generator(*parts: int) -> torch.Generator:
    """A generator whose state is a function of the given non-negative numbers."""
    return torch.Generator().manual_seed(mixed(*parts))


@lru_cache(maxsize=2)
def _order(size: int, seed: int, epoch: int) -> Tensor:
    return torch.randperm(size, generator=generator(seed, 1, epoch))


def indices(size: int, recipe: Recipe, step: int) -> Tensor:
    """The images of a step: every epoch is a permutation of all, and batches run on over its end."""
    begin, found = step * recipe.batch, []
    while len(found) < recipe.batch:
        epoch, at = divmod(begin + len(found), size)
        found += _order(size, recipe.seed, epoch)[at : at + recipe.batch - len(found)].tolist()
    return torch.tensor(found)


def augmented(images: Tensor, recipe: Recipe, step: int) -> Tensor:
    """The images, (B, C, H, W), mirrored and moved at random, each in its own way."""
    rng, n = generator(recipe.seed, 2, step), len(images)
    if recipe.flips:
        mirrored = (torch.rand(n, generator=rng) < 0.5).to(images.device)
        images = torch.where(mirrored[:, None, None, None], images.flip(-1), images)
    if recipe.shifts:
        most = recipe.shifts
        moves = torch.randint(0, 2 * most + 1, (2, n), generator=rng).to(images.device)
        height, width = images.shape[-2:]
        padded = torch.nn.functional.pad(images, (most,) * 4, mode="replicate")
        rows = moves[0][:, None] + torch.arange(height, device=images.device)
        columns = moves[1][:, None] + torch.arange(width, device=images.device)
        each = torch.arange(n, device=images.device)[:, None, None]
        images = padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    return images
