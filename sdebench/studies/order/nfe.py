"""Network evaluations a step: those that a method states, and those that the model's counter sees.

A method states them by `nfe_per_step`; one whose run is more than its steps, as `restart` is, by `evaluations(n)` too: those of
a run of n steps.
"""

from typing import NamedTuple

from sdebench import grids
from sdebench.integration.solver import Sampler, Solver
from sdebench.problems import Problem
from sdebench.studies.setting import calls

_STEPS, _FURTHER = 8, 4  # the runs whose difference is counted: once started, and before a last step that is special


class Evaluations(NamedTuple):
    """Of a step, once started, as `stated` and as `counted`; and how many `more` a run has, or less: what a start-up costs."""

    stated: float
    counted: float
    more: float

    @property
    def agree(self) -> bool:
        """Whether the method calls the model as often as it says."""
        return self.stated == self.counted

    def __str__(self) -> str:
        if not self.agree:
            return f"{self.stated:g} stated, {self.counted:g} counted: refuted"
        more = f", and {abs(self.more):g} {'more' if self.more > 0 else 'fewer'} in a run" if self.more else ""
        return f"{self.counted:g} as stated{more}"


def evaluations(solver: Solver | Sampler, problem: Problem) -> Evaluations | None:
    """The evaluations of a step of the method, which does not choose its own: None for one that does.

    From the difference of two runs; where the method states those of a run, from the mean over the longer one.
    """
    if solver.adaptive:
        return None
    few = _STEPS + solver.memory
    many = few + _FURTHER
    of_run = solver.evaluations(many)
    first, second = (calls(solver, problem, grids.uniform_lam(problem.schedule, *problem.span, n)) for n in (few, many))
    if of_run is not None:
        return Evaluations(of_run / many, second / many, 0.0)
    counted = (second - first) / _FURTHER
    return Evaluations(solver.nfe_per_step, counted, first - few * counted)
