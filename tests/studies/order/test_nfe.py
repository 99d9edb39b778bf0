"""Network evaluations a step, stated and counted."""

from dataclasses import dataclass
from itertools import pairwise

import pytest

import sdebench as sb
from sdebench.integration.solver import Sampler, Solver
from sdebench.studies.order.nfe import Evaluations, evaluations

PROBLEM = sb.get_problem("mixture-1d")


@dataclass(frozen=True)
class Thrifty(Solver):
    """Heun's method that states one evaluation a step."""

    order, nfe_per_step = 2, 1

    def step(self, model, x, s, t, past=(), noise=None):
        return sb.get_solver("heun-edm").step(model, x, s, t)


@dataclass(frozen=True)
class ByTurns(Sampler):
    """Two evaluations in every second step, one in the others."""

    order, nfe_per_step = 1, 2

    def sample(self, model, x, grid, noise=None):
        for i, (s, t) in enumerate(pairwise(grid)):
            x = sb.get_solver(("ddim", "heun-edm")[i % 2]).step(model, x, s, t).x
        return x


class StatesMoreOfARun(ByTurns):
    def evaluations(self, n: int) -> int:
        return n + n // 2


@pytest.mark.parametrize("name", sb.list_solvers())
def test_every_solver_calls_the_model_as_often_as_it_states(name):
    found = evaluations(sb.get_solver(name), PROBLEM)
    assert found is None or found.agree


def test_a_method_that_states_too_few_is_told():
    found = evaluations(Thrifty(), PROBLEM)
    assert found == Evaluations(1, 2.0, 0.0)
    assert not found.agree
    assert str(found) == "1 stated, 2 counted: refuted"


def test_evaluations_are_counted_over_several_steps():
    assert evaluations(ByTurns(), PROBLEM).counted == 1.5


def test_start_ups_are_counted_apart():
    of = lambda name: evaluations(sb.get_solver(name), PROBLEM)  # noqa: E731
    assert of("pndm") == Evaluations(1, 1.0, 9.0)
    assert of("unipc-3") == Evaluations(1, 1.0, 1.0)
    assert of("dpm-solver-fast") == Evaluations(3, 3.0, -3.0)
    assert str(of("pndm")) == "1 as stated, and 9 more in a run"
    assert str(of("dpm-solver-fast")) == "3 as stated, and 3 fewer in a run"


def test_a_method_may_state_the_evaluations_of_a_run():
    restart = evaluations(sb.get_solver("restart[begin=0.2,end=0.6,k=3]"), PROBLEM)
    assert restart.agree
    assert restart.counted > 2
    assert evaluations(StatesMoreOfARun(), PROBLEM) == Evaluations(1.5, 1.5, 0.0)


def test_a_method_that_chooses_its_steps_has_no_evaluations_a_step():
    assert evaluations(sb.get_solver("scipy-rk45"), PROBLEM) is None
