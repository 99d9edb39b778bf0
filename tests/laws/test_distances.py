"""Distances between laws against closed forms; densities asked between their nodes."""

from math import log, pi, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.special import ndtr

from sdebench._support.errors import UsageError
from sdebench.laws.density import Density, Exact
from sdebench.laws.distances import (
    distances,
    gaussian_kl,
    gaussian_wasserstein2,
    kl,
    total_variation,
    wasserstein1,
    wasserstein2,
)
from sdebench.problems import GaussianMixture

BIMODAL = GaussianMixture([0.4, 0.6], [[-1.0], [0.9]], [0.4**2, 0.5**2])


def normal(mean, sd):
    return GaussianMixture([1.0], [[mean]], [sd * sd])


def sampled(law):
    return Exact(law).density()


def closed(shift, ratio):
    """(KL, TV, W1, W2) of N(0, 1) from N(shift, ratio^2), where one of shift = 0, ratio = 1 holds."""
    divergence = log(ratio) + (1 + shift * shift) / (2 * ratio * ratio) - 0.5
    if ratio == 1:
        return divergence, 2 * ndtr(abs(shift) / 2) - 1, abs(shift), abs(shift)
    x = sqrt(2 * log(ratio) / (1 - ratio**-2))
    return divergence, 2 * abs(ndtr(x) - ndtr(x / ratio)), abs(ratio - 1) * sqrt(2 / pi), abs(ratio - 1)


@pytest.mark.parametrize(("shift", "ratio"), [(0.3, 1), (-2.0, 1), (1e-3, 1), (0, 1.3), (0, 0.6), (0, 1.001)])
@pytest.mark.parametrize("on_nodes", [(False, False), (True, False), (True, True)])
def test_gaussians_in_closed_form(shift, ratio, on_nodes):
    p, q = normal(0.0, 1.0), normal(shift, ratio)
    p, q = (sampled(law) if nodes else law for law, nodes in zip((p, q), on_nodes))
    for found, exact in zip(distances(p, q), closed(shift, ratio)):
        assert abs(found - exact) < 1e-9


@pytest.mark.parametrize("size", [1e-2, 1e-4, 1e-6])
def test_near_laws_keep_relative_accuracy(size):
    """KL of 5e-13 to four digits: nothing cancels."""
    found, exact = distances(sampled(normal(0.0, 1.0)), normal(size, 1.0)), closed(size, 1)
    for name, a, b, tolerance in zip(("kl", "tv", "w1", "w2"), found, exact, (1e-4, 1e-8, 1e-8, 1e-4)):
        assert abs(a / b - 1) < tolerance, name


def test_distance_to_itself_is_nought():
    for law in (normal(0.3, 0.7), BIMODAL):
        found = distances(sampled(law), law)
        assert found.kl < 1e-20
        assert found.tv < 1e-13
        assert found.w1 < 1e-13
        assert found.w2 < 1e-9


def test_far_laws():
    p, q = normal(0.0, 1.0), normal(40.0, 1.0)
    assert total_variation(p, q) == pytest.approx(1, abs=1e-12)
    assert wasserstein1(p, q) == pytest.approx(40, abs=1e-9)
    assert wasserstein2(p, q) == pytest.approx(40, abs=1e-9)
    assert kl(p, normal(8.0, 1.0)) == pytest.approx(32, abs=1e-9)
    assert kl(sampled(p), sampled(q)) == pytest.approx(800, rel=1e-6)  # the tail is continued


@settings(max_examples=12)
@given(st.floats(-1, 1), st.floats(0.4, 1.5), st.floats(-1, 1), st.floats(0.4, 1.5), st.floats(0.1, 0.9))
def test_inequalities(mean, sd, other_mean, other_sd, weight):
    p = GaussianMixture([weight, 1 - weight], [[mean], [0.5]], [sd * sd, 0.25])
    q = GaussianMixture([1 - weight, weight], [[other_mean], [-0.5]], [other_sd * other_sd, 0.49])
    found, back = distances(p, q), distances(q, p)
    assert found.kl >= 0
    assert found.tv**2 <= found.kl / 2 + 1e-12  # Pinsker
    assert found.w1 <= found.w2 + 1e-9
    assert found.w1 >= abs(float(p.mean() - q.mean())) - 1e-10
    assert found.tv == pytest.approx(back.tv, abs=1e-10)
    assert found.w1 == pytest.approx(back.w1, abs=1e-10)
    assert found.w2 == pytest.approx(back.w2, abs=1e-8)


def test_a_mixture_by_plain_sums():
    """Against sums over a million nodes, which know no roots and no tables."""
    p, q = BIMODAL, GaussianMixture([0.5, 0.5], [[-0.7], [1.1]], [0.5**2, 0.3**2])
    x = np.linspace(-8, 8, 1_000_001)
    a, b = Exact(p), Exact(q)
    h = x[1] - x[0]
    found = distances(p, q)
    assert found.kl == pytest.approx(h * (a.pdf(x) * np.log(a.pdf(x) / b.pdf(x))).sum(), abs=1e-10)
    assert found.tv == pytest.approx(0.5 * h * np.abs(a.pdf(x) - b.pdf(x)).sum(), abs=1e-9)
    assert found.w1 == pytest.approx(h * np.abs(a.cdf(x) - b.cdf(x)).sum(), abs=1e-9)


def test_density_between_its_nodes():
    law, exact = sampled(BIMODAL), Exact(BIMODAL)
    x = np.linspace(-4, 4, 1001)
    assert np.abs(law.pdf(x) - exact.pdf(x)).max() < 1e-12
    assert np.abs(law.cdf(x) - exact.cdf(x)).max() < 1e-13
    q = np.linspace(0.001, 0.999, 999)
    assert np.abs(law.quantile(q) - exact.quantile(q)).max() < 1e-11
    assert np.abs(law.cdf(law.quantile(q)) - q).max() < 1e-14
    assert law.cdf(-100.0) == 0
    assert law.cdf(100.0) == 1
    assert law.pdf(100.0) == 0
    x = np.linspace(-4.4, 5.2, 1001)  # densities of 1e-17 and 1e-16 at the ends
    assert np.abs(law.log_pdf(x) - exact.log_pdf(x)).max() < 1e-4
    nodes, values = law.refined(law.spacing / 5)
    assert np.abs(values - exact.pdf(nodes)).max() < 1e-12


@pytest.mark.parametrize("n", [20, 21])
def test_refining_keeps_the_nodes(n):
    """Of a density that its nodes barely resolve, so that the highest frequency counts."""
    x = np.linspace(-9, 9, n)
    law = Density(x, np.exp(-0.5 * (x - 0.2) ** 2), np.full(n, x[1] - x[0]))
    nodes, values = law.refined(law.spacing / 5)
    assert np.abs(nodes[::5] - x).max() < 1e-14
    assert np.abs(values[::5] - law.density).max() < 1e-14


def test_tails_go_on_as_those_of_a_normal():
    x = np.linspace(-50, 50, 1001)
    assert np.abs(sampled(normal(1.0, 2.0)).log_pdf(x) / Exact(normal(1.0, 2.0)).log_pdf(x) - 1).max() < 1e-8


def test_exact_quantiles_in_the_tails():
    exact = Exact(normal(1.0, 2.0))
    q = np.array([1e-200, 1e-12, 0.5, 1 - 1e-12])
    expected = 1 + 2 * np.array([-30.20559, -7.034484, 0, 7.034484])
    assert np.abs(exact.quantile(q) - expected).max() < 1e-4
    even = GaussianMixture([0.3, 0.4, 0.3], [[-1.0], [0.0], [1.0]], [0.5, 1.0, 0.5])
    low, high = Exact(even).quantile(np.array([2.0**-40, 1 - 2.0**-40]))
    assert abs(low + high) < 1e-12


def test_moments():
    law = sampled(BIMODAL)
    assert law.mass == pytest.approx(1, abs=1e-14)
    assert law.mean == pytest.approx(float(BIMODAL.mean()), abs=1e-13)
    assert law.variance == pytest.approx(float(BIMODAL.cov()), abs=1e-13)
    raw = 0.4 * (-1 - 3 * 0.16) + 0.6 * (0.9**3 + 3 * 0.9 * 0.25)
    assert law.moment(3, central=False) == pytest.approx(raw, abs=1e-13)
    assert law.moment(2, central=False) == pytest.approx(law.variance + law.mean**2, abs=1e-13)
    assert law.expect(np.cos) == pytest.approx(0.4 * np.cos(1) * np.exp(-0.08) + 0.6 * np.cos(0.9) * np.exp(-0.125), abs=1e-13)


def test_bad_densities_are_refused():
    x = np.linspace(-9, 9, 101)
    p, w = np.exp(-x * x), np.full(101, x[1] - x[0])
    for nodes, density, words in (
        (x**3, p, "not uniform"),
        (x[::-1], p, "not uniform"),
        (x, -p, "negative"),
        (x, np.ones(101), "cut off"),
        (x[:50], p, "one length"),
    ):
        with pytest.raises(UsageError, match=words):
            Density(nodes, density, w)
    with pytest.raises(UsageError, match="between 0 and 1"):
        Density(x, p, w).quantile(np.array([0.0]))
    with pytest.raises(UsageError, match="no law on the line"):
        distances(GaussianMixture([1.0], [[0.0, 0.0]], [1.0]), BIMODAL)


def covariance(seed, d=4):
    a = np.random.default_rng(seed).normal(size=(d, d))
    return a @ a.T + 0.1 * np.eye(d)


def test_bures_wasserstein():
    a, b = covariance(1), covariance(2)
    m, n = np.arange(4.0), np.ones(4)
    root = sqrtm(a).real
    textbook = np.square(m - n).sum() + np.trace(a + b - 2 * sqrtm(root @ b @ root).real)
    assert gaussian_wasserstein2((m, a), (n, b)) == pytest.approx(sqrt(textbook), abs=1e-10)
    assert gaussian_wasserstein2((m, a), (m, 4 * a)) == pytest.approx(sqrt(np.trace(a)), abs=1e-12)
    assert gaussian_wasserstein2((m, a), (m, a)) < 1e-13
    tiny = 1e-9
    assert gaussian_wasserstein2((m, a), (m, (1 + tiny) ** 2 * a)) == pytest.approx(tiny * sqrt(np.trace(a)), rel=1e-5)
    assert gaussian_wasserstein2((0.0, 1.0), (3.0, 25.0)) == pytest.approx(5, abs=1e-14)


def test_gaussian_kl():
    a, b = covariance(3), covariance(4)
    m, n = np.arange(4.0), np.ones(4)
    inverse = np.linalg.inv(b)
    textbook = np.trace(inverse @ a) - 4 - log(np.linalg.det(a) / np.linalg.det(b)) + (m - n) @ inverse @ (m - n)
    assert gaussian_kl((m, a), (n, b)) == pytest.approx(textbook / 2, rel=1e-12)
    assert gaussian_kl((m, a), (m, a)) == 0
    tiny = 1e-7
    assert gaussian_kl((m, (1 + tiny) * a), (m, a)) == pytest.approx(4 * tiny**2 / 4, rel=1e-5)
    assert gaussian_kl((0.0, 1.0), (0.3, 1.69)) == pytest.approx(kl(normal(0.0, 1.0), normal(0.3, 1.3)), abs=1e-12)
    assert gaussian_kl(([0.0, 0.0], [[1.0, 0.0], [0.0, 0.0]]), ([0.0, 0.0], np.eye(2))) == np.inf


def test_bad_gaussians_are_refused():
    for law in ((np.zeros(2), np.eye(3)), (np.zeros(2), [[1.0, 0.5], [0.0, 1.0]]), (np.array([np.nan, 0]), np.eye(2))):
        with pytest.raises(UsageError):
            gaussian_wasserstein2(law, (np.zeros(2), np.eye(2)))
