r"""Schedulers with diffusers' interface: `set_timesteps`, `step`, `scale_model_input`, `init_noise_sigma`, `add_noise`.

    for t in scheduler.timesteps:
        output = network(scheduler.scale_model_input(x, t), t)
        x = scheduler.step(output, t, x).prev_sample

What the scheduler believes of a state is read off its `add_noise`, of unit data and of unit noise.  What the network is told is
read off the time t: the level at which a network of that kind was trained on t.  The two may differ.
"""

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from math import cos, exp, inf, isfinite, log, pi, sin, sqrt
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from sdebench._support.errors import STRANGERS, UsageError, describe
from sdebench.peers.base import (
    CONVENTIONS,
    PREDICTIONS,
    Level,
    Network,
    NotOffered,
    Peer,
    PeerFault,
    Plan,
    Session,
    check_settings,
    check_state,
    say,
)

_MANY = 64  # steps of a run beyond which only the first level is asked for
NEEDED = ("set_timesteps", "step")
_WORDS = {  # diffusers' word for a parametrisation -> ours
    "epsilon": "eps",
    "sample": "x0",
    "v_prediction": "v",
    "flow_prediction": "velocity",
    "flow": "velocity",
}
_THEIRS = {ours: theirs for theirs, ours in _WORDS.items() if theirs != "flow"}


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
        taken = _parameters(self.target.step)
        taken = taken[1:] if taken[:1] == ["self"] else taken
        if len(taken) < 3 or taken[2] != "sample":
            raise UsageError(
                f"{self.name}.step takes ({', '.join(taken)}): a scheduler's takes (model_output, timestep, sample)"
            )
        parts = (_parameters(self.target), _parameters(self.target.set_timesteps, 2), _parameters(self.target.step, 4))
        check_settings(self.target, self.settings, [name for part in parts for name in part], self.name)

    @property
    def predictions(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on the class
        """The parametrisations that its configuration offers."""
        if "prediction_type" not in _parameters(self.target) or hasattr(self.target, "precondition_outputs"):
            return ()
        return tuple(_THEIRS)

    def _made(self, **override: Any) -> Any:
        mine = _parameters(self.target)
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

    def _of(self, method: Any, skip: int) -> dict[str, Any]:
        names = set(_parameters(method, skip)) - set(_parameters(self.target))
        return {name: value for name, value in self.settings.items() if name in names}

    def prepare(self, plan: Plan) -> "SchedulerSession":
        override = {"prediction_type": _THEIRS[plan.prediction]} if plan.prediction else {}
        scheduler = self._made(**override) if not plan.levels else _on_levels(self, plan, override)
        if not plan.levels:
            self.set_steps(scheduler, plan.steps)
        return SchedulerSession(self, scheduler, plan)

    def set_steps(self, scheduler: Any, steps: int, **more: Any) -> None:
        """`set_timesteps`, on the CPU."""
        wanted = self._of(scheduler.set_timesteps, 1)
        accepted = inspect.signature(scheduler.set_timesteps).parameters
        if "mu" in accepted and "mu" not in wanted and _config(scheduler).get("use_dynamic_shifting"):
            wanted["mu"] = 1.0
        if more:
            scheduler.set_timesteps(**more, **wanted)
        else:
            scheduler.set_timesteps(steps, **wanted)

    def is_inverse(self) -> bool:
        """Whether it runs from data to noise, by its name."""
        return "Inverse" in getattr(self.target, "__name__", "")


def _parameters(function: Any, skip: int = 0) -> list[str]:
    """The names that a call takes, after the first ones."""
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    usable = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [one.name for one in found if one.kind in usable][skip:]


def _config(scheduler: Any) -> Mapping[str, Any]:
    found = getattr(scheduler, "config", None)
    return found if isinstance(found, Mapping) else vars(found) if hasattr(found, "__dict__") else {}


def _tensor(value: Any) -> Tensor:
    """Numbers as a tensor of their own digits: torch would make Python's numbers float32."""
    return value if isinstance(value, Tensor) else torch.as_tensor(np.asarray(value))


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


# ---- what its numbers mean ---------------------------------------------------------------------------------------


def prediction_of(scheduler: Any) -> str:
    """The parametrisation that a scheduler expects, as one of PREDICTIONS."""
    config = _config(scheduler)
    theirs = config.get("prediction_type")
    if theirs is None and hasattr(scheduler, "get_scalings_for_boundary_condition"):
        return "raw output of a consistency model"
    if theirs is None:
        theirs = "flow_prediction" if _is_flow(scheduler) else "epsilon"
    if hasattr(scheduler, "precondition_outputs"):
        return "edm" if theirs == "epsilon" else "edm-v" if theirs == "v_prediction" else str(theirs)
    return _WORDS.get(theirs, str(theirs))


def _is_flow(scheduler: Any) -> bool:
    config = _config(scheduler)
    if config.get("use_flow_sigmas") or config.get("prediction_type") in ("flow_prediction", "flow"):
        return True
    chain = any(hasattr(scheduler, name) for name in ("alphas_cumprod", "betas", "precondition_noise", "precondition_inputs"))
    return not chain and hasattr(scheduler, "sigmas")


def _noised(scheduler: Any, times: Tensor) -> list[Level]:
    """Where the scheduler puts a state at each time: `add_noise` of unit data and of unit noise."""
    n = len(times)
    data = torch.cat([torch.ones(n), torch.zeros(n)]).double().view(-1, 1, 1, 1)
    if callable(add := getattr(scheduler, "add_noise", None)):
        out = add(data, 1 - data, torch.cat([times, times]))
    elif callable(scale := getattr(scheduler, "scale_noise", None)):
        out = scale(data, torch.cat([times, times]), 1 - data)
    else:
        raise NotOffered("no add_noise")
    values = out.flatten().double().tolist()
    return [Level(a, s) for a, s in zip(values[:n], values[n:])]


def told_ratio(scheduler: Any) -> Callable[[float], float]:
    """s/a at which a network is trained on the time t: t -> ratio.  Raises NotOffered where the object does not say."""
    config = _config(scheduler)
    length = float(config.get("num_train_timesteps") or 1000)
    if _is_flow(scheduler):
        return lambda t: _over(t / length, 1 - t / length)
    if config.get("timestep_type") == "continuous" and config.get("prediction_type") == "v_prediction":  # EDM's c_noise
        return lambda t: exp(4 * t)
    if callable(inputs := getattr(scheduler, "precondition_noise", None) or getattr(scheduler, "sigma_to_t", None)):
        sigmas = np.exp(np.linspace(log(1e-4), log(1e4), 4001))
        try:
            times = np.array([float(_tensor(inputs(torch.tensor(s, dtype=torch.float64))).flatten()[0]) for s in sigmas[::10]])
        except STRANGERS:
            times = np.array([float(np.ravel(inputs(s))[0]) for s in sigmas[::10]])
        order = np.argsort(times)
        logs = np.log(sigmas[::10])[order]
        return lambda t: exp(float(np.interp(t, times[order], logs)))
    if (chain := getattr(scheduler, "alphas_cumprod", None)) is not None:
        bars = _tensor(chain).double().clamp(0, 1).tolist()
        ratios = [_over(sqrt(1 - bar), sqrt(bar)) for bar in bars]
        return lambda t: _between(ratios, t)
    betas, alphas = getattr(scheduler, "betas", None), getattr(scheduler, "alphas", None)
    if betas is not None and alphas is not None:  # of one circle, as IPNDM has it: t is the angle over pi/2
        return lambda t: _over(sin(t * pi / 2), cos(t * pi / 2))
    raise NotOffered("nothing tells at which level the network is trained on a time")


def _over(s: float, a: float) -> float:
    return s / a if a > 1e-12 else inf


def _between(ratios: Sequence[float], t: float) -> float:
    """The ratio between two training steps: linear in its logarithm, as a network interpolates."""
    t = min(max(t, 0.0), len(ratios) - 1.0)
    low = int(t)
    if low == t or not (isfinite(ratios[low + 1]) and ratios[low] > 0):
        return ratios[round(t)]
    return exp(log(ratios[low]) + (t - low) * (log(ratios[low + 1]) - log(ratios[low])))


class SchedulerSession(Session):
    """One run of one scheduler."""

    def __init__(self, peer: SchedulerPeer, scheduler: Any, plan: Plan):
        self.peer, self.scheduler, self.plan = peer, scheduler, plan
        self.notes: set[str] = set()
        self._kwargs = peer._of(scheduler.step, 3)
        times = scheduler.timesteps
        if not isinstance(times, Tensor | np.ndarray | list | tuple) or len(times) == 0:
            raise PeerFault("set_timesteps leaves no timesteps")
        self.times = _tensor(times)[plan.begin :]
        if self.times.is_complex() or self.times.ndim != 1:
            raise PeerFault(f"its timesteps are {self.times.dtype} of shape {tuple(self.times.shape)}: one real number a step")
        self.noise = float(_tensor(getattr(scheduler, "init_noise_sigma", 1.0)))
        self.prediction = plan.prediction or prediction_of(scheduler)
        self.believed = self._believed()
        self._sigma_data = float(_config(scheduler).get("sigma_data") or 0.5)
        self._ratio: Callable[[float], float] | None = None
        if not plan.levels:  # of our levels the times are only names
            with suppress(NotOffered):
                self._ratio = told_ratio(scheduler)
        self.told_is_known = self._ratio is not None
        first = self.believed[0] if self.believed else None
        self.convention = "flow" if _is_flow(scheduler) else "ve" if first and abs(first.a - 1) < 1e-9 else "vp"
        self.start = first or self._first()

    def _believed(self) -> list[Level]:
        try:  # a scheduler looks every time up among all of them
            return _noised(copy.deepcopy(self.scheduler), self.times[:1] if len(self.times) > _MANY else self.times)
        except STRANGERS:
            try:
                return _noised(copy.deepcopy(self.scheduler), self.times[:1])
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
        length = float(_config(self.scheduler).get("num_train_timesteps") or 1000)
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


# ---- our levels in the place of its own ------------------------------------------------------------------------------


def _on_levels(peer: SchedulerPeer, plan: Plan, override: Mapping[str, Any]) -> Any:
    """A scheduler whose levels are ours, in float64 as far as its code lets them be.

    Where it holds an array of sigmas, that is replaced; where it holds a chain, the chain is made of our levels.
    """
    scheduler = peer._made(**override)
    n, levels = len(plan.levels) - 1, plan.levels
    if getattr(scheduler, "alphas_cumprod", None) is not None and not _has_sigmas(peer, scheduler, n):
        return _own_chain(peer, scheduler, levels, override)
    peer.set_steps(scheduler, n)
    if more := [name for name in vars(scheduler) if "sigma" in name and name != "sigmas" and _is_array(scheduler, name, n)]:
        if "trained_betas" not in _parameters(peer.target):
            raise NotOffered(f"its steps go by {', '.join(more)}, too")
        return _sigmas_of_chain(peer, levels, override)
    sigmas = _tensor(scheduler.sigmas)
    unit = _unit(scheduler)
    ours = [unit(level) for level in levels]
    if not all(map(isfinite, ours)):
        raise NotOffered("its sigmas cannot hold a level with alpha = 0")
    times = torch.linspace(999.0, 1.0, n, dtype=torch.float64)
    if len(sigmas) == n + 1:
        values = ours
    elif (
        len(sigmas) == 2 * n and len(scheduler.timesteps) == 2 * n - 1
    ):  # Heun's: every level but the first and the last is there twice
        values = [ours[0], *(value for level in ours[1:-1] for value in (level, level)), ours[-1]]
        times = torch.cat([times[:1], times[1:].repeat_interleave(2)])
        extra = len(sigmas) - len(values)
        values += [ours[-1]] * extra
    else:
        raise NotOffered(f"{len(sigmas)} sigmas for {n} steps: not one a level")
    scheduler.sigmas = torch.tensor(values, dtype=torch.float64)
    with suppress(AttributeError):  # where the times are made from the sigmas
        scheduler.timesteps = times
    for name in ("_step_index", "_begin_index"):
        if hasattr(scheduler, name):
            setattr(scheduler, name, None)
    return scheduler


def _is_array(scheduler: Any, name: str, n: int) -> bool:
    """Whether an attribute has about one number a step."""
    value = getattr(scheduler, name)
    return isinstance(value, Tensor | np.ndarray) and value.ndim == 1 and n <= len(value) <= 2 * n + 1


def _sigmas_of_chain(peer: SchedulerPeer, levels: Sequence[Level], override: Mapping[str, Any]) -> Any:
    """A scheduler whose sigmas are those of a chain of our levels, all of it; behind them it goes to zero."""
    betas = _betas(levels)[0]
    spacing = {"timestep_spacing": "linspace"} if "timestep_spacing" in _parameters(peer.target) else {}
    scheduler = peer._made(**override, **spacing, trained_betas=betas, num_train_timesteps=len(levels))
    peer.set_steps(scheduler, len(levels))
    return scheduler


def _betas(levels: Sequence[Level]) -> tuple[list[float], list[float]]:
    """(betas, products of 1 - beta) of the chain with our levels, in rising noise."""
    bars = [(level.a / level.radius) ** 2 for level in reversed(levels)]
    return [1 - bars[0], *(1 - now / before for before, now in pairwise(bars))], bars


def _has_sigmas(peer: SchedulerPeer, scheduler: Any, n: int) -> bool:
    """Whether its steps go by an array of sigmas that `set_timesteps` makes."""
    trial = copy.deepcopy(scheduler)
    peer.set_steps(trial, n)
    sigmas = getattr(trial, "sigmas", None)
    return isinstance(sigmas, Tensor | np.ndarray) and len(sigmas) in (n + 1, 2 * n)


def _unit(scheduler: Any) -> Callable[[Level], float]:
    """What its sigmas are: s/a, or s/(a + s) of a flow.  Read off its own first levels."""
    sigmas = _tensor(scheduler.sigmas).double().tolist()
    try:
        known = _noised(copy.deepcopy(scheduler), _tensor(scheduler.timesteps)[:1])
    except STRANGERS:
        raise NotOffered("it has no add_noise to tell what its sigmas are") from None
    (level,) = known
    if level.a > 0 and abs(level.s / level.a - sigmas[0]) <= 1e-3 * sigmas[0]:
        return lambda one: one.s / one.a if one.a > 0 else inf
    if abs(level.s / (level.a + level.s) - sigmas[0]) <= 1e-3 * abs(sigmas[0]):
        return lambda one: one.s / (one.a + one.s)
    raise NotOffered(f"its first sigma, {sigmas[0]:g}, is neither s/a nor s/(a + s) of its first level")


def _own_chain(peer: SchedulerPeer, scheduler: Any, levels: Sequence[Level], override: Mapping[str, Any]) -> Any:
    """A chain whose training steps are our levels, in rising noise."""
    if "trained_betas" not in _parameters(peer.target):
        raise NotOffered("it takes neither sigmas nor betas")
    n = len(levels) - 1
    betas, bars = _betas(levels)
    ours = {"trained_betas": betas, "num_train_timesteps": n + 1}
    known = _parameters(peer.target)
    ours |= {"steps_offset": 1} if "steps_offset" in known else {}
    ours |= {"timestep_spacing": "leading"} if "timestep_spacing" in known else {}
    scheduler = peer._made(**override, **ours)
    scheduler.alphas_cumprod = torch.tensor(bars, dtype=torch.float64)
    if hasattr(scheduler, "betas"):
        scheduler.betas = torch.tensor(betas, dtype=torch.float64)
    peer.set_steps(scheduler, n)
    times = [int(t) for t in scheduler.timesteps]
    if sorted(set(times)) != list(range(1, n + 1)):
        raise NotOffered(f"its timesteps on a chain of {n + 1} are {times[:3]} ... {times[-1]}: not our levels")
    return scheduler


__all__ = ["PREDICTIONS", "SchedulerPeer", "from_object", "from_target", "is_scheduler"]
