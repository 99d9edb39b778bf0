"""What a feature space is: images to the features in which distances between them are measured."""

from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sdebench._support.errors import UsageError
from sdebench.metrics.statistics import Statistics


class FeatureSpace(Protocol):
    """uint8 images (B, C, H, W) -> float64 features (B, dim), of each image by itself, whatever the batch.

    `name` is that of the Frechet distance in it: "fd_digits", "fd_cifar", "fid"; `sha256` that of the network's file.
    """

    name: str
    dim: int
    sha256: str

    def __call__(self, images: Tensor) -> np.ndarray: ...

    @property
    def data(self) -> Any:
        """What its reference was made of: `.name`, `.sha256`, `.shape`.  Raises UsageError where none came along."""

    def reference(self, side: str) -> list[Statistics]:
        """The statistics of that side of the data, "train" or "test", in parts.  Raises UsageError where none came along."""

    def reference_features(self, side: str = "test") -> np.ndarray:
        """Features of that side, (m, dim), to compare single samples with.  Raises UsageError where none came along."""


def pixels(images: Tensor) -> Tensor:
    """The images, checked.  Raises UsageError unless they are uint8 (B, C, H, W), B >= 1."""
    if not isinstance(images, Tensor) or images.dtype != torch.uint8:
        what = str(images.dtype) if isinstance(images, Tensor) else type(images).__name__
        raise UsageError(f"images are {what}: give torch.uint8, which `sdebench.data.to_uint8` makes of states")
    if images.ndim != 4 or not images.numel():
        raise UsageError(f"images of shape {tuple(images.shape)}: give (B, C, H, W), one image or more")
    return images
