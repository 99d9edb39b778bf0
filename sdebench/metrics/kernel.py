r"""The kernel distance (KID): the squared maximum mean discrepancy of features, without bias.

    MMD^2 = mean_{i != j} k(x_i, x_j) + mean_{i != j} k(y_i, y_j) - 2 mean_{i, j} k(x_i, y_j),     k(x, y) = (x . y/d + 1)^3

Binkowski et al. 2018, arXiv:1801.01401; Gretton et al. 2012, JMLR 13, 723, lemma 6.  The mean over all pairs, and not over
subsets of 1000 as KID is often given: the same expectation, less noise, and nothing drawn.  Without bias it is below 0 now and
then.
"""

from typing import Any

import numpy as np

from sdebench._support.errors import UsageError, is_number, shown
from sdebench.metrics.statistics import matrix

_ROWS = 1024  # rows of the kernel matrix that are held at a time


def kernel_distance(x: Any, y: Any, within_y: float | None = None) -> float:
    """MMD^2 of features x (n, d) and y (m, d); `within_y` is `within(y)`, where it is known from before.

    Raises UsageError for fewer than 2 samples, values not finite, and different d.
    """
    x, y = matrix(x, 2), matrix(y, 2)
    if x.shape[1] != y.shape[1]:
        raise UsageError(f"features of {x.shape[1]} and {y.shape[1]} dimensions: give those of one feature space")
    if not (within_y is None or is_number(within_y)):
        raise UsageError(f"within_y is {shown(within_y)}: give what `within` gave of y, or None")
    within_y = within(y) if within_y is None else float(within_y)
    return within(x) + within_y - 2 * _total(x, y) / (len(x) * len(y))


def within(x: Any) -> float:
    """The mean of k over all pairs of different samples; the n pairs of a sample with itself would be a bias."""
    x = matrix(x, 2)
    diagonal = _kernel(np.square(x).sum(1), x.shape[1]).sum()
    return float((_total(x, x) - diagonal) / (len(x) * (len(x) - 1)))


def _total(x: np.ndarray, y: np.ndarray) -> float:
    return float(sum(_kernel(x[i : i + _ROWS] @ y.T, x.shape[1]).sum() for i in range(0, len(x), _ROWS)))


def _kernel(products: np.ndarray, d: int) -> np.ndarray:
    return (products / d + 1) ** 3
