"""A network made into a model: it is told the time in its own units, and casts at its own door."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from sdebench._support.errors import UsageError
from sdebench._support.float32 import full_float32
from sdebench.integration.prediction import KINDS, Prediction, not_like
from sdebench.schedules import NoiseSchedule

T = TypeVar("T", float, Tensor)


@dataclass(frozen=True)
class Scaled:
    """What a network of continuous time is told: `scale t`.  One of N discrete levels is told `Discrete.index` instead."""

    scale: float = 1.0

    def __call__(self, t: T) -> T:
        return self.scale * t


class NetworkModel:
    """`model(x, t) -> Prediction` of a network that predicts `kind`, for states (B, *D) of any dtype, on any device.

    `net(x, times)` gets the state in `dtype` on `device`, and `times`, (B,), all equal to `time(t)`: float32, or float64 where
    the network is; it returns a tensor like x, or an object that has it as `.sample`.  With `time=None` the network is a
    function of the schedule's own t, a Python float, instead.  No convolution of float32 is one of TF32.  The prediction comes
    back in the state's dtype, on its device, with a graph only where the state requires one.  Raises UsageError for a kind that
    is none, and for a prediction of another shape than the state.
    """

    gamma = None  # E|eps|^2/d is not known of a network

    def __init__(
        self,
        net: Callable,
        schedule: NoiseSchedule,
        kind: str,
        time: Callable[[float], float] | None = None,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ):
        if kind not in KINDS:
            raise UsageError(f"unknown kind of prediction {kind!r}: give one of {', '.join(KINDS)}")
        self.net, self.schedule, self.kind, self.time = net, schedule, kind, time
        self.dtype, self.device = dtype, torch.device(device)

    def _told(self, x: Tensor, t: float) -> Tensor | float:
        """The second argument of the network."""
        if self.time is None:
            return t
        exact = torch.float64 if self.dtype == torch.float64 else torch.float32
        return torch.full((len(x),), self.time(t), dtype=exact, device=self.device)

    def __call__(self, x: Tensor, t: float) -> Prediction:
        with full_float32(), torch.set_grad_enabled(x.requires_grad and torch.is_grad_enabled()):
            value = self.net(x.to(self.device, self.dtype), self._told(x, t))
        value = getattr(value, "sample", value)
        if not (isinstance(value, Tensor) and value.shape == x.shape):
            raise not_like(value, x, "the network")
        return Prediction(self.kind, value.to(x.device, x.dtype).contiguous(), x, t, self.schedule)


@torch.inference_mode(False)  # weights that were made in that mode give no gradients outside of it
def cast(net: Any, dtype: torch.dtype, device: torch.device | str) -> Any:
    """The network for inference in that dtype, on that device: a copy where it is another; what is no Module stays."""
    if not isinstance(net, nn.Module):
        return net
    wanted = torch.device(device)
    if any((p.is_floating_point() and p.dtype != dtype) or p.device != wanted for p in net.state_dict().values()):
        from copy import deepcopy

        net = nn.Module.to(deepcopy(net), wanted, dtype)  # that of diffusers only adds a warning
    if wanted.type == "cuda" and dtype in (torch.bfloat16, torch.float16):
        net = net.to(memory_format=torch.channels_last)  # the tensor cores' own order; on a CPU it costs a fifth
    return net.eval().requires_grad_(False)
