"""Locks between processes, on any system: the operating system lets go of one when its process dies."""

from pathlib import Path

from filelock import FileLock, Timeout

from sdebench._support.errors import UsageError, describe_os_error
from sdebench._support.files import check_own


def hold(path: Path, message: str) -> FileLock:
    """Lock a file against other processes until `.release()`.  Raises UsageError with that message if another holds it.

    What is locked is `.NAME.lock` beside the file, so that the file itself may be replaced.
    """
    place = path.parent / f".{path.name}.lock"
    check_own(place, lambda content: False, "a lock, which is empty,")
    lock = FileLock(place)
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(message) from None
    except OSError as error:
        raise UsageError(f"cannot lock {describe_os_error(error, place)}") from None
    return lock
