"""Times of a step as paired samples, and a rank test between two sets of them.

A run on a model that costs nothing is timed in turn with a fixed piece of work on the same state; a sample is the ratio of the
two, so that a slow moment of the machine slows both.  Two sets of ratios, of before and of now, are compared by the test of
Mann and Whitney 1947, Ann. Math. Statist. 18.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from statistics import median
from time import process_time
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sdebench import grids
from sdebench._support.clock import threads
from sdebench._support.errors import STRANGERS
from sdebench.catalogue import get_problem
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Model
from sdebench.noise import WhiteNoise
from sdebench.problems import Problem

SAMPLES, STEPS, POINTS = 12, 8, 64
SIGNIFICANT, LARGE = 1e-3, 0.25  # a difference that is told: p below the one, and a change of median beyond the other


class Slower(NamedTuple):
    """The change of the median ratio, as a part of it, and the p-value of the two sets being of one law."""

    change: float
    p: float

    @property
    def told(self) -> bool:
        """Whether it is large and no chance."""
        return self.p < SIGNIFICANT and abs(self.change) > LARGE


@lru_cache(maxsize=1)
def _state() -> tuple[Problem, Tensor, grids.Grid]:
    problem = get_problem("mixture-1d")
    return problem, problem.initial(POINTS, 0), grids.uniform_lam(problem.schedule, *problem.span, STEPS)  # type: ignore[call-arg]  # the span has two numbers


def _work(x: Tensor) -> None:
    """The fixed piece of work: small operations of torch, as steps make, and no code of this package."""
    for i in range(8 * STEPS):
        x = (x * 0.5).add_(x, alpha=0.5 + 1e-9 * i)


def _seconds(run: Callable[[], Any]) -> float:
    begun = process_time()
    run()
    return process_time() - begun


def ratios(solver: Any) -> list[float]:
    """`SAMPLES` times of a run of the solver, each over that of the fixed work beside it; [] for one that raises."""
    problem, x, grid = _state()
    model = Model(lambda x, t: x, problem.schedule, "eps", problem.model.gamma)
    made = solver.at_tolerance(1e-3) if solver.adaptive else solver
    noise = WhiteNoise(problem.schedule, tuple(x.shape)) if solver.stochastic else None
    try:
        with threads(1), torch.inference_mode():
            integrate(made, model, x, grid, noise)
            pairs = [
                (_seconds(lambda: integrate(made, model, x, grid, noise)), _seconds(lambda: _work(x))) for _ in range(SAMPLES)
            ]
    except STRANGERS:  # it is the business of the gate's other figures
        return []
    return [float(f"{run / max(work, 1e-9):.4g}") for run, work in pairs]


def rank_test(before: Sequence[float], now: Sequence[float]) -> Slower:
    """How the median of `now` differs from that of `before`, and the two-sided p-value."""
    from scipy.stats import mannwhitneyu

    return Slower(median(now) / median(before) - 1, float(mannwhitneyu(before, now).pvalue))
