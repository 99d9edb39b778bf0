"""What the records of the profile study say once they are read: rounds pooled over repeats, medians and their intervals."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import isnan, nan
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binom

from sdebench.records import Claims, Record, canonical
from sdebench.report.facts import series

PARTS = ("network", "noise", "update", "rest")  # of a step; they add up to its total in every round
BOUND = {"network": "network", "noise": "noise", "update": "bandwidth", "rest": "launches"}  # by what the part is limited
PLACE = ("model", "dtype", "device", "compiled", "threads", "grid", "steps", "seed", "machine")  # where solvers are compared
_LEVEL = 0.95


class Median(NamedTuple):
    """A median and the ends of its 95 % interval; nan where there are too few numbers for one."""

    value: float
    low: float
    high: float


def median(numbers: Sequence[float] | np.ndarray) -> Median:
    """The median m of independent draws of any law, between two of their order statistics,

        P(X_(k) <= m <= X_(n+1-k)) >= 1 - 2 P(Bin(n, 1/2) < k) >= 0.95,

    with the largest such k (David and Nagaraja 2003, section 7.1); there is none below 6 numbers.
    """
    x = np.sort(np.asarray(numbers, float))
    if not x.size:
        return Median(nan, nan, nan)
    k = int(binom.ppf((1 - _LEVEL) / 2, x.size, 0.5))  # P(Bin < k) is below 2.5 %: no sum of powers of 1/2 equals it
    low, high = (x[k - 1], x[-k]) if k else (nan, nan)
    return Median(float(np.median(x)), float(low), float(high))


def _one(record: Record, *path: str) -> float:
    """A number of a record's data, null and missing as nan."""
    found: Any = record.data
    for name in path:
        found = found.get(name) if isinstance(found, dict) else None
    return nan if found is None else float(found)


def _rounds(record: Record) -> np.ndarray:
    """Seconds a step, (1 + parts, rounds), the total first; rounds that lack one of them are left out."""
    seconds = record.data["seconds"]
    table = np.array([seconds[name] for name in ("total", *PARTS)], float)
    return table[:, np.isfinite(table).all(0)]


@dataclass(frozen=True)
class CostCell:
    """A case with the records of all its repeats that were measured; `why` says what became of it where there is none, `lost`
    what became of each that was not."""

    case: dict
    records: list[Record]
    claims: Claims
    why: str
    lost: tuple[str, ...]

    @cached_property
    def seconds(self) -> dict[str, np.ndarray]:
        """Seconds a step of every round of every repeat: "total" and each part, (rounds,)."""
        pooled = [_rounds(r) for r in self.records]
        table = np.concatenate(pooled, axis=1) if pooled else np.empty((1 + len(PARTS), 0))
        return dict(zip(("total", *PARTS), table))

    @cached_property
    def copy(self) -> np.ndarray:
        """Seconds of copying one state, (rounds,)."""
        pooled = np.concatenate([series(r, "copy") for r in self.records] or [np.empty(0)])
        return pooled[np.isfinite(pooled)]

    def number(self, *path: str) -> float:
        """The median over the repeats of a number of the data; nan where no record has it."""
        found = [v for v in (_one(r, *path) for r in self.records) if not isnan(v)]
        return float(np.median(found)) if found else nan

    def peak(self, name: str) -> float:
        """Bytes of memory: the largest of the repeats."""
        return max((v for v in (_one(r, "memory", name) for r in self.records) if not isnan(v)), default=nan)

    @cached_property
    def between(self) -> float:
        """Greatest less least median of a repeat, as a part of the median of all; nan for one repeat."""
        each = [float(np.median(t)) for t in (_rounds(r)[0] for r in self.records) if t.size]
        return (max(each) - min(each)) / float(np.median(self.seconds["total"])) if len(each) > 1 else nan

    @cached_property
    def leading(self) -> list[str]:
        """The largest part of a step, and those that are not told apart from it: the 95 % interval of the median of their
        difference, round by round, reaches 0.  Empty where there are too few rounds for an interval."""
        largest = max(PARTS, key=lambda p: median(self.seconds[p]).value)
        gaps = {p: median(self.seconds[largest] - self.seconds[p]).low for p in PARTS if p != largest}
        if any(map(isnan, gaps.values())):
            return []
        return [largest, *(p for p in sorted(gaps, key=gaps.__getitem__) if gaps[p] <= 0)]


def _case(record: Record) -> dict:
    """The settings that tell cases apart: all but the repeat, and how long it was measured."""
    case = {"machine": record.machine} | record.case  # type: ignore[operator]  # a case is a dict
    return {name: value for name, value in case.items() if name not in ("study", "repeat", "seconds")}


def _place(cell: CostCell) -> tuple:
    """Where it was measured, to sort by: null models first, for there is only the solver; numbers by their size."""
    values = (cell.case.get(name, "") for name in PLACE)
    told = (f"{value:09d}" if isinstance(value, int) else str(value) for value in values)
    return not str(cell.case.get("model", "")).startswith("null"), *told


def cells(records: Iterable[Record]) -> list[CostCell]:
    """Every case of the profile study: place by place, solvers in the order of the records, executors, then batches."""
    found: dict[str, list[Record]] = {}
    for r in (r for r in records if r.study == "profile"):
        found.setdefault(canonical(_case(r)), []).append(r)
    out = []
    for each in found.values():
        kept = [r for r in each if r.is_ok]
        lost = tuple(r.message for r in each if not r.is_ok)
        out.append(CostCell(_case(each[0]), kept, each[-1].claims, "" if kept else each[-1].message, lost))
    solvers = {name: i for i, name in enumerate(dict.fromkeys(c.case["solver"] for c in out))}
    return sorted(out, key=lambda c: (_place(c), solvers[c.case["solver"]], c.case["executor"], c.case["batch"]))


def _words(name: str, value: Any) -> str:
    """A setting as a label names it."""
    if name == "compiled":
        return "compiled network" if value else "network not compiled"
    if name == "model":
        return f"{value} model" if str(value).startswith("null") else str(value)
    forms = {"threads": f"{value} thread{'' if value == 1 else 's'}", "steps": f"{value} steps", "seed": f"seed {value}"}
    return forms.get(name, str(value))


def labels(found: list[CostCell]) -> list[str]:
    """Of each cell, where it was measured: model, dtype and device, and whatever else differs between the cells."""
    differ = [name for name in PLACE if len({c.case.get(name) for c in found}) > 1 or name in ("model", "dtype", "device")]
    return [", ".join(_words(name, c.case[name]) for name in differ if name in c.case) for c in found]
