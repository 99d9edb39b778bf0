"""The fit on ladders whose order is known, and on the ladders that fool a mean of slopes."""

from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdebench.fit import LEAST_HALF_WIDTH, MARGIN, MIN_POINTS, RESOLVED, Fit, fit_ladder, fit_order, slopes, verdict

H = 0.5 * 2.0 ** (-np.arange(10) / 2)


@pytest.mark.parametrize("p", [0, 1, 2, 3, 4, 5, 8])
def test_a_power_law_gives_its_order_and_its_constant(p):
    fit = fit_order(H, 0.7 * H**p)
    assert fit.resolved
    assert fit.order == pytest.approx(p, abs=1e-6)
    assert fit.constant == pytest.approx(0.7, rel=1e-6)
    assert fit.half_width == LEAST_HALF_WIDTH
    assert verdict(fit, p) == "confirmed"
    assert verdict(fit, p + 1) == "refuted"


def test_the_constant_is_of_the_nearest_integer_order():
    e = 0.7 * H**2.03
    fit = fit_order(H, e)
    assert fit.order == pytest.approx(2.03, abs=1e-4)
    assert fit.constant == pytest.approx(e[-1] / H[-1] ** 2, rel=1e-12)


@given(p=st.floats(0.5, 6), c=st.floats(1e-3, 1e3), q=st.floats(-0.9, 3))
def test_the_next_term_does_not_bend_the_order(p, c, q):
    h = 0.2 * 2.0 ** (-np.arange(9) / 2)
    fit = fit_order(h, c * h**p * (1 + q * h))
    assert fit.resolved
    assert abs(fit.order - p) < 0.05


@pytest.mark.parametrize("ratio", [3.0, 30.0, 100.0, 1000.0])
def test_a_second_term_that_dominates_is_seen_through(ratio):
    """e = h^3 + D h^4 with D h > 1 over much of the ladder: the slopes are nearer 4, the order is 3.  Where D h > 1 at the
    finest rung too nothing can tell, and 4 is not confirmed.
    """
    n = np.array([64, 96, 128, 192, 256, 384, 512])
    h = 2.5 / n
    e = 1e-2 * h**3 * (1 + ratio * h)
    fit = fit_order(h, e)
    assert verdict(fit, 4) != "confirmed"
    assert ratio > 100 or (fit.resolved and abs(fit.order - 3) < 0.05)


@pytest.mark.parametrize("d", [-50.0, -5.0, 5.0, 50.0, 500.0])
def test_a_third_term_is_in_the_interval(d):
    fit = fit_order(H, np.abs(H**2 * (1 + 3 * H + d * H**2)))
    assert not fit.resolved or abs(fit.order - 2) < max(0.1, 1.5 * fit.half_width)
    assert verdict(fit, 3) != "confirmed"


@pytest.mark.parametrize("level", [1e-9, 1e-7, 1e-6])
def test_the_floor_is_left_out(level):
    """Rounding is independent of the error and adds to it in squares, as an RMS over the points."""
    e = np.hypot(H**3, level * np.random.default_rng(0).uniform(0.3, 1.0, len(H)))
    fit = fit_order(H, e, level)
    assert fit.resolved
    assert abs(fit.order - 3) < 0.1
    assert all(e[i] > MARGIN * level for i in fit.window)


def test_without_its_floor_a_ladder_that_ends_in_rounding_is_not_an_order():
    e = np.hypot(H**3, 1e-5)
    assert verdict(fit_order(H, e), 3) != "confirmed"
    assert verdict(fit_order(H, e, 1e-5), 3) == "confirmed"


@pytest.mark.parametrize("seed", range(20))
def test_noise_at_the_floor_leaves_doubt_rather_than_a_verdict(seed):
    """Noise that adds with its sign, just below the margin, may cost the resolution; it must neither refute nor confirm 4."""
    level = 10.0 ** -(4 + seed % 5)
    e = np.abs(H**3 + level * np.random.default_rng(seed).uniform(-1, 1, len(H)))
    fit = fit_order(H, e, level)
    assert verdict(fit, 3) != "refuted"
    assert verdict(fit, 4) != "confirmed"


def test_a_floor_for_each_rung():
    e = H**4
    floor = np.where(np.arange(len(H)) < 6, 0.0, e)
    fit = fit_order(H, e, floor)
    assert fit.window[-1] == 5
    assert abs(fit.order - 4) < 1e-6


def test_a_rung_lost_in_between_ends_the_window_there():
    """An error that falls below its floor and rises again has changed its sign: what lies before is another law."""
    e = H**2 * (1 + 1e-3 * np.cos(9 * np.arange(len(H))))  # so that a longer window would be the sharper one
    assert min(fit_order(H, e, 1e-10).window) < 3
    e[3] = 1e-12
    fit = fit_order(H, e, 1e-10)
    assert min(fit.window) >= 4
    assert fit.window[-1] == len(H) - 1


def test_a_change_of_sign_is_not_an_order():
    e = np.abs(H**3 - 0.125 * H**2 * 1.01)
    fit = fit_order(H[:7], e[:7])
    assert verdict(fit, 5) != "confirmed"
    assert not fit.resolved or abs(fit.order - 2) < 0.3


def test_non_monotone_errors_decide_nothing():
    e = H**2 * np.where(np.arange(len(H)) % 2, 4.0, 0.25)
    fit = fit_order(H, e)
    assert not fit.resolved
    assert fit.reason.startswith("slopes disagree")
    assert verdict(fit, 1) == verdict(fit, 2) == "not asymptotic"


def test_growth_keeps_its_sign():
    """An error that grows as h falls has a NEGATIVE order; abs() of a log-ratio would make it converge."""
    fit = fit_order(H, 1e-3 / H**2)
    assert fit.order == pytest.approx(-2, abs=1e-6)
    assert verdict(fit, 2) == "refuted"


@pytest.mark.parametrize("slope", [-4.0, -20.0, -100.0])
def test_growth_beyond_all_orders_is_divergence(slope):
    fit = fit_order(H, 1e-3 * H**slope)
    assert fit.reason == "diverges: the error grows as the steps shrink"
    assert verdict(fit, 1) == "refuted"


@pytest.mark.parametrize("bad", [inf, nan, None])
def test_divergence_is_said(bad):
    e = [*(H**2)[:6], bad, bad, bad, bad]
    fit = fit_order(H, e)
    assert not fit.resolved
    assert fit.diverges
    assert verdict(fit, 0) == "refuted"
    assert fit_order(H, [bad] * len(H)).diverges
    assert fit_order(H, [*(H**2)[:3], bad, *(H**2)[4:]]).diverges, "where larger steps had an error"


def test_infinite_errors_at_large_steps_alone_are_left_out():
    fit = fit_order(H, [inf, nan, None, *(H**2)[3:]])
    assert abs(fit.order - 2) < 1e-6
    assert min(fit.window) >= 3


@pytest.mark.parametrize(("error", "floor"), [(0.0, 0.0), (1e-17, 1e-16), (0.0, 1e-16)])
def test_zero_errors_are_exact_and_confirm_nothing(error, floor):
    fit = fit_order(H, [error] * len(H), floor)
    assert fit.exact
    assert not fit.resolved
    assert verdict(fit, 1) == "not asymptotic"


def test_zeros_after_a_ladder():
    fit = fit_order(H, [*(H**3)[:6], 0.0, 0.0, 0.0, 0.0])
    assert abs(fit.order - 3) < 1e-6
    assert fit.window[-1] == 5


def test_too_few_rungs_decide_nothing():
    fit = fit_order(H[: MIN_POINTS - 1], (H**2)[: MIN_POINTS - 1])
    assert not fit.resolved
    assert "rungs" in fit.reason
    assert fit_order(H[:MIN_POINTS], (H**2)[:MIN_POINTS]).resolved
    nothing = fit_order([], [])
    assert not nothing.resolved
    assert not nothing.exact, "a ladder without rungs tells nothing"
    assert fit_ladder({}) == nothing


@pytest.mark.parametrize("c", [1e-170, 1e-100, 1e100, 1e170])
def test_the_scale_of_the_errors_does_not_matter(c):
    """Their squares leave the range of a double at 1e170, and the order is that of the same errors near 1."""
    e = H**2 * (1 + 0.3 * H)
    near, far = fit_order(H, e), fit_order(H, c * e)
    assert near.resolved
    assert (far.order, far.half_width) == (pytest.approx(near.order, abs=1e-9), pytest.approx(near.half_width, rel=1e-6))


def test_float32_ladders():
    """Errors made in float32, down to its rounding: the order is read above it."""
    rng = np.random.default_rng(3)
    n = np.array([8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256])
    unit = 1.2e-7
    e = (2.0 / n) ** 2 * (1 + 0.3 / n) + unit * np.sqrt(n) * rng.uniform(0, 1, len(n))
    fit = fit_order(2.5 / n, e.astype(np.float32), unit * np.sqrt(n))
    assert fit.resolved
    assert abs(fit.order - 2) < 0.1


def test_the_order_of_the_rungs_does_not_matter():
    rng = np.random.default_rng(5)
    e = H**3 * (1 + 2 * H) * np.where(H > 0.2, [30.0, 0.1, 8.0, *[1.0] * 7], 1.0)  # a coarse end that must be left out
    mixed = rng.permutation(len(H))
    a, b = fit_order(H, e), fit_order(H[mixed], e[mixed])
    assert a.order == pytest.approx(b.order, abs=1e-9)
    assert sorted(H[list(a.window)]) == sorted(H[mixed][list(b.window)])


def test_a_wild_coarse_end_does_not_move_the_order():
    e = H**2 * np.where(np.arange(len(H)) < 4, [30.0, 0.1, 8.0, 0.3, *[1.0] * 6], 1.0)
    fit = fit_order(H, e)
    assert fit.window == tuple(range(len(H))), "nothing above the floor is left out"
    assert abs(fit.order - 2) <= max(fit.half_width, 0.1)


def test_inputs_are_not_touched():
    h, e = H.copy(), H**2
    kept = e.copy()
    fit_order(h, e, 1e-20)
    assert np.array_equal(h, H)
    assert np.array_equal(e, kept)


@pytest.mark.parametrize(
    ("order", "half_width", "reason", "claim", "expected"),
    [
        (2.0, 0.01, "", 2, "confirmed"),
        (3.02, 0.01, "", 2, "confirmed"),  # better than claimed
        (2.5, 0.01, "", 2, "not asymptotic"),  # no method has such an order: an error that changes sign
        (2.2, 0.15, "", 2, "confirmed"),
        (1.91, 0.01, "", 1, "confirmed"),
        (1.91, 0.01, "", 2, "confirmed"),
        (1.89, 0.001, "", 2, "refuted"),
        (1.85, 0.08, "", 2, "not asymptotic"),  # the claim is inside of its interval
        (1.0, 0.15, "", 2, "refuted"),
        (1.53, 0.02, "", 1.5, "confirmed"),  # strong orders come in halves
        (2.01, 0.02, "", 1.5, "confirmed"),
        (1.75, 0.15, "", 1.5, "not asymptotic"),
        (1.3, 0.02, "", 1.5, "refuted"),
        (2.0, 0.5, "slopes disagree", 2, "not asymptotic"),  # unresolved, whatever the number says
        (9.0, 0.0, "exact", 2, "not asymptotic"),
        (nan, inf, "diverges", 0, "refuted"),
        (-0.26, 0.05, "", 0, "not asymptotic"),  # errors that still rise towards the limit that they have
        (-0.26, 0.05, "", 1, "refuted"),
        (0.0, 0.05, "", 0, "confirmed"),
    ],
)
def test_verdicts(order, half_width, reason, claim, expected):
    assert verdict(Fit(order, half_width, 1.0, (0, 1, 2, 3), reason), claim) == expected


ERRORS = st.lists(st.one_of(st.floats(1e-16, 1e3), st.just(inf), st.just(0.0), st.none()), max_size=12)


@given(e=ERRORS, claim=st.integers(0, 9))
def test_whatever_comes_unresolved_is_never_confirmed(e, claim):
    fit = fit_order(0.5 * 2.0 ** -np.arange(len(e)), e, 1e-14)
    assert isinstance(fit.order, float)
    assert all(isinstance(i, int) for i in fit.window)
    if fit.resolved:
        assert fit.half_width <= RESOLVED
        assert np.isfinite(fit.constant)
    else:
        assert verdict(fit, claim) == ("refuted" if fit.diverges else "not asymptotic")


def test_slopes_between_neighbours():
    assert slopes([0.4, 0.2, 0.1], [0.16, 0.04, 0.01]) == pytest.approx([2, 2])
    assert np.isnan(slopes([0.4, 0.2], [0.0, 0.0])).all()


@given(seed=st.integers(0, 50), p=st.integers(1, 4))
def test_the_interval_covers_the_truth(seed, p):
    """With noise of 1 % on every error, the order is within three half-widths, or within 0.05."""
    e = H**p * (1 + 0.01 * np.random.default_rng(seed).standard_normal(len(H)))
    fit = fit_order(H, e)
    assert not fit.resolved or abs(fit.order - p) < max(3 * fit.half_width, 0.05)
