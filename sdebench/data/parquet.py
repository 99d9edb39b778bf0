"""Parquet in the Hugging Face layout: files train-*.parquet and test-*.parquet, with columns img (bytes, path) and label."""

from pathlib import Path

import numpy as np

from sdebench._support.errors import UsageError
from sdebench._support.reading import GIB, check_file, size_of
from sdebench.data.decode import decode
from sdebench.data.images import Part

_FILE, _ROWS, _BATCH = 4 * GIB, 2_000_000, 64  # bytes packed and unpacked, images of a file, images that are read at a time


def _table(path: Path):
    """The columns img.bytes and label of a file.  UsageError for a broken file or a missing column."""
    import pyarrow
    from pyarrow.parquet import ParquetFile

    check_file(path, _FILE, "give a Parquet file")
    try:
        with ParquetFile(path) as file:
            if file.metadata.num_rows > _ROWS:
                raise UsageError(f"{path} has {file.metadata.num_rows:,} rows: give {_ROWS:,} images at most")
            found = {file.schema.column(i).path for i in range(len(file.schema))}
            if not {"img.bytes", "label"} <= found:
                raise UsageError(f"{path} has columns {', '.join(sorted(found))}: it needs img.bytes and label")
            batches, held = [], 0
            for batch in file.iter_batches(_BATCH, columns=["img.bytes", "label"]):
                batches.append(batch)
                held += batch.nbytes
                if held > _FILE:
                    raise UsageError(f"{path} unpacks to more than {size_of(_FILE)}: give fewer or smaller images")
            return pyarrow.Table.from_batches(batches) if batches else file.read(columns=["img.bytes", "label"])
    except (pyarrow.ArrowException, OSError) as error:  # a cut-off file has lost its footer, or a page
        raise UsageError(f"{path} is no Parquet file, or is cut off or broken: give a whole one") from error


def _columns(path: Path) -> tuple[list[bytes], list[int]]:
    """The encoded images and the labels of a file.  UsageError for a value that is missing or of the wrong kind."""
    table = _table(path)
    blobs = [row and row["bytes"] for row in table["img"].to_pylist()]
    labels = table["label"].to_pylist()
    for name, values, kind in (("img.bytes", blobs, bytes), ("label", labels, int)):
        wrong = next((row for row, value in enumerate(values) if not isinstance(value, kind)), None)
        if wrong is not None:
            raise UsageError(f"{path} row {wrong} has no {name} of kind {kind.__name__}: give one in every row")
    return blobs, labels


def _part(paths: list[Path]) -> Part | None:
    names, blobs, labels = [], [], []
    for path in paths:
        some, theirs = _columns(path)
        names += [f"{path} row {row}" for row in range(len(some))]
        blobs += some
        labels += theirs
    if not blobs:
        return None
    pixels, stored = decode(names, blobs)
    return Part(pixels, np.array(labels), stored)


def read(root: Path) -> dict[str, Part]:
    """The parts that have files with rows, in the folder or up to two folders below."""
    found = {}
    for part in ("train", "test"):
        found[part] = _part(sorted(path for below in ("", "*/", "*/*/") for path in root.glob(f"{below}{part}*.parquet")))
    return {part: images for part, images in found.items() if images}
