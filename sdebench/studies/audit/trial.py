"""Runs of a peer on an exact problem: what every check asks for, each run made once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from sdebench.peers import Level, Peer, PeerFault, Plan
from sdebench.peers.base import Answer
from sdebench.peers.noise import Draws, untouched
from sdebench.studies.audit.world import World

By = Literal["told", "own"]


class Enough(BaseException):
    """Ends a run from inside the network, once the state that was wanted has come."""


@dataclass(frozen=True)
class Call:
    """One question to the network: the state's level, the level told, the number told, and the state."""

    level: Level
    told: Level
    time: float
    state: Tensor


@dataclass(frozen=True)
class Trace:
    """One run: its last state and level, its calls, the tensors of normals drawn."""

    start: Level
    believed: Sequence[Level]
    end: Tensor
    level: Level
    calls: tuple[Call, ...]
    draws: int
    others: frozenset[str]
    told_is_known: bool

    @property
    def is_finite(self) -> bool:
        """Whether every number of the last state is finite."""
        return bool(torch.isfinite(self.end).all())


Watch = Callable[[int, Tensor, Level], None]


@dataclass
class Trial:
    """A peer on a world.  `run` keeps what it has run."""

    peer: Peer
    world: World = field(default_factory=World)
    _kept: dict = field(default_factory=dict)

    def run(
        self,
        steps: int,
        by: By = "own",
        levels: tuple[Level, ...] = (),
        prediction: str = "",
        dtype: torch.dtype = torch.float64,
        begin: int = 0,
    ) -> Trace:
        """The run of `steps` steps, whose network answers at the level that the state has, or at the one that it was told."""
        key = (steps, by, levels, prediction, dtype, begin)
        if key not in self._kept:
            self._kept[key] = self.fresh(Plan(steps, levels, begin, prediction), by, dtype)
        return self._kept[key]

    def fresh(
        self,
        plan: Plan,
        by: By = "own",
        dtype: torch.dtype = torch.float64,
        watch: Watch | None = None,
        x: Tensor | None = None,
    ) -> Trace:
        """A run that is made now.  `watch(i, state, level)` sees the state of call i first, and may overwrite it."""
        world, calls = self.world, []
        with untouched(), torch.no_grad():
            torch.manual_seed(world.seed)
            session = self.peer.prepare(plan)
            start = world.start(session.start) if x is None else x

            def network(state: Tensor, told: Level, time: float) -> Answer:
                if state.shape != start.shape:
                    raise PeerFault(
                        f"the network is asked about a state of shape {tuple(state.shape)}, not {tuple(start.shape)}"
                    )
                level = world.read_level(state)
                if watch is not None:
                    watch(len(calls), state, level)
                calls.append(Call(level, told, time, state.detach().double().clone()))
                return world.answer(state, level if by == "own" and _is_level(level) else told)

            draws = Draws()
            end, finished = start, True
            try:
                with draws:
                    end = session.run(network, start.to(dtype).clone())
            except Enough:
                finished = False
        level = world.read_level(end) if finished else start_level(calls)
        return Trace(
            session.start,
            session.believed,
            end,
            level,
            tuple(calls),
            draws.count,
            frozenset(draws.others),
            session.told_is_known,
        )

    @cached_property
    def is_stochastic(self) -> bool:
        """Whether a run draws normals."""
        return self.run(8).draws > 0


def start_level(calls: Sequence[Call]) -> Level:
    """The level of the last call."""
    return calls[-1].level


def _is_level(level: Level) -> bool:
    """Whether the probes make sense: a state that has a level at all."""
    return level.a >= -1e-9 and level.s >= -1e-9 and level.a + level.s > 0
