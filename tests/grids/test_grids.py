"""Grids: decreasing, with exact ends, refining as they say; and every bad one refused."""

from itertools import pairwise
from math import inf, nan, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.schedules import EDM, VE, Rectified, VPCosine, VPLinear

SPANS = [(VPLinear(), 1.0, 1e-3), (VPCosine(), 0.99, 1e-3), (VE(), 1.0, 1e-3), (EDM(), 80.0, 2e-3), (Rectified(), 0.999, 1e-3)]
FAMILIES = [(name, grids.get(name)) for name in grids.names() if name != "list"]  # lists have their own tests


def steps(ns, grid):
    lam = [ns.lam(t) for t in grid]
    return [b - a for a, b in pairwise(lam)]


@pytest.mark.parametrize(("ns", "s", "t"), SPANS, ids=lambda v: str(v))
@pytest.mark.parametrize(("name", "family"), FAMILIES)
@pytest.mark.parametrize("n", [1, 2, 7, 100])
def test_a_grid_decreases_and_has_exact_ends(name, family, ns, s, t, n):
    grid = family(ns, s, t, n)
    assert isinstance(grid, tuple)
    assert all(type(u) is float for u in grid)
    assert len(grid) == n + 1
    assert (grid[0], grid[-1]) == (s, t)
    assert all(a > b for a, b in pairwise(grid))
    assert family(ns, s, t, n) == grid


@given(n=st.integers(1, 300), a=st.floats(0.02, 0.95), b=st.floats(0.02, 0.95))
def test_it_holds_on_any_span(n, a, b):
    if a < b + 1e-6:
        return
    for _, family in FAMILIES:
        grid = family(VPLinear(), a, b, n)
        assert all(u > v for u, v in pairwise(grid))
        assert (grid[0], grid[-1]) == (a, b)


@pytest.mark.parametrize(
    ("name", "u"),
    [
        ("uniform_t", lambda ns, t: t),
        ("uniform_lam", lambda ns, t: ns.lam(t)),
        ("quadratic", lambda ns, t: sqrt(t)),
        ("karras", lambda ns, t: ns.rho(t) ** (1 / 7)),
    ],
)
@pytest.mark.parametrize(("ns", "s", "t"), SPANS, ids=lambda v: str(v))
def test_a_smooth_grid_is_equal_steps_in_its_variable(name, u, ns, s, t):
    values = [u(ns, v) for v in grids.get(name)(ns, s, t, 40)]
    wide = abs(values[-1] - values[0])
    assert [b - a for a, b in pairwise(values)] == pytest.approx([(values[-1] - values[0]) / 40] * 40, abs=1e-12 * wide)


def test_karras_is_the_published_formula():
    """sigma_i = (sigma_max^(1/rho) + i/n (sigma_min^(1/rho) - sigma_max^(1/rho)))^rho, EDM eq. 5; time is sigma there."""
    published = [(80.0 ** (1 / 7) + i / 18 * (0.002 ** (1 / 7) - 80.0 ** (1 / 7))) ** 7 for i in range(19)]
    assert grids.karras(EDM(), 80.0, 0.002, 18) == pytest.approx(published, rel=1e-12)
    assert grids.karras(EDM(), 80.0, 0.002, 2, rho=1.0)[1] == pytest.approx(40.001, rel=1e-12)


@pytest.mark.parametrize("n", [2, 8, 64])
def test_irregular_steps_alternate_one_to_two(n):
    ns = VPLinear()
    h = steps(ns, grids.irregular(ns, 0.8, 0.1, n))
    assert [b / a for a, b in zip(h[::2], h[1::2])] == pytest.approx([2.0] * (n // 2), rel=1e-10)
    assert [b / a for a, b in zip(h[1::2], h[2::2])] == pytest.approx([0.5] * (n // 2 - 1), rel=1e-10)


@pytest.mark.parametrize(("family", "period"), [(grids.irregular, 2), (grids.jitter, 4)])
def test_an_irregular_grid_keeps_its_ratios_when_refined(family, period):
    """Twice the steps is the same pattern at half the length: the ratio of neighbours does not tend to 1."""
    ns = VPLinear()
    coarse, fine = (steps(ns, family(ns, 0.8, 0.1, n)) for n in (8, 64))
    assert [h / coarse[0] for h in coarse[:period]] == pytest.approx([h / fine[0] for h in fine[:period]], rel=1e-9)
    assert fine[0] == pytest.approx(coarse[0] / 8, rel=1e-9)
    assert fine == pytest.approx(fine[:period] * (64 // period), rel=1e-9)
    assert max(fine) / min(fine) > 1.2, "irregular indeed"


def test_jitter_is_seeded():
    ns = VPLinear()
    one, same, other = (grids.jitter(ns, 0.8, 0.1, 8, seed=seed) for seed in (0, 0, 1))
    assert one == same != other
    assert grids.jitter(ns, 0.8, 0.1, 8) == one


@pytest.mark.parametrize("n", [0, -3, 2.5, 4.0, "4", None])
@pytest.mark.parametrize(("name", "family"), FAMILIES)
def test_no_steps_are_refused(name, family, n):
    with pytest.raises(UsageError, match=r"n is .*: give a whole number, 1 or more"):
        family(VPLinear(), 0.8, 0.1, n)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("vp", 0.8, 0.1, 4), "'vp' is not a schedule: give one"),
        ((VPLinear, 0.8, 0.1, 4), "VPLinear'> is not a schedule"),
        ((VPLinear(), "0.8", 0.1, 4), "from s = '0.8' to t = 0.1: give two times"),
        ((VPLinear(), 0.8, None, 4), "to t = None"),
        ((VPLinear(), (0.8, 0.1), 4, 4), r"from s = \(0.8, 0.1\) to t = 4"),
    ],
)
@pytest.mark.parametrize(("name", "family"), FAMILIES)
def test_ends_and_schedules_that_are_none_are_refused(name, family, arguments, says):
    with pytest.raises(UsageError, match=says) as caught:
        family(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "setting", "says"),
    [
        ("karras", {"rho": "seven"}, "rho is 'seven': give a number"),
        ("karras", {"rho": 0}, "rho is 0: give a number"),
        ("irregular", {"ratio": "a"}, "ratio is 'a': give a number above 0"),
        ("irregular", {"ratio": -1}, "ratio is -1: give"),
        ("jitter", {"seed": [1]}, r"seed is \[1\]: give a whole number"),
    ],
)
def test_settings_of_a_family_that_are_no_numbers_are_refused(name, setting, says):
    with pytest.raises(UsageError, match=says):
        grids.get(name)(VPLinear(), 0.8, 0.1, 4, **setting)


@pytest.mark.parametrize("span", [(0.1, 0.8), (0.5, 0.5)])
@pytest.mark.parametrize(("name", "family"), FAMILIES)
def test_a_span_that_does_not_decrease_is_refused(name, family, span):
    with pytest.raises(UsageError, match="strictly decreasing"):
        family(VPLinear(), *span, 4)


@pytest.mark.parametrize("span", [(1.2, 0.1), (0.8, -0.1), (nan, 0.1), (0.8, nan)])
@pytest.mark.parametrize(("name", "family"), FAMILIES)
def test_times_outside_of_the_domain_are_refused(name, family, span):
    with pytest.raises(UsageError, match="domain"):
        family(VPLinear(), *span, 4)


BAD = [
    (),
    (0.5,),
    (0.5, 0.5),
    (0.1, 0.5),
    (0.9, nan),
    (nan, 0.9),
    (inf, 0.5),
    (0.9, 0.5, 0.6),
    (0.9, -inf),
    5,
    None,
    "karras",
    ("a", "b"),
    (0.9, None, 0.1),
    grids.uniform_lam,
]


@pytest.mark.parametrize("bad", BAD)
def test_check_says_what_is_wrong(bad):
    with pytest.raises(UsageError, match="give ") as caught:
        grids.check(bad)
    assert "\n" not in str(caught.value)


def test_check_takes_any_sequence_of_numbers():
    assert grids.check([3, 2, 1]) == (3.0, 2.0, 1.0)


def test_a_misspelt_family_is_named():
    with pytest.raises(UsageError, match="did you mean 'uniform_lam'"):
        grids.get("uniform-lam")
    for none in (3, None, ["karras"], grids.karras):
        with pytest.raises(UsageError, match="cannot name a grid: give a string"):
            grids.get(none)
    assert grids.get("karras") is grids.karras
