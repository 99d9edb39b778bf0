"""A folder of images: train/CLASS/FILE and test/CLASS/FILE.  Classes count from 0 in the order of their names."""

from pathlib import Path

import numpy as np

from sdebench._support.errors import UsageError
from sdebench.data.decode import decode
from sdebench.data.images import Part


def _seen(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if not path.name.startswith(".")]


def classes(root: Path) -> list[str]:
    """The classes by the folders of train/: numbers by value ("2" before "10"), names by their letters.

    In letters' order CIFAR-10's own names (airplane .. truck) have the labels of the official archive.
    """
    names = [path.name for path in _seen(root / "train") if path.is_dir()]
    return sorted(names, key=lambda name: (int(name) if name.isdecimal() else -1, name))


def _part(folder: Path, labels: dict[str, int]) -> Part | None:
    files = []
    for kind in sorted(path for path in _seen(folder) if path.is_dir()):
        if kind.name not in labels:
            raise UsageError(f"{kind} is a class without a folder in train/: add one, or remove this one")
        files += [(path, labels[kind.name]) for path in sorted(_seen(kind))]
    if not files:
        return None
    paths = [path for path, _ in files]
    pixels, stored = decode([str(path) for path in paths], paths)
    return Part(pixels, np.array([label for _, label in files]), stored)


def read(root: Path) -> dict[str, Part]:
    """The parts that have images.  UsageError for a class that only test/ has."""
    if not (root / "train").is_dir():
        return {}
    labels = {name: label for label, name in enumerate(classes(root))}
    found = {part: _part(root / part, labels) for part in ("train", "test") if (root / part).is_dir()}
    return {part: images for part, images in found.items() if images}
