"""The Frechet distance beside scipy's matrix square root, at Inception's 2048 features, and its interval, in one run.

    OPENBLAS_NUM_THREADS=1 pytest benchmarks/bench_frechet.py --benchmark-timer=time.process_time

Both start from merged statistics of 5000 samples on each side, end with a number, and have the same THREADS; processor time,
so that a machine that others use gives the same ratio.  `speedup` in the extra information is the square root's time over ours
(the best of our rounds; the square root is run once), which must be 8 or more; `difference` is that of their results, relative.
"""

from time import process_time

import numpy as np
import pytest
from scipy.linalg import sqrtm
from threadpoolctl import threadpool_info, threadpool_limits

from sdebench.metrics.frechet import bootstrap, draws_for, frechet, infinite, paired_bootstrap
from sdebench.metrics.statistics import Statistics, merged

THREADS, LEAST = 1, 8.0


def features(d: int, n: int, seed: int) -> np.ndarray:
    """Skewed and correlated, as a network's are, with variances over four orders of magnitude."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((n, d)) @ (np.eye(d) + np.random.default_rng(0).standard_normal((d, d)) / d**0.5)
    return np.logaddexp(0, mixed) * np.geomspace(1, 0.01, d) * (1 + 0.05 * seed)


def by_square_root(a: Statistics, b: Statistics) -> float:
    """As FID is commonly computed, without the regularisation."""
    root = np.trace(sqrtm(a.cov @ b.cov)).real
    return float(np.square(a.mean - b.mean).sum() + np.trace(a.cov) + np.trace(b.cov) - 2 * root)


@pytest.fixture(autouse=True)
def threads():
    with threadpool_limits(THREADS):
        yield
        assert all(pool["num_threads"] == THREADS for pool in threadpool_info())


def test_beside_the_square_root(benchmark):
    a, b = (Statistics.of(features(2048, 5000, seed)) for seed in (1, 2))
    found = benchmark.pedantic(frechet, args=(a, b), rounds=3, warmup_rounds=1)
    if benchmark.disabled:
        return
    begun = process_time()
    expected = by_square_root(a, b)
    seconds = process_time() - begun
    benchmark.extra_info |= {
        "sqrtm_seconds": seconds,
        "speedup": seconds / benchmark.stats.stats.min,
        "threads": THREADS,
        "distance": found,
        "difference": abs(found / expected - 1),
    }
    assert benchmark.extra_info["difference"] < 1e-6
    assert benchmark.extra_info["speedup"] >= LEAST


def parts(d: int, seed: int) -> list[Statistics]:
    return [Statistics.of(some) for some in np.array_split(features(d, 2000, seed), 20)]


@pytest.mark.parametrize("what", [bootstrap, paired_bootstrap, infinite], ids=lambda what: what.__name__)
def test_the_interval_of_64_features(benchmark, what):
    """20 parts of 100 samples, 200 half-samples."""
    given = [parts(64, seed) for seed in ((1, 2) if what is paired_bootstrap else (1,))]
    benchmark.extra_info |= {"draws": draws_for(64), "threads": THREADS}
    benchmark(what, *given, merged(parts(64, 3)))
