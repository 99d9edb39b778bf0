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
from scipy.stats import t as student

from ..errors import UsageError
from .statistics import Statistics, merged, stack

MOST, LEAST, FULL = 200, 24, 512  # draws of a bootstrap up to FULL features, and never fewer than LEAST
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
    """Draws of a bootstrap by the number of features: 200 up to 512, then as many as cost the same (d^-3), 24 at least."""
    return max(LEAST, min(MOST, int(MOST * (FULL / dim) ** 3)))


def bootstrap(parts: Sequence[Statistics], ref: Statistics, draws: int | None = None, seed: int = 0,
              level: float = 0.95) -> tuple[float, float]:  # fmt: skip
    """(low, high) about FD(all parts, ref): where the FD of as many other samples lies, with probability `level`.

    The K parts, whole, are drawn anew K times out of K, `draws` times (None: `draws_for`); the interval is the distance plus
    and minus the draws' deviation, times sqrt(K/(K - 1)) and Student's quantile of K - 1, without which few parts give too
    narrow an interval (Hesterberg 2015, arXiv:1411.5279).  About the distance and not about the draws' mean, for drawing with
    replacement adds the bias of n samples a second time.  `ref` is taken as it is: its own sampling is not in the interval,
    and the same for everything that is compared with it.

    Raises UsageError for fewer than 2 parts: an interval needs what varies.
    """
    return interval(frechet(merged(parts), ref), resampled(parts, ref, draws, seed), len(parts), level)


def paired_bootstrap(parts_a: Sequence[Statistics], parts_b: Sequence[Statistics], ref: Statistics, draws: int | None = None,
                     seed: int = 0, level: float = 0.95) -> tuple[float, float]:  # fmt: skip
    """(low, high) of FD(a, ref) - FD(b, ref), part k of both sides being from the same noise: they are drawn together.

    What the noise does to both falls out of the difference, as does most of the bias.  An interval without 0 tells a from b.
    """
    if len(parts_a) != len(parts_b) or [part.count for part in parts_a] != [part.count for part in parts_b]:
        raise UsageError(f"{len(parts_a)} and {len(parts_b)} parts, or of other sizes: pairs need the same samples on both sides")
    gaps = resampled(parts_a, ref, draws, seed) - resampled(parts_b, ref, draws, seed)
    return interval(frechet(merged(parts_a), ref) - frechet(merged(parts_b), ref), gaps, len(parts_a), level)


def resampled(parts: Sequence[Statistics], ref: Statistics, draws: int | None = None, seed: int = 0) -> np.ndarray:
    """FD of each draw, (draws,): the same draws for the same seed and number of parts, so that differences are paired."""
    if len(parts) < 2:
        raise UsageError(f"{len(parts)} part: give 2 or more, for an interval comes from how parts vary (10 give a fair one)")
    draws = draws_for(ref.dim) if draws is None else draws
    if draws < 2:
        raise UsageError(f"draws = {draws!r}: give 2 or more")
    chances = np.full(len(parts), 1 / len(parts))
    return _weighted(np.random.default_rng(seed).multinomial(len(parts), chances, draws), parts, ref)


def infinite(parts: Sequence[Statistics], ref: Statistics, seed: int = 0) -> tuple[float, float]:
    """(FD of infinitely many samples, its standard error): a line through FD against 1/n, at 1/n = 0.

    Chong and Forsyth 2020, arXiv:1911.07023.  The line goes through FD of all N samples and follows FD of halves and quarters
    of them, disjoint and in several random splits, all of which enter: random subsets of 15 sizes, the paper's choice, cost as
    much and leave more noise.  The error is that of the bootstrap and of the slope together.  `ref` is taken as it is.

    Raises UsageError for fewer than 4 parts, or quarters without more samples than features: there FD is no line in 1/n.
    """
    whole = merged(parts)
    if sum(sorted(part.count for part in parts)[: len(parts) // 4]) <= whole.dim:
        raise UsageError(f"{whole.count} samples of {whole.dim} features in {len(parts)} parts: give 4 parts or more, "
                         f"any quarter of them with more than {whole.dim} samples")  # fmt: skip
    at_n, rng = frechet(whole, ref), np.random.default_rng(seed)
    splits = [_split(len(parts), rng) for _ in range(max(3, draws_for(whole.dim) // 8))]
    counts = np.array(splits) @ [part.count for part in parts]
    values = _weighted(np.concatenate(splits), parts, ref).reshape(counts.shape)
    x, y = (np.stack([some[:, :2].mean(1), some[:, 2:].mean(1)]) for some in (1 / counts, values))
    x, y = x - 1 / whole.count, y - at_n
    slopes = (x * y).sum(0) / (x * x).sum(0)
    noise = np.std(resampled(parts, ref, seed=seed), ddof=1) * sqrt(len(parts) / (len(parts) - 1))
    error = hypot(noise, np.std(slopes, ddof=1) / sqrt(len(splits)) / whole.count)
    return float(at_n - slopes.mean() / whole.count), error


def _split(parts: int, rng: np.random.Generator) -> np.ndarray:
    """Two halves and four quarters, at random, as weights: (6, parts)."""
    order = rng.permutation(parts)
    return np.concatenate([order % groups == np.arange(groups)[:, None] for groups in (2, 4)]).astype(int)


def _weighted(weights: np.ndarray, parts: Sequence[Statistics], ref: Statistics) -> np.ndarray:
    """FD of each row of weights, (rows, K), the part k being taken weights[row, k] times."""
    _check(parts[0], ref)
    sums, factor, mean, trace = stack(parts), _factor(ref), ref.mean, ref.trace
    d, distances = ref.dim, []
    for some in np.array_split(weights, max(1, len(weights) * d * d // _HELD)):
        n = some @ sums["count"]
        ranks = np.minimum((some > 0) @ sums["count"], ref.count) - 1  # a part drawn twice adds no direction
        total = some @ sums["total"]
        cov = np.tensordot(some.astype(float), sums["outer"], 1) - total[:, :, None] * (total / n[:, None])[:, None]
        cov /= (n - 1)[:, None, None]
        cross = _trace_of_root(factor, cov, ranks)
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


def interval(at: float, draws: np.ndarray, parts: int, level: float) -> tuple[float, float]:
    """(low, high) about `at`, from `draws` of a bootstrap over that many parts: those of `resampled`, or their differences."""
    if not 0 < level < 1:
        raise UsageError(f"level = {level!r}: give a probability, as 0.95")
    wide = np.std(draws, ddof=1) * sqrt(parts / (parts - 1)) * float(student.ppf((1 + level) / 2, parts - 1))
    return float(at - wide), float(at + wide)


def _check(a: Statistics, b: Statistics) -> None:
    for name, value in (("first", a), ("second", b)):
        if not isinstance(value, Statistics):
            raise UsageError(f"the {name} is {type(value).__name__}: give Statistics, as Statistics.of(features)")
        if value.count < 2:
            raise UsageError(f"the {name} has {value.count} sample: give 2 or more, for a covariance")
    if a.dim != b.dim:
        raise UsageError(f"features of {a.dim} and {b.dim} dimensions: give those of one feature space")
