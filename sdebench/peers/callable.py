r"""Any other sampler, as a function `f(model, x, times, ...)`.

`times` is a falling one-dimensional tensor, with one entry more than there are steps, and x is the state at times[0]; the
function returns the state at times[-1].  `model(x, t)`, of one time or of one a sample, answers in the stated parametrisation,
a word of PREDICTIONS.  The convention says what a time means, with `x = a x0 + s eps`:

    edm     a = 1,       s = t          t is the noise level                          Karras et al. 2022, arXiv:2206.00364
    flow    a = 1 - t,   s = t          t = 1 is noise                                Liu et al. 2022, arXiv:2209.03003
    vp      a = cos t,   s = sin t      t is the angle: pi/2 is noise                 Salimans and Ho 2022, arXiv:2202.00512

or it is one of our schedules, by name or as an object: `convention=VPLinear`.
"""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import atan2, inf, pi, sin
from typing import Any, ClassVar

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, near_miss, shown
from sdebench.peers.base import (
    PREDICTIONS,
    Level,
    Network,
    NotOffered,
    Peer,
    RunPlan,
    Session,
    check_settings,
    check_state,
    one_number,
    say,
)
from sdebench.peers.sigmas import karras
from sdebench.schedules import SCHEDULES, NoiseSchedule


@dataclass(frozen=True)
class Convention:
    """What a time means: its level, and the time of a level."""

    level: Callable[[float], Level]
    time: Callable[[Level], float]


CONVENTIONS = {
    "edm": Convention(lambda t: Level(1.0, t), lambda level: level.s / level.a if level.a > 0 else inf),
    "flow": Convention(lambda t: Level(1 - t, t), lambda level: level.s / (level.a + level.s)),
    "vp": Convention(lambda t: Level(sin(pi / 2 - t), sin(t)), lambda level: atan2(level.s, level.a)),
}


def _convention(given: str | NoiseSchedule) -> Convention:
    """What a word or a schedule stands for.  Raises UsageError."""
    if isinstance(given, str) and given in CONVENTIONS:
        return CONVENTIONS[given]
    ns = SCHEDULES[given]() if isinstance(given, str) and given in SCHEDULES else given
    if not isinstance(ns, NoiseSchedule):
        known = (*CONVENTIONS, *SCHEDULES)
        raise UsageError(f"unknown convention {shown(given)}{near_miss(given, known)}: give {', '.join(known)}, or a schedule")
    return Convention(lambda t: Level(*ns.levels(t)), lambda level: _time_on(ns, level))


def _time_on(ns: NoiseSchedule, level: Level) -> float:
    """The time of a level on a schedule.  Raises NotOffered for one that it does not reach."""
    if level.s == 0:
        return 0.0
    try:
        return ns.t(level.lam)
    except UsageError:
        raise NotOffered(f"{ns} does not reach the level with lam = {level.lam:.4g}") from None


@dataclass(frozen=True)
class CallablePeer(Peer):
    """A function of times.  Settings that the adapter does not take go to the function, by keyword."""

    prediction: str = "x0"
    convention: str | NoiseSchedule = "edm"

    kind: ClassVar[str] = "callable"
    takes_levels: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.prediction not in PREDICTIONS:
            near = near_miss(self.prediction, PREDICTIONS)
            raise UsageError(f"unknown prediction {shown(self.prediction)}{near}: give {', '.join(PREDICTIONS)}")
        _convention(self.convention)
        names = _keywords(self.target)
        if names is not None:
            check_settings(self.settings, (*_OURS, *names), self.name)

    @property
    def predictions(self) -> tuple[str, ...]:  # type: ignore[override]  # of this function
        """The parametrisation that the function is written for."""
        return (self.prediction,)

    def default_levels(self, steps: int) -> tuple[Level, ...]:
        """Even times of a flow, from its noise to its data; elsewhere the levels of `karras`."""
        meaning = _convention(self.convention)
        if self.convention == "flow":
            return tuple(meaning.level(1 - i / steps) for i in range(steps + 1))
        return tuple(meaning.level(meaning.time(Level(1.0, sigma))) for sigma in karras(steps))

    def prepare(self, plan: RunPlan) -> "CallableSession":
        if plan.prediction not in ("", self.prediction):
            raise NotOffered(f"the function is written for a model that answers with {self.prediction}")
        meaning = _convention(self.convention)
        levels = (plan.levels or self.default_levels(plan.steps))[plan.begin :]
        times = [meaning.time(level) for level in levels]
        if inf in times:
            raise NotOffered(f"the convention {self.convention} cannot hold a level with alpha = 0")
        return CallableSession(self, meaning, times)


class CallableSession(Session):
    """One call of the function."""

    def __init__(self, peer: CallablePeer, meaning: Convention, times: list[float]):
        self._peer, self._meaning, self._times = peer, meaning, times
        self.believed = [meaning.level(t) for t in times[:-1]]
        self.start = self.believed[0]
        self.noise = self.start.s
        self.prediction = peer.prediction

    def run(self, network: Network, x: Tensor) -> Tensor:
        def model(state: Tensor, t: Any, *rest: Any, **named: Any) -> Tensor:
            time = one_number(t)
            told = self._meaning.level(time)
            return say(self._peer.prediction, network(state, told, time), state, told)

        times = torch.tensor(self._times, dtype=torch.promote_types(x.dtype, torch.float32))
        out = self._peer.target(model, x, times, **self._peer.settings)
        return check_state(out[0] if isinstance(out, tuple) else out, x, self._peer.name)


_OURS = ("prediction", "convention")


def _keywords(target: Any) -> list[str] | None:
    """The names that the function takes after its first three; None where it takes any."""
    try:
        found = list(inspect.signature(target).parameters.values())
    except (TypeError, ValueError):
        return None
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in found):
        return None
    return [one.name for one in found if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)][3:]


def is_callable(target: Any) -> bool:
    """Whether it can be called with a model, a state and times: a function of three arguments or more, three at least."""
    if isinstance(target, type) or not callable(target):
        return False
    try:
        inspect.signature(target).bind(None, None, None)
    except TypeError:
        return False
    except ValueError:  # a function in C does not tell
        return True
    return True


def from_callable(
    fn: Callable[..., Any],
    prediction: str = "x0",
    convention: str | NoiseSchedule = "edm",
    name: str = "",
    settings: Mapping[str, Any] | None = None,
) -> CallablePeer:
    """The peer of a function f(model, x, times).  Raises UsageError for one that does not take these three."""
    if not is_callable(fn):
        raise UsageError(f"{shown(fn)} cannot be called as f(model, x, times): give a function of these three")
    return CallablePeer(name or getattr(fn, "__name__", "function"), fn, dict(settings or {}), prediction, convention)


def from_target(name: str, target: Any, settings: Mapping[str, Any]) -> CallablePeer:
    """The peer of a spec, whose settings hold those of the adapter, too."""
    ours = {key: value for key, value in settings.items() if key in _OURS}
    rest = {key: value for key, value in settings.items() if key not in _OURS}
    return from_callable(target, name=name, settings=rest, **ours)
