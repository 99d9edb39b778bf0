"""Runs of a peer on an exact problem: what every check asks for, each run made once."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from sdebench.peers import Level, Peer, PeerFault, RunPlan, Session
from sdebench.peers.base import Answer
from sdebench.peers.noise import Doubles, Draws, untouched
from sdebench.studies.audit.claims import CONSISTENCY
from sdebench.studies.audit.world import PROBES, World

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
class Run:
    """One run: its last state and level, its calls, how many tensors of normals were drawn, and what was noted."""

    end: Tensor
    level: Level
    calls: tuple[Call, ...]
    draws: int
    notes: frozenset[str]
    session: Session

    @property
    def is_finite(self) -> bool:
        """Whether every number of the last state is finite."""
        return bool(torch.isfinite(self.end).all())


Watch = Callable[[int, Tensor, Level, Level], None]


@dataclass
class Trial:
    """A peer on a world.  `run` keeps what it has run."""

    peer: Peer
    world: World = field(default_factory=World)
    _kept: dict = field(default_factory=dict)
    _may_draw: bool = True
    _may_cast: bool = True

    def run(
        self,
        steps: int,
        by: By = "own",
        levels: tuple[Level, ...] = (),
        prediction: str = "",
        dtype: torch.dtype = torch.float64,
        begin: int = 0,
    ) -> Run:
        """The run of `steps` steps, whose network answers at the level that the state has, or at the one that it was told."""
        key = (steps, by, levels, prediction, dtype, begin)
        if key not in self._kept:
            self._kept[key] = self.fresh(self.peer.prepare(RunPlan(steps, levels, begin, prediction)), by, dtype)
        return self._kept[key]

    def fresh(
        self,
        session: Session,
        by: By = "own",
        dtype: torch.dtype = torch.float64,
        watch: Watch | None = None,
        samples: int | None = None,
        doubles: bool = False,
        seed: int = 0,
    ) -> Run:
        """A run that is made now, of all samples or of the first ones.

        `watch(i, state, level, told)` sees the state of call i, its level and the one told, before the network does; it may
        overwrite the state, or raise Enough.
        With `doubles` casts to float32 are not carried out.
        """
        world, calls = self.world, []
        start = world.start(session.start)
        start = start if samples is None else torch.cat([start[:samples], start[-PROBES:]])
        own = world if samples is None else world.first(samples)

        def network(state: Tensor, told: Level, time: float) -> Answer:
            if state.shape != start.shape:
                raise PeerFault(f"the network is asked about a state of shape {tuple(state.shape)}, not {tuple(start.shape)}")
            level = own.read_level(state)
            if watch is not None:
                watch(len(calls), state, level, told)
                level = own.read_level(state)
            calls.append(Call(level, told, time, state.detach().double().clone()))
            at, said = (level, level) if by == "own" and _is_level(level) else (told, None)
            return own.answer(state, at, said, self.answers_consistently)

        first = start.to(dtype).clone()
        draws, casts = Draws(), Doubles()
        before, finished = first._version, True
        with untouched(), torch.no_grad(), np.errstate(all="ignore"):
            torch.manual_seed(seed)
            try:
                with draws if self._may_draw else nullcontext(), casts if doubles and self._may_cast else nullcontext():
                    end = session.run(network, first)
            except Enough:
                end, finished = calls[-1].state, False
        self._may_draw &= not finished or draws.count > 0 or bool(draws.others)  # to watch every call of torch takes time
        self._may_cast &= not doubles or casts.casts > 0
        notes = {*session.notes, *(f"draws numbers by {name}" for name in draws.others)}
        if first._version > before and watch is None:
            notes.add("writes into the state that it is given")
        return Run(end, own.read_level(end), tuple(calls), draws.count, frozenset(notes), session)

    @cached_property
    def answers_consistently(self) -> bool:
        """Whether its network is a consistency function, which maps a state to the end of its trajectory."""
        return getattr(self.peer.target, "__name__", "") in CONSISTENCY

    @cached_property
    def is_stochastic(self) -> bool:
        """Whether the normals that a run draws matter."""
        one = self.run(8)
        if not one.draws:
            return False
        other = self.fresh(self.peer.prepare(RunPlan(8)), seed=1).end
        return not torch.equal(torch.nan_to_num(one.end), torch.nan_to_num(other))

    @cached_property
    def is_adaptive(self) -> bool:
        """Whether it chooses its steps, and not the one who calls it."""
        return len(self.run(10).calls) == len(self.run(50).calls)

    def takes(self, steps: int) -> bool:
        """Whether it does not refuse that number of steps."""
        try:
            self.peer.prepare(RunPlan(steps))
        except ValueError:
            return False
        return True

    @cached_property
    def is_blind(self) -> bool:
        """Whether a run begins at alpha = 0 and asks for eps, which tells nothing of the data there."""
        session = self.run(10).session
        return session.start.a == 0 and session.prediction == "eps"

    @cached_property
    def calls_a_step(self) -> float:
        """Network evaluations a step, of a run of 20 steps less one of 10."""
        return (len(self.run(20).calls) - len(self.run(10).calls)) / 10


def _is_level(level: Level) -> bool:
    """Whether the probes make sense: a state that has a level at all."""
    return level.a > -1e-6 and level.s > -1e-6 and level.a + level.s > 1e-6
