"""Schedules: against multiprecision at the ends, against numerical derivatives between them, and every bad time refused."""

from fractions import Fraction
from math import inf, isfinite, nan

import mpmath as mp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sdebench._support.errors import UsageError, shown
from sdebench.schedules import EDM, SCHEDULES, VE, Rectified, VPCosine, VPLinear

ALL = [VPLinear(), VPCosine(), VE(), EDM(), Rectified(), VPLinear(0.05, 3.0), VPCosine(0.0), VE(0.002, 80.0)]
LAST = {VE: 1.0, EDM: 80.0, Rectified: 1 - 1e-9, VPCosine: VPCosine.t_max, VPLinear: 1.0}  # the noisiest time with a finite lam
EPS = 2.220446049250313e-16


def ids(ns):
    return str(ns)


def exact(ns, t):
    """(alpha, sigma) from the definitions in the papers, at 60 digits, cancellation and all."""
    t = mp.mpf(t)
    if isinstance(ns, VPLinear):
        b = mp.mpf(ns.beta_min) * t + (mp.mpf(ns.beta_max) - mp.mpf(ns.beta_min)) * t**2 / 2
        return mp.exp(-b / 2), mp.sqrt(1 - mp.exp(-b))
    if isinstance(ns, VPCosine):
        s = mp.mpf(ns.s)
        angle = lambda u: mp.pi / 2 * (u + s) / (1 + s)  # noqa: E731
        alpha = mp.cos(angle(t)) / mp.cos(angle(0))
        return alpha, mp.sqrt(1 - alpha**2)
    if isinstance(ns, VE):
        return mp.mpf(1), mp.mpf(ns.sigma_min) * (mp.mpf(ns.sigma_max) / mp.mpf(ns.sigma_min)) ** t
    return (mp.mpf(1), t) if isinstance(ns, EDM) else (1 - t, t)


def times(ns, low=1e-3):
    """200 times from `low` to the end, as many small as large."""
    end = LAST[type(ns)]
    return [low * (end / low) ** (i / 199) for i in range(199)] + [end]


@pytest.fixture(autouse=True)
def _sixty_digits():
    with mp.workdps(60):
        yield


@pytest.mark.parametrize("ns", ALL, ids=ids)
@pytest.mark.parametrize("t", [1e-6, 1e-5, 1e-3, 0.1, 0.5, 0.9])
def test_alpha_and_sigma_are_right_to_fourteen_digits(ns, t):
    alpha, sigma = exact(ns, t)
    assert abs(ns.alpha(t) / alpha - 1) < 1e-14
    assert abs(ns.sigma(t) / sigma - 1) < 1e-14
    assert abs(ns.rho(t) / (sigma / alpha) - 1) < 2e-14


@pytest.mark.parametrize("ns", ALL, ids=ids)
@pytest.mark.parametrize("t", [1e-6, 0.1, 0.7])
def test_levels_are_alpha_and_sigma_to_the_bit(ns, t):
    assert ns.levels(t) == (ns.alpha(t), ns.sigma(t))


@pytest.mark.parametrize("ns", ALL, ids=ids)
@pytest.mark.parametrize("t", [1e-6, 1e-3, 0.5, 0.999])
def test_lam_is_the_log_of_their_ratio(ns, t):
    alpha, sigma = exact(ns, t)
    assert abs(ns.lam(t) - mp.log(alpha / sigma)) < 4 * EPS * max(1, abs(ns.lam(t)))


@pytest.mark.parametrize("ns", ALL, ids=ids)
def test_t_inverts_lam_over_the_span(ns):
    for t in times(ns):
        assert abs(ns.t(ns.lam(t)) - t) <= 1e-12 * t


@pytest.mark.parametrize("ns", ALL, ids=ids)
def test_t_inverts_lam_down_to_a_millionth(ns):
    """To 1e-12 relative, except on VE: its lam runs to the FINITE -log(sigma_min) as t falls to 0, so a float near 4.6 is
    all that is left of t, and no inverse can return it to better than ulp(lam) / |dlam/dt|, some 1e-16 absolute.
    """
    for t in times(ns, low=1e-6):
        allowed = 4 * EPS * (1 + abs(ns.lam(0.0))) / ns._rate if isinstance(ns, VE) else 0.0
        assert abs(ns.t(ns.lam(t)) - t) <= max(1e-12 * t, allowed)


@pytest.mark.parametrize("ns", ALL, ids=ids)
def test_f_and_g2_follow_from_alpha_and_sigma(ns):
    """f = d log(alpha)/dt, g^2 = d(sigma^2)/dt - 2 f sigma^2: derivatives taken in 60 digits, by mpmath."""
    for t in (1e-6, 1e-3, 0.2, 0.7, 0.95):
        f = mp.diff(lambda u: mp.log(exact(ns, u)[0]), t, h=mp.mpf(10) ** -25)
        g2 = mp.diff(lambda u: exact(ns, u)[1] ** 2, t, h=mp.mpf(10) ** -25) - 2 * f * exact(ns, t)[1] ** 2
        assert abs(ns.f(t) - f) <= 1e-13 * abs(f) + 1e-18
        assert abs(ns.g2(t) - g2) <= 1e-13 * abs(g2)


@pytest.mark.parametrize("ns", ALL, ids=ids)
def test_g2_is_the_rate_of_lam(ns):
    """g^2 = -2 sigma^2 dlam/dt, in floats, by a central difference."""
    for t in (0.05, 0.3, 0.8):
        d = 1e-5 * t
        slope = (ns.lam(t + d) - ns.lam(t - d)) / (2 * d)
        assert ns.g2(t) == pytest.approx(-2 * ns.sigma(t) ** 2 * slope, rel=1e-8)


@pytest.mark.parametrize("ns", [VPLinear(), VPCosine(), VPCosine(0.0), VPLinear(0.05, 3.0)], ids=ids)
@given(t=st.floats(1e-9, 0.9999))
def test_variance_is_preserved(ns, t):
    assert abs(ns.alpha(t) ** 2 + ns.sigma(t) ** 2 - 1) < 8 * EPS


@pytest.mark.parametrize("ns", ALL, ids=ids)
@given(a=st.floats(1e-5, 0.999), b=st.floats(1e-5, 0.999))
def test_lam_falls_as_noise_rises(ns, a, b):
    if a < b * (1 - 1e-12):
        assert ns.lam(a) > ns.lam(b)
        assert ns.rho(a) < ns.rho(b)


@pytest.mark.parametrize("ns", ALL, ids=ids)
@given(q=st.floats(0, 1))
def test_lam_inverts_t(ns, q):
    low, high = ns.lam(LAST[type(ns)]), ns.lam(1e-3)
    lam = low + q * (high - low)
    t = ns.t(lam)
    # A float t holds lam to |dlam/dt| ulp(t); near an end where alpha or sigma vanishes that is the larger part.
    slope = ns.g2(t) / (2 * ns.sigma(t) ** 2)
    assert abs(ns.lam(t) - lam) <= 16 * EPS * (1 + abs(lam) + slope * t)


@pytest.mark.parametrize("ns", ALL, ids=ids)
@pytest.mark.parametrize("reading", ["alpha", "sigma", "levels", "lam", "f", "g2", "rho"])
@pytest.mark.parametrize("t", [-0.1, -1e-300, nan, inf, 1.5])
def test_a_time_out_of_the_domain_is_refused_and_the_domain_is_said(ns, reading, t):
    if isinstance(ns, EDM) and t == 1.5:
        assert np.isfinite(getattr(ns, reading)(t)).all()
        return
    with pytest.raises(UsageError) as caught:
        getattr(ns, reading)(t)
    message = str(caught.value)
    assert repr(t) in message, "what came"
    assert "give 0 < t" in message, "what is allowed"
    assert type(ns).__name__ in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("ns", "t"), [(VPLinear(), 0.0), (VPCosine(), 0.0), (EDM(), 0.0), (Rectified(), 0.0), (Rectified(), 1.0)], ids=str
)
def test_lam_is_refused_where_it_is_infinite(ns, t):
    assert isfinite(ns.alpha(t))
    assert isfinite(ns.sigma(t))
    with pytest.raises(UsageError, match="domain"):
        ns.lam(t)


@pytest.mark.parametrize("ns", ALL, ids=ids)
@pytest.mark.parametrize("lam", [nan, inf, -inf, -800.0])
def test_a_lam_that_is_not_reached_is_refused(ns, lam):
    with pytest.raises(UsageError, match="lam"):
        ns.t(lam)


NO_NUMBERS = ("a", None, [0.5], (), 1j, {}, np.array([0.2, 0.4]), torch.tensor([[0.2], [0.4]]))


@pytest.mark.parametrize("ns", ALL, ids=ids)
@pytest.mark.parametrize("reading", ["alpha", "sigma", "lam", "f", "g2", "rho", "t"])
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused_in_one_line(ns, reading, value):
    with pytest.raises(UsageError) as caught:
        getattr(ns, reading)(value)
    message = str(caught.value)
    assert message.startswith(f"{'lam' if reading == 't' else 'time'} {shown(value)} is not one number")
    assert "give " in message
    assert "\n" not in message
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("ns", ALL, ids=ids)
@pytest.mark.parametrize("kind", [np.float32, np.array, torch.tensor, Fraction])
def test_one_number_of_any_kind_will_do(ns, kind):
    for reading in ("alpha", "sigma", "lam", "f", "g2", "rho", "t"):
        assert float(getattr(ns, reading)(kind(0.5))) == pytest.approx(getattr(ns, reading)(0.5), rel=1e-6)


@pytest.mark.parametrize("ns", ALL, ids=ids)
def test_the_ends_come_back_as_they_are(ns):
    end = ns.t_max if isfinite(ns.t_max) else 80.0
    if isinstance(ns, Rectified):
        return  # lam is infinite there
    assert ns.t(ns.lam(end)) == pytest.approx(end, rel=1e-10)
    assert ns.t(ns.lam(end)) <= ns.t_max


@pytest.mark.parametrize("ns", [VE(), VE(0.002, 80.0)], ids=ids)
def test_the_clean_end_of_ve_is_in_its_domain(ns):
    """Its lam is finite at t = 0, and comes back as 0 even where rounding lands below."""
    assert ns.t(ns.lam(0.0)) == 0.0
    assert ns.t(ns.lam(0.0) + 1e-14) == 0.0
    with pytest.raises(UsageError, match="not reached"):
        ns.t(ns.lam(0.0) + 1e-6)


@pytest.mark.parametrize(
    ("make", "values"),
    [
        (VPLinear, (-1.0,)),
        (VPLinear, (2.0, 1.0)),
        (VPLinear, (0.1, inf)),
        (VPLinear, (nan,)),
        (VPCosine, (-0.1,)),
        (VPCosine, (nan,)),
        (VE, (0.0,)),
        (VE, (2.0, 1.0)),
        (VE, (0.1, inf)),
        (VPLinear, ("a",)),
        (VPLinear, (0.1, None)),
        (VPCosine, ("x",)),
        (VE, (0.01, [50])),
    ],
)
def test_bad_parameters_are_refused(make, values):
    with pytest.raises(UsageError, match="give "):
        make(*values)


def test_all_five_are_listed_and_are_values():
    assert list(SCHEDULES) == ["VPLinear", "VPCosine", "VE", "EDM", "Rectified"]
    assert all(make() == make() and hash(make()) == hash(make()) for make in SCHEDULES.values())
    assert str(VPLinear()) == "VPLinear(beta_min=0.1, beta_max=20)"
