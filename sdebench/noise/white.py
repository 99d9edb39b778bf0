"""White noise: an independent draw for every interval, from one counter-based generator a sample."""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, prod
from numbers import Integral
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from sdebench._support.errors import UsageError, shown, whole
from sdebench.noise.integrals import Weight, check, combined, factor, gram
from sdebench.schedules import NoiseSchedule, check_schedule

_AT_A_TIME = 65_536  # normals: their temporaries then stay in the cache


def stream(seed: int, *parts: float | int | str) -> tuple[int, int]:
    """128 bits that name a stream of numbers."""
    raw = b"".join(p.encode() if isinstance(p, str) else struct.pack("<d" if isinstance(p, float) else "<q", p) for p in parts)
    digest = hashlib.blake2b(raw, digest_size=16, key=struct.pack("<q", seed)).digest()
    return struct.unpack("<QQ", digest)


def normals(key: tuple[int, int], first: int, shape: Sequence[int], dtype: torch.dtype) -> Tensor:
    """Standard normals of samples `first`, `first + 1`, ...: a tensor of that shape, one sample a row.

    Philox 4x64 (Salmon et al. 2011, SC11) counts through the samples, so sample 17 is the same however many are drawn with it;
    Box and Muller 1958 turns its bits into normals without rejection: 64 bits a pair below float64, 128 in it.
    """
    rows, size = shape[0], prod(shape[1:])
    half, real = (size + 1) // 2, np.float64 if dtype == torch.float64 else np.float32
    out = np.empty((rows, 2 * half), real)
    blocks = -(-half * real().itemsize // 16)  # a sample: the generator counts in blocks of four words of 64 bits
    step = max(1, _AT_A_TIME // (2 * half))
    for i in range(0, rows, step):
        _box_muller(key, (first + i) * blocks, blocks, out[i : i + step])
    return torch.from_numpy(out[:, :size].reshape(tuple(shape))).to(dtype)


def _box_muller(key: tuple[int, int], start: int, blocks: int, out: np.ndarray) -> None:
    """Fill the rows of `out` (n, 2 half), each from `blocks` blocks of the generator, the first from block `start` on.

    numpy, whose calls cost a third of torch's on the state of one picture.
    """
    half, real, width = out.shape[1] // 2, out.dtype.type, 8 * out.dtype.itemsize - 1
    raw = np.random.Philox(key=key, counter=(start & (2**64 - 1), start >> 64, 0, 0)).random_raw(len(out) * blocks * 4)
    bits = raw.view(f"i{out.dtype.itemsize}").reshape(len(out), -1)
    # u in (0, 1] from all bits but the sign: relative precision near 0, where the radius is large.
    u = (bits[:, :half] & (2**width - 1)).astype(real)
    u += real(0.5)
    u *= real(2.0**-width)
    np.log(u, out=u)
    u *= real(-2)
    np.sqrt(u, out=u)
    angle = bits[:, half : 2 * half].astype(real)
    angle *= real(pi * 2.0**-width)
    for side, trigonometric in ((out[:, :half], np.cos), (out[:, half:], np.sin)):
        trigonometric(angle, out=side)
        side *= u


class _Stream(Protocol):
    """What `Named` needs of the class that it is mixed into."""

    @property
    def seed(self) -> int: ...
    @property
    def first(self) -> int: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> torch.dtype: ...
    @property
    def device(self) -> torch.device | str: ...
    def _draw(self, *parts: float | int | str) -> Tensor: ...


class Named:
    """Normals by name, of the samples `first` to `first + B - 1` of `seed`."""

    def _draw(self: "_Stream", *parts: float | int | str) -> Tensor:
        """The normals of that name."""
        return normals(stream(self.seed, *parts), self.first, self.shape, self.dtype).to(self.device)

    def fresh(self: "_Stream", t: float, tag: int = 0) -> Tensor:
        """A standard normal that belongs to no interval."""
        return self._draw("fresh", float(t), tag)


@dataclass(frozen=True)
class WhiteNoise(Named):
    """An independent draw for every interval, from one counter-based generator a sample.

    `shape` (B, *D) is that of the state; the batch holds the samples `first` to `first + B - 1` of `seed`, and each is the
    same at every batch size.  Numbers are made on the host and sent to `device`, so that a GPU gets the same ones.
    """

    schedule: NoiseSchedule
    shape: tuple[int, ...]
    seed: int = 0
    dtype: torch.dtype = torch.float64
    device: torch.device | str = "cpu"
    first: int = 0

    def __post_init__(self) -> None:
        (
            check_schedule(self.schedule),
            check_shape(self.shape),  # type: ignore[func-returns-value]  # a row of checks
            whole(self.seed, "seed"),
            whole(self.first, "the first sample", 0),
        )
        check_dtype(self.dtype)

    def normal(self, s: float, t: float, weight: Weight, tag: int = 0) -> Tensor:
        check(s, t, (weight,))
        return self._draw("interval", float(s), float(t), tag)

    def integral(self, s: float, t: float, *weights: Weight, tag: int = 0) -> tuple[Tensor, ...]:
        check(s, t, weights)
        root = factor(gram(self.schedule, s, t, weights))
        z = [self._draw("interval", float(s), float(t), tag, *([j] if j else [])) for j in range(len(weights))]
        return tuple(combined(row[: i + 1], z) for i, row in enumerate(root))


def check_shape(shape: Sequence[int]) -> None:
    """Raise UsageError unless the shape is (B, *D)."""
    try:
        good = len(shape) > 1 and all(isinstance(k, Integral) and k > 0 for k in shape)
    except TypeError:
        good = False
    if not good:
        raise UsageError(f"noise of shape {shown(shape)}: give (B, *D), that of the state, as x.shape")


def check_dtype(dtype: torch.dtype) -> None:
    """Raise UsageError unless the dtype is a floating one."""
    if not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise UsageError(f"noise of dtype {shown(dtype)}: give that of the state, as torch.float32")
