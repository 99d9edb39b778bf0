r"""`sdeint(sde, y0, ts, method=..., dt=...)` of torchsde, on the reverse SDE.

Time runs backwards on our VPLinear, u = 1 - t from 0 to 1 - t_end (Song et al. 2021, arXiv:2011.13456, eq. 6):

    dx = [g^2 score - f x] du + g dw,       score = -eps/sigma,   f = -beta/2,   g^2 = beta

Settings are those of `sdeint`, `t_end` (0.001), and `noise_type`: "additive" for `srk`, which has a scheme of its own for it,
and "diagonal" for the other methods, to which the two are one.  Without a `dt` it is the span over the number of steps.  States
are (batch, dims) there: the adapter flattens and restores.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, ClassVar

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, near_miss, shown
from sdebench.peers.base import Level, Network, NotOffered, Peer, RunPlan, Session, check_settings, check_state, parameters, say
from sdebench.schedules import VPLinear

_NEEDED = ["sde", "y0", "ts"]
_OURS = ("noise_type", "t_end")
_GIVEN = (*_NEEDED, "bm", "names", "logqp", "extra", "extra_solver_state", "unused_kwargs")
_ITO = ("euler", "milstein", "srk")
_AREAS = {"srk": "space-time", "log_ode": "foster"}  # what a method asks of the Brownian motion beside its increments


def is_sdeint(target: Any) -> bool:
    """Whether it is a function of an SDE, a state and times."""
    return callable(target) and not isinstance(target, type) and list(parameters(target))[:3] == _NEEDED


@dataclass(frozen=True)
class SdeintPeer(Peer):
    """An integrator of SDEs."""

    kind: ClassVar[str] = "sdeint"
    predictions: ClassVar[tuple[str, ...]] = ("eps",)

    def __post_init__(self) -> None:
        check_settings(self.settings, [*_OURS, *(n for n in parameters(self.target) if n not in _GIVEN)], self.name)
        noise, end = self.settings.get("noise_type", "diagonal"), self.settings.get("t_end", 1e-3)
        if noise not in ("additive", "diagonal"):
            raise UsageError(
                f"noise_type is {shown(noise)}{near_miss(noise, ['additive', 'diagonal'])}: give additive or diagonal"
            )
        if not (isinstance(end, float) and 0 < end < 1):
            raise UsageError(f"t_end is {shown(end)}: give a number between 0 and 1, without these")

    def prepare(self, plan: RunPlan) -> "SdeintSession":
        if plan.prediction not in ("", "eps"):
            raise NotOffered("the SDE is made from the noise that a network answers with")
        if plan.levels or plan.begin:
            raise NotOffered("it steps through time by an even dt")
        return SdeintSession(self, plan.steps)


class SdeintSession(Session):
    """One integration."""

    prediction = "eps"

    def __init__(self, peer: SdeintPeer, steps: int):
        self._peer, self._steps = peer, steps
        self._method = peer.settings.get("method") or "srk"
        self._noise = peer.settings.get("noise_type") or ("additive" if self._method == "srk" else "diagonal")
        self._span = 1.0 - peer.settings.get("t_end", 1e-3)
        ns = VPLinear()
        self.start, self.noise = Level(*ns.levels(1.0)), 1.0

    def run(self, network: Network, x: Tensor) -> Tensor:
        flat = x.flatten(1)
        made = {"additive": _Additive, "diagonal": _Diagonal}[self._noise]
        sde = made(network, x.shape, "ito" if self._method in _ITO else "stratonovich")
        given = {key: value for key, value in self._peer.settings.items() if key not in _OURS}
        given["method"] = self._method
        given.setdefault("dt", self._dt(x.dtype))
        ts = torch.tensor([0.0, self._span], dtype=x.dtype)
        out = self._peer.target(sde, flat, ts, bm=self._brownian(flat, ts), **given)
        return check_state(out[-1] if isinstance(out, Tensor) else out, flat, self._peer.name).view(x.shape)

    def _dt(self, dtype: torch.dtype) -> float:
        """The step, above the even one by the rounding of the sum of all: a last step of rounding alone is none."""
        return self._span / self._steps * (1 + self._steps * torch.finfo(dtype).eps)

    def _brownian(self, flat: Tensor, ts: Tensor) -> Any:
        """What `sdeint` makes itself where it is given none, with a seed of torch's generator."""
        seed = int(torch.empty((), dtype=torch.int64).random_())
        area = _AREAS.get(self._method, "none")
        make = _library(self._peer.target).BrownianInterval
        return make(ts[0], ts[-1], size=flat.shape, dtype=flat.dtype, entropy=seed, levy_area_approximation=area)


def _library(target: Any) -> ModuleType:
    """The package that a function is of."""
    package = sys.modules.get(str(target.__module__).partition(".")[0])
    if package is None or not hasattr(package, "BrownianInterval"):
        raise UsageError(f"{shown(target)} is of no package that has a BrownianInterval: give torchsde:sdeint")
    return package


class _Reverse(torch.nn.Module):
    """The reverse SDE on flat states, its time running backwards."""

    noise_type = ""

    def __init__(self, network: Network, shape: torch.Size, sde_type: str):
        super().__init__()
        self._network, self._shape, self.sde_type, self._ns = [network], shape, sde_type, VPLinear()

    def _time(self, u: Any) -> float:
        return min(max(1.0 - float(u), 0.0), 1.0)

    def f(self, u: Any, y: Tensor) -> Tensor:
        """The drift."""
        t = self._time(u)
        told, x = Level(*self._ns.levels(t)), y.view(self._shape)
        eps = say("eps", self._network[0](x, told, t), x, told)
        return -self._ns.f(t) * y - self._ns.g2(t) / told.s * eps.view(y.shape)


class _Diagonal(_Reverse):
    """With the diffusion of each coordinate."""

    noise_type = "diagonal"

    def g(self, u: Any, y: Tensor) -> Tensor:
        """The diffusion, (batch, dims)."""
        return torch.full_like(y, self._ns.g2(self._time(u)) ** 0.5)


class _Additive(_Reverse):
    """With the diffusion as a product, so that no matrix (batch, dims, dims) is made."""

    noise_type = "additive"

    def g_prod(self, u: Any, y: Tensor, v: Tensor) -> Tensor:
        """The diffusion times a vector."""
        return self._ns.g2(self._time(u)) ** 0.5 * v


def from_sdeint(fn: Callable[..., Any], name: str = "", settings: Mapping[str, Any] | None = None) -> SdeintPeer:
    """The peer of an integrator.  Raises UsageError for one that has not the interface."""
    if not is_sdeint(fn):
        raise UsageError(f"{shown(fn)} is not a function f(sde, y0, ts, ...): its first parameters tell")
    return SdeintPeer(name or getattr(fn, "__name__", "function"), fn, dict(settings or {}))
