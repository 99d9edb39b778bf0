"""A published release of a package that is not installed: its wheel in a folder of the cache, run in a process of its own."""

import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from sdebench._support import files
from sdebench._support.errors import UsageError, cut, describe_os_error, shown
from sdebench.peers.spec import distribution_of

_PATIENCE = 600.0
_MOST = 1 << 30  # bytes of an unpacked wheel


def folder_of(spec: str, release: str) -> Path:
    """The folder that holds the release, which is fetched unless it is there.  Raises UsageError."""
    if not release or not all(c.isalnum() or c in ".+!-_" for c in release):
        raise UsageError(f"{shown(release)} is not a version: give one as 0.36.0")
    name = distribution_of(spec)
    target = files.cache() / "releases" / f"{name}-{release}"
    if not target.is_dir():
        _fetch(name, release, target)
    return target


def _fetch(name: str, release: str, target: Path) -> None:
    files.make_folder(target.parent)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:", "-d", folder]
        done = subprocess.run([*command, f"{name}=={release}"], capture_output=True, text=True, timeout=_PATIENCE, check=False)
        wheels = list(Path(folder).glob("*.whl"))
        if done.returncode or not wheels:
            last = next((line for line in done.stderr.splitlines() if "ERROR" in line), "pip gave no wheel")
            raise UsageError(f"{name} {release} cannot be fetched ({cut(last)}): give a published release, as --release 0.36.0")
        unpacked = Path(folder) / "unpacked"
        _unpack(wheels[0], unpacked)
        try:
            unpacked.rename(target)
        except OSError as error:
            if not target.is_dir():  # another process was first
                raise UsageError(describe_os_error(error)) from None


def _unpack(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [PurePosixPath(info.filename) for info in archive.infolist()]
        if any(name.is_absolute() or ".." in name.parts for name in names):
            raise UsageError(f"{wheel.name} holds files outside its folder: it is not unpacked")
        if sum(info.file_size for info in archive.infolist()) > _MOST:
            raise UsageError(f"{wheel.name} unpacks to more than {_MOST >> 30} GiB: it is not unpacked")
        archive.extractall(target)


def measure_elsewhere(case: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """What the audit of a case gives in a process whose packages begin with that folder."""
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); sys.path.append({str(Path.cwd())!r}); "
        "from sdebench.studies.audit.measure import serve; serve()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        input=json.dumps(dict(case)),
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    if done.returncode or not done.stdout.strip():
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise RuntimeError(f"its process ended: {cut(last)}")
    found = json.loads(done.stdout)
    if "usage" in found:
        raise UsageError(found["usage"])
    return found
