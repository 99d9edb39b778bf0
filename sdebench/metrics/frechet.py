r"""The Frechet distance of features, taken for Gaussians: the quantity that FID and its kin are.

    FD(a, b) = |m_a - m_b|^2 + tr A + tr B - 2 tr (A B)^{1/2}                  the square of the Wasserstein-2 distance

Dowson and Landau 1982, J. Multivariate Anal. 12, 450; Heusel et al. 2017, arXiv:1706.08500.  A B is not symmetric, and its
square root is slow and complex where a covariance is singular.  With a pivoted Cholesky factor A = F F^T, F (d, r), the
eigenvalues of A B other than zero are those of the symmetric matrix F^T B F, (r, r), whatever the ranks:

    tr (A B)^{1/2} = sum_i sqrt(lam_i(F^T B F))

A covariance of n samples has rank n - 1 at most, so of the lam_i no more than that many count: the others are rounding, whose
root (1e-8 each) would be no rounding.  Covariances are over n - 1.

FD of n samples is biased upwards by about b/n: compare at equal n, or extrapolate with `infinite`.  Sources differ by the
covariance over n that some of them take: by a part 1/n of its trace.
"""

from collections.abc import Sequence
from math import hypot, sqrt
from typing import NamedTuple

import numpy as np
from scipy.linalg.blas import dtrmm
from scipy.linalg.lapack import dpstrf
from scipy.special import stdtrit

from sdebench._support.errors import UsageError
from sdebench.metrics.statistics import Statistics, merged, stack

MOST, LEAST, FULL = 200, 24, 512  # half-samples of an interval up to FULL features, and never fewer than LEAST
_HELD = 1 << 22  # numbers of a batch of covariances


def frechet(a: Statistics, b: Statistics) -> float:
    """FD of the two; of features that are one and the same law it is 0 but for rounding, 1e-13 of the traces or so.

    Raises UsageError for fewer than 2 samples, or features of different dimensions.
    """
    _check(a, b)
    few, many = (a, b) if a.count <= b.count else (b, a)
    cross = _trace_of_root(_factor(few), many.cov, few.count - 1)
    return float(np.square(a.mean - b.mean).sum() + a.trace + b.trace - 2 * cross)


def draws_for(dim: int) -> int:
    """Half-samples of an interval, by features: 200 up to 512, then as many as cost the same (d^-3), 24 at least."""
    return max(LEAST, min(MOST, int(MOST * (FULL / dim) ** 3)))


def resampled(parts: Sequence[Statistics], ref: Statistics, draws: int | None = None, seed: int = 0) -> np.ndarray:
    """FD(all parts, ref) with draws of its sampling error added, (draws,); parts of one length and seed are drawn alike, so
    that differences are paired.

    A bootstrap whose weights are 0 and 2: half of the K parts, at random, and the other half.  (FD_1 - FD_2)/2 has, to first
    order, the law of the error of FD, and enters with either sign.  (Praestgaard and Wellner 1993, Ann. Probab. 21, 2053:
    exchangeable weights.)  Draws with replacement would be of another effective size each, and near the data, where FD is
    hardly more than its bias, the bias that varies with it makes an interval several times too wide; here it falls out.
    """
    first, second, _ = _halves(parts, ref, draws, seed)
    gaps = _gaps(first, second, len(parts))
    return frechet(merged(parts), ref) + np.concatenate([gaps, -gaps])


def bootstrap(
    parts: Sequence[Statistics], ref: Statistics, draws: int | None = None, seed: int = 0, level: float = 0.95
) -> tuple[float, float]:
    """(low, high) about FD(all parts, ref), which holds the mean FD of as many samples with probability `level`.

    The distance plus and minus the standard deviation of `resampled`, times Student's quantile of K - 1 for K parts.  The
    parts are of about one size, and each a fair sample.  `draws`: None for `draws_for`.  Near the data, where the error is no
    longer of first order, it is too wide by a factor of at most about 1.5.  The bias of n samples is in it, and `ref` is taken
    as it is: both are the same for all that is compared at one n.

    Raises UsageError for fewer than 2 parts: an interval needs what varies.
    """
    return interval(frechet(merged(parts), ref), resampled(parts, ref, draws, seed), len(parts), level)


def paired_bootstrap(
    parts_a: Sequence[Statistics],
    parts_b: Sequence[Statistics],
    ref: Statistics,
    draws: int | None = None,
    seed: int = 0,
    level: float = 0.95,
) -> tuple[float, float]:
    """(low, high) of FD(a, ref) - FD(b, ref), part k of both sides being from the same noise: they are drawn together.

    What the noise does to both falls out of the difference, as does most of the bias.  An interval without 0 tells a from b.
    """
    if [part.count for part in parts_a] != [part.count for part in parts_b]:
        raise UsageError(f"{len(parts_a)} and {len(parts_b)} parts, or of unlike sizes: give parts of the same noise on both")
    gaps = resampled(parts_a, ref, draws, seed) - resampled(parts_b, ref, draws, seed)
    return interval(frechet(merged(parts_a), ref) - frechet(merged(parts_b), ref), gaps, len(parts_a), level)


def infinite(parts: Sequence[Statistics], ref: Statistics, draws: int | None = None, seed: int = 0) -> tuple[float, float]:
    """(FD of infinitely many samples, its standard error): a line through FD against 1/n, at 1/n = 0.

    Chong and Forsyth 2020, arXiv:1911.07023.  The line goes through FD of all n samples and the mean FD of random halves, each
    with the half that is left: a fit through single subsets of 15 sizes, as in the paper, costs as much and leaves their noise.
    `ref` is taken as it is.

    Raises UsageError for fewer than 2 parts, or halves without more samples than features: there FD is no line in 1/n.
    """
    first, second, inverse = _halves(parts, ref, draws, seed)
    whole = merged(parts)
    if 1 / inverse <= whole.dim:
        raise UsageError(f"{whole.count} samples of {whole.dim} features: give more than {2 * whole.dim} to extrapolate from")
    at_n, means = frechet(whole, ref), (first + second) / 2
    shrink = (1 / whole.count) / (inverse - 1 / whole.count)
    slope = shrink * np.std(means, ddof=1) / sqrt(len(means))
    return float(at_n - shrink * (means.mean() - at_n)), float(hypot(np.std(_gaps(first, second, len(parts)), ddof=1), slope))


def _halves(parts: Sequence[Statistics], ref: Statistics, draws: int | None, seed: int) -> tuple[np.ndarray, np.ndarray, float]:
    """FD of random halves, FD of what each leaves, (draws/2,) both, and the mean of 1/n over them."""
    draws = draws_for(ref.dim) if draws is None else draws
    if len(parts) < 2 or sum(sorted(part.count for part in parts)[: len(parts) // 2]) < 2:
        raise UsageError(f"{len(parts)} part(s): give 2 or more, of 2 samples or more, for an error comes from how parts vary")
    if draws < 4:
        raise UsageError(f"draws = {draws!r}: give 4 or more")
    order = np.random.default_rng(seed).permuted(np.tile(np.arange(len(parts)), (draws // 2, 1)), axis=1)
    chosen = np.concatenate([order < len(parts) // 2, order >= len(parts) // 2]).astype(int)
    counts = chosen @ [part.count for part in parts]
    return *_weighted(chosen, parts, ref).reshape(2, -1), float(np.mean(1 / counts))


def _gaps(first: np.ndarray, second: np.ndarray, parts: int) -> np.ndarray:
    """Half of the differences between halves; of an odd number of parts, as wide as the error of all, and centred."""
    half = parts // 2
    gaps = (first - second) * (sqrt(half * (parts - half)) / parts)
    return gaps - gaps.mean()


def _weighted(chosen: np.ndarray, parts: Sequence[Statistics], ref: Statistics) -> np.ndarray:
    """FD of the parts of each row of `chosen`, (rows, K) of 0 and 1."""
    _check(parts[0], ref)
    sums, factor, mean, trace = stack(parts), _factor(ref), ref.mean, ref.trace
    d, distances = ref.dim, []
    for some in np.array_split(chosen, max(1, len(chosen) * d * d // _HELD)):
        n = some @ sums["count"]
        total = some @ sums["total"]
        cov = np.tensordot(some.astype(float), sums["outer"], 1) - total[:, :, None] * (total / n[:, None])[:, None]
        cov /= (n - 1)[:, None, None]
        cross = _trace_of_root(factor, cov, n - 1)
        gap = np.square(total / n[:, None] - mean).sum(1)
        distances.append(gap + np.trace(cov, axis1=1, axis2=2) + trace - 2 * cross)
    return np.concatenate(distances)


class _Factor(NamedTuple):
    """A covariance A with its rows and columns in the order of `pivots` is L L^T, L = `lower` (d, r), r its numerical rank."""

    lower: np.ndarray
    pivots: np.ndarray

    def sandwich(self, cov: np.ndarray) -> np.ndarray:
        """F^T C F, F the rows of L in their own places: (..., d, d) -> (..., r, r)."""
        d, r = self.lower.shape
        cov = cov[..., self.pivots[:, None], self.pivots]
        if r < d or cov.ndim > 2:
            return self.lower.T @ cov @ self.lower
        right = dtrmm(1.0, self.lower, cov, side=1, lower=1)  # half the work of a product
        return dtrmm(1.0, self.lower, right, lower=1, trans_a=1, overwrite_b=1)


def _factor(of: Statistics) -> _Factor:
    """The Cholesky factor of the covariance, the largest pivot first."""
    lower, pivots, rank, _ = dpstrf(of.cov, lower=1)
    return _Factor(np.asfortranarray(np.tril(lower)[:, : min(rank, of.count - 1)]), pivots - 1)


def _trace_of_root(factor: _Factor, cov: np.ndarray, rank: int | np.ndarray) -> np.ndarray:
    """tr (A C)^{1/2}, A the covariance of the factor, of one C (d, d) or a batch of them whose ranks are `rank` at most."""
    lam = np.linalg.eigvalsh(factor.sandwich(cov))
    known = np.arange(lam.shape[-1], 0, -1) <= np.asarray(rank)[..., None]  # ascending: the last ones are the largest
    return np.sqrt(np.where(known, np.maximum(lam, 0.0), 0.0)).sum(-1)


def interval(at: float, draws: np.ndarray, parts: int, level: float = 0.95) -> tuple[float, float]:
    """(low, high) about `at`, from `draws` of a bootstrap over that many parts: those of `resampled`, or their differences."""
    if not 0 < level < 1:
        raise UsageError(f"level = {level!r}: give a probability, as 0.95")
    wide = np.std(draws, ddof=1) * stdtrit(parts - 1, (1 + level) / 2)
    return float(at - wide), float(at + wide)


def _check(a: Statistics, b: Statistics) -> None:
    for name, value in (("first", a), ("second", b)):
        if not isinstance(value, Statistics):
            raise UsageError(f"the {name} is {type(value).__name__}: give Statistics, as Statistics.of(features)")
        if value.count < 2:
            raise UsageError(f"the {name} has {value.count} sample: give 2 or more, for a covariance")
    if a.dim != b.dim:
        raise UsageError(f"features of {a.dim} and {b.dim} dimensions: give those of one feature space")
