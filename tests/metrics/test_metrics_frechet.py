"""The Frechet distance against other ways to it, its interval against repeated samples, its limit against known bias."""

import mpmath as mp
import numpy as np
import pytest
from contract import checks_metrics as check
from scipy.special import gammaln

from sdebench._support.errors import UsageError
from sdebench.metrics import frechet as module
from sdebench.metrics.frechet import bootstrap, draws_for, frechet, infinite, interval, paired_bootstrap, resampled
from sdebench.metrics.statistics import Statistics, merged

CHECKS = [
    check.equals_the_square_root,
    check.closed_form_where_they_commute,
    check.closed_form_in_the_plane,
    check.by_hand,
    check.fewer_samples_than_features,
]


def parts_of(seed: int, k: int, n: int, d: int, scale: float = 1.0, shift: float = 0.0) -> list[Statistics]:
    x = np.random.default_rng(seed).standard_normal((k, n, d)) * scale + shift
    return [Statistics.of(some) for some in x]


def standard(d: int) -> Statistics:
    return Statistics.from_moments(np.zeros(d), np.eye(d), 10**6)


@pytest.mark.parametrize("what", CHECKS, ids=lambda what: what.__name__)
def test_the_distance(what):
    what(frechet)


def test_fewer_samples_than_features_with_a_large_mean():
    """Rounding of 1e-12 in the covariances, by their mean of 30 deviations, stays rounding: the same as about 0, to 1e-9."""
    x, y = np.random.default_rng(0).standard_normal((2, 20, 60))
    check.close(frechet(Statistics.of(x + 30), Statistics.of(y + 30)), frechet(Statistics.of(x), Statistics.of(y)), 1e-9)


def test_the_distance_in_forty_digits():
    """Singular, n = 4 < d = 6, by multiprecision eigenvalues of the unsymmetric A B: to 1e-12."""
    x, y = np.random.default_rng(0).integers(-9, 9, (2, 4, 6)).astype(float)
    with mp.workdps(40):
        covs, means = [], []
        for some in (x, y):
            rows = mp.matrix(some.tolist())
            mean = mp.matrix([[mp.fsum(rows[i, j] for i in range(4)) / 4 for j in range(6)]])
            rows -= mp.ones(4, 1) * mean
            means.append(mean)
            covs.append(rows.T * rows / 3)
        values = mp.eig(covs[0] * covs[1], left=False, right=False)
        root = mp.fsum(mp.sqrt(abs(mp.re(value))) for value in values if abs(value) > mp.mpf(10) ** -25)
        traces = mp.fsum(covs[0][i, i] + covs[1][i, i] for i in range(6))
        expected = float(mp.fsum(v**2 for v in (means[0] - means[1])) + traces - 2 * root)
    check.close(frechet(Statistics.of(x), Statistics.of(y)), expected, 1e-12)


def test_the_distance_is_symmetric_and_zero_from_itself():
    a, b = check.gaussian(1, 30), Statistics.of(np.random.default_rng(1).standard_normal((20, 30)))
    check.close(frechet(a, b), frechet(b, a), 1e-13)
    assert abs(frechet(a, a)) < 1e-12 * np.trace(a.cov)
    assert abs(frechet(b, b)) < 1e-12 * np.trace(b.cov)


def test_features_that_never_vary_change_nothing():
    """A unit that is always 0, and one that is always 1: rank below d with n > d."""
    x, y = np.random.default_rng(0).standard_normal((2, 50, 4))
    dead = np.concatenate([np.zeros((50, 1)), np.ones((50, 1))], axis=1)
    wide = [Statistics.of(np.concatenate([some, dead], axis=1)) for some in (x, y)]
    check.close(frechet(*wide), frechet(Statistics.of(x), Statistics.of(y)), 1e-12)
    still = Statistics.of(dead)
    assert frechet(still, still) == 0.0


def test_the_interval_near_the_data():
    check.interval_near_the_data(bootstrap)


@pytest.mark.parametrize("parts", [5, 10])
def test_the_interval_holds_the_mean_as_often_as_it_says(parts):
    """200 sets of 400 samples at some distance: 95 % of the intervals hold the mean of all, to 3.3 of its deviations (5 %)."""
    ref, ends, found = standard(4), [], []
    for seed in range(200):
        sets = parts_of(seed, parts, 400 // parts, 4, scale=1.3, shift=0.2)
        found.append(frechet(merged(sets), ref))
        ends.append(bootstrap(sets, ref, draws=60, seed=seed))
    low, high = np.array(ends).T
    assert abs(np.mean((low <= np.mean(found)) & (np.mean(found) <= high)) - 0.95) < 0.05


def test_an_interval_is_wider_for_a_higher_level_and_the_same_for_the_same_seed():
    parts, ref = parts_of(0, 6, 30, 4), standard(4)
    low, high = bootstrap(parts, ref, level=0.99)
    narrow = bootstrap(parts, ref, level=0.5)
    assert low < narrow[0] < frechet(merged(parts), ref) < narrow[1] < high
    assert bootstrap(parts, ref, seed=3) == bootstrap(parts, ref, seed=3) != bootstrap(parts, ref, seed=4)


def test_the_interval_is_that_of_its_draws():
    parts, ref = parts_of(0, 6, 30, 4), standard(4)
    draws = resampled(parts, ref, 50)
    assert draws.shape == (50,)
    at = frechet(merged(parts), ref)
    assert draws.mean() == pytest.approx(at, rel=1e-12)
    assert bootstrap(parts, ref, 50) == interval(at, draws, 6)


@pytest.mark.parametrize(("n", "of_ref"), [(10, 1000), (60, 10)])
def test_halves_have_the_distance_of_their_own_where_samples_or_reference_are_few(n, of_ref):
    """Two parts in 40 dimensions are the two halves: the draws are (FD_1 - FD_2)/2 either way, to 1e-8; means of 30 deviations,
    so that covariances have a rounding of 1e-12, whose root is none."""
    parts, ref = parts_of(0, 2, n, 40, shift=30.0), merged(parts_of(1, 1, of_ref, 40, shift=30.0))
    draws = resampled(parts, ref, 40)
    check.close(np.ptp(draws[:20]), abs(frechet(parts[0], ref) - frechet(parts[1], ref)), 1e-8)


def test_pairs_see_a_difference_that_intervals_do_not():
    """b is a, a little wider: the noise is the same in both, and the paired interval is 10 times narrower and has no 0."""
    x, ref = np.random.default_rng(0).standard_normal((10, 100, 6)) * 1.2, standard(6)
    a, b = [Statistics.of(some) for some in x], [Statistics.of(1.01 * some) for some in x]
    one, other, gap = bootstrap(a, ref), bootstrap(b, ref), paired_bootstrap(a, b, ref)
    assert one[1] > other[0]
    assert gap[1] < 0
    assert gap[1] - gap[0] < 0.1 * (one[1] - one[0])
    assert sum(gap) / 2 == pytest.approx(frechet(merged(a), ref) - frechet(merged(b), ref), rel=1e-9)


def test_pairs_of_the_same_law_are_told_apart_as_often_as_the_level_says():
    """100 pairs of independent sets of one law: 5 % of intervals miss 0, to 3.3 deviations (7 %)."""
    ref = standard(4)
    sets = [parts_of(seed, 8, 40, 4, 1.3) for seed in range(200)]
    gaps = np.array([paired_bootstrap(a, b, ref, 60) for a, b in zip(sets[::2], sets[1::2])])
    assert abs(np.mean((gaps[:, 0] > 0) | (gaps[:, 1] < 0)) - 0.05) < 0.07


def test_draws_are_the_same_in_blocks(monkeypatch):
    parts, ref = parts_of(0, 7, 20, 5), standard(5)
    whole = resampled(parts, ref, 40)
    monkeypatch.setattr(module, "_HELD", 60)
    assert np.allclose(resampled(parts, ref, 40), whole, rtol=1e-13)


def test_the_bias_of_few_samples_is_the_known_one():
    """N(0, 1) against itself: E FD = E m^2 + E (s - 1)^2 = 1/n + 2 (1 - c4(n)), c4 the mean of s; to 4 standard errors."""
    n, ref = 20, standard(1)
    found = [frechet(Statistics.of(x), ref) for x in np.random.default_rng(0).standard_normal((4000, n, 1))]
    c4 = np.sqrt(2 / (n - 1)) * np.exp(gammaln(n / 2) - gammaln((n - 1) / 2))
    assert abs(np.mean(found) - (1 / n + 2 * (1 - c4))) < 4 * np.std(found) / 4000**0.5


@pytest.mark.parametrize(("d", "n", "scale"), [(1, 80, 1.0), (8, 400, 1.0), (8, 400, 1.3)])
def test_the_limit_of_infinitely_many_samples_has_no_bias(d, n, scale):
    check.limit_without_bias(infinite, d, n, scale)


def test_draws_become_fewer_where_each_costs_more():
    assert [draws_for(d) for d in (32, 64, 512, 768, 2048)] == [200, 200, 200, 59, 24]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p, ref: frechet(Statistics.of([[1.0, 2.0]]), ref), "the first has 1 sample: give 2 or more"),
        (lambda p, ref: frechet(p[0], standard(3)), "features of 2 and 3 dimensions"),
        (lambda p, ref: frechet(np.zeros((4, 2)), ref), "the first is ndarray: give Statistics"),
        (lambda p, ref: bootstrap(p[:1], ref), "1 part(s): give 2 or more"),
        (lambda p, ref: bootstrap([], ref), "no statistics"),
        (lambda p, ref: bootstrap(p, standard(3)), "features of 2 and 3 dimensions"),
        (lambda p, ref: bootstrap([Statistics.of([[1.0, 2.0]])] * 3, ref), "of 2 samples or more"),
        (lambda p, ref: bootstrap(p, ref, draws=3), "draws = 3: give 4 or more"),
        (lambda p, ref: bootstrap(p, ref, level=95), "level = 95: give a probability"),
        (lambda p, ref: paired_bootstrap(p, p[:3], ref), "4 and 3 parts, or of unlike sizes"),
        (lambda p, ref: infinite(parts_of(0, 4, 2, 8), standard(8)), "8 samples of 8 features: give more than 16"),
    ],
)
def test_what_has_no_distance_is_refused_in_a_line(make, said):
    with pytest.raises(UsageError) as error:
        make(parts_of(0, 4, 10, 2), standard(2))
    assert said in str(error.value)
    assert "\n" not in str(error.value)
