"""What a worker answers, as bytes, and what of it the driver believes: a record of the case asked for, whole, and no other.

An answer is one line of JSON, {"record": ..., "sha256": of the rest}, and then the record's arrays as safetensors, if it has
any; so nothing that a worker sends is ever unpickled.  On its way the number of its bytes, as LENGTH, goes before it.
"""

import hashlib
import json
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from sdebench._support.errors import UsageError, cut
from sdebench._support.reading import check_plain
from sdebench.records import Record, clean, make_key

LENGTH = struct.Struct("!Q")
_ERRORS = ("rms", "median", "max")


class Job(NamedTuple):
    """A case as its record has it, the hash of the code that measures it, and `module:Class` of its study."""

    case: dict
    code: str
    study: str

    @property
    def key(self) -> str:
        """The name of the measurement."""
        return make_key(self.case, self.code)


class Reply(NamedTuple):
    """A record, and its arrays where it has any."""

    record: Record
    arrays: Mapping[str, Any] | None = None


class Fault(Exception):
    """A worker that died, hung or answered nonsense; says which, in one line."""


def is_diverged(data: Mapping[str, Any]) -> bool:
    """Whether every error measured is inf or nan."""
    errors = [e for name in _ERRORS if isinstance(data.get(name), list) for e in data[name]]
    return bool(errors) and all(e is None for e in errors)


def pack(answer: Reply) -> bytes:
    """The bytes of an answer."""
    arrays = {name: np.array(array, order="C") for name, array in sorted((answer.arrays or {}).items())}
    rest = save(arrays) if arrays else b""
    head = {"record": answer.record.to_json(), "sha256": hashlib.sha256(rest).hexdigest()}
    return json.dumps(head, allow_nan=False).encode() + b"\n" + rest


def refusal(why: str) -> bytes:
    """The answer of a worker that must not measure the case: it runs other code."""
    return json.dumps({"refused": why}).encode() + b"\n"


def _not_finite(token: str) -> None:
    raise ValueError(f"holds {token}")


def _arrays(rest: bytes) -> dict[str, np.ndarray]:
    found = load(rest)
    for name, array in found.items():
        if array.dtype.kind == "f" and array.size and not np.isfinite(array).any():
            raise ValueError(f"has no finite number in {name!r}")
    return found


def _read_record(line: Any, job: Job) -> Record:
    """The record that was asked for.  Raises ValueError, which says why, for anything else."""
    record = Record.from_json(line)
    if record.key != job.key or record.code != job.code or record.case != clean(job.case):
        raise ValueError("is of another case, or of other code")
    if record.arrays:
        raise ValueError("has arrays without their values")
    if record.is_ok and is_diverged(record.data):
        raise ValueError("is ok without a finite error")
    return record


def unpack(answer: bytes, job: Job) -> Reply:
    """The answer to a job.  Raises Fault for nonsense, and UsageError for a refusal."""
    line, _, rest = answer.partition(b"\n")
    try:
        head = check_plain(json.loads(line, parse_constant=_not_finite))
        if not isinstance(head, dict) or not ("refused" in head or {"record", "sha256"} <= head.keys()):
            raise ValueError("is not an answer")
        if "refused" in head:
            raise UsageError(cut(str(head["refused"])))
        if hashlib.sha256(rest).hexdigest() != head["sha256"]:
            raise ValueError("has not the arrays that it says (another SHA-256)")
        return Reply(_read_record(head["record"], job), _arrays(rest) if rest else None)
    except UsageError:
        raise
    except (ValueError, SafetensorError, TypeError, RecursionError, AttributeError) as error:
        why = "is not JSON" if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) else cut(str(error))
        raise Fault(f"its worker answered nonsense: what came {why}") from None
