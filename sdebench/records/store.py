"""Records: one measured fact a line, with all that is needed to repeat it, in an append-only JSON Lines file.

A line is written whole, by one write, and is on the disk before the next case is recorded; so killing a run at any
moment tears the last line at most.  `Writer` mends such a line and refuses, untouched, a file that is anything else.

A record may have arrays, in a file of their own (`arrays.py`): its "arrays" then holds "file" and "sha256" and, once read,
"path".
"""

import fcntl
import hashlib
import json
import os
import platform
import stat
import warnings
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from sdebench import __version__
from sdebench._support.errors import UsageError
from sdebench.records import arrays as files

SCHEMA = 1
LIBRARIES = ("torch", "numpy", "scipy", "torchdiffeq")
_FIELDS = {
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
}
_FIRST = b'{"schema": '  # every line begins so: how a torn record is told from a stranger's last line
_NOT_CODE = ("report", "cli", "testing.py")  # show or assert what was measured, and change no number


class TornLine(UserWarning):
    """The last line of a results file is the beginning of a record: a run was killed while it wrote."""


def clean(value: Any) -> Any:
    """The value as plain JSON: tuples and arrays as lists, and numbers that are inf or nan as None."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): clean(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [clean(v) for v in value]
    if hasattr(value, "tolist"):  # scalars and arrays of numpy, tensors of torch
        return clean(value.tolist())
    raise TypeError(f"a {type(value).__name__} in a record: give numbers, strings, lists and dicts")


def canonical(case: dict) -> str:
    """One string for equal cases, whatever the order of their settings."""
    return json.dumps(clean(case), sort_keys=True, allow_nan=False)


def key(case: dict, code: str) -> str:
    """The name of a measurement: 16 hex digits of the SHA-256 of the case and of the code that measures it."""
    return hashlib.sha256(f"{canonical(case)}\n{code}".encode()).hexdigest()[:16]


@cache
def code_hash(extra: tuple[Path, ...] = ()) -> str:
    """16 hex digits of the SHA-256 over the package's sources that can change a number, and over the `extra` files.

    `extra`: the files that define a user's own solver or problem.  What these files import is not followed.
    """
    root, digest = Path(__file__).parent, hashlib.sha256()
    own = [p for p in root.rglob("*.py") if p.relative_to(root).parts[0] not in _NOT_CODE]
    named = [(p.relative_to(root).as_posix(), p) for p in own] + [(f"extra/{p.name}", p) for p in extra]
    for name, path in sorted(named):
        content = path.read_bytes()
        digest.update(f"{name}\n{len(content)}\n".encode() + content)
    return digest.hexdigest()[:16]


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


def make(
    case: dict,
    code: str,
    status: str,
    message: str = "",
    context: dict | None = None,
    claims: dict | None = None,
    data: dict | None = None,
) -> dict[str, Any]:
    """The record of a case measured now, by the code with that hash.  `status` is "ok" or "failed"."""
    made = datetime.now(UTC).isoformat(timespec="seconds")
    return clean(
        {
            "schema": SCHEMA,
            "key": key(case, code),
            "study": case["study"],
            "status": status,
            "message": message,
            "case": case,
            "context": context or {},
            "claims": claims or {},
            "data": data or {},
            "code": code,
            **provenance(),
            "made": made,
        }
    )


def latest(records: Iterable[dict]) -> list[dict]:
    """One record a case, the last that was made of it, sorted by case; so the order of measuring leaves no trace."""
    last = {canonical(record["case"]): record for record in records}
    return [last[case] for case in sorted(last)]


def fault(record: Any) -> str:
    """What keeps a parsed line from being a record, or ""."""
    if not isinstance(record, dict) or "schema" not in record:
        return "is not a record"
    if record["schema"] != SCHEMA:
        return f"has schema {record['schema']!r}, and this version reads {SCHEMA}"
    wrong = [name for name, kind in _FIELDS.items() if not isinstance(record.get(name), kind)]
    if wrong:
        return f"has no proper {wrong[0]!r}"
    if "arrays" in record and not files.described(record["arrays"]):
        return "has no proper 'arrays'"
    return "" if record["status"] in ("ok", "failed") else f"has status {record['status']!r}"


class _Content(NamedTuple):
    """A results file: its records, the length of the part that is whole, and what its torn end needs."""

    records: list[dict]
    whole: int
    torn: bool  # the rest is the beginning of a record
    unended: bool  # the last record lacks only its newline


def _refuse(path: Path, number: int, what: str) -> UsageError:
    return UsageError(f"{path} is not a results file (line {number} {what}): give one that 'sdebench run' wrote")


def _parse(path: Path, raw: bytes) -> _Content:
    """Read the bytes of a results file.  Raises UsageError, with the line, for anything but records and a torn end."""
    *lines, tail = raw.split(b"\n")
    records = []
    for number, line in enumerate([*lines, *([tail] if tail else [])], 1):
        try:
            record, wrong = json.loads(line), ""
        except ValueError:  # a UnicodeDecodeError is one too
            if number > len(lines) and line[: len(_FIRST)] == _FIRST[: len(line)]:
                return _Content(records, len(raw) - len(tail), True, False)
            record, wrong = None, "is not JSON"
        wrong = wrong or fault(record)
        if wrong:
            raise _refuse(path, number, wrong)
        if "arrays" in record:
            record["arrays"]["path"] = str(files.folder(path.absolute()) / record["arrays"]["file"])
        records.append(record)
    return _Content(records, len(raw), False, bool(tail))


def _load(path: Path) -> bytes:
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise UsageError(f"{path} is not a file: give a .jsonl file that 'sdebench run' wrote")
    return path.read_bytes()


def read(path: str | Path) -> list[dict]:
    """The records of a file, in the order of making.  Changes nothing; a torn last line is left out, with a
    TornLine warning.

    Raises UsageError for a file that does not exist or is not a results file.
    """
    path = Path(path)
    try:
        content = _parse(path, _load(path))
    except FileNotFoundError:
        raise UsageError(f"there is no results file {path}: 'sdebench run --out {path}' makes one") from None
    if content.torn:
        message = f"{path}: left out a torn last line; 'sdebench run --out {path}' mends it"
        warnings.warn(message, TornLine, stacklevel=2)
    return content.records


def load_arrays(record: dict) -> dict[str, Any]:
    """The arrays of a record that was read, by name; none where it has none.

    Raises UsageError where their file is gone or has another checksum.
    """
    return files.read(record["arrays"]) if "arrays" in record else {}


def spoilt(records: Iterable[dict]) -> dict[str, str]:
    """Key -> what is wrong with its arrays, for the records whose arrays are not what was measured.

    Of several records of one key the last counts, whose arrays replaced the others'.
    """
    last = {record["key"]: record for record in records}
    faults = {key: files.fault(record["arrays"]) for key, record in last.items() if "arrays" in record}
    return {key: fault for key, fault in faults.items() if fault}


class Writer:
    """A results file open for appending, by one run at a time.  `records` are those that it held when it was opened.

    Opening makes the file and its folder where they are missing, and mends a torn last line: `repaired` says what was
    done.  Raises UsageError, and touches nothing, for a file that is not one of results or that another run is writing.
    """

    def __init__(self, path: str | Path):
        self.path, self.repaired = Path(path), ""
        if self.path.exists():
            _parse(self.path, _load(self.path))  # before anything is opened for writing
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            self._lock()
            self.records = self._mend(_parse(self.path, _load(self.path)))
        except BaseException:
            os.close(self._fd)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when the process dies
        except BlockingIOError:
            raise UsageError(f"another run is writing {self.path}: wait for it, or give another --out") from None

    def _mend(self, content: _Content) -> list[dict]:
        if content.unended:
            self._write(b"\n")
            self.repaired = f"{self.path}: ended the last line, whose record is whole"
        elif content.torn:
            cut = os.fstat(self._fd).st_size - content.whole
            os.ftruncate(self._fd, content.whole)
            os.fsync(self._fd)
            self.repaired = f"{self.path}: removed a torn last line of {cut} bytes; its case is measured again"
        return content.records

    def _write(self, line: bytes) -> None:
        """One write of the whole line, then to the disk; a line that does not fit is taken back."""
        size = os.fstat(self._fd).st_size
        written = os.write(self._fd, line)
        if written < len(line):
            os.ftruncate(self._fd, size)
            raise UsageError(f"no room for a record in {self.path}: free some, then run again to go on")
        os.fsync(self._fd)

    def append(self, record: dict) -> None:
        """Add a record, with its "arrays", {name: numpy array}, if it has any; when this returns, both are on the disk."""
        if "arrays" in record:
            record = record | {"arrays": files.write(self.path, record["key"], record["arrays"])}
        self._write(json.dumps(clean(record), allow_nan=False).encode() + b"\n")

    def close(self) -> None:
        """Let another run write."""
        os.close(self._fd)

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def append(path: str | Path, record: dict) -> None:
    """Append one record to a file; see `Writer` for what is refused, and use it for many."""
    with Writer(path) as writer:
        writer.append(record)
