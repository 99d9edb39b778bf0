"""Metrics that compare samples one by one: kernel distance, neighbours, slices."""

import numpy as np
import pytest
from contract import checks_metrics as check

from sdebench._support.errors import UsageError
from sdebench.metrics import kernel, neighbours
from sdebench.metrics.kernel import kernel_distance, within
from sdebench.metrics.neighbours import density_coverage, expected_coverage, precision_recall
from sdebench.metrics.sliced import directions, sliced_wasserstein

X, Y = np.random.default_rng(0).standard_normal((2, 30, 3))


def test_the_kernel_distance_has_no_bias():
    check.without_bias(kernel_distance)


def test_the_kernel_distance_is_a_mean_over_pairs_whatever_is_held(monkeypatch):
    expected = kernel_distance(X, Y)
    assert kernel_distance(X, Y, within(Y)) == expected
    assert kernel_distance(Y, X) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(kernel, "_ROWS", 7)
    assert kernel_distance(X, Y) == pytest.approx(expected, rel=1e-12)


def test_the_kernel_distance_of_one_law_is_zero_in_the_mean_and_of_two_it_is_not():
    """400 pairs of 50 and 30 normals: 0 to 3.5 standard errors, with both signs; shifted, above 0 by 10 of them."""
    x = np.random.default_rng(1).standard_normal((400, 80, 4))
    same = np.array([kernel_distance(some[:50], some[50:]) for some in x])
    far = np.array([kernel_distance(some[:50], some[50:] + 0.5) for some in x])
    assert abs(same.mean()) < 3.5 * same.std() / 20
    assert same.min() < 0 < same.max()
    assert far.mean() > 10 * far.std() / 20


def test_precision_and_recall():
    check.as_defined(precision_recall)


def test_density_and_coverage():
    check.as_defined_over_data(density_coverage)


def test_neighbours_are_the_same_in_blocks(monkeypatch):
    real, fake = check.clouds()
    expected = precision_recall(real, fake), density_coverage(real, fake)
    monkeypatch.setattr(neighbours, "_HELD", 300)
    assert (precision_recall(real, fake), density_coverage(real, fake)) == expected


def test_a_lost_mode_is_lost_recall_and_a_strange_one_lost_precision():
    """Two clusters of which samples have one: all are good, half the data is missed; exchanged, the other way round."""
    x = np.random.default_rng(0).standard_normal((400, 2))
    both, one = np.concatenate([x[:100], x[100:200] + 50]), x[200:]
    precision, recall = precision_recall(both, one)
    assert precision > 0.95
    assert 0.4 < recall <= 0.5
    assert precision_recall(one, both) == (recall, precision)
    assert precision_recall(one, one) == (1.0, 1.0)
    assert density_coverage(both, one)[1] <= 0.5


def test_density_and_coverage_of_the_datas_own_law():
    """Means over 300 sets: 1, and 1 - prod (n - 1 - i)/(n + m - 1 - i), whatever the law; to 4 standard errors."""
    x = np.random.default_rng(0).standard_normal((300, 70, 2)) ** 3
    found = np.array([density_coverage(some[:40], some[40:], 4) for some in x])
    error = 4 * found.std(0) / 300**0.5
    assert (np.abs(found.mean(0) - (1.0, expected_coverage(40, 30, 4))) < error).all()
    assert expected_coverage(2, 1, 1) == 0.5
    assert expected_coverage(10_000, 10_000, 5) == pytest.approx(1 - 2**-5, abs=1e-4)


def test_features_far_from_the_origin_have_the_same_neighbours():
    real, fake = check.clouds()
    assert precision_recall(real + 1e8, fake + 1e8) == precision_recall(real, fake)


def test_slices_of_a_shift():
    check.of_a_shift(sliced_wasserstein)


def test_slices_of_a_scaling():
    check.of_a_scaling(sliced_wasserstein)


def test_slices_of_unequal_numbers_of_points():
    """On the line: {0, 3} and {0, 1, 2}: quantiles differ by 0, 1, 2 and 1 on 1/3, 1/6, 1/6 and 1/3: W2^2 = 7/6."""
    found = sliced_wasserstein(np.array([[0.0], [3.0]]), np.array([[2.0], [0.0], [1.0]]), 5)
    assert found == pytest.approx((7 / 6) ** 0.5, rel=1e-14)


def test_slices_are_the_same_where_points_are_repeated():
    assert sliced_wasserstein(np.repeat(X, 3, axis=0), Y, 8) == pytest.approx(sliced_wasserstein(X, Y, 8), rel=1e-12)
    assert sliced_wasserstein(X, X, 8) == 0.0
    assert sliced_wasserstein(X, Y, 8, seed=1) != sliced_wasserstein(X, Y, 8, seed=2)


def test_directions_are_unit_vectors_orthogonal_in_sets_and_uniform():
    """Of 3000 first directions in the plane, the angles are uniform: their first moments vanish to 4 standard errors."""
    w = directions(5, 12, 0)
    assert w.shape == (5, 12)
    assert np.abs(w[:, 5:10].T @ w[:, 5:10] - np.eye(5)).max() < 1e-12
    first = directions(2, 6000, 1)[:, ::2]
    assert np.abs(first.mean(1)).max() < 4 * (0.5 / 3000) ** 0.5
    assert abs((first[0] ** 2).mean() - 0.5) < 4 * (0.125 / 3000) ** 0.5


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: kernel_distance(X[:1], Y), "features of 1 samples: give 2 or more"),
        (lambda: kernel_distance(X, Y[:, :2]), "features of 3 and 2 dimensions"),
        (lambda: kernel_distance(X, Y * np.nan), "30 of 30 samples are not finite"),
        (lambda: within(X[0]), "features of shape (3,)"),
        (lambda: precision_recall(X[:3], Y, 3), "features of data of 3 samples: give 4 or more"),
        (lambda: precision_recall(X, Y[:3], 3), "features of samples of 3 samples: give 4 or more"),
        (lambda: precision_recall(X, Y, 0), "k = 0: give the number of neighbours"),
        (lambda: precision_recall(X, Y, 2.5), "k = 2.5"),
        (lambda: precision_recall(X, Y[:, :2]), "features of 3 and 2 dimensions"),
        (lambda: density_coverage(X[:5], Y, 5), "features of data of 5 samples: give 6 or more"),
        (lambda: density_coverage(X, Y[:0]), "features of samples of 0 samples: give 1 or more"),
        (lambda: sliced_wasserstein(X, Y[:, :2]), "features of 3 and 2 dimensions"),
        (lambda: sliced_wasserstein(X, Y, 0), "projections = 0"),
        (lambda: sliced_wasserstein(X, np.full((2, 3), np.inf)), "2 of 2 samples are not finite"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_a_line(make, said):
    with pytest.raises(UsageError) as error:
        make()
    assert said in str(error.value)
    assert "\n" not in str(error.value)
