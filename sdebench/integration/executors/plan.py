r"""A run as a plan: places for vectors, and what is done between two evaluations of the model.

All lines that are formed between two evaluations are one pass over memory, piece by piece, so that a vector is read once
however many lines want it.  A place is free for another vector as soon as nobody reads the old one again, so a line is often
formed in the place of one of its parts.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, is_dataclass
from functools import cached_property, lru_cache
from itertools import count
from typing import Any, NamedTuple

from sdebench.integration.executors.lines import Terms, formed
from sdebench.integration.executors.trace import Asked, Evaluated, Line, Trace, trace
from sdebench.integration.solver import Sampler, Solver
from sdebench.schedules import NoiseSchedule


class Question(NamedTuple):
    """A question to the noise, word for word, and the places of its answers."""

    method: str
    args: tuple[Any, ...]
    settings: dict[str, Any]
    answers: tuple[int, ...]


class Combination(NamedTuple):
    """`out = sum_k c_k v_k`: places and coefficients.  Where `out` is also one of the v, it is the first."""

    out: int
    terms: tuple[tuple[int, float], ...]


class Pass(NamedTuple):
    """Questions to the noise, then combinations, then the model's answer at (state, t).

    `dropped` are the places that nobody reads after the combinations.  The last pass asks no model: its state is the result.
    """

    questions: tuple[Question, ...]
    combinations: tuple[Combination, ...]
    dropped: tuple[int, ...]
    state: int
    t: float | None = None
    answer: int | None = None


@dataclass(frozen=True, eq=False)
class Plan:
    """The first `buffers` of the `places` are vectors that the executor writes; the others hold what comes from outside, the
    start (in `start`), answers and noises, and are never written.
    """

    passes: tuple[Pass, ...]
    buffers: int
    places: int
    start: int

    @property
    def traffic(self) -> tuple[int, int]:
        """How many vectors all passes (read, write): the fewest bytes to move.  What a pass has formed it need not read."""
        reads = writes = 0
        for p in self.passes:
            new: set[int] = set()
            old: set[int] = set()
            for out, terms in p.combinations:
                old |= {place for place, _ in terms} - new
                new.add(out)
            reads, writes = reads + len(old), writes + len(new)
        return reads, writes

    @cached_property
    def code(self) -> list[array[int]]:
        """The combinations of each pass for a kernel, in words of 64 bits: how many; of each `out`, the number of terms, and
        of each term its place and its coefficient, the bits of a float64.
        """
        coded = []
        for p in self.passes:
            words = array("q", [len(p.combinations)])
            for out, terms in p.combinations:
                words.extend((out, len(terms)))
                for place, c in terms:
                    words.extend((place, *struct.unpack("q", struct.pack("d", c))))
            coded.append(words)
        return coded


def plan(
    solver: Solver | Sampler, ns: NoiseSchedule, grid: Sequence[float], kind: str, gamma: Callable[[float], float] | None = None
) -> Plan:
    """The plan of that run for a model that predicts `kind`; remembered, where solver and schedule are values.

    Raises UsageError for a method that chooses its own steps, or is not linear in its vectors.
    """
    values = all(is_dataclass(v) and v.__dataclass_params__.frozen for v in (solver, ns))
    try:
        values and hash((solver, ns))
    except TypeError:  # a field that is a list, say
        values = False
    return (_remembered if values else _made)(solver, ns, tuple(grid), kind, gamma)


def _made(
    solver: Solver | Sampler, ns: NoiseSchedule, grid: Sequence[float], kind: str, gamma: Callable[[float], float] | None
) -> Plan:
    seen = trace(solver, ns, grid, kind, gamma)
    return _placed(seen, formed(seen))


_remembered = lru_cache(maxsize=64)(_made)
forget = _remembered.cache_clear


class _Places:
    """Places by number: from 0 up for lines that are formed, from -1 down for what comes from outside."""

    def __init__(self, flat: dict[Line, Terms]):
        self.flat, self.at = flat, {}  # type: ignore[var-annotated]  # filled below
        self.sizes, self.free = [0, 0], ([], [])  # type: ignore[var-annotated]  # filled below
        self.cleared: set[int] = set()

    def put(self, line: Line) -> int:
        inside = line in self.flat
        if self.free[inside]:
            self.at[line] = self.free[inside].pop()
        else:
            self.at[line] = self.sizes[1] if inside else -1 - self.sizes[0]
            self.sizes[inside] += 1
        return self.at[line]  # type: ignore[no-any-return]  # filled below

    def clear(self, line: Line) -> None:
        place = self.at.pop(line)
        self.free[line in self.flat].append(place)
        self.cleared.add(place)

    def dropped(self) -> list[int]:
        """The places from outside that were cleared since the last question, and are not taken again."""
        out, self.cleared = self.cleared - set(self.at.values()), set()
        return sorted(place for place in out if place < 0)


def _passes(seen: Trace, flat: dict[Line, Terms]) -> list[tuple[list[Asked], list[Line], Evaluated | None]]:
    """The events and the lines, in the order of the run, cut after each evaluation."""
    passes, lines, asked = [], list(flat), []
    done = 0
    for event in [*seen.events, None]:
        if isinstance(event, Asked):
            asked.append(event)
            continue
        first = done
        while done < len(lines) and (event is None or lines[done].age < event.answer.age):
            done += 1
        passes.append((asked, lines[first:done], event))
        asked = []
    return passes


def _placed(seen: Trace, flat: dict[Line, Terms]) -> Plan:
    """A place for each line, from when it is made until it is read for the last time."""
    passes = _passes(seen, flat)
    reads = [r for _, lines, e in passes for r in (*(flat[line] for line in lines), (e.state if e else seen.end,))]
    last = {line: i for i, read in enumerate(reads) for line in read}
    places, now, out = _Places(flat), count(), []

    def read(lines: Collection[Line]) -> list[int]:
        """The places of the lines, cleared where this is the last time."""
        i, found = next(now), [places.at[line] for line in lines]
        for line in lines:
            if last[line] == i:
                places.clear(line)
        return found

    def arrive(line: Line) -> int:
        place = places.put(line)
        if line not in last:
            places.clear(line)
        return place

    start = arrive(seen.start)
    for asked, lines, evaluated in passes:
        questions = [Question(*q[:3], tuple(arrive(line) for line in q.answers)) for q in asked]
        combinations = []
        for line in lines:
            terms = list(zip(read(flat[line]), flat[line].values()))
            place = places.put(line)
            combinations.append(Combination(place, tuple(sorted(terms, key=lambda term: term[0] != place))))
        dropped = places.dropped()
        (state,) = read((evaluated.state if evaluated else seen.end,))
        call = (evaluated.t, arrive(evaluated.answer)) if evaluated else ()
        out.append(Pass(tuple(questions), tuple(combinations), tuple(dropped), state, *call))
    return _numbered(out, places.sizes, start)


def _numbered(passes: list[Pass], sizes: list[int], start: int) -> Plan:
    """Places counted from 0: those that are formed, then those from outside."""
    outside, buffers = sizes
    number = lambda place: place if place >= 0 else buffers - 1 - place  # noqa: E731
    done = tuple(
        Pass(
            tuple(q._replace(answers=tuple(map(number, q.answers))) for q in p.questions),
            tuple(Combination(c.out, tuple((number(v), a) for v, a in c.terms)) for c in p.combinations),  # type: ignore[no-untyped-call]  # a lambda
            tuple(map(number, p.dropped)),
            number(p.state),  # type: ignore[no-untyped-call]  # a lambda
            p.t,
            None if p.answer is None else number(p.answer),  # type: ignore[no-untyped-call]  # a lambda
        )
        for p in passes
    )
    return Plan(done, buffers, buffers + outside, number(start))  # type: ignore[no-untyped-call]  # a lambda
