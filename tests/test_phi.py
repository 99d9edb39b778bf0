"""The phi functions against multiprecision."""

from itertools import pairwise
from math import factorial

import mpmath as mp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdebench.phi import phi, phis

MOST = 5
SIZES = [1e-12, 1e-9, 1e-6, 1e-3, 0.02, 0.049, 0.051, 0.3, 0.49, 0.51, 1.0, 1.99, 2.01, 3.0, 3.99, 4.01, 5.0, 10.0, 20.0, 40.0]


def exact(k, z):
    """phi_k from its integral's closed form: the recursion at 120 digits."""
    with mp.workdps(120):
        z = mp.mpf(z)
        value = mp.exp(z)
        for j in range(k):
            value = (value - 1 / mp.factorial(j)) / z
        return value


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("size", SIZES)
def test_they_are_right_to_a_few_units_in_the_last_place(size, sign):
    z = sign * size
    for n in range(1, MOST + 1):
        for k, value in enumerate(phis(n, z)):
            assert abs(value / exact(k, z) - 1) < 8e-15, f"phi_{k}({z}) of {n}"


@given(z=st.floats(-40, 40), k=st.integers(0, MOST))
def test_everywhere(z, k):
    if abs(z) > 1e-14:  # 120 digits hold no smaller one
        assert abs(phi(k, z) / exact(k, z) - 1) < 1e-14


def test_at_zero_they_are_the_inverse_factorials():
    assert phis(MOST, 0.0) == pytest.approx([1 / factorial(k) for k in range(MOST + 1)], rel=1e-15)
    assert phis(1, 0.0) == (1.0, 1.0)


@given(z=st.floats(-40, 40))
def test_they_fall_with_k_and_are_positive(z):
    values = phis(MOST, z)
    assert len(values) == MOST + 1
    assert all(v > 0 for v in values)
    assert all(a > b for a, b in pairwise(values[1:]))


@given(z=st.floats(-30, 30))
def test_the_integral_that_defines_them(z):
    """phi_2(z) = int_0^1 e^{(1 - q) z} q dq."""
    with mp.workdps(30):
        integral = mp.quad(lambda q: mp.exp((1 - q) * z) * q, [0, 0.5, 1])
    assert phi(2, z) == pytest.approx(float(integral), rel=1e-13)


@pytest.mark.parametrize("n", [2, 3, 4])
@pytest.mark.parametrize("z", [1.3, -7.0, 1e-5])
def test_one_is_the_last_of_several(n, z):
    assert phi(n, z) == phis(n, z)[n]
