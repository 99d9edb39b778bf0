"""Our levels in the place of a scheduler's own, in float64 as far as its code lets them be."""

import copy
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from itertools import pairwise
from math import inf, isfinite
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from sdebench._support.errors import STRANGERS
from sdebench.peers.base import Level, NotOffered
from sdebench.peers.scheduler_numbers import names, noised, tensor_of


class Maker(Protocol):
    """What makes schedulers of one configuration.  SchedulerPeer has it."""

    @property
    def target(self) -> Any:
        """Their class."""

    def made(self, **override: Any) -> Any:
        """A new one, with those settings in the place of its own."""

    def set_steps(self, scheduler: Any, steps: int) -> None:
        """Its `set_timesteps`."""


def with_levels(maker: Maker, levels: Sequence[Level], override: Mapping[str, Any]) -> Any:
    """A scheduler whose levels are ours.

    Where it holds an array of sigmas, that is replaced; where it holds a chain, the chain is made of our levels.
    """
    scheduler = maker.made(**override)
    n = len(levels) - 1
    if getattr(scheduler, "alphas_cumprod", None) is not None and not _has_sigmas(maker, scheduler, n):
        return _own_chain(maker, scheduler, levels, override)
    maker.set_steps(scheduler, n)
    if more := [name for name in vars(scheduler) if "sigma" in name and name != "sigmas" and _is_array(scheduler, name, n)]:
        if "trained_betas" not in names(maker.target):
            raise NotOffered(f"its steps go by {', '.join(more)}, too")
        return _sigmas_of_chain(maker, levels, override)
    sigmas = tensor_of(scheduler.sigmas)
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


def _sigmas_of_chain(maker: Maker, levels: Sequence[Level], override: Mapping[str, Any]) -> Any:
    """A scheduler whose sigmas are those of a chain of our levels, all of it; behind them it goes to zero."""
    betas = _betas(levels)[0]
    spacing = {"timestep_spacing": "linspace"} if "timestep_spacing" in names(maker.target) else {}
    scheduler = maker.made(**override, **spacing, trained_betas=betas, num_train_timesteps=len(levels))
    maker.set_steps(scheduler, len(levels))
    return scheduler


def _betas(levels: Sequence[Level]) -> tuple[list[float], list[float]]:
    """(betas, products of 1 - beta) of the chain with our levels, in rising noise."""
    bars = [(level.a / level.radius) ** 2 for level in reversed(levels)]
    return [1 - bars[0], *(1 - now / before for before, now in pairwise(bars))], bars


def _has_sigmas(maker: Maker, scheduler: Any, n: int) -> bool:
    """Whether its steps go by an array of sigmas that `set_timesteps` makes."""
    trial = copy.deepcopy(scheduler)
    maker.set_steps(trial, n)
    sigmas = getattr(trial, "sigmas", None)
    return isinstance(sigmas, Tensor | np.ndarray) and len(sigmas) in (n + 1, 2 * n)


def _unit(scheduler: Any) -> Callable[[Level], float]:
    """What its sigmas are: s/a, or s/(a + s) of a flow.  Read off its own first levels."""
    sigmas = tensor_of(scheduler.sigmas).double().tolist()
    try:
        known = noised(copy.deepcopy(scheduler), tensor_of(scheduler.timesteps)[:1])
    except STRANGERS:
        raise NotOffered("it has no add_noise to tell what its sigmas are") from None
    (level,) = known
    if level.a > 0 and abs(level.s / level.a - sigmas[0]) <= 1e-3 * sigmas[0]:
        return lambda one: one.s / one.a if one.a > 0 else inf
    if abs(level.s / (level.a + level.s) - sigmas[0]) <= 1e-3 * abs(sigmas[0]):
        return lambda one: one.s / (one.a + one.s)
    raise NotOffered(f"its first sigma, {sigmas[0]:g}, is neither s/a nor s/(a + s) of its first level")


def _own_chain(maker: Maker, scheduler: Any, levels: Sequence[Level], override: Mapping[str, Any]) -> Any:
    """A chain whose training steps are our levels, in rising noise."""
    if "trained_betas" not in names(maker.target):
        raise NotOffered("it takes neither sigmas nor betas")
    n = len(levels) - 1
    betas, bars = _betas(levels)
    ours = {"trained_betas": betas, "num_train_timesteps": n + 1}
    known = names(maker.target)
    ours |= {"steps_offset": 1} if "steps_offset" in known else {}
    ours |= {"timestep_spacing": "leading"} if "timestep_spacing" in known else {}
    scheduler = maker.made(**override, **ours)
    scheduler.alphas_cumprod = torch.tensor(bars, dtype=torch.float64)
    if hasattr(scheduler, "betas"):
        scheduler.betas = torch.tensor(betas, dtype=torch.float64)
    maker.set_steps(scheduler, n)
    times = [int(t) for t in scheduler.timesteps]
    if sorted(set(times)) != list(range(1, n + 1)):
        raise NotOffered(f"its timesteps on a chain of {n + 1} are {times[:3]} ... {times[-1]}: not our levels")
    return scheduler
