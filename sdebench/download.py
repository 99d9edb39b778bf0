"""A file from the web, only where the user asked for it: checksummed, written whole or not at all."""

import hashlib
import os
import tempfile
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from .errors import UsageError

CHUNK = 1 << 20  # bytes at a time
PATIENCE = 60.0  # seconds without a byte before it is given up


def _save(url: str, file, name: str) -> str:
    """Write what the address gives, with a bar of progress on the terminal's standard error; its SHA-256."""
    from rich.console import Console
    from rich.progress import wrap_file

    digest = hashlib.sha256()
    with urlopen(url, timeout=PATIENCE) as answer:
        total = int(answer.headers.get("Content-Length") or 0)
        console = Console(stderr=True)
        with wrap_file(answer, total, description=name, console=console, disable=not console.is_terminal) as shown:
            while block := shown.read(CHUNK):
                digest.update(block)
                file.write(block)
    return digest.hexdigest()


def fetch(url: str, sha256: str, target: Path) -> Path:
    """The file `target`, which is loaded from the address unless it is there; its folder is made.

    Raises UsageError, and leaves nothing behind, if it cannot be loaded whole or has another SHA-256.
    """
    if target.exists():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
    try:
        with os.fdopen(handle, "wb") as file:
            found = _save(url, file, target.name)
            os.fsync(file.fileno())
        if found != sha256:
            raise UsageError(f"{url} gave a file with SHA-256 {found}, not {sha256}: load it again, or elsewhere to {target}")
        os.replace(temporary, target)
    except (OSError, ValueError, HTTPException) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"{url} cannot be loaded ({error}): load it elsewhere, and put it at {target}") from error
    finally:
        Path(temporary).unlink(missing_ok=True)
    return target
