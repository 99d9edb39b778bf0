"""What users hold their samplers with."""

import pytest

from sdebench.testing import assert_order


def test_a_stochastic_sampler_is_held_to_its_weak_order():
    assert_order("srk-additive", 2, problem="gaussian", grids=("uniform_lam",))
    with pytest.raises(pytest.fail.Exception, match="refuted        weak uniform_lam"):
        assert_order("euler-maruyama", 2, problem="gaussian", grids=("uniform_lam",))


def test_a_deterministic_sampler_is_held_to_its_local_and_global_order():
    assert_order("ddim", 1, grids=("uniform_lam",), points=8)
    with pytest.raises(pytest.fail.Exception, match=r"(?s)global uniform_lam.*slopes"):
        assert_order("ddim", 2, grids=("uniform_lam",), points=8)
