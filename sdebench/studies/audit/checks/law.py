r"""The law of stochastic code, exact, without Monte Carlo.

On data N(mu, v) a run is affine in its start and its normals.  So unit vectors, one row of the batch each, stand in the place
of the normals, and one batch gives the mean and the variance of the last state to rounding:

    rows of one block: the mean of the data, the start, the normal 1, ..., the normal K

There are two such blocks.  In the first v is 0: its rows are the level itself, a = the row of the mean, s^2 = the sum of the
squares of all others, at every question to the network.  In the second v is that of the data, and the network answers exactly
at that level.  A last row is a mixture of all others: what comes of it tells whether the code is affine at all.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log, sqrt

import numpy as np
import torch
from torch import Tensor

from sdebench.fit import fit_order
from sdebench.peers import Level, NotOffered, RunPlan
from sdebench.peers.base import Answer
from sdebench.peers.noise import Draws, Path, brownian_path, untouched
from sdebench.studies.audit.checks.order import place
from sdebench.studies.audit.reading import Reading, Verdict
from sdebench.studies.audit.trial import By, Trial

_SMALL = 1e-3  # unit vectors of that length: inside every clip
_V, _LARGE = 0.36, 0.02
_GRIDS, _LOW, _HIGH = (12, 17, 24, 34, 48, 68), -1.2, 1.2
_STEPS, _FEW, _MOST = (20, 40, 80), (5, 10, 20), 320


@dataclass(frozen=True)
class Law:
    """The last state of a run on N(1, _V) data: its mean and spread over those of its level, less 1 each; the level."""

    mean: float
    spread: float
    level: Level
    affine: float

    @property
    def off(self) -> float:
        """The larger one of the two."""
        return max(abs(self.mean), abs(self.spread))


def check(trial: Trial, full: bool) -> Iterator[Reading]:
    """Read the mean, the spread, and how they tend to the right ones."""
    if not trial.is_stochastic:
        return
    laws = {n: law(trial, n) for n in _sizes(trial)}
    while not _falls(laws) and 0 < max(laws) < _MOST and trial.takes(2 * max(laws)):
        laws[2 * max(laws)] = law(trial, 2 * max(laws))
    affine = max(one.affine for one in laws.values())
    if affine > 1e-4:
        raise NotOffered(f"its step is not affine (by {affine:.1g}): its law has no exact value")
    text = ", ".join(f"{one.spread:+.3g} at {n}" for n, one in laws.items())
    off = {n: one.off for n, one in laws.items()}
    if not all(value < float("inf") for value in off.values()):
        yield Reading("law", "not finite", f"the law is not finite: the spread is off by {text} steps", None, "fault")
        return
    (n0, first), *_, (n1, last) = off.items()
    if not _falls(laws) and last > _LARGE:
        yield Reading(
            "law", "law", f"the law does not tend to the right one up to {n1} steps: the spread is off by {text}", last, "fault"
        )
    elif last < 1e-6:
        yield Reading("law", "exact law", "the law is exact", last, "right")
    else:
        slope = log(first / last) / log(n1 / n0) if first > 0 else 0.0
        verdict: Verdict = "right" if slope > 0.5 or last < 5e-3 else "price"
        how = f" (like N^-{slope:.1f})" if slope > 0.5 else ""
        text = f"the spread is off by {text} steps{how}, the mean by {laws[n1].mean:+.1g}"
        yield Reading("law", "law", text, slope, verdict)
    if full and trial.peer.takes_levels:
        yield from _weak_order(trial)


def _weak_order(trial: Trial) -> Iterator[Reading]:
    """The order of the mean and the spread on levels of ours: necessary for a weak order, not enough for one."""
    found = []
    for n in _GRIDS:
        levels = tuple(place(_LOW + (_HIGH - _LOW) * i / n, trial) for i in range(n + 1))
        found.append(law(trial, n, "own", levels))
    if any(one.level.s < 1e-6 * one.level.radius for one in found):
        raise NotOffered("levels that are put in are not taken: a run ends at clean data")
    fit = fit_order([(_HIGH - _LOW) / n for n in _GRIDS], [one.off for one in found], 1e-14)
    text = f"{fit.order:.2f} +- {fit.half_width:.2f}" if fit.resolved else f"not asymptotic ({fit.reason})"
    value = fit.order if fit.resolved else None
    yield Reading("law", "weak order", f"mean and spread of a Gaussian have order {text} on smooth levels", value, "told")


def _falls(laws: dict[int, Law]) -> bool:
    """Whether the last law is nearer to the right one than the one before, and than the first; or is it, to what is seen."""
    first, *_, before, last = (one.off for one in laws.values())
    return not last > _LARGE or (last < 0.7 * before and last < 0.7 * first)


def _sizes(trial: Trial) -> tuple[int, ...]:
    """The numbers of steps: fewer where it refuses as many."""
    try:
        trial.peer.prepare(RunPlan(_STEPS[-1]))
    except ValueError:
        return _FEW
    return _STEPS


def law(trial: Trial, n: int, by: By = "told", levels: tuple[Level, ...] = ()) -> Law:
    """The law of a run of n steps, as shipped unless the network is to answer at the state's own level."""
    plan = RunPlan(n, levels)
    count, path = _count(trial, plan)
    return _measured(trial, plan, by, count, path)


def _count(trial: Trial, plan: RunPlan) -> tuple[int, Path]:
    """(tensors of normals that a run draws, its Brownian path, whose intervals are known)."""
    path = Path()
    with untouched(), torch.no_grad(), brownian_path(path):
        session = trial.peer.prepare(plan)
        draws = Draws(lambda shape: torch.zeros(shape, dtype=torch.float64))
        with draws:
            session.run(_Rows(0, session.start, "own", False).network, torch.zeros(5, 1, 1, 1, dtype=torch.float64))
    return draws.count, Path(tuple(sorted(path.asked)), areas=path.areas)


class _Rows:
    """Two blocks of rows and the mixture of the second: how they begin, what the network answers, which normal is whose."""

    def __init__(self, normals: int, start: Level, by: By, consistency: bool):
        self.consistency = consistency
        self.block, self.by, self.drawn = 2 + normals, by, 0
        self.mix = np.random.default_rng(0).uniform(0.2, 1.0, self.block)
        self.size = 2 * self.block + 1
        first = np.zeros(self.size)
        first[[0, self.block]] = start.a
        first[1], first[self.block + 1] = start.s, sqrt(start.a**2 * _V + start.s**2)
        first[-1] = self.mix @ first[self.block : 2 * self.block]
        self.start = torch.from_numpy(_SMALL * first).view(-1, 1, 1, 1)
        mean = np.zeros(self.size)
        mean[[0, self.block]], mean[-1] = _SMALL, _SMALL * self.mix[0]
        self.mean = mean.reshape(-1, 1, 1, 1)

    def draw(self, shape: tuple[int, ...]) -> Tensor:
        """The next normal: a unit vector in its row of both blocks."""
        if shape[0] != self.size:
            raise NotOffered(f"it draws normals of shape {shape} for a batch of {self.size}: not one a sample")
        row = 2 + self.drawn
        self.drawn += 1
        if row >= self.block:
            raise NotOffered("it draws more normals in one run than in another of the same steps")
        out = torch.zeros(shape, dtype=torch.float64)
        out[row], out[self.block + row], out[-1] = _SMALL, _SMALL, _SMALL * self.mix[row]
        return out

    def level(self, x: np.ndarray) -> Level:
        """Where the state is: of the block without variance."""
        rows = x[: self.block].reshape(self.block, -1)[:, 0] / _SMALL
        return Level(float(rows[0]), float(np.sqrt((rows[1:] ** 2).sum())))

    def network(self, state: Tensor, told: Level, time: float) -> Answer:
        """x0 = mu + a v (x - a mu)/(a^2 v + s^2) and eps = s (x - a mu)/(a^2 v + s^2), v = 0 in the first block."""
        x = state.double().numpy()
        level = self.level(x) if self.by == "own" else told
        a, s = level
        v = np.full_like(x, _V)
        v[: self.block] = 0.0
        total = a * a * v + s * s
        if self.consistency:  # the flow of a Gaussian is affine: x0 = mu + (x - a mu) sqrt(v / (a^2 v + s^2))
            x0 = self.mean + (x - a * self.mean) * np.sqrt(np.divide(v, total, out=np.zeros_like(x), where=total > 0))
            return Answer(torch.from_numpy(x0), torch.from_numpy((x - a * x0) / (s or 1.0)), level)
        gap = np.divide(x - a * self.mean, total, out=np.zeros_like(x), where=total > 0)
        return Answer(torch.from_numpy(self.mean + a * v * gap), torch.from_numpy(s * gap), level)


def _measured(trial: Trial, plan: RunPlan, by: By, count: int, path: Path) -> Law:
    with untouched(), torch.no_grad():
        session = trial.peer.prepare(plan)
        rows = _Rows(count + path.normals, session.start, by, trial.answers_consistently)
        with brownian_path(Path(path.knots, rows.draw, path.areas)), Draws(rows.draw):
            end = session.run(rows.network, rows.start.clone())
    x = end.double().numpy()
    level = rows.level(x)
    values = x.reshape(rows.size, -1)[:, 0] / _SMALL
    block = values[rows.block : -1]
    exact = sqrt(level.a**2 * _V + level.s**2)
    spread = float(np.sqrt((block[1:] ** 2).sum())) / exact - 1
    affine = abs(values[-1] - rows.mix @ block) / exact
    return Law(float(block[0] / level.a - 1), spread, level, float(affine))
