"""Parquet in the Hugging Face layout: files train-*.parquet and test-*.parquet with columns img (bytes, path) and label."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import UsageError
from .decode import decode


def files(root: Path, part: str) -> list[Path]:
    """The files of a part, "train" or "test", wherever they lie below the folder."""
    return sorted(root.rglob(f"{part}*.parquet"))


def _columns(path: Path) -> tuple[list[bytes], list[int]]:
    """The encoded images and the labels of a file.  UsageError for a broken file, a missing column or value."""
    import pyarrow
    from pyarrow.parquet import read_table

    try:
        table = read_table(path, partitioning=None)
    except (pyarrow.ArrowException, OSError) as error:
        raise UsageError(f"{path} is no Parquet file that can be read, or is cut off: give a whole one") from error
    try:
        img, label = table["img"].combine_chunks(), table["label"].combine_chunks()
        blobs, labels = img.field("bytes").to_pylist(), label.to_pylist()
    except (KeyError, AttributeError, pyarrow.ArrowException) as error:
        found = ", ".join(table.column_names)
        raise UsageError(f"{path} has columns {found}: it needs img (with field bytes) and label") from error
    for name, values, kind in (("img.bytes", blobs, bytes), ("label", labels, int)):
        wrong = next((row for row, value in enumerate(values) if not isinstance(value, kind)), None)
        if wrong is not None:
            raise UsageError(f"{path} row {wrong} has no {name} of kind {kind.__name__}: give one in every row")
    return blobs, labels


def read(paths: Sequence[Path]) -> tuple[np.ndarray, np.ndarray, set[str]]:
    """Pixels uint8 (N, C, H, W), labels (N,), and how the images were stored, of all files of a part."""
    names, blobs, labels = [], [], []
    for path in paths:
        some, their = _columns(path)
        names += [f"{path} row {row}" for row in range(len(some))]
        blobs += some
        labels += their
    if not blobs:
        raise UsageError(f"{paths[0]} holds no images: give a file with rows")
    pixels, stored = decode(names, blobs)
    return pixels, np.array(labels), stored
