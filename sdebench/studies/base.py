"""What a study is: settings, cases, how one case is measured, and a section of the report.

A study is one file or one folder here, or an entry point in the group `sdebench.studies`:

    @register_study("my-study")
    class MyStudy(Study):
        settings, case = MySettings, MyCase        # frozen dataclasses

        def cases(self, settings): ...             # a list of MyCase
        def measure(self, case): ...               # a Found: pure, the same case gives the same numbers
        def section(self, records): ...            # a Section of the report, or None

The class itself imports no torch, so that results are read and pages built without it; `measure` imports what it needs.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache, partial
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

from sdebench._support import moved
from sdebench._support.errors import UsageError, near_miss, shown
from sdebench._support.registry import GRIDS, PROBLEMS, STUDIES, Registry, import_object, split_spec
from sdebench.records import Claims, Record

if TYPE_CHECKING:
    from sdebench.report.section import Section

NUMBERS = 1 << 26  # of all states of a case, at most: half a gigabyte


@dataclass(frozen=True)
class Found:
    """What a case gave: its context (schedule, span), the solver's claims, numbers, and arrays for a file of their own."""

    context: Mapping[str, Any] = field(default_factory=dict)
    claims: Claims | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    arrays: Mapping[str, Any] | None = None


class Study:
    """Base of all studies.

    `settings` and `case` are frozen dataclasses; a field of a case that is None is left out of its record.  With `alone`,
    cases are not measured beside others, because they are timed.
    """

    name: ClassVar[str] = ""
    settings: ClassVar[type]
    case: ClassVar[type]
    alone: ClassVar[bool] = False

    def cases(self, settings: Any) -> Sequence[Any]:
        """The cases that the settings ask for.  Raises UsageError where nothing can be measured."""
        raise NotImplementedError

    def count(self, settings: Any) -> int:
        """No fewer than the cases that the settings ask for, told before they are made."""
        return prod(len(value) for value in vars(settings).values() if isinstance(value, tuple) and value)

    def measure(self, case: Any) -> Found:
        """Measure one case.  The same case gives the same numbers."""
        raise NotImplementedError

    def section(self, records: list[Record]) -> "Section | None":
        """The section of the report that these records of the study make; None where there is nothing to show."""
        return None

    def code(self, case: Any) -> Iterable[Any]:
        """The classes, functions and objects, beside `measure`, whose code measures a case: its solver, problem and grid."""
        return named_by(case)

    def to_json(self, case: Any) -> dict[str, Any]:
        """A case as its record has it."""
        values = {key.name: getattr(case, key.name) for key in fields(case)}
        return {"study": self.name} | {name: value for name, value in values.items() if value is not None}

    def from_json(self, case: Mapping[str, Any]) -> Any:
        """The case of a record."""
        values = {key.name: case[key.name] for key in fields(self.case) if key.name in case}
        return self.case(**{name: tuple(v) if isinstance(v, list) else v for name, v in values.items()})


def get_study(name: str) -> Study:
    """The study of that name.  Raises UsageError for one that does not exist."""
    if name in _RENAMED:
        raise UsageError(f"study {name!r} is now called {_RENAMED[name]!r}: write study = {_RENAMED[name]!r}")
    names = STUDIES.names()
    if name not in names and name not in STUDIES.broken:
        raise UsageError(f"unknown study {shown(name)}{near_miss(name, names)} (there are: {', '.join(names)})")
    return STUDIES.get(name)


_RENAMED = {"seed": "survey"}


def named_by(case: Any) -> list[Any]:
    """The solver, the factory of the problem and the grid that a case names."""
    named = vars(case)
    makers = {"solver": _solver, "problem": problem_factory, "grid": _grid}
    return [make(named[key]) for key, make in makers.items() if named.get(key)]  # type: ignore[operator]  # functions


def check_lists(named: Iterable[Mapping[str, Any]]) -> None:
    """Raise UsageError for a list of one's own levels that does not fit the problem beside it."""
    from sdebench import grids
    from sdebench.catalogue import get_problem

    pairs = dict.fromkeys((one["problem"], one["grid"]) for one in named if one.get("problem") and one.get("grid"))
    for problem, grid in pairs:
        if split_spec(grid)[0] == "list":
            at = get_problem(problem)
            grids.get(grid)(at.schedule, *at.span, 1)


@cache
def _solver(spec: str) -> Any:
    from sdebench.catalogue import get_solver

    return get_solver(spec)


def _grid(spec: str) -> Any:
    return _factory(GRIDS, spec)


def problem_factory(spec: str) -> Any:
    """What makes the problem of a spec."""
    return _factory(PROBLEMS, spec)


def _factory(registry: Registry, spec: str) -> Any:
    """What a spec names, with the settings that the name fixes."""
    name = split_spec(spec)[0]
    if ":" in name:
        return import_object(registry.kind, name)
    factory, preset = registry.entry(name)
    return partial(factory, **preset) if preset else factory


def check_size(points: int, numbers: int, what: str) -> None:
    """Raise UsageError where so many states of so many numbers are more than a study holds in memory."""
    if points * numbers > NUMBERS:
        raise UsageError(f"{what} is {points:,}, of states of {numbers:,} numbers: give {max(1, NUMBERS // numbers):,} at most")


def tell_left_out(reasons: Iterable[str], anything: bool) -> None:
    """Warn of what has no case: its first reason (empty ones do not count), and how many others there are.

    Raises UsageError, with that reason, unless there is anything left to measure.
    """
    reasons = list(dict.fromkeys(filter(None, reasons)))
    if reasons and not anything:
        raise UsageError(reasons[0])
    if reasons:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        warnings.warn(f"left out: {reasons[0]}{more}", stacklevel=3)


def __getattr__(name: str) -> Any:
    return moved.get_name(__name__, name)
