"""What the records of the quality study say: groups of runs that may be compared and, in each, distances with their intervals.

Distances are made from statistics that lie beside the records; they are read a cell at a time, for those of many features are
large.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from math import nan
from typing import Any, NamedTuple

import numpy as np

from sdebench._support.errors import UsageError
from sdebench.metrics.frechet import bootstrap, frechet, infinite, interval, resampled
from sdebench.metrics.statistics import Statistics, merged, unstack
from sdebench.records import Record, load_arrays
from sdebench.report.facts import series
from sdebench.studies.dtypes import DTYPES

MEASURES = ("kid", "precision", "recall", "density", "coverage", "swd")
LOST = "its statistics are gone: measure it again"
_GROUP = ("model", "model_sha256", "data_sha256", "features")
Place = tuple[int, int, int]  # of a part of the samples: seed of the noise, number of the first, how many


class SampleRun(NamedTuple):
    """What one row of a table is about."""

    solver: str
    grid: str
    dtype: str
    device: str


@dataclass
class QualityCell:
    """The samples of one run within one budget: their distance from the data, its half-width (95 %), draws of a bootstrap, the
    limit for infinitely many samples with its error; `why` there is no distance."""

    run: SampleRun
    budget: int
    records: list[Record]
    fd: float = nan
    half_width: float = nan
    infinite: float = nan
    infinite_error: float = nan
    why: str = ""
    draws: np.ndarray = field(default_factory=lambda: np.empty(0))
    places: tuple[Place, ...] = ()

    def mean(self, name: str) -> float:
        """The mean of a number of the chunks, over samples."""
        values, n = (np.array([_number(r.data.get(key)) for r in self.records]) for key in (name, "n"))
        return float(values @ n / n.sum())

    def total(self, name: str) -> float:
        """The sum of a number of the chunks."""
        return sum(_number(r.data.get(name)) for r in self.records)

    @property
    def n(self) -> int:
        """Samples."""
        return sum(r.data["n"] for r in self.records)

    @property
    def nfe(self) -> float:
        """Network evaluations as counted."""
        return self.records[0].data["nfe"]


class DataDistance(NamedTuple):
    """What the data itself shows: a distance that samples are to be compared with."""

    name: str
    n: int
    fd: float
    half_width: float
    measures: dict[str, float]


class Group(NamedTuple):
    """One network, data set and feature space; `label` names it, `train` is None where the data has no record.

    The `students` of a network stand with it where both were measured; their errors, to the trajectory of their teacher, are
    `paired`, and are no `errors` of a solver.
    """

    label: str
    context: Mapping[str, Any]
    train: Statistics | None
    cells: list[QualityCell]
    levels: list[DataDistance]
    errors: dict[SampleRun, Record]
    pictures: list[Record]
    data: Record | None
    paired: dict[SampleRun, Record] = {}  # noqa: RUF012
    students: tuple["Group", ...] = ()


def _number(value: float | None) -> float:
    return nan if value is None else float(value)


def _format(record: Record) -> int:
    dtype = record.case.get("dtype", "")
    return DTYPES.index(dtype) if dtype in DTYPES else -1


def run_of(record: Record) -> SampleRun:
    """The run that a record with a solver is about."""
    return SampleRun(*(record.case.get(key, "") for key in SampleRun._fields))


def _disjoint(chunks: list[Record]) -> list[Record]:
    """The chunks without those whose samples are in others already, as after a change of the chunks' size."""
    kept, ends = [], Counter()
    for r in sorted(chunks, key=lambda r: (r.case["seed"], r.case["first"], -r.case["size"])):
        seed, first, size = (r.case[key] for key in ("seed", "first", "size"))
        if first >= ends[seed]:
            kept.append(r)
            ends[seed] = first + size
    return kept


def _parts(chunks: list[Record]) -> dict[Place, Statistics]:
    """The statistics of the samples in parts; parts of two cells at one place come from the same noise."""
    found = {}
    for r in chunks:
        at = r.case["first"]
        for part in unstack(load_arrays(r)):
            found[r.case["seed"], at, part.count] = part
            at += part.count
    return found


def _measure(cell: QualityCell, train: Statistics | None) -> QualityCell:
    """The cell with its distance from the train part, or with the reason why there is none."""
    lost = sum(r.data.get("nonfinite") or 0 for r in cell.records)
    if lost or train is None:
        cell.why = f"{lost} of {cell.n} samples are not finite" if lost else "the data has no record: measure the kind 'data'"
        return cell
    try:
        found = _parts(cell.records)
    except UsageError:
        cell.why = LOST
        return cell
    parts, cell.places = list(found.values()), tuple(found)
    cell.fd = frechet(merged(parts), train)
    if len(parts) > 1:
        cell.draws = resampled(parts, train)
        cell.half_width = interval(cell.fd, cell.draws, len(parts), 0.95)[1] - cell.fd
    with suppress(UsageError):  # too few samples
        cell.infinite, cell.infinite_error = infinite(parts, train)
    return cell


def apart(a: QualityCell, b: QualityCell, train: Statistics, level: float) -> bool:
    """Whether the distances of the two differ with that confidence, by the parts that both have."""
    others = set(b.places)
    common = [place for place in a.places if place in others]
    if len(common) < 2:
        return False
    if a.places == b.places:
        at, gaps = a.fd - b.fd, a.draws - b.draws
    else:
        sides = [[found[place] for place in common] for found in (_parts(a.records), _parts(b.records))]
        at = frechet(merged(sides[0]), train) - frechet(merged(sides[1]), train)
        gaps = resampled(sides[0], train) - resampled(sides[1], train)
    low, high = interval(at, gaps, len(common), level)
    return not low <= 0 <= high


def level_for(cells: int) -> float:
    """The confidence of one of all pairs of that many cells, such that all are right with 95 % (Bonferroni): the best is not
    known before."""
    return 1 - 0.05 / max(1, cells * (cells - 1) // 2)


def _of_data(record: Record | None) -> tuple[Statistics | None, list[DataDistance]]:
    """(train part, levels of the data itself)"""
    if record is None:
        return None, []
    try:
        held = load_arrays(record)
    except UsageError:
        return None, []
    train, test = (unstack({k.removeprefix(p): v for k, v in held.items() if k.startswith(p)}) for p in ("train.", "test."))
    whole, halves = merged(train), (train[::2], train[1::2])
    test_n = sum(part.count for part in test)
    measures = {name: _number(record.data.get(name)) for name in MEASURES}
    levels = [DataDistance("data: test images", test_n, *_with_half_width(test, whole), measures)]
    if all(halves):
        n, found = min(sum(part.count for part in half) for half in halves), _with_half_width(halves[0], merged(halves[1]))
        levels.insert(0, DataDistance("data: two halves", n, *found, {}))
    return whole, levels


def _with_half_width(parts: list[Statistics], ref: Statistics) -> tuple[float, float]:
    fd = frechet(merged(parts), ref)
    return fd, bootstrap(parts, ref)[1] - fd if len(parts) > 1 else nan


def _finest(found: Iterable[Record]) -> dict[SampleRun, Record]:
    """Of the error ladders of a run, that over most points; of as many points, that of most rungs."""
    best: dict[SampleRun, Record] = {}
    for r in found:
        run = run_of(r)
        best[run] = max(best.get(run, r), r, key=lambda r: (r.case.get("points", 0), series(r, "n").size))
    return best


def _labels(contexts: Mapping[tuple, Mapping[str, Any]]) -> dict[tuple, str]:
    """A name for each group, no longer than tells it from the others; a network of the package by the name it has there."""
    called = {key: key[0] if re.fullmatch(r"[\w.-]+", key[0]) else c["model"] for key, c in contexts.items()}
    names = {
        key: called[key] if c["data"] in ("", called[key], c["model"]) else f"{called[key]} on {c['data']}"
        for key, c in contexts.items()
    }
    for more in ("metric", "model_sha256", "data_sha256"):
        values: dict[str, set[str]] = {}
        for key, name in names.items():
            values.setdefault(name, set()).add(contexts[key][more])
        names = {key: f"{name}, {contexts[key][more][:16]}" if len(values[name]) > 1 else name for key, name in names.items()}
    return names


def groups(records: Iterable[Record]) -> list[Group]:
    """All that was measured, by network, data set and feature space, exact formats first; of failed cases nothing."""
    of: dict[tuple, dict[str, list[Record]]] = {}
    kept = [r for r in records if r.study == "quality" and r.is_ok]
    place = {name: i for i, name in enumerate(dict.fromkeys(r.case.get("solver") for r in kept))}
    for r in sorted(kept, key=lambda r: (place[r.case.get("solver")], _format(r))):
        key = tuple(r.case.get(name, "") for name in _GROUP)
        of.setdefault(key, {}).setdefault(r.case["kind"], []).append(r)
    labels = _labels({key: next(iter(kinds.values()))[0].context for key, kinds in of.items()})
    taught = _taught(of)
    found = {key: _group(labels[key], of[key]) for key in sorted(of, key=labels.get) if key not in taught}
    for key in sorted(taught, key=labels.get):
        its = found[taught[key]]
        label = labels[key].removesuffix(f" on {its.context['data']}")  # which the teacher's own says
        found[taught[key]] = its._replace(students=(*its.students, _group(label, of[key], its.train)))
    return list(found.values())


def _taught(of: dict[tuple, dict[str, list[Record]]]) -> dict[tuple, tuple]:
    """The group of each student, and that of its teacher, where this was measured on the same data and features."""
    teachers = {
        (r.context["model_sha256"], *key[2:]): key
        for key, kinds in of.items()
        for some in kinds.values()
        for r in some
        if "teacher" not in r.context
    }
    found = {}
    for key, kinds in of.items():
        for r in (r for some in kinds.values() for r in some if "teacher" in r.context):
            its = (r.data.get("reference_of", r.context["teacher"])["sha256"], *key[2:])
            if its in teachers:
                found[key] = teachers[its]
    return found


def _group(label: str, kinds: dict[str, list[Record]], of_teacher: Statistics | None = None) -> Group:
    data, context = next(iter(kinds.get("data", ())), None), next(iter(kinds.values()))[0].context
    train, levels = _of_data(data)
    train = of_teacher if train is None else train
    cells = [_measure(cell, train) for cell in _cells(kinds.get("samples", []))]
    errors, none = _finest(kinds.get("error", ())), {}
    errors, paired = (none, errors) if "teacher" in context else (errors, none)
    return Group(label, context, train, cells, levels, errors, kinds.get("pictures", []), data, paired)


def _cells(chunks: list[Record]) -> Iterator[QualityCell]:
    found: dict[tuple[SampleRun, int], list[Record]] = {}
    for r in chunks:
        found.setdefault((run_of(r), r.case["budget"]), []).append(r)
    return (QualityCell(run, budget, _disjoint(some)) for (run, budget), some in found.items())
