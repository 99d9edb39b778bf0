"""The official python archive of CIFAR-10, cifar-10-python.tar.gz, or its folder of files data_batch_N and test_batch.

The batches are pickles, and a pickle is a program: whoever unpickles one runs what it names.  Here it can name three
things only, numpy's array, dtype and _reconstruct, and each of them means the same inert `_Note` that writes down what
it was given; the pixels are then read from those bytes.  Nothing else is looked up, so nothing of the file's is run.
"""

import pickle
import tarfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from sdebench._support.errors import UsageError
from sdebench.data.images import Part

ARCHIVE = "cifar-10-python.tar.gz"
_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
_NAMES = ("ndarray", "dtype", "_reconstruct")


class _Note:
    """Stands for numpy's objects in a pickle, and remembers what they were made of."""

    def __init__(self, *made: Any):
        self.made, self.state = made, ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type[_Note]:
        if module in _MODULES and name in _NAMES:
            return _Note
        raise UsageError(f"it asks for {module}.{name}, which a batch of images does not need")


def _array(note: _Note) -> np.ndarray:
    """The uint8 array that a note is about; its state is (version, shape, dtype, Fortran order, bytes)."""
    _, shape, dtype, fortran, raw = note.state  # type: ignore[misc]  # as numpy pickles an array
    if dtype.made[0] not in ("u1", b"u1"):
        raise ValueError(f"pixels of dtype {dtype.made[0]}")
    return np.frombuffer(raw, np.uint8).reshape(shape, order="F" if fortran else "C")


def _batch(name: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 3, 32, 32) and labels (N,) of one batch: its rows are 1024 reds, then greens, then blues."""
    try:
        batch = _Reader(BytesIO(content), encoding="bytes").load()
        pixels = _array(batch[b"data"]).reshape(-1, 3, 32, 32)
        labels = np.array(batch[b"labels"], dtype=np.int64).reshape(len(pixels))
    except UsageError as error:
        raise UsageError(f"{name} is refused: {error}; nothing of it was run. Give the official archive") from None
    except Exception as error:  # a broken pickle raises nearly anything
        raise UsageError(f"{name} is no batch of CIFAR-10 images, or is broken: give the official archive") from error
    return pixels, labels


def _files(source: Path) -> Iterator[tuple[Path, str, bytes]]:
    """Path, name for messages, and content of each file in an archive, none of which is extracted, or in a folder."""
    if source.is_dir():
        for path in sorted(source.glob("*_batch*")):
            yield path, str(path), path.read_bytes()
        return
    try:
        with tarfile.open(source) as archive:
            for member in archive:
                if member.isfile():
                    yield Path(member.name), f"{source} ({member.name})", archive.extractfile(member).read()  # type: ignore[union-attr]  # a file, no folder
    except (tarfile.TarError, zlib.error, OSError, EOFError) as error:
        raise UsageError(f"{source} is no tar archive, or is cut off or broken: give a whole one") from error


def _source(root: Path) -> Path | None:
    """The archive or the folder of batches that a path is or holds; None if there is none."""
    if root.is_file():
        return root
    for folder in (root, root / "cifar-10-batches-py"):
        if any(folder.glob("data_batch*")):
            return folder
    return root / ARCHIVE if (root / ARCHIVE).is_file() else None


def read(root: Path) -> dict[str, Part]:
    """The parts in an archive, in its extracted folder, or in a folder that holds either; none if it has none."""
    source, batches = _source(root), {"train": [], "test": []}
    for path, name, content in _files(source) if source else ():
        part = {"data_batch": "train", "test_batch": "test"}.get(path.name.rstrip("_0123456789"))
        if part:
            batches[part].append(_batch(name, content))
    sides = {part: [np.concatenate(side) for side in zip(*some)] for part, some in batches.items() if some}
    return {part: Part(pixels, labels, {"exact"}) for part, (pixels, labels) in sides.items()}
