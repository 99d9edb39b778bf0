"""Results files: records in an append-only JSON Lines file, one run writing at a time.

A line is written whole, by one write, and is on the disk before the next case is recorded; so killing a run at any
moment tears the last line at most.  `Writer` mends such a line and refuses, untouched, a file that is anything else.
"""

import json
import os
import stat
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sdebench._support.errors import UsageError
from sdebench._support.files import write_atomic
from sdebench._support.locks import hold
from sdebench.records import arrays as files
from sdebench.records.record import Record, Rekeyed, make_key

_FIRST = b'{"schema": '  # every line begins so: how a torn record is told from a stranger's last line


class TornLine(UserWarning):
    """The last line of a results file is the beginning of a record: a run was killed while it wrote."""


class _Content(NamedTuple):
    """A results file: its records, the length of the part that is whole, and what its torn end needs."""

    records: list[Record]
    whole: int
    torn: bool  # the rest is the beginning of a record
    unended: bool  # the last record lacks only its newline


def _refuse(path: Path, number: int, what: str) -> UsageError:
    return UsageError(f"{path} is not a results file (line {number} {what}): give one that 'sdebench run' wrote")


def _parse(path: Path, raw: bytes) -> _Content:
    """Read the bytes of a results file.  Raises UsageError, with the line, for anything but records and a torn end."""
    *lines, tail = raw.split(b"\n")
    records: list[Record] = []
    for number, line in enumerate([*lines, *([tail] if tail else [])], 1):
        try:
            parsed = json.loads(line)
        except ValueError:  # a UnicodeDecodeError is one too
            if number > len(lines) and line[: len(_FIRST)] == _FIRST[: len(line)]:
                return _Content(records, len(raw) - len(tail), True, False)
            raise _refuse(path, number, "is not JSON") from None
        try:
            record = Record.from_json(parsed)
        except ValueError as error:
            raise _refuse(path, number, str(error)) from None
        if record.arrays:
            where = str(files.folder(path.absolute()) / record.arrays.file)
            record = replace(record, arrays=replace(record.arrays, path=where))
        records.append(record)
    return _Content(records, len(raw), False, bool(tail))


def _load(path: Path) -> bytes:
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):
        raise UsageError(f"{path} is not a file: give a .jsonl file that 'sdebench run' wrote")
    return path.read_bytes()


def read(path: str | Path) -> list[Record]:
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


def load_arrays(record: Record) -> dict[str, Any]:
    """The arrays of a record that was read, by name; none where it has none.

    Raises UsageError where their file is gone or has another checksum.
    """
    return files.read(record.arrays) if record.arrays else {}


def find_spoilt(records: Iterable[Record]) -> dict[str, str]:
    """Key -> what is wrong with its arrays, for the records whose arrays are not what was measured.

    Of several records of one key the last counts, whose arrays replaced the others'.
    """
    last = {record.key: record for record in records}
    faults = {key: files.fault(record.arrays) for key, record in last.items() if record.arrays}
    return {key: fault for key, fault in faults.items() if fault}


def _line(record: Record) -> bytes:
    return json.dumps(record.to_json(), allow_nan=False).encode() + b"\n"


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
        self._lock = hold(self.path, f"another run is writing {self.path}: wait for it, or give another --out")
        try:
            self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
            self.records = self._mend(_parse(self.path, _load(self.path)))
        except BaseException:
            self._lock.release()
            raise

    def _mend(self, content: _Content) -> list[Record]:
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

    def append(self, record: Record, arrays: Mapping[str, Any] | None = None) -> None:
        """Add a record and its arrays, {name: numpy array}; when this returns, both are on the disk."""
        if arrays:
            record = replace(record, arrays=files.write(self.path, record.key, arrays))
        self._write(_line(record))

    def rekey(self, codes: Mapping[str, str], reason: str) -> int:
        """Give records another code and the key that goes with it, and keep what they had: key -> new code.

        The file is replaced whole; data, case and arrays stay as they are.  Returns the number of records.
        """
        when, count, out = datetime.now(UTC).isoformat(timespec="seconds"), 0, []
        for record in self.records:
            if record.key in codes:
                code = codes[record.key]
                past = (*record.rekeyed, Rekeyed(record.key, record.code, reason, when))
                record = replace(record, key=make_key(record.case, code), code=code, rekeyed=past)
                count += 1
            out.append(record)
        try:
            write_atomic(self.path, b"".join(map(_line, out)))
        except OSError as error:
            raise UsageError(f"no room for {self.path} ({error.strerror}): free some, then type the command again") from None
        os.close(self._fd)
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | getattr(os, "O_CLOEXEC", 0))
        self.records = out
        return count

    def close(self) -> None:
        """Let another run write."""
        os.close(self._fd)
        self._lock.release()

    def __enter__(self) -> "Writer":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def append(path: str | Path, record: Record, arrays: Mapping[str, Any] | None = None) -> None:
    """Append one record to a file; see `Writer` for what is refused, and use it for many."""
    with Writer(path) as writer:
        writer.append(record, arrays)
