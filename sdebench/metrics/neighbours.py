r"""Precision and recall, density and coverage: whether samples are among the data, and the data among the samples.

A set of features covers the balls about its points, each as wide as the distance to the k-th nearest other point.

    precision = part of the samples inside some ball of the data     recall   = part of the data inside some ball of samples
    density   = mean over samples of (balls of data about it)/k      coverage = part of the data's balls that hold a sample

Kynkaanniemi et al. 2019, arXiv:1904.06991 (k = 3); Naeem et al. 2020, arXiv:2002.09797 (k = 5).  All depend on how many samples
and how many data there are: compare at equal numbers.  Samples of the data's own law have density 1 in the mean, and coverage
`expected_coverage`.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from sdebench._support.errors import UsageError, shown
from sdebench.metrics.statistics import matrix

_HELD = 1 << 22  # distances that are held at a time


def precision_recall(real: Any, fake: Any, k: int = 3) -> tuple[float, float]:
    """(precision, recall) of features fake (m, d), with respect to real (n, d).

    Raises UsageError for k < 1, for k samples or fewer, values not finite, and different d.
    """
    real, fake = _both(real, fake, k, least=_checked(k) + 1)
    of_real, of_fake = _radii(real, k), _radii(fake, k)
    return float((_about(fake, real, of_real) > 0).mean()), float((_about(real, fake, of_fake) > 0).mean())


def density_coverage(real: Any, fake: Any, k: int = 5) -> tuple[float, float]:
    """(density, coverage) of features fake (m, d), with respect to real (n, d); only balls of data, so that no stray sample
    makes a ball that covers all.

    Raises UsageError for k < 1, for k data or fewer, values not finite, and different d.
    """
    real, fake = _both(real, fake, k, least=1)
    radii = _radii(real, k)
    covered = sum((squares <= radii[rows, None]).any(1).sum() for rows, squares in _squares(real, fake))
    return float(_about(fake, real, radii).mean() / k), float(covered / len(real))


def expected_coverage(n: int, m: int, k: int) -> float:
    """Mean coverage of n data by m samples of the same law, whatever the law: 1 - prod_{i < k} (n - 1 - i)/(n + m - 1 - i).

    Naeem et al. 2020, section 3: no sample is in a ball where the k nearest of all n + m - 1 other points are data.
    """
    i = np.arange(k)
    return float(1 - np.prod((n - 1 - i) / (n + m - 1 - i)))


def _checked(k: Any) -> int:
    """The number of neighbours."""
    if type(k) is not int or k < 1:
        raise UsageError(f"k = {shown(k)}: give the number of neighbours, a whole number, 1 or more")
    return k


def _both(real: Any, fake: Any, k: int, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays about the data's mean, which keeps squares of distances from cancelling."""
    real, fake = matrix(real, _checked(k) + 1, "features of data"), matrix(fake, least, "features of samples")
    if real.shape[1] != fake.shape[1]:
        raise UsageError(f"features of {real.shape[1]} and {fake.shape[1]} dimensions: give those of one feature space")
    return real - real.mean(0), fake - real.mean(0)


def _squares(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Squared distances of some rows of x at a time from all of y."""
    of_y, rows = np.square(y).sum(1), max(1, _HELD // len(y))
    for i in range(0, len(x), rows):
        some = x[i : i + rows]
        yield slice(i, i + rows), np.maximum(np.square(some).sum(1)[:, None] + of_y - 2 * some @ y.T, 0.0)


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    """The square of each point's distance to its k-th nearest other one, (n,); the nearest of all is itself."""
    return np.concatenate([np.partition(squares, k, axis=1)[:, k] for _, squares in _squares(x, x)])


def _about(x: np.ndarray, centres: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """How many of the balls each point is in, (n,)."""
    return np.concatenate([(squares <= radii).sum(1) for _, squares in _squares(x, centres)])
