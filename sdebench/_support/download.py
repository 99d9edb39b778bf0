"""A file from the web, only where the user asked for it: checksummed, written whole or not at all."""

import os
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from sdebench._support import files
from sdebench._support.errors import UsageError, describe, describe_os_error
from sdebench._support.reading import GIB, size_of

CHUNK = 1 << 20  # bytes at a time
MOST = GIB  # bytes of a file, however much a server sends
PATIENCE = 60.0  # seconds without a byte before it is given up


def _save(url: str, path: Path) -> None:
    """Write what the address gives, with a bar of progress where standard error is a terminal."""
    from rich.console import Console
    from rich.progress import wrap_file

    console = Console(stderr=True)
    with urlopen(url, timeout=PATIENCE) as answer, path.open("wb") as file:
        length = answer.headers.get("Content-Length") or ""
        total, came = int(length) if length.isdecimal() and len(length) < 16 else 0, 0
        with wrap_file(answer, total, description="download", console=console, disable=not console.is_terminal) as shown:
            while chunk := shown.read(CHUNK):
                came += len(chunk)
                if came > MOST:
                    raise UsageError(f"{url} sends more than {size_of(MOST)}: put the right file at {path.parent} yourself")
                file.write(chunk)
        os.fsync(file.fileno())


def fetch(url: str, sha256: str, target: Path) -> Path:
    """The file `target`, which is loaded from the address unless it is there; its folder is made.

    Raises UsageError, and leaves nothing behind, if it cannot be loaded whole or has another SHA-256.
    """
    if not files.is_sha256(sha256):
        raise UsageError(f"{url} cannot be loaded by the SHA-256 {sha256!r}: give its 64 hexadecimal digits")
    if target.exists():
        if files.sha256(target) != sha256:
            raise UsageError(f"{target} is not the file with SHA-256 {sha256}: remove it, to have it loaded again")
        return target
    temporary = target.with_name(f".{target.name}-{os.getpid()}")
    try:
        files.make_folder(target.parent)
        _save(url, temporary)
        if (found := files.sha256(temporary)) != sha256:
            raise UsageError(f"{url} gave a file with SHA-256 {found}, not {sha256}: put the right one at {target}")
        os.replace(temporary, target)
    except (OSError, HTTPException) as error:
        if isinstance(error, OSError) and error.errno is not None and error.filename:  # a file, not the way to the server
            what = describe_os_error(error)
        else:
            what = f"{describe(error)}; try again, or put the file at {target} yourself"
        raise UsageError(f"{url} was not loaded: {what}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return target
