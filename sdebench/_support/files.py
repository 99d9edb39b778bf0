"""Files of ours: written whole or not at all, told by their SHA-256, kept in the user's cache."""

import hashlib
import os
import tempfile
from pathlib import Path


def cache() -> Path:
    """The folder of what can be had again: $XDG_CACHE_HOME/sdebench, or ~/.cache/sdebench."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sdebench"


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, content: bytes | str) -> Path:
    """Put a file in its place, whole and on the disk when this returns, or leave what was there.  Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    _sync(path.parent)
    return path


def _sync(folder: Path) -> None:
    """Have the folder's own entries on the disk."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
