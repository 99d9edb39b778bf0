r"""One fixed Brownian path: every integral over every interval is a pure function of (seed, interval).

On a cell of lam of length h, white noise is expanded in an orthonormal basis of `e^lam times polynomials`,

    dB = sum_k Z_k psi_k dlam,     int phi dB = sum_k <phi, psi_k> Z_k,     Z_k independent standard normals,

each Z_k made by its own counter-based generator when it is wanted (the last ones are kept, in bounded memory).  With this basis
the weight of data prediction, e^lam, needs ONE normal a cell, and any smooth weight as many as its coefficients last above
rounding.  An interval that ends inside a cell refines it: the basis of a cell lies in the span of its halves' bases
(Alpert 1993, SIAM J. Math. Anal. 24), so the halves' normals are an orthogonal image of the cell's and as many new ones.
All integrals are linear in one fixed set of normals: additive to rounding, and jointly right in law.
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from math import ceil, prod

import numpy as np
import torch
from torch import Tensor

from sdebench._support.errors import UsageError, is_number, shown, whole
from sdebench._support.quadrature import gauss_legendre
from sdebench.noise.integrals import Weight, check, sd
from sdebench.noise.white import Named, check_dtype, check_shape
from sdebench.schedules import NoiseSchedule, check_schedule

MODES = 14  # on cells of length 1/2: the smooth weights of all solvers are resolved to rounding
_LONGEST = 0.5
_NODES = 32
KEPT_BYTES = 32 << 20  # of the last normals made, for whoever comes back to the same cells


def _raw(theta: np.ndarray, h: float) -> np.ndarray:
    """e^{h (theta - 1)} P_k(2 theta - 1), (points, MODES)."""
    return np.exp(h * (theta - 1))[:, None] * np.polynomial.legendre.legvander(2 * theta - 1, MODES - 1)


def _signed_qr(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """QR with a positive diagonal: unique, whatever the library."""
    q, r = np.linalg.qr(a)
    sign = np.where(np.diag(r) < 0, -1.0, 1.0)
    return q * sign, sign[:, None] * r


@lru_cache(maxsize=1024)
def _basis(h: float) -> tuple[np.ndarray, np.ndarray]:
    """(sqrt(w) psi_k at the nodes, R of the raw functions), for the unit interval."""
    theta, w = gauss_legendre(_NODES)
    return _signed_qr(np.sqrt(w)[:, None] * _raw(theta, h))


@lru_cache(maxsize=256)
def _two_scale(h: float) -> np.ndarray:
    """The orthogonal (2 MODES, 2 MODES) matrix from (normals of a cell, new ones) to (left half's, right half's)."""
    theta, w = gauss_legendre(_NODES)
    (half, _), (_, r) = _basis(0.5 * h), _basis(h)
    rows = []
    for shift in (0.0, 0.5):
        psi = np.linalg.solve(r.T, _raw(shift + 0.5 * theta, h).T)  # (MODES, points)
        rows.append((psi * np.sqrt(0.5 * w)) @ half)
    parent = np.hstack(rows)
    new = _signed_qr(np.hstack([parent.T, np.eye(2 * MODES, MODES)]))[0][:, MODES:]
    return np.hstack([parent.T, new])


def _stored_bytes(shape: Sequence[int], dtype: torch.dtype) -> int:
    """Memory of one normal in the store: its numbers, and some 1 KiB of objects, which are most of a small state's."""
    return prod(shape) * torch.finfo(dtype).bits // 8 + 1024


class BrownianPath(Named):
    """The path of `seed` on the cells between `times` (of any order), for states of `shape` (B, *D).

    Intervals that begin and end at given times cost one normal, or a few, a cell.  Others cost some hundred more at each
    end that is none of them: give the stages' times too.  The path belongs to its times: with others it is another one.
    Below float64 coefficients smaller than the dtype's rounding are left out.  Raises UsageError for fewer than two times.
    """

    def __init__(
        self,
        schedule: NoiseSchedule,
        times: Sequence[float],
        shape: Sequence[int],
        seed: int = 0,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        first: int = 0,
        kept_bytes: int = KEPT_BYTES,
    ):
        (
            check_schedule(schedule),
            check_shape(shape),  # type: ignore[func-returns-value]  # a row of checks
            check_dtype(dtype),  # type: ignore[func-returns-value]
            whole(seed, "seed"),
            whole(first, "the first sample", 0),
        )
        if not (isinstance(times, Iterable) and all(map(is_number, times))):
            raise UsageError(f"a path over the times {shown(times)}: give a sequence of times, as a grid")
        ends = sorted({schedule.lam(t) for t in times})
        if len(ends) < 2:
            raise UsageError(f"a path over {len(ends)} time(s): give two times or more")
        cells = [ends[0]]
        for low, high in pairwise(ends):
            parts = ceil((high - low) / _LONGEST - 1e-9)
            cells += [low + (high - low) * i / parts for i in range(1, parts)] + [high]
        self.schedule, self.shape, self.seed, self.dtype = schedule, tuple(shape), seed, dtype
        self.device, self.first = device, first
        self._cells = np.array(cells)
        self._kept: OrderedDict[tuple[int, ...], Tensor] = OrderedDict()
        self._most = kept_bytes // _stored_bytes(shape, dtype)
        self._least = max(0.25 * torch.finfo(dtype).eps, 4e-16)  # above the quadrature's dust, of 2e-16
        self._depth = 40 if dtype == torch.float64 else 24  # halvings after which a cell's variance is rounding

    def _known(self, *parts: int) -> Tensor:
        """The normal of (cell, level, index, mode); nobody writes on it."""
        z = self._kept.get(parts)
        if z is None:
            z = self._draw("path", *parts)
            if len(self._kept) >= self._most > 0:
                self._kept.popitem(last=False)
            if self._most:
                self._kept[parts] = z
        return z

    def _pieces(self, s: float, t: float) -> Iterator[tuple[int, float, float]]:
        """(cell, from, to) of each cell that the interval meets."""
        low, high = self.schedule.lam(s), self.schedule.lam(t)
        slack = 1e-13 * (self._cells[-1] - self._cells[0])
        if not (self._cells[0] - slack <= low < high <= self._cells[-1] + slack):
            span = f"lam in [{self._cells[0]:.6g}, {self._cells[-1]:.6g}]"
            raise UsageError(f"the interval from t = {s!r} to {t!r} leaves the path, which knows {span}: give it these times")
        i = max(int(np.searchsorted(self._cells, low + slack, side="right")) - 1, 0)
        while i < len(self._cells) - 1 and self._cells[i] < high - slack:
            a, b = self._cells[i], self._cells[i + 1]
            yield i, (a if low <= a + slack else low), (b if high >= b - slack else high)
            i += 1

    def integral(self, s: float, t: float, *weights: Weight, tag: int = 0) -> tuple[Tensor, ...]:
        """The integrals of the weights over the step s -> t.  Raises UsageError for an interval beyond the path's times."""
        check(s, t, weights)
        totals: list[Tensor | None] = [None] * len(weights)

        def add(c: np.ndarray, scales: np.ndarray, vectors: Iterator[Tensor]) -> None:
            for row, z in zip(c.T, vectors):
                for j in range(len(weights)):
                    if abs(row[j]) > self._least * scales[j]:
                        totals[j] = float(row[j]) * z if totals[j] is None else totals[j].add_(z, alpha=float(row[j]))  # type: ignore[union-attr]  # not None here

        pieces = list(self._pieces(s, t))  # refuses what is no interval of the path
        scales = np.array([sd(self.schedule, s, t, w) for w in weights])
        for i, a, b in pieces:
            low, high = self._cells[i], self._cells[i + 1]
            if a == low and b == high:
                c = self._project(weights, t, low, high - low)
                wanted = int(np.max(np.nonzero((np.abs(c) > self._least * scales[:, None]).any(0))[0], initial=0)) + 1
                add(c[:, :wanted], scales, (self._known(i, 0, 0, k) for k in range(wanted)))
            else:
                whole = torch.stack([self._known(i, 0, 0, k) for k in range(MODES)])
                for lo, h, z in self._refined(i, 0, 0, low, high - low, whole, a, b):
                    add(self._project(weights, t, lo, h), scales, iter(z))
        return tuple(torch.zeros(self.shape, dtype=self.dtype, device=self.device) if v is None else v for v in totals)

    def _project(self, weights: Sequence[Weight], t: float, low: float, h: float) -> np.ndarray:
        """<weight, psi_k> on the cell from `low` of length h, (weights, MODES)."""
        theta, w = gauss_legendre(_NODES)
        values = np.array([weight.density(self.schedule, t, low + h * theta) for weight in weights])
        return values * np.sqrt(h * w) @ _basis(h)[0]  # type: ignore[no-any-return]  # numpy's stubs

    def _refined(
        self, i: int, level: int, index: int, low: float, h: float, z: Tensor, a: float, b: float
    ) -> Iterator[tuple[float, float, Tensor]]:
        """(low, length, normals) of the halved cells that make up [a, b].  Lengths are halved, never subtracted."""
        middle = low + 0.5 * h
        if a <= low and b >= low + h:
            yield low, h, z
        elif level == self._depth:  # the last cell, of a variance below rounding, goes to one side
            if a <= middle < b:
                yield low, h, z
        else:
            new = torch.stack([self._known(i, level + 1, index, k) for k in range(MODES)])
            scale = torch.from_numpy(_two_scale(h)).to(z.dtype).to(z.device)
            children = torch.tensordot(scale, torch.cat([z, new]), 1)
            if a < middle:
                yield from self._refined(i, level + 1, 2 * index, low, 0.5 * h, children[:MODES], a, b)
            if b > middle:
                yield from self._refined(i, level + 1, 2 * index + 1, middle, 0.5 * h, children[MODES:], a, b)

    def normal(self, s: float, t: float, weight: Weight, tag: int = 0) -> Tensor:
        """The integral of one weight over its standard deviation."""
        return self.integral(s, t, weight)[0].div_(sd(self.schedule, s, t, weight))
