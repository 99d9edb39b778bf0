"""What a metric must do, as functions of the metric: the tests hold ours to it, and see that broken ones fail."""

from itertools import pairwise, product

import numpy as np
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from sdebench.metrics.frechet import frechet
from sdebench.metrics.statistics import Statistics, merged


def gaussian(seed: int, d: int, decay: float = 1.0) -> Statistics:
    """A law with a dense covariance, whose eigenvalues fall to about e^-decay squared, and a mean; as if of 10,000 samples."""
    rng = np.random.default_rng(seed)
    root = rng.standard_normal((d, d)) / d**0.5 + np.diag(np.exp(-decay * np.arange(d) / d))
    return Statistics.from_moments(rng.standard_normal(d), root @ root.T, 10_000)


def close(found: float, expected: float, relative: float) -> None:
    assert abs(found - expected) <= relative * abs(expected), f"{found!r} is not {expected!r} to {relative}"


def equals_the_square_root(distance) -> None:
    """|m - n|^2 + tr(A + B - 2 sqrtm(A B)), scipy's square root: to 1e-9, of covariances that do not commute."""
    for d, decay in ((3, 1.0), (20, 2.0), (60, 4.0)):
        a, b = gaussian(1, d, decay), gaussian(2, d)
        root = np.trace(sqrtm(a.cov @ b.cov)).real
        close(distance(a, b), np.square(a.mean - b.mean).sum() + np.trace(a.cov + b.cov) - 2 * root, 1e-9)


def closed_form_where_they_commute(distance) -> None:
    """|m - n|^2 + sum (sqrt(a_i) - sqrt(b_i))^2 in a common eigenbasis: to 1e-10, over four orders of magnitude."""
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.standard_normal((40, 40)))[0]
    a, b = np.exp(rng.uniform(-4, 4, 40)), np.exp(rng.uniform(-4, 4, 40))
    m, n = rng.standard_normal((2, 40))
    laws = (Statistics.from_moments(mean, (basis * values) @ basis.T, 1000) for mean, values in ((m, a), (n, b)))
    close(distance(*laws), np.square(m - n).sum() + np.square(np.sqrt(a) - np.sqrt(b)).sum(), 1e-10)


def closed_form_in_the_plane(distance) -> None:
    """tr (A B)^{1/2} = sqrt(tr A B + 2 sqrt(det A B)) for 2 x 2: to 1e-10, of covariances that do not commute."""
    a, b = np.array([[2.0, 1.5], [1.5, 3.0]]), np.array([[4.0, -1.0], [-1.0, 0.5]])
    assert np.abs(a @ b - b @ a).max() > 1
    root = np.sqrt(np.trace(a @ b) + 2 * np.sqrt(np.linalg.det(a) * np.linalg.det(b)))
    found = distance(Statistics.from_moments(np.zeros(2), a, 100), Statistics.from_moments(np.ones(2), b, 100))
    close(found, 2 + np.trace(a + b) - 2 * root, 1e-10)


def by_hand(distance) -> None:
    """{0, 2} and {0, 4}: means 1 and 2, variances over n - 1 of 2 and 8: 1 + (sqrt(2) - sqrt(8))^2 = 3."""
    close(distance(Statistics.of([[0.0], [2.0]]), Statistics.of([[0.0], [4.0]])), 3.0, 1e-14)


def fewer_samples_than_features(distance) -> None:
    """tr (A B)^{1/2} = |X Y^T|_* / sqrt((n - 1)(m - 1)), X (n, d) and Y (m, d) about their means: to 1e-12, n or m < d.

    The nuclear norm is a sum of n singular values; no covariance, no rounding below its root.
    """
    for n, m, d in ((30, 500, 100), (500, 30, 100), (30, 40, 100), (2, 3, 50), (7, 9, 9)):
        rng = np.random.default_rng(n)
        x, y = rng.standard_normal((n, d)) + 0.5, rng.standard_normal((m, d)) * rng.uniform(0.1, 2, d)
        a, b = (x - x.mean(0)) / (n - 1) ** 0.5, (y - y.mean(0)) / (m - 1) ** 0.5
        gap = np.square(x.mean(0) - y.mean(0)).sum()
        expected = gap + np.square(a).sum() + np.square(b).sum() - 2 * np.linalg.norm(a @ b.T, "nuc")
        close(distance(Statistics.of(x), Statistics.of(y)), expected, 1e-12)


def interval_near_the_data(bootstrap) -> None:
    """Samples of the reference's own law, 8 features: the half-width is within 0.7 and 1.8 of the one that 100 sets spread by.

    There FD is little more than its bias, and an interval that mistakes the bias for noise is several times too wide.
    """
    ref, found, widths = Statistics.from_moments(np.zeros(8), np.eye(8), 10**6), [], []
    for seed in range(100):
        parts = [Statistics.of(x) for x in np.random.default_rng(seed).standard_normal((10, 40, 8))]
        low, high = bootstrap(parts, ref, draws=40, seed=seed)
        found.append((low + high) / 2)
        widths.append((high - low) / 2)
    ratio = np.mean(widths) / (2.262 * np.std(found, ddof=1))  # Student's quantile of 9
    assert 0.7 < ratio < 1.8, f"half-widths are {ratio:.2f} of what they should be"


def limit_without_bias(infinite, d: int = 8, n: int = 400, scale: float = 1.3) -> None:
    """FD of the laws is d (scale - 1)^2: the mean of 150 limits is that to 3.5 of its standard errors, that of FD is not.

    The stated errors are those that the limits spread by, within a factor of 1.6.
    """
    ref, limits, plain = Statistics.from_moments(np.zeros(d), np.eye(d), 10**6), [], []
    for seed in range(150):
        parts = [Statistics.of(x) for x in scale * np.random.default_rng(seed).standard_normal((10, n // 10, d))]
        limits.append(infinite(parts, ref, draws=40))
        plain.append(frechet(merged(parts), ref))
    (values, errors), true = np.array(limits).T, d * (scale - 1) ** 2
    tolerance = 3.5 * np.std(values, ddof=1) / 150**0.5
    assert abs(np.mean(plain) - true) > tolerance
    assert abs(values.mean() - true) < tolerance
    assert 1 / 1.6 < errors.mean() / np.std(values, ddof=1) < 1.6


def without_bias(kernel_distance) -> None:
    """The mean over all samples of 3 and of 2 points from laws on 3 points each is MMD^2 itself: to 1e-12, no chance in it."""
    p, q = np.array([[0.0, 1.0], [1.0, -1.0], [2.0, 0.5]]), np.array([[1.0, 1.0], [0.0, 0.0], [-1.0, 2.0]])

    def mean(x, y):
        return float(((x @ y.T / 2 + 1) ** 3).mean())

    expected = mean(p, p) + mean(q, q) - 2 * mean(p, q)
    draws = [kernel_distance(p[list(x)], q[list(y)]) for x in product(range(3), repeat=3) for y in product(range(3), repeat=2)]
    close(float(np.mean(draws)), expected, 1e-12)


def clouds() -> tuple[np.ndarray, np.ndarray]:
    """Data of two clusters, and samples that are near one of them and partly beside it."""
    rng = np.random.default_rng(3)
    real = np.concatenate([rng.standard_normal((60, 3)), rng.standard_normal((40, 3)) + 8])
    return real, np.concatenate([1.5 * rng.standard_normal((70, 3)), rng.standard_normal((10, 3)) - 9])


def as_defined(precision_recall) -> None:
    """Precision and recall, word by word from the definition, over scipy's distances."""
    real, fake = clouds()
    for k in (1, 3, 10):
        radius_real, radius_fake = (np.sort(cdist(x, x), axis=1)[:, k] for x in (real, fake))
        between = cdist(fake, real)
        expected = (between <= radius_real).any(1).mean(), (between <= radius_fake[:, None]).any(0).mean()
        assert precision_recall(real, fake, k) == expected


def as_defined_over_data(density_coverage) -> None:
    """Density and coverage, word by word from the definition, over scipy's distances."""
    real, fake = clouds()
    for k in (1, 5, 10):
        inside = cdist(fake, real) <= np.sort(cdist(real, real), axis=1)[:, k]
        found = density_coverage(real, fake, k)
        assert np.allclose(found, (inside.sum() / k / len(fake), inside.any(0).mean()), rtol=1e-14)


def of_a_shift(sliced_wasserstein) -> None:
    """SW2(x, x + v) = |v|/sqrt(d) over full sets of orthogonal directions: to 1e-12."""
    x, v = np.random.default_rng(0).standard_normal((50, 6)), np.arange(6.0)
    close(sliced_wasserstein(x, np.random.default_rng(1).permutation(x + v), 12, 0), np.linalg.norm(v) / 6**0.5, 1e-12)


def of_a_scaling(sliced_wasserstein) -> None:
    """SW2 of N(0, I) and N(0, 4 I) is 1, along each line; to 2% with 20,000 points, and with unequal numbers of them."""
    x, y = np.random.default_rng(0).standard_normal((2, 20_000, 4))
    close(sliced_wasserstein(x, 2 * y[:15_000], 8, 0), 1.0, 0.02)


def resizes_as_tensorflow_did(resize) -> None:
    """Output pixel i lies at i n/size of the input, where the input is a line between its pixels, and flat after the last.

    A ramp is the ramp of the positions, up to the last pixel, to 1e-4 of 255 in float32, larger and smaller; [1, 2] on
    4 pixels is [1, 1.5, 2, 2].
    """
    for n, size in ((2, 4), (8, 299), (32, 299), (64, 48)):
        at = np.minimum(np.arange(size) * n / size, n - 1)
        ramp = torch.arange(n) * (200 // n)
        image = torch.stack([ramp.expand(n, n), ramp.expand(n, n).T]).to(torch.uint8)[None]
        found = resize(image, size)[0].double().numpy()
        assert np.abs(found[0] - at * (200 // n)).max() < 0.025
        assert np.abs(found[1] - at[:, None] * (200 // n)).max() < 0.025
    found = resize(torch.tensor([[[[1, 2], [3, 4]]]], dtype=torch.uint8), 4)
    assert found[0, 0, 0].tolist() == [1, 1.5, 2, 2]
    assert found[0, 0, :, 0].tolist() == [1, 2, 3, 3]


def merges(statistics) -> None:
    """The statistics of 1, 2 and 7 unequal parts are those of the whole: to 1e-12."""
    x = np.random.default_rng(0).standard_normal((1000, 12)) + 3
    whole = Statistics.of(x)
    for parts in (1, 2, 7):
        edges = np.linspace(0, 1, parts + 1) ** 2 * 1000
        found = merged([statistics(x[int(i) : int(j)]) for i, j in pairwise(edges)])
        assert found.count == 1000
        assert np.abs(found.mean - x.mean(0)).max() < 1e-12
        assert np.abs(found.cov - np.cov(x.T)).max() < 1e-12
        assert np.abs(found.cov - whole.cov).max() < 1e-12
