"""What a record of an audit says, as a row and as faults.  Loads no torch."""

import shlex
from collections.abc import Mapping
from typing import Any

from sdebench.records import Record

Row = dict[str, Any]


def readings_of(record: Record) -> list[Mapping[str, Any]]:
    """The readings of a record; a peer that crashed, or gave no answer, has one, which is a fault."""
    if record.is_ok:
        return list(record.data.get("readings") or [])
    return [
        {"check": "runs", "name": "crash", "what": f"it ended its process: {record.message}", "value": None, "verdict": "fault"}
    ]


def row_of(record: Record) -> Row:
    """The certificate: one row."""
    found = {(one["check"], one["name"]): one for one in readings_of(record)}

    def value(check: str, *names: str) -> Any:
        return next((one["value"] for name in names if (one := found.get((check, name)))), None)

    return {
        "peer": record.case["peer"],
        "package": record.context.get("package", ""),
        "version": record.case["version"],
        "calls": value("runs", "calls"),
        "levels": _worst(record, "levels"),
        "best": value("ladder", "best"),
        "steps": next((one.get("steps") for one in found.values() if one["name"] == "best"), None),
        "claim": value("order", "claim"),
        "main": value("order", "main order"),
        "order": value("order", "order of a run"),
        "float32": value("formats", "float32", "float32 floor"),
        "law": _worst(record, "law"),
        "identity": _identity(found),
        "faults": len(faults_of(record)),
    }


_RANK = ("fault", "price", "right", "limit", "told")


def _worst(record: Record, check: str) -> str:
    """The worst verdict of a check; "" where it has none."""
    verdicts = {one["verdict"] for one in readings_of(record) if one["check"] == check}
    return next((word for word in _RANK if word in verdicts), "")


def _identity(found: Mapping[tuple[str, str], Mapping[str, Any]]) -> str:
    same = found.get(("identity", "same as"))
    return str(same["what"]).removeprefix("this is ").partition(", to")[0] if same else ""


def faults_of(record: Record) -> list[dict[str, Any]]:
    """The faults, each with the command that repeats it."""
    return [
        {"check": one["check"], "what": one["what"], "value": one["value"], "repeat": repeat(record.case, one["check"])}
        for one in readings_of(record)
        if one["verdict"] == "fault"
    ]


def repeat(case: Mapping[str, Any], *checks: str) -> str:
    """The command that makes some checks again."""
    words = ["sdebench", "audit", case["peer"], *(word for check in checks for word in ("--check", check))]
    for option, key in (("--as", "interface"), ("--release", "release"), ("--claim", "claim")):
        words += [option, str(case[key])] if case.get(key) is not None else []
    return shlex.join(words + ["--full"] * bool(case.get("full")))
