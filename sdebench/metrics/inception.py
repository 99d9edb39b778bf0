r"""FID's own feature space: the Inception network of 2015, from the TorchScript file in which it is handed around.

    images, uint8  ->  resized to 299 x 299 (`resize`)  ->  (u - 128)/128 and the network, both in the file  ->  2048 features

Heusel et al. 2017, arXiv:1706.08500: the layer pool_3.  Three things make FIDs of one set of samples differ, and are fixed
here: samples are rounded to uint8 first; they are resized as TensorFlow 1 did (Parmar, Zhang and Zhu 2022, arXiv:2104.11222,
on what other ways do); and the weights are those of 2015, not torchvision's.

What is relied on: a TorchScript file is a program, and to load it is to trust it ("should be treated the same way as locally
executable code", PyTorch's SECURITY.md).  Therefore no byte is handed to PyTorch before the SHA-256 of all of them is the known
one, or the one that the user gives with the path; and the bytes that were hashed are the ones that are loaded.
"""

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdebench._support.download import fetch
from sdebench._support.errors import STRANGERS, UsageError, cut
from sdebench._support.files import cache
from sdebench._support.float32 import full_float32
from sdebench._support.reading import GIB, read_bytes
from sdebench.metrics.features import pixels
from sdebench.metrics.statistics import Statistics

URL = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/metrics/inception-2015-12-05.pt"
SHA256 = "f58cb9b6ec323ed63459aa4fb441fe750cfe39fafad6da5cb504a16f19e958f4"
SIZE, DIM = 299, 2048
_FILE = 2 * GIB  # bytes of the file; the one of 2015 has 96 MB
_BATCH = 50  # images of 1 MB each, and what the network makes of them


class Inception:
    """The feature space of a TorchScript file with the interface of the one of 2015: `file(images, return_features=True)`.

    `name` is "fid" for the file of 2015 alone; for one that the user vouches for by its SHA-256, "fd_" and 8 digits of that.
    Images of one colour count as grey ones.  Features are computed in float32, without TF32, and returned in float64.

    Raises UsageError for a file that is not there, has another SHA-256, is no TorchScript, or does not give 2048 features.
    """

    dim = DIM

    def __init__(self, path: Path | str, sha256: str = SHA256, device: str = "cpu"):
        self._device = device
        self._network, self.sha256 = _load(Path(path), sha256.lower(), device)
        self.name = "fid" if self.sha256 == SHA256 else f"fd_{self.sha256[:8]}"
        try:
            found = tuple(self._features(torch.zeros(2, 3, SIZE, SIZE)).shape)
        except STRANGERS as error:  # a program may fail in any way
            found = cut((str(error).strip().splitlines() or [type(error).__name__])[-1])  # type: ignore[assignment]  # from here on a text
        if found != (2, DIM):
            raise UsageError(
                f"{path}: two images, and return_features=True, give {found}, not (2, {DIM}): give a file with "
                f"the interface of {Path(URL).name}"
            )

    def __call__(self, images: Tensor) -> np.ndarray:
        """uint8 (B, C, H, W), C = 3 or 1 -> float64 (B, 2048)."""
        if pixels(images).shape[1] not in (1, 3):
            raise UsageError(f"images of {images.shape[1]} colours: give 3 (red, green, blue), or 1 (grey)")
        parts = images.expand(-1, 3, -1, -1).split(_BATCH)
        return torch.cat([self._features(resize(part.to(self._device))).cpu() for part in parts]).double().numpy()

    @torch.inference_mode()
    def _features(self, images: Tensor) -> Tensor:
        with full_float32():
            return self._network(images.to(self._device), return_features=True)

    @property
    def data(self) -> Any:
        """Raises UsageError: no reference comes along."""
        raise UsageError(f"no statistics of data come with {self.name}: give --data, whose images it sees then")

    def reference(self, side: str) -> list[Statistics]:
        """Raises UsageError, as `data`."""
        return self.data

    def reference_features(self, side: str = "test") -> np.ndarray:
        """Raises UsageError, as `data`."""
        return self.data


def resize(images: Tensor, size: int = SIZE) -> Tensor:
    """(B, C, H, W) -> float32 (B, C, size, size), bilinear as TensorFlow 1 does it: pixel i lies at i H/size of the original.

    No half-pixel centres, no aligned corners, no antialiasing, and no rounding afterwards: `tf.image.resize_bilinear` of 2015
    (tensorflow/core/kernels/image/resize_bilinear_op.cc, LegacyScaler), which is part of the graph that FID is defined by.
    What `torch.nn.functional.interpolate` does differs by half a pixel.  At `size` itself nothing changes, so that the file's
    own resizing, which is this one, has nothing to do.
    """
    x = images.to(torch.float32)
    for axis in (3, 2):  # TensorFlow's order: along rows first
        at = torch.arange(size, dtype=torch.float32, device=x.device) * np.float32(x.shape[axis] / size)  # type: ignore[operator]  # torch takes numpy's numbers
        low = at.long()
        high = (low + 1).clamp(max=x.shape[axis] - 1)
        part = (at - low).view(-1, *[1] * (3 - axis))
        below = x.index_select(axis, low)
        x = below + (x.index_select(axis, high) - below) * part
    return x


def standard_file(download: bool = False) -> Path:
    """Where the file of 2015 is kept: ~/.cache/sdebench, or in $XDG_CACHE_HOME; loaded there now if it is asked for.

    Raises UsageError where it is not there and `download` is not set, and where what came is another file.
    """
    path = cache() / Path(URL).name
    if download:
        return fetch(URL, SHA256, path)
    if not path.is_file():
        raise UsageError(f"there is no {path}: give inception:PATH, or --download to load it (96 MB)")
    return path


def _load(path: Path, expected: str, device: str) -> tuple[nn.Module, str]:
    advice = f"give the file {Path(URL).name}, from {URL}"
    try:
        content = read_bytes(path, _FILE, advice)
    except FileNotFoundError as error:
        raise UsageError(f"cannot read {cut(str(path))} ({error.strerror}): {advice}") from None
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        what = "that of the Inception of 2015" if expected == SHA256 else "what you gave"
        raise UsageError(
            f"{path} has SHA-256 {found}, not {cut(expected, 80)}, {what}: get {URL}; or, if you trust this program as "
            f"your own, give inception:{path}#{found}"
        )
    try:
        with warnings.catch_warnings(action="ignore"):  # deprecated, and what the file is made for
            return torch.jit.load(io.BytesIO(content), map_location=device).eval(), found
    except (RuntimeError, ValueError):  # PyTorch's own text speaks of its readers
        raise UsageError(f"{path} is no TorchScript file, or damaged: give {Path(URL).name}, from {URL}") from None
