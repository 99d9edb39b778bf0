"""Results files: records in an append-only JSON Lines file, one run writing at a time.

A line is written whole, by one write, and is on the disk before the next case is recorded; so killing a run at any
moment tears the last line at most.  `Writer` mends such a line and refuses, untouched, a file that is anything else.
"""

import json
import os
import time
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from sdebench._support.errors import UsageError, cut, not_written
from sdebench._support.files import check_path, make_folder, write_atomic
from sdebench._support.locks import hold
from sdebench._support.reading import DATA, parse_json, read_bytes
from sdebench.records import arrays as files
from sdebench.records.record import Record, Rekeyed, make_key

_ADVICE = "give a .jsonl file that 'sdebench run' wrote"
_MARK = b"\xef\xbb\xbf"  # of UTF-8, which some editors put first
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
    return UsageError(f"{cut(str(path))} is not a results file (line {number} {what}): {_ADVICE}")


def _parse(path: Path, raw: bytes) -> _Content:
    """Read the bytes of a results file.  Raises UsageError, with the line, for anything but records and a torn end."""
    *lines, tail = raw.split(b"\n")
    records: list[Record] = []
    for number, line in enumerate([*lines, *([tail] if tail else [])], 1):
        line = line.removeprefix(_MARK) if number == 1 else line
        try:
            parsed = parse_json(line)
        except ValueError as error:
            if number > len(lines) and line[: len(_FIRST)] == _FIRST[: len(line)]:
                return _Content(records, len(raw) - len(tail), True, False)
            raise _refuse(path, number, str(error)) from None
        try:
            record = Record.from_json(parsed)
        except ValueError as error:
            raise _refuse(path, number, str(error)) from None
        if record.arrays:
            where = str(files.folder(path.absolute()) / record.arrays.file)
            record = replace(record, arrays=replace(record.arrays, path=where))
        records.append(record)
    return _Content(records, len(raw), False, bool(tail))


def read(path: str | Path) -> list[Record]:
    """The records of a file, in the order of making.  Changes nothing; a torn last line is left out, with a
    TornLine warning.

    Raises UsageError for a file that does not exist or is not a results file.
    """
    path = Path(path)
    try:
        content = _parse(path, read_bytes(path, DATA, _ADVICE))
    except FileNotFoundError:
        raise UsageError(f"there is no results file {cut(str(path))}: 'sdebench run --out FILE' makes one") from None
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
        self.path, self.repaired = check_path(Path(path)), ""
        if os.path.lexists(self.path):
            _parse(self.path, read_bytes(self.path, DATA, _ADVICE))  # before anything is opened for writing
        make_folder(self.path.parent)
        self._lock = hold(self.path, f"another run is writing {self.path}: wait for it, or give another --out")
        self._added: list[bytes] = []
        try:
            self._open(os.O_CREAT)
            self.records = self._mend(_parse(self.path, read_bytes(self.path, DATA, _ADVICE)))
        except BaseException:
            self._lock.release()
            raise

    def _open(self, more: int = 0) -> None:
        self._fd = os.open(self.path, os.O_RDWR | os.O_APPEND | more | getattr(os, "O_CLOEXEC", 0), 0o644)
        self._size = os.fstat(self._fd).st_size

    def _mend(self, content: _Content) -> list[Record]:
        if content.unended:
            self._write(b"\n")
            self.repaired = f"{self.path}: ended the last line, whose record is whole"
        elif content.torn:
            torn = os.fstat(self._fd).st_size - content.whole
            os.ftruncate(self._fd, content.whole)
            os.fsync(self._fd)
            self._size = content.whole
            self.repaired = f"{self.path}: removed a torn last line of {torn} bytes; its case is measured again"
        return content.records

    def _write(self, line: bytes) -> None:
        """One write of the whole line, then to the disk; a line that does not fit is taken back."""
        try:
            written = os.write(self._fd, line)
            if written < len(line):
                os.ftruncate(self._fd, self._size)
                raise UsageError(f"no room for a record in {self.path}: free some, then run again to go on")
            os.fsync(self._fd)
        except OSError as error:
            raise UsageError(not_written(error, self.path)) from None
        self._size += written

    def append(self, record: Record, arrays: Mapping[str, Any] | None = None) -> None:
        """Add a record and its arrays, {name: numpy array}; when this returns, both are on the disk.

        A file that was removed since the last record is written again.  Raises UsageError for one that somebody else has
        replaced or changed, which is not touched.
        """
        self._look_after()
        if arrays:
            record = replace(record, arrays=files.write(self.path, record.key, arrays))
        line = _line(record)
        self._write(line)
        self._added.append(line)

    def _look_after(self) -> None:
        """See that the name still leads to the file that is open, and that nobody else has written there."""
        mine = os.fstat(self._fd)
        try:
            there = os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            self._restore()
            return
        if (there.st_dev, there.st_ino) != (mine.st_dev, mine.st_ino):
            raise self._rescue("was replaced", self._content())
        if there.st_size != self._size:
            raise self._rescue("was changed", b"".join(self._added))

    def _content(self) -> bytes:
        """All that the open file holds, whether or not it still has a name."""
        return os.pread(self._fd, self._size, 0)

    def _restore(self) -> None:
        """Write the file that was removed again, and go on in that."""
        write_atomic(self.path, self._content())
        os.close(self._fd)
        self._open()
        if not os.path.exists(self._lock.lock_file):
            self._lock = hold(self.path, f"another run is writing {self.path}: wait for it, or give another --out")
        warnings.warn(f"{self.path} was removed while a run wrote it: it is there again, with all its records", stacklevel=4)

    def _rescue(self, what: str, content: bytes) -> UsageError:
        """Put the records where nobody looks for them, and say so."""
        beside = self.path.with_name(f"{self.path.stem}-rescued-{int(time.time())}-{os.getpid()}.jsonl")
        if content:
            write_atomic(beside, content)
        kept = f"the records of this run are in {beside}" if content else "no record of this run is lost"
        return UsageError(f"{self.path} {what} while a run wrote it, and is left as it is; {kept}: give another --out")

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
        self._look_after()
        try:
            write_atomic(self.path, b"".join(map(_line, out)))
        except OSError as error:
            raise UsageError(not_written(error, self.path)) from None
        os.close(self._fd)
        self._open()
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
