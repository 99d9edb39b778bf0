r"""Schedulers with diffusers' interface: `set_timesteps`, `step`, `scale_model_input`, `init_noise_sigma`, `add_noise`.

    for t in scheduler.timesteps:
        output = network(scheduler.scale_model_input(x, t), t)
        x = scheduler.step(output, t, x).prev_sample

What the scheduler believes of a state is read off its `add_noise`, of unit data and of unit noise.  What the network is told is
read off the time t: the level at which a network of that kind was trained on t.  The two may differ.
"""

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf, isfinite, log
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from sdebench._support.errors import STRANGERS, UsageError, describe
from sdebench.peers.base import (
    CONVENTIONS,
    Level,
    Network,
    NotOffered,
    Peer,
    PeerFault,
    RunPlan,
    Session,
    check_settings,
    check_state,
    parameters,
    say,
)
from sdebench.peers.scheduler_levels import with_levels
from sdebench.peers.scheduler_numbers import THEIRS, config_of, is_flow, names, noised, prediction_of, tensor_of, told_ratio

_MANY = 64  # steps of a run beyond which only the first level is asked for
NEEDED = ("set_timesteps", "step")


def is_scheduler(target: Any) -> bool:
    """Whether it has the interface."""
    return all(callable(getattr(target, name, None)) for name in NEEDED)


@dataclass(frozen=True)
class SchedulerPeer(Peer):
    """A scheduler.  Settings go to the constructor, to `set_timesteps` or to `step`, whichever takes them."""

    make: Callable[..., Any] = field(default=copy.copy, compare=False)
    _kept: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    kind: ClassVar[str] = "scheduler"
    takes_levels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        taken = names(self.target.step)
        taken = taken[1:] if taken[:1] == ["self"] else taken
        if len(taken) < 3 or taken[2] != "sample":
            raise UsageError(
                f"{self.name}.step takes ({', '.join(taken)}): a scheduler's takes (model_output, timestep, sample)"
            )
        parts = (names(self.target), names(self.target.set_timesteps, 2), names(self.target.step, 4))
        check_settings(self.settings, [name for part in parts for name in part], self.name)

    @property
    def predictions(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on the class
        """The parametrisations that its configuration offers."""
        if "prediction_type" not in names(self.target) or hasattr(self.target, "precondition_outputs"):
            return ()
        return tuple(THEIRS)

    def made(self, **override: Any) -> Any:
        """A scheduler of its settings and those.  Raises UsageError where its class refuses."""
        mine = names(self.target)
        settings = {name: value for name, value in self.settings.items() if name in mine} | override
        try:
            if "trained_betas" in override:
                return self.make(**settings)
            if (key := repr(override)) not in self._kept:  # some take long to make
                self._kept[key] = self.make(**settings)
            return copy.deepcopy(self._kept[key])
        except STRANGERS as error:
            raise UsageError(
                f"{self.name} cannot be made ({describe(error)}): give what it needs in brackets, as {self.name}[name=value]"
            ) from None

    def settings_of(self, method: Any, skip: int) -> dict[str, Any]:
        """The settings that a method takes, and the constructor does not."""
        taken = set(names(method, skip)) - set(names(self.target))
        return {name: value for name, value in self.settings.items() if name in taken}

    def prepare(self, plan: RunPlan) -> "SchedulerSession":
        override = {"prediction_type": THEIRS[plan.prediction]} if plan.prediction else {}
        scheduler = self.made(**override) if not plan.levels else with_levels(self, plan.levels, override)
        if not plan.levels:
            self.set_steps(scheduler, plan.steps)
        return SchedulerSession(self, scheduler, plan)

    def set_steps(self, scheduler: Any, steps: int) -> None:
        """`set_timesteps`, on the CPU."""
        wanted = self.settings_of(scheduler.set_timesteps, 1)
        accepted = parameters(scheduler.set_timesteps)
        if "mu" in accepted and "mu" not in wanted and config_of(scheduler).get("use_dynamic_shifting"):
            wanted["mu"] = 1.0
        scheduler.set_timesteps(steps, **wanted)

    def is_inverse(self) -> bool:
        """Whether it runs from data to noise, by its name."""
        return "Inverse" in getattr(self.target, "__name__", "")


def from_object(scheduler: Any, name: str = "") -> SchedulerPeer:
    """A scheduler that was made already; each run has a new one of the same configuration."""
    if not is_scheduler(scheduler) or isinstance(scheduler, type):
        raise UsageError(f"{scheduler!r:.60} is not a scheduler: give an object with {' and '.join(NEEDED)}")

    def make(**override: Any) -> Any:
        again = getattr(type(scheduler), "from_config", None)
        if callable(again) and hasattr(scheduler, "config"):
            kept = {key: value for key, value in scheduler.config.items() if not key.startswith("_")}
            return again(kept | override)
        if override:
            raise NotOffered(f"{type(scheduler).__name__} has no from_config, so its {', '.join(override)} cannot be changed")
        return copy.deepcopy(scheduler)

    return SchedulerPeer(name or type(scheduler).__name__, type(scheduler), {}, make)


def from_target(name: str, target: Any, settings: Mapping[str, Any]) -> SchedulerPeer:
    """A scheduler of a class."""
    return SchedulerPeer(name, target, dict(settings), target)


class SchedulerSession(Session):
    """One run of one scheduler."""

    def __init__(self, peer: SchedulerPeer, scheduler: Any, plan: RunPlan):
        self.peer, self.scheduler, self.plan = peer, scheduler, plan
        self.notes: set[str] = set()
        self._kwargs = peer.settings_of(scheduler.step, 3)
        times = scheduler.timesteps
        if not isinstance(times, Tensor | np.ndarray | list | tuple) or len(times) == 0:
            raise PeerFault("set_timesteps leaves no timesteps")
        self.times = tensor_of(times)[plan.begin :]
        if self.times.is_complex() or self.times.ndim != 1:
            raise PeerFault(f"its timesteps are {self.times.dtype} of shape {tuple(self.times.shape)}: one real number a step")
        self.noise = float(tensor_of(getattr(scheduler, "init_noise_sigma", 1.0)))
        self.prediction = plan.prediction or prediction_of(scheduler)
        self.believed = self._believed()
        self._sigma_data = float(config_of(scheduler).get("sigma_data") or 0.5)
        self._ratio: Callable[[float], float] | None = None
        if not plan.levels:  # of our levels the times are only names
            with suppress(NotOffered):
                self._ratio = told_ratio(scheduler)
        self.told_is_known = self._ratio is not None
        first = self.believed[0] if self.believed else None
        self.convention = "flow" if is_flow(scheduler) else "ve" if first and abs(first.a - 1) < 1e-9 else "vp"
        self.start = first or self._first()

    def _believed(self) -> list[Level]:
        try:  # a scheduler looks every time up among all of them
            return noised(copy.deepcopy(self.scheduler), self.times[:1] if len(self.times) > _MANY else self.times)
        except STRANGERS:
            try:
                return noised(copy.deepcopy(self.scheduler), self.times[:1])
            except STRANGERS:
                return []

    def _first(self) -> Level:
        """Where a run begins that has no `add_noise`: at the level that is told first; an inverse one at the data."""
        if self.peer.is_inverse():
            return Level(1.0, 0.0)
        if self._ratio is None:
            return Level(0.0, self.noise or 1.0)
        return CONVENTIONS[self.convention](self._ratio(float(self.times[0])))

    def told(self, t: Any, i: int) -> Level:
        """The level that the network is told by the time t."""
        if self._ratio is None:
            return self.believed[i] if i < len(self.believed) else self.start
        return CONVENTIONS[self.convention](self._ratio(float(t)))

    def width(self, time: float) -> float:
        if self._ratio is None:
            return 0.0
        length = float(config_of(self.scheduler).get("num_train_timesteps") or 1000)
        high, low = self._ratio(min(time + 0.5, length)), self._ratio(max(time - 0.5, 0.0))
        return abs(log(high / low)) if isfinite(high) and low > 0 else inf

    def again(self) -> "SchedulerSession":
        if not self.plan.levels:
            self.peer.set_steps(self.scheduler, self.plan.steps)
        return SchedulerSession(self.peer, self.scheduler, self.plan)

    def run(self, network: Network, x: Tensor) -> Tensor:
        scheduler = self.scheduler
        if self.plan.begin and callable(begin := getattr(scheduler, "set_begin_index", None)):
            begin(self.plan.begin)
        scale = getattr(scheduler, "scale_model_input", None)
        for i, t in enumerate(self.times):
            if callable(scale):
                check_state(scale(x, t), x, "scale_model_input")
            told = self.told(t, i)
            output = say(self.prediction, network(x, told, float(t)), x, told, self._sigma_data)
            before = x._version, output._version
            new = check_state(_sample_of(scheduler.step(output, t, x, **self._kwargs)), x, "step")
            self.notes |= {"writes into the state that it is given"} if x._version > before[0] else set()
            self.notes |= {"writes into the network's answer"} if output._version > before[1] else set()
            x = new
        return x


def _sample_of(result: Any) -> Any:
    """The state in what `step` returns: an object, a dictionary or a tuple."""
    if isinstance(result, Tensor):
        return result
    if (found := getattr(result, "prev_sample", None)) is not None:
        return found
    if isinstance(result, Mapping) and "prev_sample" in result:
        return result["prev_sample"]
    return result[0] if isinstance(result, tuple | list) and result else result
