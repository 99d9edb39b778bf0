"""Sums over features, from which means and covariances follow: they add up, whatever the batches and the workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from sdebench._support.errors import UsageError


def matrix(features: Any, least: int = 1, what: str = "features") -> np.ndarray:
    """Features as float64 (n, d).  Raises UsageError for another shape, fewer than `least` rows, and values not finite."""
    try:
        x = np.asarray(features, dtype=np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"{what} are no numbers: give (n, d), a row a sample") from None
    if x.ndim != 2 or not x.shape[1]:
        raise UsageError(f"{what} of shape {x.shape}: give (n, d), a row a sample")
    if len(x) < least:
        raise UsageError(f"{what} of {len(x)} samples: give {least} or more")
    if not np.isfinite(x).all():
        bad = (~np.isfinite(x)).any(1)
        which = f"{bad.sum()} of {len(x)} samples are not finite, the first is sample {bad.argmax()}"
        raise UsageError(f"{what}: {which}: leave them out, or mend what made them")
    return x


@dataclass(frozen=True, eq=False)
class Statistics:
    """`count` = n, `total` = sum_i x_i, (d,), and `outer` = sum_i x_i x_i^T, (d, d), in float64.

    `a + b`, and `sum` of many, are the statistics of all the samples together.  The covariance comes from a difference,
    which costs (mean/deviation)^2 of the precision: nothing for features of a network, whose mean is about their deviation.
    """

    count: int
    total: np.ndarray
    outer: np.ndarray

    def __post_init__(self):
        total, outer = np.asarray(self.total, np.float64), np.asarray(self.outer, np.float64)
        if total.ndim != 1 or outer.shape != (len(total),) * 2 or int(self.count) != self.count or self.count < 1:
            raise UsageError(
                f"statistics of count {self.count}, total {total.shape}, outer {outer.shape}: give 1 or more, (d,) and (d, d)"
            )
        if not (np.isfinite(total).all() and np.isfinite(outer).all()):
            raise UsageError("statistics that are not finite: make them anew, from features without nan")
        for name, value in (("count", int(self.count)), ("total", total), ("outer", outer)):
            object.__setattr__(self, name, value)

    @classmethod
    def of(cls, features: Any) -> Statistics:
        """Of features (n, d), n >= 1."""
        x = matrix(features)
        return cls(len(x), x.sum(0), x.T @ x)

    @classmethod
    def from_moments(cls, mean: Any, cov: Any, count: int) -> Statistics:
        """Of a mean (d,) and a covariance (d, d) over n - 1, as others publish them."""
        mean, cov = np.asarray(mean, np.float64), np.asarray(cov, np.float64)
        if mean.ndim != 1 or cov.shape != (len(mean),) * 2:
            raise UsageError(f"a mean {mean.shape} and a covariance {cov.shape}: give (d,) and (d, d)")
        return cls(count, count * mean, (count - 1) * cov + count * np.outer(mean, mean))

    def __add__(self, other: Statistics) -> Statistics:
        if not isinstance(other, Statistics):
            return NotImplemented
        _same_dimension((self, other))
        return Statistics(self.count + other.count, self.total + other.total, self.outer + other.outer)

    def __radd__(self, other: Any) -> Statistics:
        return self if other == 0 else NotImplemented  # the start of `sum`

    @property
    def dim(self) -> int:
        """d."""
        return len(self.total)

    @property
    def mean(self) -> np.ndarray:
        """(d,)."""
        return self.total / self.count

    @property
    def cov(self) -> np.ndarray:
        """The unbiased covariance, over n - 1: (d, d).  Raises UsageError for one sample."""
        if self.count < 2:
            raise UsageError("one sample has no covariance: give 2 or more")
        return (self.outer - np.outer(self.total, self.total) / self.count) / (self.count - 1)

    @property
    def trace(self) -> float:
        """That of `cov`, without it.  Raises UsageError for one sample."""
        if self.count < 2:
            raise UsageError("one sample has no covariance: give 2 or more")
        return float((np.trace(self.outer) - self.total @ self.total / self.count) / (self.count - 1))

    def arrays(self) -> dict[str, np.ndarray]:
        """What a file keeps; `from_arrays` undoes it."""
        return {"count": np.array(self.count, np.int64), "total": self.total, "outer": self.outer}

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Statistics:
        """Of what `arrays` gave.  Raises UsageError where a part is missing."""
        return cls(int(_part(arrays, "count")), _part(arrays, "total"), _part(arrays, "outer"))


def merged(parts: Sequence[Statistics]) -> Statistics:
    """The statistics of all parts together.  Raises UsageError for none."""
    if not parts:
        raise UsageError("no statistics: give one part or more")
    return reduce(add, parts)


def stack(parts: Sequence[Statistics]) -> dict[str, np.ndarray]:
    """K parts as arrays: "count" (K,), "total" (K, d), "outer" (K, d, d); `unstack` undoes it."""
    if not parts:
        raise UsageError("no statistics: give one part or more")
    _same_dimension(parts)
    rows = [part.arrays() for part in parts]
    return {name: np.stack([row[name] for row in rows]) for name in rows[0]}


def pack(parts: Sequence[Statistics]) -> dict[str, np.ndarray]:
    """What `stack` gives, for a file: of the symmetric "outer" the upper triangles, (K, d (d + 1)/2); `unstack` undoes it."""
    arrays = stack(parts)
    triangles = arrays["outer"][:, *np.triu_indices(parts[0].dim)]
    return arrays | {"outer": np.ascontiguousarray(triangles)}  # safetensors writes memory as it lies


def _unpacked(triangles: np.ndarray, d: int) -> np.ndarray:
    """Symmetric matrices (K, d, d) of their upper triangles (K, d (d + 1)/2).  Raises UsageError for another size."""
    if triangles.shape[1] != d * (d + 1) // 2:
        raise UsageError(f"statistics of outer {triangles.shape} and total (K, {d}): give (K, d, d), or (K, d (d + 1)/2)")
    out, (rows, columns) = np.empty((len(triangles), d, d)), np.triu_indices(d)
    out[:, rows, columns] = out[:, columns, rows] = triangles
    return out


def unstack(arrays: Mapping[str, np.ndarray]) -> list[Statistics]:
    """The parts of what `stack` or `pack` gave."""
    counts, totals, outers = (_part(arrays, name) for name in ("count", "total", "outer"))
    if outers.ndim == 2 and totals.ndim == 2:
        outers = _unpacked(outers, totals.shape[1])
    if not len(counts) == len(totals) == len(outers):
        raise UsageError(f"statistics of {len(counts)}, {len(totals)} and {len(outers)} parts: give as many of each")
    return [Statistics(int(n), total, outer) for n, total, outer in zip(counts, totals, outers)]


def _part(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in arrays:
        raise UsageError(f"statistics without {name!r} (there are: {', '.join(arrays) or 'none'}): make them anew")
    return np.asarray(arrays[name])


def _same_dimension(parts: Sequence[Statistics]) -> None:
    dims = sorted({part.dim for part in parts})
    if len(dims) > 1:
        raise UsageError(f"features of {' and '.join(map(str, dims))} dimensions: give those of one feature space")
