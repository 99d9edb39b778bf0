"""One door to every data set: by name, or by the path of a folder or archive, whose format is seen from what it holds."""

import os
from pathlib import Path

import numpy as np

from ..errors import UsageError, near_miss
from . import digits, parquet
from .images import Images, gather

VARIABLE = "SDEBENCH_CIFAR10"
NAMES = ("digits", "cifar10")
SIZES = {"train": 50_000, "test": 10_000}  # of CIFAR-10, in images (3, 32, 32) of 10 classes


def _part(root: Path, part: str) -> tuple[np.ndarray, np.ndarray, set[str]]:
    found = parquet.files(root, part)
    if found:
        return parquet.read(found)
    raise UsageError(f"{root} has no {part} images: give a folder with {part}-*.parquet")


def _read(root: Path) -> Images:
    parts = {part: _part(root, part) for part in SIZES}
    stored = set().union(*(how for *_, how in parts.values()))
    suffix = "" if stored == {"png"} else "-jpeg75" if stored == {"jpeg75"} else "-jpeg"
    return gather("cifar10" + suffix, *((pixels, labels) for pixels, labels, _ in parts.values()))


def load(name_or_path: str, root: Path | None = None, download: bool = False) -> Images:
    """The data set "digits" or "cifar10"."""
    if name_or_path == "digits":
        return digits.load()
    root = root or os.environ.get(VARIABLE)
    if not root:
        raise UsageError(f"no CIFAR-10 here: set {VARIABLE} to its folder or archive, give --data, or let it be loaded with --download")
    return _read(Path(root))
