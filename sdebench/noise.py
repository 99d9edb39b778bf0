r"""Noise: the Ito integrals that a step asks for, as pure functions of what is asked.

    int_{lam_s}^{lam_t} w dB,     B a standard Brownian motion in the clock of lam,     g dw = sqrt(2) sigma dB

for a deterministic weight w: a centred normal of variance `int w^2 dlam`.  A step asks for disjoint intervals only, each
once, with all its weights together; asked twice for the same, a noise gives the same bits.

    WhiteNoise      an independent draw for every interval
    BrownianPath    one path for all of them (`brownian.py`)
"""

import hashlib
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from math import expm1, pi, prod, sqrt
from numbers import Integral
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from .errors import UsageError, shown, whole
from .schedules import NoiseSchedule, checked


@dataclass(frozen=True)
class Exponential:
    """`w = e^{c (lam - lam_t)}`, in the clock of lam; the variance over a step h is `(1 - e^{-2 c h})/(2 c)`."""

    c: float

    def density(self, ns: NoiseSchedule, t: float, lam: np.ndarray) -> np.ndarray:
        """The weight at the given lams."""
        return np.exp(self.c * (lam - ns.lam(t)))


@dataclass(frozen=True)
class Power:
    """`int (u - t)^p dW_u` with W Brownian in the clock of TIME: p = 0 is the plain increment W_s - W_t."""

    p: int

    def density(self, ns: NoiseSchedule, t: float, lam: np.ndarray) -> np.ndarray:
        """The weight at the given lams: `(u - t)^p sqrt(-du/dlam)`, from `g^2 = -2 sigma^2 dlam/dt`."""
        times = [ns.t(float(v)) for v in lam]
        return np.array([max(u - t, 0.0) ** self.p * ns.sigma(u) * sqrt(2 / ns.g2(u)) for u in times])


@dataclass(frozen=True)
class Custom:
    """Any weight `fn(lam)`, smooth over a step."""

    fn: Callable[[float], float]

    def density(self, ns: NoiseSchedule, t: float, lam: np.ndarray) -> np.ndarray:
        """The weight at the given lams."""
        return np.array([self.fn(float(v)) for v in lam])


Weight = Exponential | Power | Custom
DATA = Exponential(1.0)  # of methods in x0: sigma_t sqrt(2) in front
EPS = Exponential(-1.0)  # of methods in eps: sigma_t sqrt(2) in front, too
TIME = Power(0)  # the plain increment of Euler-Maruyama


@cache
def gauss_legendre(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [0, 1]."""
    x, w = np.polynomial.legendre.leggauss(n)
    return 0.5 * (x + 1), 0.5 * w


def covariance(ns: NoiseSchedule, s: float, t: float, a: Weight, b: Weight) -> float:
    """E[int a dB int b dB] over the step s -> t: closed forms where both weights are of one kind, else Gauss-Legendre."""
    if isinstance(a, Power) and isinstance(b, Power):
        n = a.p + b.p + 1
        return (s - t) ** n / n
    lam, h = ns.lam(s), ns.lam(t) - ns.lam(s)
    if isinstance(a, Exponential) and isinstance(b, Exponential):
        c = a.c + b.c
        return -expm1(-c * h) / c if c else h
    q, w = gauss_legendre(32)
    nodes = lam + h * q
    return h * float(np.sum(w * a.density(ns, t, nodes) * b.density(ns, t, nodes)))


def gram(ns: NoiseSchedule, s: float, t: float, weights: Sequence[Weight]) -> np.ndarray:
    """The covariance matrix (k, k) of the integrals of k weights over the step s -> t."""
    out = np.empty((len(weights), len(weights)))
    for i, a in enumerate(weights):
        for j, b in enumerate(weights[: i + 1]):
            out[i, j] = out[j, i] = covariance(ns, s, t, a, b)
    return out


def sd(ns: NoiseSchedule, s: float, t: float, weight: Weight) -> float:
    """The standard deviation of `int weight dB` over the step s -> t."""
    return sqrt(covariance(ns, s, t, weight, weight))


_AT_A_TIME = 65_536  # normals: their temporaries then stay in the cache


class Noise(Protocol):
    """What a step needs of a noise.  Times s > t; tensors have the shape, dtype and device of the state."""

    schedule: NoiseSchedule

    def normal(self, s: float, t: float, weight: Weight, tag: int = 0) -> Tensor:
        """The integral of one weight, divided by its standard deviation: what papers write as z."""

    def integral(self, s: float, t: float, *weights: Weight, tag: int = 0) -> tuple[Tensor, ...]:
        """The integrals of several weights over one interval, jointly right."""

    def fresh(self, t: float, tag: int = 0) -> Tensor:
        """A standard normal that belongs to no interval (Langevin steps, jumps back to a higher noise)."""


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


class Named:
    """Normals by name, of the samples `first` to `first + B - 1` of `seed`."""

    def _draw(self, *parts: float | int | str) -> Tensor:
        """The normals of that name."""
        return normals(stream(self.seed, *parts), self.first, self.shape, self.dtype).to(self.device)

    def fresh(self, t: float, tag: int = 0) -> Tensor:
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

    def __post_init__(self):
        checked(self.schedule), check_shape(self.shape), whole(self.seed, "seed"), whole(self.first, "the first sample", 0)
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


def check(s: float, t: float, weights: Sequence[Weight]) -> None:
    """Raise UsageError unless s > t, and the weights are some."""
    if not s > t:
        raise UsageError(f"noise over the interval from s = {s!r} to t = {t!r}: give s > t, as the step has them")
    for weight in weights:
        if not hasattr(weight, "density"):
            raise UsageError(f"noise with the weight {weight!r}: give sdebench.noise.TIME, DATA, EPS or another Weight")


def factor(covariances: np.ndarray) -> np.ndarray:
    """Lower triangular L with L L^T the given matrix, also where it is singular (two weights alike): scaled, then Cholesky
    that stops at rounding."""
    size = np.sqrt(np.diag(covariances))
    size = np.where(size > 0, size, 1.0)  # a weight of zero
    a = covariances / np.outer(size, size)
    out = np.zeros_like(a)
    for i in range(len(a)):
        for j in range(i + 1):
            rest = a[i, j] - out[i, :j] @ out[j, :j]
            if i == j:
                out[i, i] = sqrt(rest) if rest > 1e-14 else 0.0
            else:
                out[i, j] = rest / out[j, j] if out[j, j] else 0.0
    return out * size[:, None]


def combined(coefficients: Sequence[float], vectors: Sequence[Tensor]) -> Tensor:
    """sum_k c_k v_k."""
    out = float(coefficients[0]) * vectors[0]
    for c, v in zip(coefficients[1:], vectors[1:]):
        out.add_(v, alpha=float(c))
    return out
