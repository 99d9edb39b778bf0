r"""A run on vectors that remember how they were made: which evaluations, noises and lines there are, in which order.

A `tableau` says what a state IS, as numbers over symbols; a trace says how the method forms it, line by line, so that what a
step needs stays short however long the grid is: the lines of the paper are the vectors that a run forms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, NamedTuple

from sdebench._support.errors import UsageError
from sdebench.integration.integrate import eager
from sdebench.integration.prediction import Prediction
from sdebench.integration.solver import Sampler, Solver
from sdebench.integration.tableau import Vector, linear_only
from sdebench.noise import Weight
from sdebench.schedules import NoiseSchedule

_ages = count()


class Line(Vector):
    """A vector of a trace: `{line: coefficient}` over the lines it was made of, empty for what comes from outside."""

    __slots__ = ("age",)

    def __init__(self, terms: dict[Line, float]):
        super().__init__(terms)
        self.age = next(_ages)

    def __add__(self, other: Vector | int) -> Line:
        if isinstance(other, Line):
            terms = {self: 1.0}
            terms[other] = terms.get(other, 0.0) + 1.0
            return Line(terms)
        return self if other == 0 else NotImplemented

    __radd__ = __add__

    def __mul__(self, c: float) -> Line:
        return NotImplemented if isinstance(c, Vector) else Line({self: c})

    __rmul__ = __mul__


class Asked(NamedTuple):
    """A question to the noise, word for word, and the lines that answer it."""

    method: str
    args: tuple[Any, ...]
    settings: dict[str, Any]
    answers: tuple[Line, ...]


class Evaluated(NamedTuple):
    """A call of the model, and the line that is its answer."""

    state: Line
    t: float
    answer: Line


@dataclass
class Trace:
    """What a run did: `events` in their order, from the line `start` to the line `end`."""

    start: Line
    events: list[Asked | Evaluated]
    end: Line


@dataclass
class _TracedModel:
    """Answers every call with a new line, of what the model predicts."""

    schedule: NoiseSchedule
    kind: str
    gamma: Callable[[float], float] | None
    events: list[Asked | Evaluated] = field(default_factory=list)

    def __call__(self, x: Line, t: float) -> Prediction:
        answer = Line({})
        self.events.append(Evaluated(x, t, answer))
        return Prediction(self.kind, answer, x, t, self.schedule)  # type: ignore[arg-type]  # symbols stand in for tensors


@dataclass
class _TracedNoise:
    """Answers every question with new lines, also one that was asked before: a noise is asked as often as the method asks."""

    schedule: NoiseSchedule
    events: list[Asked | Evaluated]

    def _ask(self, method: str, size: int, args: tuple[Any, ...], settings: dict[str, Any]) -> tuple[Line, ...]:
        answers = tuple(Line({}) for _ in range(size))
        self.events.append(Asked(method, args, settings, answers))
        return answers

    def normal(self, *args: Any, **settings: Any) -> Line:
        return self._ask("normal", 1, args, settings)[0]

    def integral(self, s: float, t: float, *weights: Weight, **settings: Any) -> tuple[Line, ...]:
        return self._ask("integral", len(weights), (s, t, *weights), settings)

    def fresh(self, *args: Any, **settings: Any) -> Line:
        return self._ask("fresh", 1, args, settings)[0]


def trace(
    solver: Solver | Sampler, ns: NoiseSchedule, grid: Sequence[float], kind: str, gamma: Callable[[float], float] | None = None
) -> Trace:
    """The run of the solver on that grid, for a model that predicts `kind`.

    Raises UsageError for a method that chooses its own steps, or is not linear in its vectors.
    """
    if solver.adaptive:
        raise UsageError(f"{type(solver).__name__} chooses its own steps, which no plan knows before: give executor='eager'")
    model, start = _TracedModel(ns, kind, gamma), Line({})
    with linear_only(solver, "give executor='eager'"):
        end = eager(solver, model, start, grid, _TracedNoise(ns, model.events))  # type: ignore[arg-type]  # symbols stand in for tensors
    return Trace(start, model.events, end)  # type: ignore[arg-type]  # symbols stand in for tensors
