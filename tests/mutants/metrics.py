"""Metrics broken on purpose; each has a test that rejects it, in `test_rejected_metrics`."""

import numpy as np
import torch
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist

from sdebench.metrics.frechet import frechet, infinite
from sdebench.metrics.statistics import Statistics, merged


def _root(cov: np.ndarray) -> np.ndarray:
    values, basis = np.linalg.eigh(cov)
    return (basis * np.sqrt(np.maximum(values, 0))) @ basis.T


def _distance(a: Statistics, b: Statistics, cross: float) -> float:
    return float(np.square(a.mean - b.mean).sum() + a.trace + b.trace - 2 * cross)


def biased_covariance(a, b):
    """Over n and not n - 1, as the statistics of StyleGAN have it."""
    return frechet(*(Statistics.from_moments(s.mean, s.cov * (s.count - 1) / s.count, s.count) for s in (a, b)))


def without_the_cross_term(a, b):
    """tr A + tr B, and nothing taken off."""
    return _distance(a, b, 0.0)


def without_the_mean(a, b):
    """The covariances alone."""
    return frechet(a, b) - float(np.square(a.mean - b.mean).sum())


def product_of_roots(a, b):
    """tr A^{1/2} B^{1/2} for tr (A B)^{1/2}: right where A and B commute."""
    return _distance(a, b, np.trace(_root(a.cov) @ _root(b.cov)))


def symmetrised_product(a, b):
    """The root of (A B + B A)/2: right where A and B commute."""
    both = a.cov @ b.cov
    return _distance(a, b, np.sqrt(np.maximum(np.linalg.eigvalsh((both + both.T) / 2), 0)).sum())


def rounding_under_the_root(a, b):
    """Every eigenvalue of A^{1/2} B A^{1/2} counts, also those that are rounding."""
    root = _root(a.cov)
    return _distance(a, b, np.sqrt(np.abs(np.linalg.eigvalsh(root @ b.cov @ root))).sum())


def regularised(a, b):
    """The covariances made regular by 1e-6, as the sources do where the square root fails."""
    a, b = (Statistics.from_moments(s.mean, s.cov + 1e-6 * np.eye(s.dim), s.count) for s in (a, b))
    return _distance(a, b, np.trace(sqrtm(a.cov @ b.cov)).real)


def forgets_the_means(features):
    """Covariances are added up, as if all parts had the mean 0."""
    s = Statistics.of(features)
    return Statistics(s.count, s.total, (s.count - 1) * s.cov)


def drawn_with_replacement(parts, ref, draws, seed):
    """The plain bootstrap: of unequal effective size, so that the bias varies."""
    rng = np.random.default_rng(seed)
    found = [frechet(merged([parts[i] for i in rng.integers(len(parts), size=len(parts))]), ref) for _ in range(draws)]
    at, wide = frechet(merged(parts), ref), 2.262 * np.std(found, ddof=1)
    return at - wide, at + wide


def spread_of_the_parts(parts, ref, draws, seed):
    """The spread of FD of one part each, over sqrt(K): but FD of few samples is mostly bias."""
    found = [frechet(part, ref) for part in parts]
    at, wide = frechet(merged(parts), ref), 2.262 * np.std(found, ddof=1) / len(parts) ** 0.5
    return at - wide, at + wide


def line_in_the_root(parts, ref, draws):
    """FD against 1/sqrt(n), as if it were noise."""
    value, error = infinite(parts, ref, draws)
    at = frechet(merged(parts), ref)
    return at - (at - value) / (2**0.5 - 1), error


def no_line(parts, ref, draws):
    """FD of what there is."""
    return frechet(merged(parts), ref), infinite(parts, ref, draws)[1]


def error_of_the_slope_alone(parts, ref, draws):
    """As if FD of all samples had none."""
    value, error = infinite(parts, ref, draws)
    return value, error / len(parts) ** 0.5


def _cubed(x, y):
    return (x @ y.T / x.shape[1] + 1) ** 3


def biased_kernel_distance(x, y):
    """Each sample is compared with itself, too."""
    return float(_cubed(x, x).mean() + _cubed(y, y).mean() - 2 * _cubed(x, y).mean())


def half_unbiased_kernel_distance(x, y):
    """The pairs of one are left out of the sum, and not out of the count."""
    within = [(_cubed(z, z).sum() - np.trace(_cubed(z, z))) / len(z) ** 2 for z in (x, y)]
    return float(sum(within) - 2 * _cubed(x, y).mean())


def kernel_without_the_dimension(x, y):
    """(x . y + 1)^3."""
    scale = x.shape[1] ** 0.5
    within = [(_cubed(z, z).sum() - np.trace(_cubed(z, z))) / len(z) / (len(z) - 1) for z in (scale * x, scale * y)]
    return float(sum(within) - 2 * _cubed(scale * x, scale * y).mean())


def _in_balls(points, centres, k):
    return cdist(points, centres) <= np.sort(cdist(centres, centres), axis=1)[:, k]


def precision_and_recall_exchanged(real, fake, k):
    """Which is which."""
    return _in_balls(real, fake, k).any(1).mean(), _in_balls(fake, real, k).any(1).mean()


def itself_as_a_neighbour(real, fake, k):
    """The first of the k neighbours is the point itself."""
    return _in_balls(fake, real, k - 1).any(1).mean(), _in_balls(real, fake, k - 1).any(1).mean()


def density_without_k(real, fake, k):
    """How many balls a sample is in."""
    inside = _in_balls(fake, real, k)
    return inside.sum(1).mean(), inside.any(0).mean()


def coverage_by_balls_of_samples(real, fake, k):
    """Recall under the name of coverage."""
    return _in_balls(fake, real, k).sum(1).mean() / k, _in_balls(real, fake, k).any(1).mean()


def _sliced(x, y, w):
    grid = (np.arange(400) + 0.5) / 400
    return float(np.sqrt(np.square(np.quantile(x @ w, grid, axis=0) - np.quantile(y @ w, grid, axis=0)).mean()))


def directions_of_any_length(x, y, projections, seed):
    """Normals, and not unit vectors."""
    return _sliced(x, y, np.random.default_rng(seed).standard_normal((x.shape[1], projections)))


def unsorted_slices(x, y, projections, seed):
    """Sample i is coupled with sample i."""
    n = min(len(x), len(y))
    w = np.linalg.qr(np.random.default_rng(seed).standard_normal((x.shape[1], x.shape[1])))[0]
    return float(np.sqrt(np.square((x[:n] - y[:n]) @ w).mean()))


def half_pixel_centres(images, size):
    """What torch and TensorFlow 2 do."""
    return torch.nn.functional.interpolate(images.float(), (size, size), mode="bilinear", align_corners=False)


def aligned_corners(images, size):
    """The corners of both images coincide."""
    return torch.nn.functional.interpolate(images.float(), (size, size), mode="bilinear", align_corners=True)


def antialiased(images, size):
    """What Pillow does, and what "clean" scores do."""
    return torch.nn.functional.interpolate(images.float(), (size, size), mode="bilinear", align_corners=False, antialias=True)


def rounded_after_resizing(images, size):
    """uint8 once more."""
    from sdebench.metrics.inception import resize

    return resize(images, size).round()
