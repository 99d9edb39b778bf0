"""Locks between processes, on any system: the operating system lets go of one when its process dies."""

from pathlib import Path

from filelock import FileLock, Timeout

from sdebench._support.errors import UsageError


def hold(path: Path, message: str) -> FileLock:
    """Lock a file against other processes until `.release()`.  Raises UsageError with that message if another holds it.

    What is locked is `.NAME.lock` beside the file, so that the file itself may be replaced.
    """
    lock = FileLock(path.parent / f".{path.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise UsageError(message) from None
    return lock
