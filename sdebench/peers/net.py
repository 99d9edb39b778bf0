r"""Functions `f(net, latents, ..., num_steps=..., ...)` of EDM and of what was built on it.

`latents` is unit noise, which the function multiplies by its first sigma; `net(x, sigma, class_labels)` answers with the
denoised state, x0, of a state with a = 1.  Karras et al. 2022, arXiv:2206.00364, whose code is NVlabs/edm; zju-pi/diff-sampler.

Where a run begins is read off: the state of the first call, over the latents.  `num_steps` means what the code makes of it,
in EDM the steps, in diff-sampler the times, one more than there are steps.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter
from math import inf, isfinite
from typing import Any, ClassVar

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, shown
from sdebench.peers.base import (
    Answer,
    Level,
    Network,
    NotOffered,
    Peer,
    PeerFault,
    RunPlan,
    Session,
    check_settings,
    check_state,
    one_number,
    parameters,
    say,
)
from sdebench.peers.noise import Draws

_NOISE = ("latents", "noise")  # what the second parameter is called
_GIVEN = ("net", *_NOISE, "class_labels", "labels", "num_steps", "t_steps")


def is_net_function(target: Any) -> bool:
    """Whether it is a function whose first parameters are the network and unit noise, and that takes a number of steps."""
    names = list(parameters(target)) if callable(target) and not isinstance(target, type) else []
    return names[:1] == ["net"] and names[1:2] != [] and names[1] in _NOISE and "num_steps" in names


@dataclass(frozen=True)
class NetPeer(Peer):
    """A function of a network and unit noise."""

    kind: ClassVar[str] = "net"
    predictions: ClassVar[tuple[str, ...]] = ("x0",)

    def __post_init__(self) -> None:
        found = parameters(self.target)
        if not any(one.kind is Parameter.VAR_KEYWORD for one in found.values()):
            check_settings(self.settings, [name for name in found if name not in _GIVEN], self.name)

    @property
    def takes_levels(self) -> bool:  # type: ignore[override]  # told by the signature
        """Whether its times may be handed over."""
        return "t_steps" in parameters(self.target)

    def prepare(self, plan: RunPlan) -> "NetSession":
        if plan.prediction not in ("", "x0"):
            raise NotOffered("the network of this interface answers with x0")
        if (plan.levels or plan.begin) and not (plan.levels and self.takes_levels):
            raise NotOffered("it makes its own levels, from the first to the last")
        sigmas = [level.s / level.a if level.a > 0 else inf for level in plan.levels[plan.begin :]]
        if not all(map(isfinite, sigmas)):
            raise NotOffered("sigmas cannot hold a level with alpha = 0")
        return NetSession(self, sigmas, len(sigmas) or plan.steps)

    def call(self, net: Any, latents: Tensor, sigmas: list[float], steps: int, **override: Any) -> Any:
        """What the function returns."""
        given: dict[str, Any] = {"num_steps": steps, **self.settings, **override}
        if sigmas:
            given["t_steps"] = torch.tensor(sigmas, dtype=torch.promote_types(latents.dtype, torch.float32))
        return self.target(net, latents, **given)

    def stated(self, name: str) -> float | None:
        """The number of a setting, or the default of the signature."""
        found = parameters(self.target).get(name)
        value = self.settings.get(name, None if found is None else found.default)
        return float(value) if isinstance(value, int | float) else None


class _First(BaseException):
    """Ends a run at its first call."""


def _first_sigma(peer: NetPeer, sigmas: list[float], steps: int) -> float:
    """The number by which the function multiplies the latents.

    The state of the first call over the latents, no noise added: that of the first sigma even where the code raises it before
    the first call ("churn").  Code that takes its first step without the network (`afs`, where that is a setting) asks at its
    second level, about a state of another: there it is the number that the settings state.
    """
    seen: list[tuple[float, float]] = []

    def network(x: Tensor, told: Level, time: float) -> Answer:
        seen.append((float(x.double().mean()), time))
        raise _First

    latents, draws = torch.ones(1, 3, 8, 8, dtype=torch.float64), Draws(lambda shape: torch.zeros(shape, dtype=torch.float64))
    usual = {"afs": False} if "afs" in parameters(peer.target) else {}
    try:
        with draws, torch.no_grad():
            peer.call(_Net(network, latents), latents, sigmas, steps, **usual)
    except _First:
        ratio, told = seen[0]
        if draws.count or abs(ratio - told) <= 1e-9 * told:
            return ratio
    stated = sigmas[0] if sigmas else peer.stated("sigma_max")
    if stated is None:
        raise PeerFault("where a run begins cannot be told: the network is not asked about the latents times a sigma")
    return stated


class NetSession(Session):
    """One call of the function."""

    def __init__(self, peer: NetPeer, sigmas: list[float], steps: int):
        self._peer, self._sigmas, self._steps = peer, sigmas, steps
        self.noise = first = _first_sigma(peer, sigmas, steps)
        self.start = Level(1.0, first)
        self.believed = [Level(1.0, sigma) for sigma in sigmas[:-1]]

    def run(self, network: Network, x: Tensor) -> Tensor:
        latents = x / self.start.s
        out = self._peer.call(_Net(network, latents), latents, self._sigmas, self._steps)
        return check_state(out[0] if isinstance(out, tuple) else out, x, self._peer.name)


class _Net(torch.nn.Module):
    """`net(x, sigma, class_labels)` -> x0, and what these functions read of a network."""

    sigma_min, sigma_max, label_dim = 0.0, inf, 0

    def __init__(self, network: Network, like: Tensor):
        super().__init__()
        self._network = [network]
        self.img_channels = like.shape[1] if like.ndim > 1 else 1
        self.img_resolution = like.shape[-1]

    def round_sigma(self, sigma: Any) -> Tensor:
        """The sigma that the network knows: any."""
        return torch.as_tensor(sigma)

    def forward(self, x: Tensor, sigma: Any, class_labels: Any = None, **extra: Any) -> Tensor:
        value = one_number(sigma)
        told = Level(1.0, value)
        return say("x0", self._network[0](x, told, value), x, told)


def from_net_function(fn: Callable[..., Any], name: str = "", settings: Mapping[str, Any] | None = None) -> NetPeer:
    """The peer of a function.  Raises UsageError for one that has not the interface."""
    if not is_net_function(fn):
        raise UsageError(f"{shown(fn)} is not a function f(net, latents, ..., num_steps=...): its parameters tell")
    return NetPeer(name or getattr(fn, "__name__", "function"), fn, dict(settings or {}))
