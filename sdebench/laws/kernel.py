r"""The transitions of a method in one dimension, read off its tableau: which noises enter a stage, which the last line only.

    y = M(x, zeta) + c omega,      zeta (r,) and omega independent standard normals

The noises are made independent by the root of their covariance, and split along the directions in which the model's arguments
move (zeta) and their complement, which only the last line sees (omega): `y` given `x` and `zeta` is normal.

A step is cut where it passes through one number that all of the rest depends on: "noise first, then Heun" is two transitions,
and every one of several Langevin steps at a level is one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from sdebench._support.errors import UsageError
from sdebench.integration.prediction import ModelLike
from sdebench.integration.solver import Sampler, Solver
from sdebench.integration.tableau import Row, Tableau, tableau
from sdebench.noise import factor

_MOST = 2  # noises inside of the stages: each multiplies the nodes by some 30
_ROUNDING = 1e-10  # relative


@dataclass(frozen=True)
class KernelLine:
    """`a x + sum_j b_j m_j + c zeta`: the argument of an evaluation at `t`, or the new state."""

    t: float
    a: float
    b: np.ndarray
    c: np.ndarray


@dataclass(frozen=True)
class Kernel:
    """`y = M(x, zeta) + width omega`, M by the evaluations `stages` and the last `line`."""

    model: ModelLike
    stages: tuple[KernelLine, ...]
    line: KernelLine
    width: float

    @property
    def inside(self) -> int:
        """How many noises enter a stage."""
        return len(self.line.c)

    def apply(self, x: np.ndarray, zeta: np.ndarray | None = None) -> np.ndarray:
        """M(x, zeta), (n,), for x (n,) and zeta (n, r)."""
        known: list[np.ndarray] = []
        zeta = np.zeros((len(x), self.inside)) if zeta is None else zeta
        for stage in self.stages:
            u = torch.from_numpy(_value(stage, x, known, zeta)).unsqueeze(1)
            known.append(self.model(u, stage.t).eps.squeeze(1).numpy())
        return _value(self.line, x, known, zeta)


def _value(line: KernelLine, x: np.ndarray, known: list[np.ndarray], zeta: np.ndarray) -> np.ndarray:
    out = line.a * x
    for c, v in [*zip(line.b, known), *zip(line.c, zeta.T)]:
        if c:
            out = out + c * v
    return out


def kernels(method: Solver | Sampler, model: ModelLike, grid: Sequence[float]) -> tuple[tuple[Kernel, ...], ...]:
    """The transitions of a method on a grid, by steps; a Sampler makes one step in all.

    Raises UsageError for a method with a memory, for one that is not linear in its vectors, and for one whose law is not normal
    given the noises of its stages.
    """
    name = type(method).__name__
    if getattr(method, "memory", 0):
        raise UsageError(
            f"{name} has a memory of {method.memory}: the law of a chain by quadrature needs a one-step method; "
            "sdebench.gaussian_law has all, on Gaussian data"
        )
    table = tableau(method, model.schedule, grid, gamma=getattr(model, "gamma", None))
    before, out = Row(0.0, 0.0, {}, 0, 0), []
    for i, row in enumerate(table.rows):
        out.append(tuple(_split(model, part, name) for part in _cut(_lines(table, i, before, row, name))))
        before = row
    return tuple(out)


def _lines(table: Tableau, i: int, before: Row, row: Row, name: str) -> list[KernelLine]:
    """The stages of step i and its last line, over its independent standard normals."""
    calls = range(before.evaluations, row.evaluations)
    root = np.zeros((row.noises - before.noises,) * 2)
    for k, covariance in table.covariances:
        if before.noises <= k < row.noises:
            at = slice(k - before.noises, k - before.noises + len(covariance))
            root[at, at] = factor(covariance)

    def line(t: float, terms: dict) -> KernelLine:
        a, b, c = 0.0, np.zeros(len(calls)), np.zeros(len(root))
        for (kind, k), value in terms.items():
            if kind == "x" and k == i:
                a += value
            elif kind == "m" and k in calls:
                b[k - calls.start] += value
            elif kind == "z" and before.noises <= k < row.noises:
                c[k - before.noises] += value
            elif kind == "u" and k in calls:  # the state that evaluation k was asked of
                stage = line(t, table.evaluations[k].state)
                a, b, c = a + value * stage.a, b + value * stage.b, c + value * stage.c
            else:
                raise UsageError(f"{name} uses a vector of an earlier step: the law of a chain needs a one-step method")
        return KernelLine(t, a, b, c)

    lines = [*(line(table.evaluations[j].t, table.evaluations[j].state) for j in calls), line(row.t, row.state)]
    return [replace(each, c=each.c @ root) for each in lines]


def _cut(lines: list[KernelLine]) -> list[list[KernelLine]]:
    """The lines of one step as those of several, each from the last state of the one before."""
    for k in range(len(lines) - 1):
        after = _after(lines, k)
        if after is not None:
            return [lines[: k + 1], *_cut(after)]
    return [lines]


def _after(lines: list[KernelLine], k: int) -> list[KernelLine] | None:
    """Lines k and later in terms of line k as the state, if they are `a (line k) + later evaluations + independent noise`.

    None where they are not, or where line k has no noise: a cut would gain nothing there.
    """
    state, out = lines[k], []
    if not state.a or not np.abs(state.c).max(initial=0.0) > _ROUNDING:
        return None
    known = _directions(np.array([line.c for line in lines[: k + 1]]))
    for line in lines[k:]:
        a = line.a / state.a
        b, c = line.b - a * state.b, line.c - a * state.c
        size = max(np.abs(line.b).max(initial=0.0), np.abs(line.c).max(initial=0.0), abs(a), 1.0)
        if max(np.abs(b[:k]).max(initial=0.0), np.abs(known.T @ c).max(initial=0.0)) > _ROUNDING * size:
            return None
        out.append(KernelLine(line.t, a, b[k:], c - known @ (known.T @ c)))
    return out


def _directions(rows: np.ndarray) -> np.ndarray:
    """An orthonormal basis, in columns, of what the rows span."""
    _, singular, basis = np.linalg.svd(rows, full_matrices=False)
    return basis[singular > _ROUNDING * singular.max(initial=0.0)].T


def _split(model: ModelLike, lines: list[KernelLine], name: str) -> Kernel:
    """The kernel in zeta (directions that some stage sees) and omega (the rest)."""
    *stages, last = lines
    u = _directions(np.array([stage.c for stage in stages]).reshape(len(stages), len(last.c)))
    width = float(np.linalg.norm(last.c - u @ (u.T @ last.c)))
    width = width if width > _ROUNDING * np.abs(last.c).max(initial=0.0) else 0.0
    if u.shape[1] and not width:
        raise UsageError(f"no noise of {name} enters its last line alone: its law is not computed")
    if u.shape[1] > _MOST:
        raise UsageError(f"{u.shape[1]} noises enter the stages of {name}: its law is computed for {_MOST} at most")
    *stages, last = (replace(line, c=line.c @ u) for line in lines)
    return Kernel(model, tuple(stages), last, width)
