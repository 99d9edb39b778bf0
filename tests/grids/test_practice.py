"""Grids of practice: their formulas, and published lists at their own number of steps."""

from itertools import pairwise
from math import atan, exp, log

import numpy as np
import pytest
from scipy.stats import beta as beta_law

from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.grids.practice import AYS
from sdebench.schedules import EDM, Rectified, VPCosine, VPLinear

VP, FLOW, SIGMA = VPLinear(), Rectified(), EDM()


def on(spec, ns, s, t, n):
    return grids.get(spec)(ns, s, t, n)


def differences(values):
    return [b - a for a, b in pairwise(values)]


@pytest.mark.parametrize("ns", [VP, FLOW, SIGMA, VPCosine()], ids=str)
def test_two_names_of_front_ends_are_grids_of_ours(ns):
    s, t = ns.t(-2.0), ns.t(2.0)
    assert on("exponential", ns, s, t, 9) == on("uniform_lam", ns, s, t, 9)
    assert on("sgm_uniform", ns, s, t, 9) == on("uniform_t", ns, s, t, 9)


@pytest.mark.parametrize("shift", [0.5, 1.0, 3.0, 7.0])
def test_a_shifted_grid_is_the_formula_of_flows(shift):
    u = np.linspace(1, 0, 11)
    wanted = shift * u / (1 + (shift - 1) * u)
    assert on(f"shifted[shift={shift}]", FLOW, 1.0, 0.0, 10) == pytest.approx(wanted, abs=1e-14)


def test_a_shift_multiplies_the_ratio_of_noise_to_data_on_every_schedule():
    s, t = VP.t(-2.0), VP.t(2.0)
    u = [VP.rho(time) / (VP.rho(time) + 3) for time in on("shifted", VP, s, t, 12)]
    assert differences(u) == pytest.approx([(u[-1] - u[0]) / 12] * 12, abs=1e-13)


def test_the_optimal_grid_of_a_gaussian_is_equal_in_the_arctangent():
    angles = [atan(sigma) for sigma in on("kl_optimal", SIGMA, 80.0, 0.002, 15)]
    assert differences(angles) == pytest.approx([(angles[-1] - angles[0]) / 15] * 15, abs=1e-13)


def test_beta_times_are_quantiles():
    times = on("beta[a=0.6,b=0.7]", FLOW, 0.9, 0.1, 8)
    wanted = [0.1 + 0.8 * beta_law.ppf(1 - i / 8, 0.6, 0.7) for i in range(9)]
    assert times == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("n", [2, 8, 9, 40])
def test_a_linear_quadratic_grid_has_no_kink(n):
    way = [1 - t for t in on("linear_quadratic", FLOW, 1.0, 0.0, n)]
    steps, m = differences(way), n // 2
    assert way[m] == pytest.approx(0.025, abs=1e-14)
    assert steps[:m] == pytest.approx([0.025 / m] * m, abs=1e-14)
    assert way[-1] == 1.0
    curved = differences(steps[m:])
    assert curved == pytest.approx(curved[:1] * len(curved), abs=1e-12)


@pytest.mark.parametrize("model", AYS)
def test_a_published_list_is_itself_at_ten_steps(model):
    sigmas = AYS[model]
    assert on(f"ays[model={model}]", SIGMA, sigmas[0], sigmas[-1], 10) == pytest.approx(sigmas, rel=1e-12)
    between = on(f"ays[model={model}]", SIGMA, sigmas[0], sigmas[-1], 20)
    assert between[::2] == pytest.approx(sigmas, rel=1e-12)
    middle = exp((log(sigmas[3]) + log(sigmas[4])) / 2)
    assert between[7] == pytest.approx(middle, rel=1e-12)


def test_chains_have_the_numbers_of_the_table():
    """Lin et al. 2023, table 2, for ten steps of a thousand; times are (number + 1)/1000 of the way."""
    number = [round(1000 * t) - 1 for t in on("leading", FLOW, 1.0, 0.0, 10)]
    assert number[1:-1] == [801, 701, 601, 501, 401, 301, 201, 101, 1]
    number = [round(1000 * t) - 1 for t in on("trailing", FLOW, 1.0, 0.0, 10)]
    assert number[:-1] == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]
    number = [round(1000 * t) - 1 for t in on("linspace", FLOW, 1.0, 0.0, 10)]
    assert number[:-1] == [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]


@pytest.mark.parametrize(
    ("spec", "n", "line"),
    [
        ("shifted[shift=0]", 5, "shift is 0.0: give a number above 0"),
        ("beta[a=-1]", 5, "a and b are -1.0 and 0.6: give two numbers above 0"),
        ("linear_quadratic[threshold=1.5]", 5, "threshold is 1.5: give a number between 0 and 1"),
        ("linear_quadratic[threshold=0.7]", 5, "threshold is 0.7: give"),
        ("ays[model=sd3]", 5, "unknown model 'sd3'; did you mean 'svd'? (there are: sd15, sdxl, svd)"),
        ("trailing[train=8]", 9, "9 steps on a chain of 8: give"),
    ],
)
def test_settings_that_make_no_grid_are_refused(spec, n, line):
    with pytest.raises(UsageError) as refused:
        on(spec, FLOW, 0.9, 0.1, n)
    assert line in str(refused.value)


def test_orders_are_measured_on_none_of_them_unless_asked():
    assert grids.for_orders() == ("uniform_t", "uniform_lam", "quadratic", "karras", "irregular", "jitter")
    assert grids.kind_of("shifted[shift=2]") == "practice"
