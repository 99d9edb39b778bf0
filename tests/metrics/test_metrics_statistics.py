"""Statistics of features: they merge, they survive a file, and they refuse what is none."""

import subprocess
import sys

import numpy as np
import pytest
from contract import checks_metrics as check

from sdebench._support.errors import UsageError
from sdebench.metrics.frechet import frechet
from sdebench.metrics.statistics import Statistics, matrix, merged, pack, stack, unstack


def sample(n: int = 40, d: int = 5, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, d)) + 1


def test_parts_merge():
    check.merges(Statistics.of)


@pytest.mark.parametrize("parts", [1, 2, 7])
def test_the_distance_of_merged_parts_is_that_of_the_whole(parts):
    """To 1e-12, relative; for fewer samples than features too."""
    for n, d in ((500, 16), (20, 30)):
        x, ref = sample(n, d), check.gaussian(5, d)
        found = frechet(merged([Statistics.of(some) for some in np.array_split(x, parts)]), ref)
        check.close(found, frechet(Statistics.of(x), ref), 1e-12)


def test_the_covariance_keeps_its_digits_where_the_mean_is_large():
    """Mean 100 deviations: (mean/deviation)^2 = 1e4 of the precision is lost, and 1e-11 is left."""
    x = sample() + 100
    assert np.abs(Statistics.of(x).cov - np.cov(x.T)).max() < 1e-11


def test_moments_are_given_back():
    x = sample()
    again = Statistics.from_moments(x.mean(0), np.cov(x.T), len(x))
    assert again.count == 40
    assert np.abs(again.outer - x.T @ x).max() < 1e-11
    assert again.trace == pytest.approx(np.trace(np.cov(x.T)), rel=1e-12)


def test_a_file_gives_the_same_bits():
    from safetensors.numpy import load, save

    parts = [Statistics.of(sample(7, seed=seed)) for seed in range(4)]
    one = Statistics.from_arrays(load(save(parts[0].arrays())))
    assert np.array_equal(one.outer, parts[0].outer)
    for keep in (stack, pack):
        again = unstack(load(save(keep(parts))))
        assert [part.count for part in again] == [7] * 4
        assert all(np.array_equal(a.total, b.total) and np.array_equal(a.outer, b.outer) for a, b in zip(again, parts))


def test_integers_and_single_precision_are_summed_in_double():
    x = np.full((3, 1), 2**24 + 1, dtype=np.int64)
    assert Statistics.of(x).total == [3 * (2**24 + 1)]
    assert Statistics.of(sample().astype(np.float32)).outer.dtype == np.float64


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Statistics.of(np.zeros(3)), "features of shape (3,): give (n, d)"),
        (lambda: Statistics.of(np.zeros((0, 3))), "features of 0 samples: give 1 or more"),
        (lambda: Statistics.of(np.zeros((2, 0))), "features of shape (2, 0)"),
        (lambda: Statistics.of([[1.0, np.nan], [1.0, 2.0]]), "1 of 2 samples are not finite"),
        (lambda: matrix([[np.inf]]), "1 of 1 samples are not finite"),
        (lambda: Statistics.of([["a", "b"]]), "features are no numbers"),
        (lambda: Statistics.of([[1.0, 2.0], [3.0]]), "features are no numbers"),
        (lambda: Statistics(3, np.zeros(2), np.zeros((3, 3))), "total (2,), outer (3, 3)"),
        (lambda: Statistics(0, np.zeros(2), np.zeros((2, 2))), "count 0"),
        (lambda: Statistics(3, np.full(2, np.nan), np.zeros((2, 2))), "not finite"),
        (lambda: Statistics.from_moments(np.zeros(2), np.eye(3), 9), "mean (2,) and a covariance (3, 3)"),
        (lambda: Statistics.of([[1.0]]).cov, "give 2 or more"),
        (lambda: Statistics.of([[1.0]]).trace, "give 2 or more"),
        (lambda: Statistics.of([[1.0]]) + Statistics.of([[1.0, 2.0]]), "features of 1 and 2 dimensions"),
        (lambda: Statistics.from_arrays({"count": 3}), "statistics without 'total' (there are: count)"),
        (lambda: merged([]), "no statistics"),
        (lambda: stack([]), "no statistics"),
        (lambda: unstack(stack([Statistics.of([[1.0]])]) | {"count": np.array([1, 2])}), "2, 1 and 1 parts"),
    ],
)
def test_what_is_no_statistics_is_refused_in_a_line(make, said):
    with pytest.raises(UsageError) as error:
        make()
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_the_statistics_and_their_distance_do_without_torch():
    code = "import sys, sdebench.metrics, sdebench.metrics.frechet, sdebench.metrics.kernel, sdebench.metrics.neighbours, "
    code += "sdebench.metrics.sliced; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
