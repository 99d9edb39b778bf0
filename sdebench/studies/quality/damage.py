"""Small damages to real images, so that a Frechet distance says something: a network's samples may be as far from the data as
images are that were blurred by half a pixel.

The distances are those of `quality_metrics`: the same features, the same statistics of the training images, as many images as
samples are wont to be.  They are no property of the damage: features that were not trained to see it do not.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sdebench.data import Images, to_state, to_uint8
from sdebench.metrics.frechet import bootstrap, frechet
from sdebench.metrics.statistics import Statistics, merged

MOST, PARTS = 500, 10  # images of a distance, and the parts of its bootstrap
NOISE = 0.05  # of the range, a standard deviation
_REACH = 4  # pixels of a kernel on either side


def blurred(x: Tensor, wide: float) -> Tensor:
    """x (B, C, H, W) under a Gaussian of standard deviation `wide` pixels, sampled at them; edges are repeated."""
    kernel = torch.exp(-torch.arange(-_REACH, _REACH + 1).square() / (2 * wide**2))
    flat = functional.pad(x, (_REACH,) * 4, mode="replicate").flatten(0, 1)[:, None]
    for shape in ((1, 1, 1, -1), (1, 1, -1, 1)):
        flat = functional.conv2d(flat, (kernel / kernel.sum()).view(shape))
    return flat.view(x.shape)


def halved(x: Tensor) -> Tensor:
    """Every 2 x 2 pixels their mean, at the size of x."""
    return functional.interpolate(functional.avg_pool2d(x, 2, ceil_mode=True), scale_factor=2)[..., : x.shape[2], : x.shape[3]]


def noisy(x: Tensor, seed: int) -> Tensor:
    """x with white noise of NOISE of the range, 2."""
    return x + 2 * NOISE * torch.randn(x.shape, generator=torch.Generator().manual_seed(seed))


def damages(images: Images, seed: int) -> Iterator[tuple[str, Tensor]]:
    """(what was done, uint8 (n, C, H, W)) of test images, n up to MOST; the first are as they are."""
    kept = images.test_labels != 0
    changes: dict[str, Callable[[Tensor], Tensor]] = {
        "as they are": lambda x: x,
        f"noise {100 * NOISE:g} %": lambda x: noisy(x, seed),
        "half resolution": halved,
        "blur ½ pixel": lambda x: blurred(x, 0.5),
        "blur 1 pixel": lambda x: blurred(x, 1.0),
    }
    for name, change in changes.items():
        yield name, to_uint8(change(to_state(images.test[:MOST])))
    if kept.any():
        yield "without class 0", images.test[kept][:MOST]


def distances(images: Images, seen: Callable[[Tensor], np.ndarray], train: list[Statistics], seed: int) -> list[dict]:
    """The distance of every damage from the training images, with half of its 95 % interval.  `seen` gives features."""
    whole, found = merged(train), []
    for name, damaged in damages(images, seed):
        parts = [Statistics.of(part) for part in np.array_split(seen(damaged), min(PARTS, len(damaged) // 2))]
        fd = frechet(merged(parts), whole)
        found.append({"damage": name, "n": len(damaged), "fd": fd, "half_width": bootstrap(parts, whole)[1] - fd})
    return found
