"""Images and their labels as integers, in an order and with a hash that depend on nothing but themselves."""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Images:
    """A data set in two parts.  `train`, `test`: uint8 (N, C, H, W); the labels: int64 (N,); `sha256`: see `gather`."""

    name: str
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    sha256: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of an image."""
        return tuple(self.train.shape[1:])  # type: ignore[return-value]  # an array has three sides, a part has two tensors

    @property
    def classes(self) -> int:
        """How many classes there are; the labels are 0 .. classes - 1."""
        return int(self.train_labels.max()) + 1


class Part(NamedTuple):
    """A part of a data set as a container gives it."""

    pixels: np.ndarray  # uint8 (N, C, H, W)
    labels: np.ndarray  # integers (N,)
    stored: set[str]  # how the images were stored, each of "exact", "jpeg75", "jpeg"


def gather(name: str, train: Part, test: Part) -> Images:
    """The data set of two parts, in the one order that any container gives.

    Each part is sorted by the SHA-256 of its images' pixels, then by label: a fixed shuffle, in which every stretch is
    a fair sample of the classes.  `sha256` is taken over the shapes, pixels and labels in that order, so the same
    images have the same hash, and give the same batches, whether they came from Parquet, folders or an archive.
    """
    digest, sides = hashlib.sha256(), []
    for pixels, labels, _ in (train, test):
        labels = np.asarray(labels).astype("<i8")
        keys = [hashlib.sha256(image).digest() for image in np.ascontiguousarray(pixels)]
        order = sorted(range(len(keys)), key=lambda i: (keys[i], labels[i]))
        pixels, labels = pixels[order], labels[order]
        digest.update(repr(pixels.shape).encode() + pixels.tobytes() + labels.tobytes())
        sides += [torch.from_numpy(pixels), torch.from_numpy(labels)]
    return Images(name, *sides, digest.hexdigest())  # type: ignore[arg-type, call-arg]  # an array has three sides, a part has two tensors


def to_state(images: Tensor) -> Tensor:
    """float32 in [-1, 1] of uint8 in 0 .. 255: x = u / 127.5 - 1.  `to_uint8` undoes it exactly."""
    return images.to(torch.float32) / 127.5 - 1


def to_uint8(x: Tensor) -> Tensor:
    """The nearest integers, u = round(127.5 (x + 1)), clipped to 0 .. 255.  x: any real dtype and shape; nan gives 0.

    Computed in float32 or better: in bfloat16 the integers above 128 are not all there.
    """
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    return ((x + 1) * 127.5).round().nan_to_num(nan=0.0).clamp(0, 255).to(torch.uint8)
