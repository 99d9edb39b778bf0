"""A record: one measured fact with all that is needed to repeat it.  JSON at the border, a frozen dataclass inside."""

import hashlib
import json
import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from typing import Any

from sdebench import __version__
from sdebench._support.errors import shown
from sdebench._support.files import is_name, is_sha256
from sdebench.records.claims import Claims

SCHEMA = 1
LIBRARIES = ("torch", "numpy", "scipy", "torchdiffeq")
_JSON = {
    "key": str,
    "study": str,
    "status": str,
    "message": str,
    "case": dict,
    "context": dict,
    "claims": dict,
    "data": dict,
    "code": str,
    "versions": dict,
    "machine": str,
    "made": str,
}  # what a line must have
_REKEYED = ("key", "code", "reason", "when")
_TEXTS = ("study", "kind", "solver", "problem", "model", "grid", "dtype", "loss", "statement")  # of a case, where it has them


def clean(value: Any) -> Any:
    """The value as plain JSON: tuples and arrays as lists, and numbers that are inf or nan as None.

    Raises TypeError for what JSON has no place for.
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v) for v in value]
    if hasattr(value, "tolist"):  # scalars and arrays of numpy, tensors of torch
        return clean(value.tolist())
    raise TypeError(f"a {type(value).__name__} in a record: give numbers, strings, lists and dicts")


def canonical(case: Mapping[str, Any]) -> str:
    """One string for equal cases, whatever the order of their settings."""
    return json.dumps(clean(case), sort_keys=True, allow_nan=False)


def make_key(case: Mapping[str, Any], code: str) -> str:
    """The name of a measurement: 16 hex digits of the SHA-256 of the case and of the code that measures it."""
    return hashlib.sha256(f"{canonical(case)}\n{code}".encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ArraysFile:
    """Where the arrays of a record lie: the file's name, its SHA-256 and, once read, its path."""

    file: str
    sha256: str
    path: str = ""


@dataclass(frozen=True)
class Rekeyed:
    """An earlier key and code of a record, and why the record was kept when the code changed."""

    key: str
    code: str
    reason: str
    when: str


@dataclass(frozen=True)
class Record:
    """One measured fact.

    `case` says what was measured, as its study reads it; `context` what that meant here (schedule, span, dimension);
    `claims` what the solver states; `data` the numbers.  `status` is "ok" or "failed", and `message` says why it failed.
    `code` is the hash of the code that measured it, `key` that of case and code, `rekeyed` the keys that it had before.
    """

    key: str
    study: str
    status: str
    message: str
    case: Mapping[str, Any]
    context: Mapping[str, Any]
    claims: Claims | None
    data: Mapping[str, Any]
    code: str
    versions: Mapping[str, str]
    machine: str
    made: str
    arrays: ArraysFile | None = None
    rekeyed: tuple[Rekeyed, ...] = ()

    @property
    def is_ok(self) -> bool:
        """Whether the case was measured, and did not fail."""
        return self.status == "ok"

    @classmethod
    def from_json(cls, line: Any) -> "Record":
        """The record of a parsed line.  Raises ValueError, which says what is wrong, for anything else."""
        fault = find_fault(line)
        if fault:
            raise ValueError(fault)
        values = {name: line[name] for name in _JSON}
        arrays = ArraysFile(**{k: line["arrays"][k] for k in ("file", "sha256")}) if "arrays" in line else None
        rekeyed = tuple(Rekeyed(**{k: past[k] for k in _REKEYED}) for past in line.get("rekeyed", ()))
        return cls(**values | {"claims": Claims.from_json(line["claims"]), "arrays": arrays, "rekeyed": rekeyed})

    def to_json(self) -> dict[str, Any]:
        """The record as a line has it."""
        values = {key.name: getattr(self, key.name) for key in fields(self)}
        values["claims"] = self.claims.to_json() if self.claims else {}
        del values["arrays"], values["rekeyed"]
        if self.arrays:
            values["arrays"] = {"file": self.arrays.file, "sha256": self.arrays.sha256}
        if self.rekeyed:
            values["rekeyed"] = [asdict(past) for past in self.rekeyed]
        return {"schema": SCHEMA} | clean(values)


def find_fault(line: Any) -> str:
    """What keeps a parsed line from being a record, or ""."""
    if not isinstance(line, dict) or "schema" not in line:
        return "is not a record"
    if line["schema"] != SCHEMA:
        return f"has schema {shown(line['schema'])}, and this version reads {SCHEMA}"
    wrong = [name for name, kind in _JSON.items() if not isinstance(line.get(name), kind)]
    if wrong:
        return f"has no proper {wrong[0]!r}"
    if fault := _find_odd_leaf(line):
        return fault
    if "arrays" in line and not _names_a_file(line["arrays"]):
        return "has no proper 'arrays'"
    past = line.get("rekeyed", [])
    if not (
        isinstance(past, list) and all(isinstance(p, dict) and all(isinstance(p.get(k), str) for k in _REKEYED) for p in past)
    ):
        return "has no proper 'rekeyed'"
    return "" if line["status"] in ("ok", "failed") else f"has status {shown(line['status'])}"


def _find_odd_leaf(line: Mapping[str, Any]) -> str:
    """What in a case, its claims or its versions is of no kind that one of them has, or ""."""
    for name in _TEXTS:
        if not isinstance(line["case"].get(name, ""), str):
            return f"has a case whose {name} is {shown(line['case'][name])}"
    if line["case"].get("study") != line["study"]:
        return f"has a case of {shown(line['case'].get('study'))} in a record of {shown(line['study'])}"
    if not all(isinstance(value, str) for value in line["versions"].values()):
        return "has versions that are no text"
    try:
        Claims.from_json(line["claims"])
    except ValueError as error:
        return f"has a claim that is {error}"
    return ""


def _names_a_file(said: Any) -> bool:
    """Whether that says where arrays are: a file name without a folder, and a checksum."""
    return isinstance(said, dict) and is_name(said.get("file")) and is_sha256(said.get("sha256"))


def _processor() -> str:
    """The processor's model, or its architecture where the system does not tell; never the host's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.machine()


@cache
def provenance() -> dict[str, Any]:
    """`versions` and `machine` of a record made here."""
    versions = {"sdebench": __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            versions[library] = ""
    return {"versions": versions, "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()}"}


def make_record(
    case: Mapping[str, Any],
    code: str,
    status: str,
    message: str = "",
    context: Mapping[str, Any] | None = None,
    claims: Claims | None = None,
    data: Mapping[str, Any] | None = None,
) -> Record:
    """The record of a case measured now, by the code with that hash."""
    return Record(
        key=make_key(case, code),
        study=case["study"],
        status=status,
        message=message,
        case=clean(case),
        context=clean(context or {}),
        claims=claims,
        data=clean(data or {}),
        code=code,
        **provenance(),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def latest(records: Iterable[Record]) -> list[Record]:
    """One record a case, the last that was made of it, sorted by case; so the order of measuring leaves no trace."""
    last = {canonical(record.case): record for record in records}
    return [last[case] for case in sorted(last)]
