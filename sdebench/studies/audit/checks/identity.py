"""Which of our methods it is, to rounding: on the same levels, from the same states, with the same network."""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from math import inf, isfinite
from typing import Any

import torch

from sdebench._support.errors import STRANGERS
from sdebench.catalogue import get_solver, list_solvers
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Model
from sdebench.integration.solver import Solver
from sdebench.peers import Level, NotOffered, RunPlan
from sdebench.peers.base import convention_of
from sdebench.schedules import EDM, NoiseSchedule, Rectified, VPLinear
from sdebench.studies.audit.checks.order import place
from sdebench.studies.audit.reading import Reading
from sdebench.studies.audit.trial import Enough, Trial

_LAMS = (-1.5, -1.1, -0.85, -0.3, 0.1, 0.2, 0.7, 1.0, 1.2, 1.5, 1.6)
_SAME, _ROUNDED = 1e-9, 3e-6
SCHEDULES: dict[str, Callable[[], NoiseSchedule]] = {"ve": EDM, "flow": Rectified, "vp": VPLinear}  # of a convention
_SEEN = 8  # the level at which the states are compared: last steps may be others


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
    names = sorted((name for gap, name in found if gap <= max(_SAME, 10 * best)), key=_age)
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


def _age(name: str) -> tuple[str, int, str]:
    """Sorts methods that coincide by when they were published, then the shorter name first."""
    published = re.search(r"arXiv:(\d{4}\.\d+)", get_solver(name).reference or "")
    return (published[1] if published else "none", len(name), name)


def _state(trial: Trial, levels: tuple[Level, ...]) -> torch.Tensor:
    """The state about which it asks the network at the level number _SEEN."""
    found: dict[str, Any] = {}

    def watch(i: int, state: torch.Tensor, level: Level, told: Level) -> None:
        _keep(found, level.lam, state.double()[:-2])

    trial.fresh(trial.peer.prepare(RunPlan(len(levels) - 1, levels)), watch=watch, doubles=True)
    if not found:
        raise NotOffered("levels that are put in are not taken")
    return found["x"]


def _keep(found: dict[str, Any], lam: float, x: torch.Tensor) -> None:
    """Keep the state if it is at the level number _SEEN.  Raises Enough once a run is past it.

    Of several calls there the last is of the state, the others of stages; a corrector acts after the last.
    """
    if abs(lam - _LAMS[_SEEN]) < 1e-5:
        found["x"] = x.clone()
    elif lam > _LAMS[_SEEN] and found:
        raise Enough


def _gap(trial: Trial, name: str, ns: NoiseSchedule, levels: tuple[Level, ...], theirs: torch.Tensor) -> float:
    """The largest difference of our states to theirs, relative."""
    found: dict[str, Any] = {}

    def eps(x: torch.Tensor, t: float) -> torch.Tensor:
        level = Level(ns.alpha(t), ns.sigma(t))
        _keep(found, level.lam, x)
        return torch.from_numpy(trial.world.posterior(x.numpy(), level)[1])

    with suppress(Enough, *STRANGERS):
        integrate(get_solver(name), Model(eps, ns, "eps"), trial.world.points(levels[0]), [ns.t(lam) for lam in _LAMS])
    if "x" not in found:
        return inf
    gap = float((found["x"] - theirs).abs().max() / theirs.abs().max())
    return gap if isfinite(gap) else inf
