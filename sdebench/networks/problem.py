"""NetworkProblem: what a study needs of a trained network; it stands where an exact `Problem` stands."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod
from typing import Any

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, cut, near_miss, shown
from sdebench.networks.model import NetworkModel, cast
from sdebench.noise import normals, stream
from sdebench.schedules import NoiseSchedule

DTYPES = {name: getattr(torch, name) for name in ("float64", "float32", "bfloat16", "float16")}

CPU = torch.device("cpu")


def dtype_of(name: str | torch.dtype) -> torch.dtype:
    """The dtype of that name.  Raises UsageError where a network is not run in it."""
    if isinstance(name, torch.dtype) and name in DTYPES.values():
        return name
    if not isinstance(name, str) or name not in DTYPES:
        raise UsageError(f"unknown dtype {shown(str(name))}{near_miss(str(name), DTYPES)} (there are: {', '.join(DTYPES)})")
    return DTYPES[name]


def device_of(name: str | torch.device) -> torch.device:
    """The device of that name.  Raises UsageError where this machine has none."""
    try:
        found = torch.empty(1, device=name)
        found.cpu()  # what has no numbers, as meta, is refused
    except (RuntimeError, AssertionError, NotImplementedError, TypeError, ValueError) as error:
        there = ["cpu", *(kind for kind in ("cuda", "mps") if getattr(torch, kind).is_available())]
        known = str(name).partition(":")[0] in there  # and then torch knows what is the matter with it
        what = f" ({cut(str(error).splitlines()[0]).rstrip('.')})" if known else ""
        raise UsageError(f"no device {shown(str(name))} here{what}: give {' or '.join(there)}") from None
    return found.device


@dataclass(frozen=True, eq=False)
class NetworkProblem:
    """A trained network with its schedule, and the interval `span = (s, t)` of time on which it was trained.

    `kind` and `time` are what it predicts and is told (see `NetworkModel`), `shape` is (C, H, W), `sha256` that of its weights,
    `card` what is said of it.  `net` keeps the weights as they were loaded; `model` has them in `dtype` on `device`.
    """

    name: str
    net: Callable
    schedule: NoiseSchedule
    kind: str
    time: Callable[[float], float] | None
    span: tuple[float, float]
    shape: tuple[int, ...]
    sha256: str = ""
    card: dict[str, Any] = field(default_factory=dict)
    dtype: torch.dtype = torch.float32
    device: torch.device = CPU
    has_solution = False

    @property
    def dim(self) -> int:
        """Dimension of the states."""
        return prod(self.shape)

    @cached_property
    def model(self) -> NetworkModel:
        """The network as a model."""
        net = cast(self.net, self.dtype, self.device)
        return NetworkModel(net, self.schedule, self.kind, self.time, self.dtype, self.device)

    def with_(self, dtype: str | torch.dtype = torch.float32, device: str | torch.device = "cpu") -> "NetworkProblem":
        """The same problem with the network in another dtype or on another device, cast from the weights as loaded."""
        return replace(self, dtype=dtype_of(dtype), device=device_of(device))

    def initial(self, n: int, seed: int, first: int = 0) -> Tensor:
        """`sigma_s z`: the samples `first` to `first + n - 1` of a seed, (n, C, H, W), on the device.

        Sample 17 is the same in every batch and, up to rounding, in every dtype: float64 where the network is, else float32.
        """
        if n < 1 or first < 0:
            raise UsageError(f"{n} initial points from number {first}: give n >= 1 and first >= 0")
        z = normals(stream(seed, "initial"), first, (n, *self.shape), torch.float64)
        exact = torch.float64 if self.dtype == torch.float64 else torch.float32
        return z.mul_(self.schedule.sigma(self.span[0])).to(self.device, exact)
