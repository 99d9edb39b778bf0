"""Arrays that belong to a record, in a safetensors file beside the results: `RESULTS.arrays/KEY.safetensors`.

Written whole and on the disk before the record's line is, which holds the file's SHA-256.  A file whose record was never
written, of a run that was killed in between, is harmless: the case is measured again and the file replaced.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from sdebench._support.errors import UsageError, not_written
from sdebench._support.files import sha256, write_atomic
from sdebench._support.reading import GIB, read_bytes
from sdebench.records.record import ArraysFile

MOST = 2 * GIB  # bytes of the arrays of a record


def folder(results: Path) -> Path:
    """Where the arrays of a results file lie."""
    return results.with_suffix(".arrays")


def write(results: Path, key: str, arrays: Mapping[str, np.ndarray]) -> ArraysFile:
    """Write the arrays of the record of that key; returns what the record says of them."""
    from safetensors.numpy import save

    data = save({name: np.array(array, order="C") for name, array in sorted(arrays.items())})
    path = folder(results) / f"{key}.safetensors"
    try:
        write_atomic(path, data)
    except OSError as error:
        raise UsageError(not_written(error, path)) from None
    return ArraysFile(path.name, hashlib.sha256(data).hexdigest())


def fault(said: ArraysFile) -> str:
    """What is wrong with the file of a record's arrays, or ""."""
    try:
        digest = sha256(Path(said.path))
    except FileNotFoundError:
        return "are gone"
    except (UsageError, OSError):
        return "cannot be read"
    return "" if digest == said.sha256 else "are not those that were measured (another SHA-256)"


def read(said: ArraysFile) -> dict[str, np.ndarray]:
    """The arrays of a record.  Raises UsageError where their file is gone or has changed."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        data = read_bytes(said.path, MOST, "give the file that belongs to the results")
        if hashlib.sha256(data).hexdigest() == said.sha256:
            return load(data)
        what = fault(said)
    except FileNotFoundError:
        what = "are gone"
    except SafetensorError:
        what = "are no arrays"
    raise UsageError(f"arrays {said.path} {what}: the command that measured them measures them again")
