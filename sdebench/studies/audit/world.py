r"""The exact problem of an audit, at any level of any convention.

The data are one-dimensional mixtures, the same in every coordinate, independent: so a state of any shape is exact.  At a level
(a, s) a coordinate has the law `sum w_k N(a m_k, a^2 v_k + s^2)`, and

    x0  = sum r_k [m_k + a v_k (x - a m_k)/(a^2 v_k + s^2)],        eps = sum r_k s (x - a m_k)/(a^2 v_k + s^2)

with the responsibilities r_k; no term cancels at either end.  The probability flow keeps quantiles: the state that began at
the quantile u is `Q(u)` of whatever level it is at.

Beside the points run two probes, of unit data without noise and of unit noise without data.  The network knows them by their
place and answers with their data and their noise: every linear step is exact on them, so their states ARE the level, whatever
the code believes.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import hypot, log, pi

import numpy as np
import torch
from scipy.special import log_ndtr, logsumexp, ndtri
from torch import Tensor

from sdebench.peers.base import Answer, Level
from sdebench.problems.quantile import Coordinates

PROBES = 2
_NEWTON, _LOG_2PI = 60, log(2 * pi)
_UNIT = 0.5  # the data of the first probe: inside every clip


@dataclass(frozen=True)
class World:
    """A mixture within [-1, 1], points at fixed quantiles, and the shape of a sample."""

    weights: tuple[float, ...] = (0.55, 0.45)
    means: tuple[float, ...] = (-0.32, 0.28)
    sd: tuple[float, ...] = (0.17, 0.13)
    samples: int = 16
    shape: tuple[int, ...] = (1, 2, 2)
    seed: int = 0

    @cached_property
    def u(self) -> Tensor:
        """The quantiles of the points, (samples, *shape): evenly spread, in an order of their own."""
        n = self.samples * int(torch.tensor(self.shape).prod())
        order = torch.randperm(n, generator=torch.Generator().manual_seed(self.seed))
        return ((order.double() + 0.5) / n).view(self.samples, *self.shape)

    @property
    def spread(self) -> float:
        """Standard deviation of the data."""
        mean = sum(w * m for w, m in zip(self.weights, self.means))
        return float(sum(w * (s * s + (m - mean) ** 2) for w, m, s in zip(self.weights, self.means, self.sd)) ** 0.5)

    def _coordinates(self, level: Level) -> Coordinates:
        log_w = torch.tensor(self.weights, dtype=torch.float64).log().view(-1, 1)
        means = level.a * torch.tensor(self.means, dtype=torch.float64).view(-1, 1)
        sd = (torch.tensor(self.sd, dtype=torch.float64).mul(level.a).square() + level.s**2).sqrt().view(-1, 1)
        return Coordinates(log_w, means, sd)

    def points(self, level: Level) -> Tensor:
        """The exact states at a level, (samples, *shape)."""
        if level not in self._known:
            self._known[level] = self._points(level)
        return self._known[level]

    @cached_property
    def _known(self) -> dict[Level, Tensor]:
        return {}

    def _points(self, level: Level) -> Tensor:
        """The quantiles of the law at a level: Newton on the log of the smaller tail, in a bracket."""
        log_w, m, v = self._columns
        mean, sd = level.a * m, np.sqrt(level.a**2 * v + level.s**2)
        u = self.u.numpy().ravel()
        sign, wanted, z = np.where(u <= 0.5, 1.0, -1.0), np.log(np.minimum(u, 1 - u)), ndtri(u)
        places = mean + sd * z  # the quantile of a mixture lies between those of its parts
        low, high = places.min(0), places.max(0)
        x = (np.exp(log_w) * places).sum(0)
        for _ in range(_NEWTON):
            parts = (x - mean) / sd
            gap = logsumexp(log_w + log_ndtr(sign * parts), axis=0) - wanted
            log_p = logsumexp(log_w - np.log(sd) - 0.5 * (parts * parts + _LOG_2PI), axis=0)
            below = gap * sign < 0
            low, high = np.where(below, x, low), np.where(below, high, x)
            new = x - sign * gap * np.exp(gap + wanted - log_p)
            new = np.where((new >= low) & (new <= high), new, 0.5 * (low + high))
            moved, x = np.abs(new - x).max(), new
            if moved <= 1e-9 * sd.min():  # it converges quadratically: one more step changes nothing
                break
        return torch.from_numpy(x).view(self.u.shape)

    def start(self, level: Level) -> Tensor:
        """The points at a level, and the two probes behind them."""
        probes = torch.zeros(PROBES, *self.shape, dtype=torch.float64)
        probes[0], probes[1] = level.a * _UNIT, level.s
        return torch.cat([self.points(level), probes])

    @cached_property
    def _columns(self) -> tuple[np.ndarray, ...]:
        """Log weights, means and variances, (K, 1) each."""
        w, m, sd = (np.array(values, dtype=float).reshape(-1, 1) for values in (self.weights, self.means, self.sd))
        return np.log(w), m, sd * sd

    def posterior(self, x: np.ndarray, level: Level) -> tuple[np.ndarray, np.ndarray]:
        """x0 and eps that a perfect network tells of states at a level; arrays of any shape."""
        log_w, m, v = self._columns
        a, s = level
        total = a * a * v + s * s
        gap = (x.reshape(1, -1) - a * m) / total
        log_r = log_w - 0.5 * np.log(total) - 0.5 * total * gap * gap
        r = np.exp(log_r - log_r.max(0))
        r /= r.sum(0)
        x0, eps = (r * (m + a * v * gap)).sum(0), s * (r * gap).sum(0)
        return x0.reshape(x.shape), eps.reshape(x.shape)

    def read_level(self, x: Tensor) -> Level:
        """The level that the probes of a state tell."""
        data, noise = x[-PROBES:].detach().double().numpy().reshape(PROBES, -1).mean(1)
        return Level(float(data) / _UNIT, float(noise))

    def first(self, samples: int) -> "World":
        """The world of the first samples: answers do not know how many there are."""
        return replace(self, samples=samples)

    def consistency(self, x: np.ndarray, level: Level) -> tuple[np.ndarray, np.ndarray]:
        """The end of the trajectory through a state at a level, and the noise that is left: of a consistency function."""
        if level.s <= 0:
            return x / level.a, np.zeros_like(x)
        y, _ = self._coordinates(level).flow_to(self._coordinates(Level(1.0, 0.0)), torch.from_numpy(x.reshape(-1, 1)))
        x0 = y.numpy().reshape(x.shape)
        return x0, (x - level.a * x0) / level.s

    def answer(self, x: Tensor, level: Level, at: Level | None = None, consistency: bool = False) -> Answer:
        """What the network answers: the posterior at a level to the points, their data and noise to the probes."""
        states = x.detach().double().numpy()
        x0, eps = np.zeros_like(states), np.zeros_like(states)
        ask = self.consistency if consistency else self.posterior
        x0[:-PROBES], eps[:-PROBES] = ask(states[:-PROBES], level)
        x0[-2], eps[-1] = _UNIT, 1.0
        return Answer(torch.from_numpy(x0), torch.from_numpy(eps), at)

    def error(self, x: Tensor, level: Level) -> float:
        """RMS of the points' error at a level, in units of the spread that they have there: at clean data, the data's."""
        gap = (x[:-PROBES].double() - self.points(level)) / self.scale(level)
        return float(gap.square().mean().sqrt())

    def scale(self, level: Level) -> float:
        """The spread of states at a level."""
        return hypot(level.a * self.spread, level.s)


def other(world: World) -> World:
    """Another mixture, other points, another shape: what a finding must show on, too."""
    return World((0.3, 0.4, 0.3), (-0.45, 0.05, 0.4), (0.12, 0.2, 0.1), 24, (2, 1, 2), world.seed + 1)
