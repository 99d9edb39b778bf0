r"""The sliced Wasserstein distance: what is left of W2 when it is taken along lines.

    SW2^2 = mean over unit vectors w of W2^2(w . x, w . y)

Bonneel et al. 2015, J. Math. Imaging Vis. 51, 22.  Along a line the sorted samples are the optimal coupling.  The vectors are
the columns of random orthogonal matrices (Rowland et al. 2019, arXiv:1903.03784): the same mean with less noise, and in full
sets of d none at all for a shift, of which SW2 is |shift|/sqrt(d).
"""

from math import ceil, sqrt
from typing import Any

import numpy as np

from sdebench._support.errors import UsageError, shown
from sdebench.metrics.statistics import matrix

_MOST = 100_000  # directions


def sliced_wasserstein(x: Any, y: Any, projections: int = 128, seed: int = 0) -> float:
    """SW2 of features x (n, d) and y (m, d) over that many directions; n and m may differ.

    Raises UsageError for no projections, values not finite, and different d.
    """
    x, y = matrix(x), matrix(y)
    if x.shape[1] != y.shape[1]:
        raise UsageError(f"features of {x.shape[1]} and {y.shape[1]} dimensions: give those of one feature space")
    if type(projections) is not int or not 1 <= projections <= _MOST:
        raise UsageError(f"projections = {shown(projections)}: give a whole number, 1 or more, {_MOST:,} at most")
    w = directions(x.shape[1], projections, seed)
    a, b = np.sort(x @ w, axis=0), np.sort(y @ w, axis=0)
    i, j, mass = _coupling(len(x), len(y))
    return sqrt(mass @ np.square(a[i] - b[j]).mean(1))


def directions(d: int, n: int, seed: int) -> np.ndarray:
    """n unit vectors of dimension d, (d, n): uniform on the sphere, and orthogonal in sets of d."""
    normals = np.random.default_rng(seed).standard_normal((ceil(n / d), d, d))
    bases, triangles = np.linalg.qr(normals)
    bases *= np.sign(np.diagonal(triangles, axis1=1, axis2=2))[:, None]  # or it would not be uniform: Mezzadri 2007
    return np.concatenate(list(bases), axis=1)[:, :n]


def _coupling(n: int, m: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The optimal coupling of n and m sorted points of equal mass: which of the one meets which of the other, and how much.

    Quantile functions are steps at i/n and j/m, here in units of 1/(n m): whole numbers, so that no edge is met twice.
    """
    edges = np.union1d(np.arange(n + 1) * m, np.arange(m + 1) * n)
    return edges[:-1] // m, edges[:-1] // n, np.diff(edges) / (n * m)
