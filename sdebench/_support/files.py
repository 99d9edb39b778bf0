"""Files of ours: written whole or not at all, never over a stranger's, told by their SHA-256, kept in the user's cache."""

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeGuard

from sdebench._support.errors import UsageError, cut, describe_os_error, shown
from sdebench._support.reading import WEIGHTS, check_file, open_file

NAME = r"\w[\w.-]*"  # of what names a file or a folder: no separator, and neither "." nor ".."
LONGEST = 100  # characters of such a name
_HEAD = 1 << 22  # bytes of a file by which it is told whose it is


def is_name(name: object) -> TypeGuard[str]:
    """Whether a file may be called by that."""
    return isinstance(name, str) and re.fullmatch(NAME, name) is not None and len(name.encode()) <= LONGEST


def check_name(name: object, what: str) -> str:
    """The name, if a file may be called by it.  Raises UsageError, in which it is called `what`."""
    if not is_name(name):
        raise UsageError(
            f"{what} is {shown(name)}: give letters, digits, '-', '_' or '.', {LONGEST} at most; it names files and folders"
        )
    return name


def stem(name: str) -> str:
    """A name that is safe in a path, unlike those of other names: problems may be given as `package.module:attribute`."""
    clean = re.sub(r"[^\w.+-]+", "-", name).strip(".")[:60]
    return name if clean == name else f"{clean}-{hashlib.sha256(name.encode(errors='replace')).hexdigest()[:8]}"


def cache() -> Path:
    """The folder of what can be had again: $XDG_CACHE_HOME/sdebench, or ~/.cache/sdebench; without a home, one of this user's
    in the folder of temporary files."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(given):  # as its specification has it, a relative one is none
        return Path(given) / "sdebench"
    try:
        return Path.home() / ".cache" / "sdebench"
    except RuntimeError:  # no HOME, and a user who is not in the system's list
        return Path(tempfile.gettempdir()) / f"sdebench-{os.getuid() if hasattr(os, 'getuid') else 'cache'}"


def own_folder(folder: Path) -> Path:
    """A folder of the cache, made where it is not there, in which nobody but this user may write.  Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if hasattr(os, "getuid") and folder.stat().st_uid == os.getuid():
        folder.chmod(0o700)
    return folder


def private(path: Path) -> Path | None:
    """Where a path leads, if nobody but this user or the system can have put there what lies at it; else None.

    It and every folder above it belong to one of the two, and nobody else may write there.  Above the folder that holds it may
    be one like /tmp, where all may write and none may take what is another's.
    """
    real = Path(os.path.realpath(path))
    if not hasattr(os, "getuid"):
        return real  # where files have no such owners the user's cache is the user's
    for one in (real, *real.parents):
        about = os.stat(one)
        shared = about.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        sticky = one not in (real, real.parent) and about.st_mode & stat.S_ISVTX
        if about.st_uid not in (os.getuid(), 0) or (shared and not sticky):
            return None
    return real


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex.  Raises UsageError for what is no regular file, FileNotFoundError for none."""
    with open_file(path, WEIGHTS) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # a file as typeshed has it, not BinaryIO


def is_sha256(value: object) -> bool:
    """Whether that is a SHA-256 in hex."""
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{64}", value) is not None


def head(path: Path) -> bytes:
    """The first bytes of a file, by which its kind is told."""
    with open_file(path, 1 << 62) as file:
        return file.read(_HEAD)


def check_path(path: Path) -> Path:
    """The path, if the system can have a file of that name.  Raises UsageError for one with a NUL, or half a surrogate pair."""
    try:
        if b"\0" not in os.fsencode(path):
            return path
    except UnicodeEncodeError:
        pass
    raise UsageError(f"the path is {shown(str(path))}: give a name without characters that no file has")


def check_own(path: Path, is_own: Callable[[bytes], bool], what: str) -> None:
    """Raise UsageError unless the path is free, or what lies there is empty, or `is_own`, told by its first bytes."""
    if not os.path.lexists(check_path(path)):
        return
    try:
        content = head(path)
    except FileNotFoundError:  # a link to nowhere
        content = b"?"
    if content and not is_own(content):
        raise UsageError(f"{cut(str(path))} is not {what} that sdebench wrote: give another path, or remove it")


def write_own(path: Path, content: bytes | str, is_own: Callable[[bytes], bool], what: str) -> Path:
    """Put a file in its place, unless there is one that is not ours."""
    check_own(path, is_own, what)
    return write_atomic(path, content)


def write_atomic(path: Path, content: bytes | str) -> Path:
    """Put a file in its place, whole and on the disk when this returns, or leave what was there.

    A link stays, and what it names is replaced.  Raises UsageError for what is no regular file (/dev/null would be one after),
    OSError, with this path, where it cannot be written.
    """
    place = Path(os.path.realpath(check_path(path)))
    if place.exists():
        check_file(place, 1 << 62)
    draft = ""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, draft = tempfile.mkstemp(dir=place.parent, prefix=f".{place.name[:40]}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(draft, 0o644)
        os.replace(draft, place)
    except BaseException as error:
        if draft:
            Path(draft).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno is not None:
            error.filename, error.filename2 = str(path), None
        raise
    _sync(place.parent)
    return path


def _sync(folder: Path) -> None:
    """Have the folder's own entries on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_folder(path: Path) -> Path:
    """The folder, made where it is not there.  Raises UsageError where it cannot be."""
    check_path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        what = describe_os_error(error, path) if isinstance(error, OSError) else shown(str(path))
        raise UsageError(f"no folder can be made at {what}") from None
    return path
