"""How an audit is told: a row a sampler, the faults below it, JSON and JUnit."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from sdebench._support.escape import xml
from sdebench._support.files import check_own, write_own
from sdebench.cli.output import table
from sdebench.records import Record
from sdebench.studies.audit.certificate import faults_of, readings_of, row_of

_HEADS = ("sampler", "calls", "best error", "claim", "main", "run", "law", "faults")
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
    table(_HEADS, [_cells(row_of(record)) for record in records], "", ("calls", "best error", "claim", "main", "run", "faults"))
    for record in records:
        _show_one(record, everything=len(records) == 1)


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    best = f"{row['best']:.2g} at {row['steps']}" if row["best"] is not None else ""
    return (
        _short(row["peer"]),
        f"{row['calls']:g}" if row["calls"] is not None else "",
        best,
        f"{row['claim']:g}" if row["claim"] is not None else "",
        _order(row["main"]),
        _order(row["order"]),
        row["law"],
        str(row["faults"]),
    )


def _short(spec: str) -> str:
    """The name and the settings, cut to what a table has room for."""
    name = spec.rpartition("/")[2].partition(":")[2] or spec
    return name if len(name) <= _ROOM else f"{name[: _ROOM - 3]}..."


def _order(value: float | None) -> str:
    return f"{value:.2f}" if value is not None and isfinite(value) else ""


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
    return b'name="sdebench audit"' in content


def check_files(junit: Path | None) -> None:
    """Raise UsageError where a file that is asked for would replace a stranger's: before anything is measured."""
    if junit:
        check_own(junit, _is_junit, "JUnit XML of an audit")


def write_junit(path: Path | None, records: Sequence[Record]) -> None:
    """A test case a sampler, which fails where it has a fault."""
    if path is None:
        return
    from xml.etree import ElementTree as ET

    failed = sum(bool(faults_of(record)) for record in records)
    counts = {"name": "sdebench audit", "tests": str(len(records)), "failures": str(failed), "errors": "0"}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", counts)
    for record in records:
        case = ET.SubElement(suite, "testcase", classname="sdebench.audit", name=xml(record.case["peer"]))
        if faults := faults_of(record):
            failure = ET.SubElement(case, "failure", message=xml(faults[0]["what"]), type=faults[0]["check"])
            failure.text = "\n".join(xml(f"{one['check']}: {one['what']}\n  again: {one['repeat']}") for one in faults)
    ET.indent(root)
    write_own(path, ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n", _is_junit, "JUnit XML of an audit")
