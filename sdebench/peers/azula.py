r"""Samplers of azula: `Sampler(denoiser, start=1, stop=0, steps=...)`, called with a state.

The denoiser holds a schedule, `schedule(t) -> (alpha, sigma)` for t from 1, noise, to 0, data; `denoiser(x, t).mean` is x0.  A
run as shipped is on `VPSchedule` of azula.noise, or on the one of the setting `schedule`; our own levels are a schedule, too.
"""

import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import atan2, cos, sin
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from sdebench._support.errors import STRANGERS, UsageError, describe, near_miss, shown
from sdebench.peers.base import Level, Network, NotOffered, Peer, RunPlan, Session, check_settings, check_state, one_number, say

_GIVEN = ("self", "denoiser", "steps", "silent", "dtype", "device", "args", "kwargs")


def _package(target: Any) -> str:
    """The package whose `sample.Sampler` a class descends from; "" for none."""
    for base in target.__mro__ if isinstance(target, type) else ():
        package, _, module = base.__module__.rpartition(".")
        if base.__name__ == "Sampler" and module == "sample" and package == "azula":
            return package
    return ""


def is_azula_sampler(target: Any) -> bool:
    """Whether it is a class of azula's, or one that was derived from them."""
    return bool(_package(target))


def _schedules(package: str) -> dict[str, Any]:
    """The schedules of azula, by name."""
    noise = importlib.import_module(f"{package}.noise")
    found = {
        name: value for name, value in vars(noise).items() if isinstance(value, type) and issubclass(value, noise.Schedule)
    }
    return {name: value for name, value in found.items() if value is not noise.Schedule}


@dataclass(frozen=True)
class AzulaPeer(Peer):
    """A sampler class.  Settings go to its constructor, but for `schedule`."""

    kind: ClassVar[str] = "azula"
    predictions: ClassVar[tuple[str, ...]] = ("x0",)
    takes_levels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        classes = [base for base in self.target.__mro__ if "__init__" in vars(base) and base is not object]
        names = [name for base in classes for name in inspect.signature(base.__init__).parameters if name not in _GIVEN]
        check_settings(self.settings, (*dict.fromkeys(names), "schedule"), self.name)
        self.schedule()

    def schedule(self) -> Any:
        """The schedule of a run as shipped.  Raises UsageError for a name that azula does not have."""
        name, known = self.settings.get("schedule", "VPSchedule"), _schedules(_package(self.target))
        if name not in known:
            raise UsageError(f"azula has no schedule {shown(name)}{near_miss(name, known)}: give one of {', '.join(known)}")
        return known[name]()

    def make(self, denoiser: Any, dtype: torch.dtype | None, **more: Any) -> Any:
        """A sampler."""
        own = {key: value for key, value in self.settings.items() if key != "schedule"}
        try:
            return self.target(denoiser, silent=True, dtype=dtype, **{**own, **more})
        except STRANGERS as error:
            raise UsageError(f"{self.name} cannot be made ({describe(error)}): give what it needs in brackets") from None

    def prepare(self, plan: RunPlan) -> "AzulaSession":
        if plan.prediction not in ("", "x0"):
            raise NotOffered("the denoiser of this interface answers with x0")
        return AzulaSession(self, plan)


class LevelSchedule:
    """A schedule through given levels: level i of n at t = 1 - i/n, and between two the angle runs evenly."""

    def __init__(self, levels: Sequence[Level]):
        self._levels, self._n = levels, len(levels) - 1

    def at(self, t: float) -> Level:
        """The level of a time."""
        place = min(max((1 - t) * self._n, 0.0), float(self._n))
        if abs(place - round(place)) < 1e-3:  # a time of the grid, rounded
            return self._levels[round(place)]
        i = int(place)
        (one, other), part = self._levels[i : i + 2], place - i
        angle = (1 - part) * atan2(one.s, one.a) + part * atan2(other.s, other.a)
        radius = one.radius ** (1 - part) * other.radius**part
        return Level(radius * cos(angle), radius * sin(angle))

    def __call__(self, t: Tensor) -> tuple[Tensor, Tensor]:
        found = [self.at(value) for value in t.double().flatten().tolist()]
        a, s = (torch.tensor(column, dtype=t.dtype).view(t.shape) for column in zip(*found))
        return a, s


class _Posterior(NamedTuple):
    """What a denoiser answers."""

    mean: Tensor


class _Denoiser(torch.nn.Module):
    """`denoiser(x, t).mean` is x0; `schedule` holds the levels."""

    def __init__(self, schedule: Any, network: Network | None = None):
        super().__init__()
        self.schedule, self._network = schedule, [network]

    def level(self, t: Any) -> Level:
        """What a time tells."""
        a, s = self.schedule(t if isinstance(t, Tensor) else torch.tensor(t, dtype=torch.float64))
        return Level(float(a), float(s))

    def forward(self, x: Tensor, t: Any, **extra: Any) -> _Posterior:
        time = one_number(t)
        told = self.level(t.flatten()[0] if isinstance(t, Tensor) else t)
        return _Posterior(say("x0", self._network[0](x, told, time), x, told))  # type: ignore[misc]  # given for a run


class AzulaSession(Session):
    """One sampler, called once."""

    def __init__(self, peer: AzulaPeer, plan: RunPlan):
        self._peer = peer
        self._more: dict[str, float] = {"steps": plan.steps}
        if plan.levels:
            given = plan.levels[plan.begin :]
            self._schedule: Any = LevelSchedule(given)
            self._more = {"steps": len(given) - 1, "start": 1.0, "stop": 0.0}
        else:
            self._schedule = peer.schedule()
            if plan.begin:
                first = self._times()[plan.begin]
                self._more = {"steps": plan.steps - plan.begin, "start": first}
        denoiser = _Denoiser(self._schedule)
        levels = [denoiser.level(torch.tensor(t, dtype=torch.float64)) for t in self._times()]
        self.start, self.noise, self.believed = levels[0], levels[0].s, levels[:-1]

    def _times(self) -> list[float]:
        sampler = self._peer.make(_Denoiser(self._schedule), torch.float64, **self._more)
        return [float(t) for t in sampler.timesteps]

    def run(self, network: Network, x: Tensor) -> Tensor:
        dtype = torch.float64 if x.dtype == torch.float64 else None
        sampler = self._peer.make(_Denoiser(self._schedule, network), dtype, **self._more)
        return check_state(sampler(x), x, self._peer.name)


def from_azula(target: type, name: str = "", settings: Mapping[str, Any] | None = None) -> AzulaPeer:
    """The peer of a sampler class.  Raises UsageError for another class."""
    if not is_azula_sampler(target):
        raise UsageError(f"{shown(target)} is not a sampler of azula: give a class that descends from azula.sample.Sampler")
    return AzulaPeer(name or target.__name__, target, dict(settings or {}))
