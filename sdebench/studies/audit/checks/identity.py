"""Which of our methods it is, to rounding: on the same levels, from the same states, with the same network."""

from collections.abc import Callable, Iterator
from typing import Any

import torch

from sdebench._support.errors import STRANGERS
from sdebench.catalogue import get_solver, list_solvers
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Model
from sdebench.integration.solver import Solver
from sdebench.peers import Level, NotOffered, Plan
from sdebench.peers.base import convention_of
from sdebench.schedules import EDM, NoiseSchedule, Rectified, VPLinear
from sdebench.studies.audit.checks.order import place
from sdebench.studies.audit.reading import Reading
from sdebench.studies.audit.trial import Enough, Trial

_LAMS = (-1.5, -1.1, -0.85, -0.3, 0.1, 0.2, 0.7, 1.0, 1.2, 1.5, 1.6)
_SAME, _ROUNDED = 1e-9, 3e-6
SCHEDULES: dict[str, Callable[[], NoiseSchedule]] = {"ve": EDM, "flow": Rectified, "vp": VPLinear}  # of a convention
_SEEN = 8  # the step before whose end the states are compared: last steps may be others


def check(trial: Trial, full: bool) -> Iterator[Reading]:
    """Name the methods that give the same states."""
    if trial.is_stochastic:
        return
    if not trial.peer.takes_levels:
        raise NotOffered("levels of ours cannot be put in")
    levels = tuple(place(lam, trial) for lam in _LAMS)
    theirs = _state(trial, levels)
    ns = SCHEDULES[convention_of(trial.run(10).session)]()
    found = [(gap, name) for name in candidates() if (gap := _gap(trial, name, ns, levels, theirs)) <= _ROUNDED]
    if not found:
        yield Reading("identity", "none", "none of our methods gives the same states", None, "told")
        return
    best = min(gap for gap, _ in found)
    names = [name for gap, name in sorted(found) if gap <= max(_SAME, 10 * best)]
    yield Reading("identity", "same as", f"this is {' = '.join(names[:3])}, to {best:.1g}", best, "told")


def candidates() -> list[str]:
    """Deterministic methods that cross a grid step by step."""
    found = []
    for name in list_solvers():
        try:
            solver = get_solver(name)
        except STRANGERS:
            continue
        if isinstance(solver, Solver) and not (solver.stochastic or solver.adaptive):
            found.append(name)
    return found


def _state(trial: Trial, levels: tuple[Level, ...]) -> torch.Tensor:
    """Its state at the level number _SEEN."""
    found: dict[str, Any] = {}

    def watch(i: int, state: torch.Tensor, level: Level, told: Level) -> None:
        if abs(level.lam - _LAMS[_SEEN]) < 1e-5:  # of several calls the last is of the state, the others of stages
            found["x"] = state.double().clone()[:-2]
        elif level.lam > _LAMS[_SEEN] and found:
            raise Enough

    trial.fresh(trial.peer.prepare(Plan(len(levels) - 1, levels)), watch=watch, doubles=True)
    if not found:
        raise NotOffered("levels that are put in are not taken")
    return found["x"]


def _gap(trial: Trial, name: str, ns: NoiseSchedule, levels: tuple[Level, ...], theirs: torch.Tensor) -> float:
    """The largest difference of our states to theirs, relative."""
    world, grid = trial.world, [ns.t(lam) for lam in _LAMS[: _SEEN + 1]]

    def eps(x: torch.Tensor, t: float) -> torch.Tensor:
        return torch.from_numpy(world.posterior(x.numpy(), Level(ns.alpha(t), ns.sigma(t)))[1])

    try:
        ours = integrate(get_solver(name), Model(eps, ns, "eps"), world.points(levels[0]), grid)
    except STRANGERS:
        return float("inf")
    gap = float((ours - theirs).abs().max() / theirs.abs().max())
    return gap if gap == gap else float("inf")
