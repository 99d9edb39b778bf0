r"""The step as coefficients: a run on symbolic vectors is a table of numbers.

A step is linear in the state, the predictions and the noises.  Run on vectors that only remember their coefficients, a method
on a grid becomes

    x_{i+1} = a_i x_i + sum_j b_ij m_j + sum_k c_ik z_k,      m_j the model's answer at the state u_j = sum(...) of row j,

one row an evaluation and one a step, whatever the dimension.  From it: exact laws on Gaussian data (`laws.gaussian`), golden
coefficients.  (An executor needs the lines that a method forms, not what they come to: `executors.trace`.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.integration.prediction import KINDS, Prediction
from sdebench.integration.solver import Node, Sampler, Solver, check_solver
from sdebench.noise import Weight, check, gram
from sdebench.schedules import NoiseSchedule

Symbol = tuple[str, int]  # ("x", step), ("u", evaluation), ("m", evaluation) or ("z", noise)


class Vector:
    """A linear combination of symbols, `{symbol: coefficient}`, that knows + - * and /."""

    __slots__ = ("terms",)

    def __init__(self, terms: dict[Any, float]):  # keys of its own in each class: symbols here, lines in a trace
        self.terms = terms

    def __add__(self, other: Vector | int) -> Vector:
        if isinstance(other, Vector):
            terms = dict(self.terms)
            for symbol, c in other.terms.items():
                terms[symbol] = terms.get(symbol, 0.0) + c
            return Vector(terms)
        if other == 0:
            return self
        return NotImplemented

    __radd__ = __add__

    def __mul__(self, c: float) -> Vector:
        if isinstance(c, Vector):
            return NotImplemented
        return Vector({symbol: c * v for symbol, v in self.terms.items()})

    __rmul__ = __mul__

    def __truediv__(self, c: float) -> Vector:
        return self * (1.0 / c)

    def __neg__(self) -> Vector:
        return self * -1.0

    def __sub__(self, other: Vector) -> Vector:
        return self + -other


class Evaluation(NamedTuple):
    """One model call: at which time, and of which state."""

    t: float
    state: dict[Symbol, float]


class Row(NamedTuple):
    """One step s -> t: the new state, and how many evaluations and noises there were after it."""

    s: float
    t: float
    state: dict[Symbol, float]
    evaluations: int
    noises: int


@dataclass(frozen=True)
class Tableau:
    """A method on a grid as numbers.  `covariances` are those of the noises, by blocks: (first, (k, k)); `kind` is what the
    model predicts.
    """

    schedule: NoiseSchedule
    kind: str
    evaluations: tuple[Evaluation, ...]
    rows: tuple[Row, ...]
    covariances: tuple[tuple[int, np.ndarray], ...]

    @property
    def nfe(self) -> int:
        """Network evaluations of the run."""
        return len(self.evaluations)


@dataclass
class _SymbolicModel:
    """Answers every call with a new symbol, and writes down of what state it was asked.

    A state that is more than a symbol is given a name, u: an x0 that is read off it later stays short.
    """

    schedule: NoiseSchedule
    kind: str
    gamma: Callable[[float], float] | None = None
    calls: list[Evaluation] = field(default_factory=list)

    def __call__(self, x: Vector, t: float) -> Prediction:
        j = len(self.calls)
        self.calls.append(Evaluation(t, x.terms))
        known = len(x.terms) == 1 and 1.0 in x.terms.values()
        return Prediction(self.kind, Vector({("m", j): 1.0}), x if known else Vector({("u", j): 1.0}), t, self.schedule)  # type: ignore[arg-type]  # symbols stand in for tensors


@dataclass
class _SymbolicNoise:
    """New symbols for every interval, and their covariances."""

    schedule: NoiseSchedule
    blocks: list[tuple[int, np.ndarray]] = field(default_factory=list)
    asked: dict[tuple[Any, ...], tuple[Vector, ...]] = field(default_factory=dict)
    count: int = 0

    def _new(self, key: tuple[Any, ...], covariance: np.ndarray) -> tuple[Vector, ...]:
        if key not in self.asked:
            first, k = self.count, len(covariance)
            self.blocks.append((first, covariance))
            self.asked[key] = tuple(Vector({("z", first + j): 1.0}) for j in range(k))
            self.count += k
        return self.asked[key]

    def normal(self, s: float, t: float, weight: Weight, tag: int = 0) -> Vector:
        check(s, t, (weight,))
        return self._new(("normal", s, t, weight, tag), np.eye(1))[0]

    def integral(self, s: float, t: float, *weights: Weight, tag: int = 0) -> tuple[Vector, ...]:
        check(s, t, weights)
        return self._new(("integral", s, t, weights, tag), gram(self.schedule, s, t, weights))

    def fresh(self, t: float, tag: int = 0) -> Vector:
        return self._new(("fresh", t, tag), np.eye(1))[0]


def tableau(
    solver: Solver | Sampler,
    ns: NoiseSchedule,
    grid: Sequence[float],
    kind: str = "eps",
    gamma: Callable[[float], float] | None = None,
) -> Tableau:
    """The solver on that grid, for a model that predicts `kind`, as numbers: a row a step, or one in all for a Sampler.

    `gamma` is the model's mean square, for a method that asks for it (`analytic-dpm`).  Raises UsageError for a method that is
    not linear in its vectors.
    """
    if kind not in KINDS:
        raise UsageError(f"unknown kind of prediction {kind!r}: give one of {', '.join(KINDS)}")
    model, noise, rows = _SymbolicModel(ns, kind, gamma), _SymbolicNoise(ns), []
    with linear_only(solver, "a tableau needs a method of lincomb on x, predictions and noises only"):
        for s, t, x in _crossed(check_solver(solver), model, noise, grids.check(grid)):
            rows.append(Row(s, t, x.terms, len(model.calls), noise.count))
    return Tableau(ns, kind, tuple(model.calls), tuple(rows), tuple(noise.blocks))


@contextmanager
def linear_only(solver: Solver | Sampler, advice: str) -> Iterator[None]:
    """Turn the error of a method that does more to symbols than add and scale them into a UsageError, with the advice."""
    try:
        yield
    except (TypeError, AttributeError, AssertionError) as error:  # the last is torchdiffeq's way
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(f"{type(solver).__name__} is not linear in its vectors ({what}): {advice}") from None


def _crossed(
    solver: Solver | Sampler, model: _SymbolicModel, noise: _SymbolicNoise, grid: grids.Grid
) -> Iterator[tuple[float, float, Vector]]:
    """(s, t, state at t) of each step, from a state that is a new symbol at each s; of a Sampler, of the whole grid."""
    if isinstance(solver, Sampler):
        yield grid[0], grid[-1], solver.sample(model, Vector({("x", 0): 1.0}), grid, noise)  # type: ignore[arg-type, misc]  # symbols stand in for tensors
        return
    past: tuple[Node, ...] = ()
    for i, (s, t) in enumerate(pairwise(grid)):
        x, past, _ = solver.step(model, Vector({("x", i): 1.0}), s, t, past, noise)  # type: ignore[arg-type]  # symbols stand in for tensors
        yield s, t, x  # type: ignore[misc]  # symbols stand in for tensors
