r"""Distances between laws: on the line by quadrature, between Gaussians in closed form.

    KL(P|Q) = int p log(p/q) = int [p log(p/q) - p + q]      the second integrand is nowhere negative, and does not cancel
    TV      = 1/2 int |p - q|                                between zeros of p - q it is the change of F - G
    W1      = int |F - G|
    W2^2    = int (x - G^{-1}(F(x)))^2 p(x) dx               the monotone map is optimal on the line

(Villani 2003, Topics in Optimal Transportation, section 2.2, for W1 and W2.)  P and Q are each a `Density` or a
one-dimensional GaussianMixture.
"""

from collections.abc import Callable
from math import ceil
from typing import NamedTuple

import numpy as np

from sdebench._support.errors import UsageError
from sdebench._support.quadrature import gauss_legendre
from sdebench.laws.density import Density, Exact, as_density, as_law
from sdebench.problems import GaussianMixture

LawLike = Density | Exact | GaussianMixture
_FINE = 8  # cells per node of the finer law, where roots have to be found
_SEEN = 1e-12  # a smaller tail is left out: its own rounding would move G^{-1}(F) by more than it weighs


class Distances(NamedTuple):
    """KL(P|Q), total variation, Wasserstein-1 and -2."""

    kl: float
    tv: float
    w1: float
    w2: float


def distances(p: LawLike, q: LawLike) -> Distances:
    """All four of them."""
    return Distances(kl(p, q), total_variation(p, q), wasserstein1(p, q), wasserstein2(p, q))


def kl(p: LawLike, q: LawLike) -> float:
    """Kullback-Leibler divergence of P from Q, E_P[log p/q]; a Density's tails go on beyond its nodes (`log_pdf`)."""
    p, q = as_law(p), as_law(q)
    x, h = _common(p, q)
    log_p = p.log_pdf(x)
    d = q.log_pdf(x) - log_p
    a, b = np.exp(log_p), np.exp(log_p + d)
    near = np.clip(d, -1.0, 1.0)
    return h * float(np.where(near == d, a * (np.expm1(near) - near), b - a - a * d).sum())


def total_variation(p: LawLike, q: LawLike) -> float:
    """sup_A |P(A) - Q(A)|, between 0 and 1."""
    p, q = as_law(p), as_law(q)
    edges = _edges(lambda x: p.pdf(x) - q.pdf(x), _common(p, q, _FINE)[0])
    return 0.5 * float(np.abs(np.diff(p.cdf(edges) - q.cdf(edges))).sum())


def wasserstein1(p: LawLike, q: LawLike) -> float:
    """The least mean distance of a coupling."""
    p, q = as_law(p), as_law(q)

    def gap(x: np.ndarray) -> np.ndarray:
        return p.cdf(x) - q.cdf(x)

    edges = _edges(gap, _common(p, q, _FINE)[0])
    nodes, weights = gauss_legendre(6)
    width = np.diff(edges)
    values = gap(edges[:-1, None] + width[:, None] * nodes)
    return float(np.abs(width * (values @ weights)).sum())


def wasserstein2(p: LawLike, q: LawLike) -> float:
    """The least root mean square distance of a coupling."""
    p, q = as_density(p), as_law(q)
    x, h = _common(p, q, _FINE)
    level = p.cdf(x)
    seen = (level > _SEEN) & (level < 1 - _SEEN)
    x, level = x[seen], level[seen]
    return float(np.sqrt(h * (p.pdf(x) * (x - q.quantile(level)) ** 2).sum()))


def _common(p: Density | Exact, q: Density | Exact, cells: int = 2) -> tuple[np.ndarray, float]:
    """(uniform nodes over both supports, their spacing): so many cells per node of the finer of the two."""
    low, high = min(p.support[0], q.support[0]), max(p.support[1], q.support[1])
    n = ceil((high - low) / min(p.spacing, q.spacing) * cells) + 1
    return np.linspace(low, high, n), (high - low) / (n - 1)


def _edges(f: Callable[[np.ndarray], np.ndarray], x: np.ndarray) -> np.ndarray:
    """x with the zeros of f between its points put in, so that f has one sign between neighbours."""
    values = f(x)
    at = np.flatnonzero(values[:-1] * values[1:] < 0)
    if not len(at):
        return x
    low, high, sign = x[at], x[at + 1], np.sign(values[at])
    for _ in range(50):
        middle = 0.5 * (low + high)
        left = f(middle) * sign > 0
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    return np.sort(np.concatenate([x, 0.5 * (low + high)]))


def gaussian_wasserstein2(p: tuple, q: tuple) -> float:
    r"""W2 between Gaussians given as (mean, covariance): the Bures-Wasserstein distance.

        W2^2 = |m - n|^2 + min_U |A^{1/2} - B^{1/2} U|_F^2,      U orthogonal

    Dowson and Landau 1982, J. Multivariate Anal. 12, 450, in the form of Bhatia, Jain and Lim 2019, Expo. Math. 37, 165.
    The usual trace tr(A + B - 2 (A^{1/2} B A^{1/2})^{1/2}) cancels where the two are near; this one does not.
    """
    (m, a), (n, b) = _gaussian(p), _gaussian(q)
    a, b = _root(a), _root(b)
    left, _, right = np.linalg.svd(b @ a)
    return float(np.hypot(np.linalg.norm(m - n), np.linalg.norm(a - b @ left @ right)))


def gaussian_kl(p: tuple, q: tuple) -> float:
    r"""KL(P|Q) between Gaussians given as (mean, covariance).

    1/2 [sum_i (mu_i - log(1 + mu_i)) + (m - n)^T B^{-1} (m - n)],   mu_i eigenvalues of L^{-1} (A - B) L^{-T}, B = L L^T
    """
    (m, a), (n, b) = _gaussian(p), _gaussian(q)
    root = np.linalg.cholesky(b)
    middle = np.linalg.solve(root, np.linalg.solve(root, a - b).T)
    mu = np.linalg.eigvalsh(0.5 * (middle + middle.T))
    if mu.min() <= -1:
        return np.inf
    return float(0.5 * ((mu - np.log1p(mu)).sum() + np.square(np.linalg.solve(root, m - n)).sum()))


def _gaussian(law: tuple) -> tuple[np.ndarray, np.ndarray]:
    """(mean (d,), covariance (d, d)) as float64 arrays, numbers being of dimension 1."""
    mean, cov = (np.asarray(v, float) for v in law)
    mean, cov = np.atleast_1d(mean), np.atleast_2d(cov)
    if mean.ndim != 1 or cov.shape != (len(mean), len(mean)):
        raise UsageError(f"a Gaussian of mean {mean.shape} and covariance {cov.shape}: give (d,) and (d, d)")
    if not (np.isfinite(mean).all() and np.isfinite(cov).all() and np.abs(cov - cov.T).max() <= 1e-12 * np.abs(cov).max()):
        raise UsageError("a mean or a covariance is not finite, or the latter not symmetric: give (C + C.T)/2")
    return mean, cov


def _root(cov: np.ndarray) -> np.ndarray:
    """The symmetric square root."""
    values, basis = np.linalg.eigh(cov)
    return (basis * np.sqrt(np.maximum(values, 0.0))) @ basis.T
