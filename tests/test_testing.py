"""What users hold their samplers with."""

from math import nan

import pytest
from mutants.stochastic import FreshNoise

from sdebench._support.errors import UsageError
from sdebench.integration.solver import Solver, Step
from sdebench.studies.order import stochastic
from sdebench.testing import assert_order

ONE = {"grids": ("uniform_lam",)}


def test_a_stochastic_sampler_is_held_to_its_weak_order():
    assert_order("srk-additive", 2, problem="gaussian", kinds=["weak"], **ONE)
    with pytest.raises(pytest.fail.Exception, match="refuted        weak uniform_lam"):
        assert_order("euler-maruyama", 2, problem="gaussian", kinds=["weak"], **ONE)


def test_a_stochastic_sampler_is_held_to_the_strong_order_that_it_states(monkeypatch):
    """A fresh normal in the place of the path's integral: right in law, and on no path.  2048 paths of the 16 384."""
    monkeypatch.setattr(stochastic, "STRONG_PATHS", 2048)
    assert_order("ddpm", 1, **ONE)
    assert_order(FreshNoise(), 1, kinds=["weak"], **ONE)
    with pytest.raises(pytest.fail.Exception, match=r"order 1:\n  refuted        strong +expected 1, .*\n  confirmed +weak"):
        assert_order(FreshNoise(), 1, **ONE)
    assert_order("edm-stochastic-rate", 2, **ONE)  # states none
    with pytest.raises(UsageError, match=r"'strong' \(there are: weak\)"):
        assert_order("edm-stochastic-rate", 2, kinds=["strong"])


def test_the_kinds_of_order_are_those_asked_for():
    assert_order("dpm-solver++-3m", 3, kinds=["main"], points=8)
    assert_order("ddim", 1, kinds=["global"], points=8, **ONE)
    with pytest.raises(pytest.fail.Exception, match=r"^ddim was to have order 2:\n  refuted        local  .*[^\n]*$"):
        assert_order("ddim", 2, kinds=["local"], points=8)
    with pytest.raises(UsageError, match="did you mean 'global'"):
        assert_order("ddim", 1, kinds=["globl"])
    for given in (FreshNoise, 7):
        with pytest.raises(UsageError, match="is not a solver"):
            assert_order(given, 1)


def test_a_deterministic_sampler_is_held_to_its_local_and_global_order():
    assert_order("ddim", 1, grids=("uniform_lam",), points=8)
    with pytest.raises(pytest.fail.Exception, match=r"(?s)global uniform_lam.*slopes"):
        assert_order("ddim", 2, grids=("uniform_lam",), points=8)


class Nothing(Solver):
    order, nfe_per_step = 1, 1

    def step(self, model, x, s, t, past=(), noise=None):
        return Step(nan * model(x, s).x0)


def test_a_state_that_is_not_finite_is_said():
    message = "refuted        global uniform_lam   expected 1, diverges: the state is not finite, first at 24 steps$"
    with pytest.raises(pytest.fail.Exception, match=message):
        assert_order(Nothing(), 1, grids=("uniform_lam",), points=8)
