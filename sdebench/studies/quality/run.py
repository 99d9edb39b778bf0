"""How a quality study makes samples: which steps fit a budget, from which noise, counted and timed.

Every sample has its own noise, by its number: sample 17 starts from the same state, and meets the same noise, with every
solver, budget, network format and batch.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from sdebench import grids
from sdebench._support.clock import now
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Counted, Model, ModelLike, Prediction
from sdebench.integration.solver import Sampler, Solver
from sdebench.networks import get_network
from sdebench.networks.problem import DTYPES, NetworkProblem
from sdebench.noise import WhiteNoise
from sdebench.schedules import NoiseSchedule


class Timed(Counted):
    """A model that counts its calls and the seconds spent in them."""

    def __init__(self, model: ModelLike, device: str = "cpu"):
        super().__init__(model)
        self.seconds, self._device = 0.0, device

    def __call__(self, x: Tensor, t: float) -> Prediction:
        begun = now(self._device)
        found = super().__call__(x, t)
        self.seconds += now(self._device) - begun
        return found


class Sampling(NamedTuple):
    """Where samples are made: network, its number format, device, seed of the noise."""

    model: str
    dtype: str
    device: str
    seed: int

    @property
    def problem(self) -> NetworkProblem:
        """The network."""
        return _network(self.model, self.dtype, self.device)

    @property
    def state(self) -> torch.dtype:
        """The number format of the state: the network's, and never below float32."""
        return torch.promote_types(DTYPES[self.dtype], torch.float32)


@lru_cache(maxsize=64)
def warm(at: Sampling, n: int) -> None:
    """Call the network for n states, once in a process: its first call may take as long as a run, on a GPU much longer."""
    with torch.inference_mode():
        at.problem.model(at.problem.initial(n, at.seed).to(at.device, at.state), at.problem.span[0])


@lru_cache(maxsize=8)
def _network(model: str, dtype: str, device: str) -> NetworkProblem:
    return get_network(model, dtype, device)


def grid_of(problem: NetworkProblem, family: str, n: int) -> grids.Grid:
    """n steps of the family over the span of the network."""
    return grids.get(family)(problem.schedule, *problem.span, n)


def calls(solver: Solver | Sampler, ns: NoiseSchedule, grid: grids.Grid) -> int:
    """Network calls of one run over the grid, as a counter sees them."""
    counted = Counted(Model(lambda x, t: x.clone(), ns, "eps"))
    noise = WhiteNoise(ns, (1, 1)) if solver.stochastic else None
    integrate(solver, counted, torch.ones(1, 1, dtype=torch.float64), grid, noise)
    return counted.nfe


def steps_for(solver: Solver | Sampler, problem: NetworkProblem, family: str, budget: int) -> int:
    """The largest number of steps that makes at most `budget` network calls, as counted; 0 where the shortest run makes more.

    Counted, for `nfe_per_step` is not all: start-ups and closing steps cost what they cost.
    """
    least = len(solver.closing) + 1

    def fits(n: int) -> bool:
        return calls(solver, problem.schedule, grid_of(problem, family, n)) <= budget

    n = max(least, budget // solver.nfe_per_step)
    while n >= least and not fits(n):
        n -= 1
    while least <= n < 2 * budget and fits(n + 1):
        n += 1
    return n if n >= least else 0


def sample(solver: Solver | Sampler, model: ModelLike, grid: grids.Grid, at: Sampling, first: int, n: int) -> Tensor:
    """x/alpha of the samples `first` to `first + n - 1` at the end of the grid: (n, C, H, W), in the dtype of the state."""
    x, noise = at.problem.initial(n, at.seed, first).to(at.device, at.state), None
    if solver.stochastic:
        noise = WhiteNoise(model.schedule, tuple(x.shape), at.seed, x.dtype, x.device, first)
    with torch.inference_mode():
        return integrate(solver, model, x, grid, noise) / model.schedule.alpha(grid[-1])
