r"""Somebody else's sampler, run as it is: what an adapter must offer, and the words that all adapters share.

A peer owns its levels.  They depend on the number of steps, repeat, start at alpha = 0, end at sigma = 0, and are rounded.  So
nothing here speaks of a schedule.  A level is a pair (a, s):

    x = a x0 + s eps,        lam = log(a/s)

A variance-preserving state has a^2 + s^2 = 1, that of EDM and of k-diffusion a = 1, that of flow matching a + s = 1.

A run has two parts.  `prepare` sets the steps and tells where the run begins; `run` crosses them.  The network is a function
`network(x, told, time)`: the state as the peer has it, the level that the network is told, and the number by which it is told.
It answers with x0 and eps, which the adapter says in the parametrisation that the peer expects, at the level told.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from math import hypot, inf, log
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, near_miss, shown


class Level(NamedTuple):
    """`x = a x0 + s eps`."""

    a: float
    s: float

    @property
    def lam(self) -> float:
        """log(a/s); infinite at an end."""
        if self.s <= 0:
            return inf
        return log(self.a / self.s) if self.a > 0 else -inf

    @property
    def radius(self) -> float:
        """The state over that of the variance-preserving convention."""
        return hypot(self.a, self.s)


class Answer(NamedTuple):
    """What a network knows of a state: its data and its noise, said at the level `at`, that which was told unless given."""

    x0: Tensor
    eps: Tensor
    at: Level | None = None


Network = Callable[[Tensor, Level, float], Answer]


class PeerFault(Exception):
    """What the peer did that no sampler may do; the message is a finding."""


class NotOffered(Exception):
    """What the interface does not let one do: a limit, and no fault."""


@dataclass(frozen=True)
class RunPlan:
    """What a run is to be: the steps, our own levels in the place of the peer's, the first step, the parametrisation.

    `levels` has one entry more than there are steps; `begin` is the step at which a run starts in the middle; `prediction` is
    a word of PREDICTIONS, that of the peer's own setting unless given.
    """

    steps: int
    levels: tuple[Level, ...] = ()
    begin: int = 0
    prediction: str = ""


class Session:
    """A run that is prepared: where it begins, and what crosses it.

    start          the level at which the peer believes its first state to be
    noise          the factor by which it multiplies unit noise to make one; None where its caller does that
    believed       the levels before each step, where the peer states them; otherwise ()
    prediction     the word of PREDICTIONS in which the network answers
    told_is_known  whether what the network is told is known apart from `believed`
    notes          what the adapter sees the code do that it should not, by name
    convention     a word of CONVENTIONS; "" where `start` tells it
    """

    start: Level
    noise: float | None
    believed: Sequence[Level] = ()
    prediction: str = "x0"
    told_is_known: bool = True
    notes: Set[str] = frozenset()
    convention: str = ""

    def run(self, network: Network, x: Tensor) -> Tensor:
        """The state at the end, from the state `x` at `start`.  Raises PeerFault for an answer that is no such state."""
        raise NotImplementedError

    def width(self, time: float) -> float:
        """How much lam changes within one training step around the number `time`; 0 where a time tells its level exactly."""
        return 0.0

    def again(self) -> "Session":
        """The same run once more, with the same object where the code is one: a second run should be as the first."""
        return self


@dataclass(frozen=True)
class Peer:
    """A sampler behind an adapter.

    name      how it is written: a spec, or the name of the function
    target    the class or the function itself, whose file is in the record
    settings  what it was made with
    claim     the order that a user claims of it; None where that is left to a table of known ones
    """

    name: str
    target: Any
    settings: Mapping[str, Any] = field(default_factory=dict)
    claim: int | None = field(default=None, kw_only=True)

    kind: ClassVar[str] = ""
    predictions: ClassVar[tuple[str, ...]] = ()
    takes_levels: ClassVar[bool] = False
    budget: ClassVar[bool] = False  # whether `steps` counts evaluations and not steps

    def prepare(self, plan: RunPlan) -> Session:
        """A run of that plan.  Raises NotOffered for one that the interface cannot do."""
        raise NotImplementedError

    def default_levels(self, steps: int) -> tuple[Level, ...]:
        """The levels of a run as shipped, for an interface that is handed its levels; () for one that makes its own."""
        return ()


CONVENTIONS: dict[str, Callable[[float], Level]] = {  # of a state: from s/a, the level
    "ve": lambda ratio: Level(1.0, ratio) if ratio < inf else Level(0.0, 1.0),
    "flow": lambda ratio: Level(1 / (1 + ratio), ratio / (1 + ratio)) if ratio < inf else Level(0.0, 1.0),
    "vp": lambda ratio: Level(1 / hypot(1, ratio), ratio / hypot(1, ratio)) if ratio < inf else Level(0.0, 1.0),
}


def convention_of(session: Session) -> str:
    """The convention of a session's states: as it says, or as its first level has it."""
    if session.convention:
        return session.convention
    a, s = session.start
    return "ve" if abs(a - 1) < 1e-9 else "flow" if abs(a + s - 1) < 1e-6 else "vp"


def _normal(level: Level) -> tuple[float, float]:
    return level.a / level.radius, level.s / level.radius


def _edm(answer: Answer, x: Tensor, at: Level, sigma_data: float) -> Tensor:
    """F with `x0 = c_skip x + c_out F`, of a state with a = 1.  Karras et al. 2022, arXiv:2206.00364, table 1."""
    s2, d2 = (at.s / at.a) ** 2, sigma_data**2
    c_skip, c_out = d2 / (s2 + d2), (s2 * d2 / (s2 + d2)) ** 0.5
    return (answer.x0 - c_skip * (x.double() / at.a)) / c_out


Said = Callable[[Answer, Tensor, Level, float], Tensor]
PREDICTIONS: dict[str, Said] = {
    "x0": lambda answer, x, at, sigma_data: answer.x0,
    "eps": lambda answer, x, at, sigma_data: answer.eps,
    "v": lambda answer, x, at, sigma_data: _normal(at)[0] * answer.eps - _normal(at)[1] * answer.x0,
    "velocity": lambda answer, x, at, sigma_data: answer.eps - answer.x0,
    "edm": _edm,
    "edm-v": lambda answer, x, at, sigma_data: -_edm(answer, x, at, sigma_data),
}


def say(kind: str, answer: Answer, x: Tensor, told: Level, sigma_data: float = 0.5) -> Tensor:
    """The answer as a network of that parametrisation gives it, in the dtype of the state."""
    if kind not in PREDICTIONS:
        raise NotOffered(f"a network that predicts {shown(kind)} is not known: {', '.join(PREDICTIONS)} are")
    return PREDICTIONS[kind](answer, x, answer.at or told, sigma_data).to(x.dtype)


def one_number(t: Any) -> float:
    """The number by which a network is told the level: of all samples.  Raises NotOffered where they differ."""
    values = torch.as_tensor(t, dtype=torch.float64).flatten()  # of a Python number it would make a float32
    if bool((values != values[0]).any()) and not bool(values.isnan().any()):
        raise NotOffered("the network is asked about several levels in one call, and answers one level a call")
    return float(values[0])


def check_state(value: Any, x: Tensor, whose: str) -> Tensor:
    """The tensor that came, if it has the state's shape.  Raises PeerFault."""
    if isinstance(value, Tensor) and value.shape == x.shape and value.is_floating_point():
        return value
    what = f"a {value.dtype} tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else shown(value)
    raise PeerFault(f"{whose} gives {what}: a floating tensor of shape {tuple(x.shape)} is expected")


def parameters(target: Any) -> Mapping[str, inspect.Parameter]:
    """What a call takes, by name; nothing where the code does not tell."""
    try:
        return inspect.signature(target).parameters
    except (TypeError, ValueError):
        return {}


def check_settings(settings: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    """Raise UsageError for a setting that nothing of the peer takes."""
    for key in settings:
        if key not in known:
            raise UsageError(f"{what} has no setting {shown(key)}{near_miss(key, known)} (it has: {', '.join(known)})")
