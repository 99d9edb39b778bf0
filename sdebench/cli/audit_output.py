"""How an audit is told: a row a sampler, the faults below it, JSON and JUnit."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from sdebench._support.escape import xml
from sdebench._support.files import check_own, write_own
from sdebench.cli.junit import Failure, is_junit, junit
from sdebench.cli.output import table, without
from sdebench.records import Record
from sdebench.studies.audit.certificate import faults_of, readings_of, row_of

_HEADS = ("sampler", "calls", "levels", "best error", "claim", "main", "run", "float32", "law", "faults", "is")
_NUMBERS = ("calls", "best error", "claim", "main", "run", "float32", "faults")  # aligned right
_SPARE = ("is", "levels", "float32", "run", "calls")  # left out of a narrow terminal in that order
_ROOM = 28
_ORDER = {"fault": 0, "price": 1, "limit": 2, "told": 3, "right": 4}


def as_json(record: Record) -> dict[str, Any]:
    """One certificate, as a program reads it."""
    keys = ("check", "what", "value", "verdict")
    return {
        "spec": record.case["peer"],
        "package": record.context.get("package", ""),
        "version": record.case["version"],
        "readings": [{key: one[key] for key in keys} for one in readings_of(record)],
        "faults": faults_of(record),
    }


def show(records: Sequence[Record]) -> None:
    """The table, and what is wrong in plain words; of a single sampler, all readings."""
    rows = [_cells(row_of(record)) for record in records]
    empty = [head for head, *cells in zip(_HEADS, *rows) if not any(cells)]
    columns, kept = without(_HEADS, rows, *empty)
    table(columns, kept, "", _NUMBERS, spare=_SPARE)
    for record in records:
        _show_one(record, everything=len(records) == 1)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        _short(row["peer"]),
        _number(row["calls"], "g"),
        row["levels"],
        f"{row['best']:.2g} at {row['steps']}" if row["best"] is not None else "",
        _number(row["claim"], "g"),
        _number(row["main"], ".2f"),
        _number(row["order"], ".2f"),
        _number(row["float32"], ".0e"),
        row["law"],
        str(row["faults"]),
        row["identity"],
    )


def _number(value: float | None, form: str) -> str:
    return format(value, form) if value is not None and isfinite(value) else ""


def _short(spec: str) -> str:
    """The name and the settings, cut to what a table has room for."""
    name = spec.rpartition("/")[2].partition(":")[2] or spec
    return name if len(name) <= _ROOM else f"{name[: _ROOM - 3]}..."


def _show_one(record: Record, everything: bool) -> None:
    chosen = sorted(readings_of(record), key=lambda one: _ORDER[one["verdict"]])
    shown = [one for one in chosen if everything or one["verdict"] in ("fault", "price")]
    if not shown:
        return
    print(f"{xml(record.case['peer'])} ({record.case['version']})")
    told: dict[tuple[str, str], list[str]] = {}
    for one in shown:  # one limit may hold for many checks
        told.setdefault((one["verdict"], one["what"]), []).append(one["check"])
    for (verdict, what), checks in told.items():
        print(f"  {verdict:5s}  {', '.join(dict.fromkeys(checks))}: {xml(what)}")
    for command in dict.fromkeys(fault["repeat"] for fault in faults_of(record)):
        print(f"         again: {xml(command)}")
    print()


def _is_junit(content: bytes) -> bool:
    return is_junit(content, "sdebench audit")


def check_files(junit: Path | None) -> None:
    """Raise UsageError where a file that is asked for would replace a stranger's: before anything is measured."""
    if junit:
        check_own(junit, _is_junit, "JUnit XML of an audit")


def write_junit(path: Path | None, records: Sequence[Record]) -> None:
    """A test case a sampler, which fails where it has a fault."""
    if path is None:
        return
    failures = {}
    for record in records:
        if faults := faults_of(record):
            lines = [f"{one['check']}: {one['what']}\n  again: {one['repeat']}" for one in faults]
            failures[record.case["peer"]] = Failure(faults[0]["what"], faults[0]["check"], lines)
    content = junit("sdebench audit", [record.case["peer"] for record in records], failures)
    write_own(path, content, _is_junit, "JUnit XML of an audit")
