"""A data set written in every container that is read, the official archive's Python 2 pickles included."""

import pickle
import tarfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image
from pyarrow import parquet

CLASSES = ("ape", "bee", "cat")


def parts(seed: int = 0, sizes: tuple[int, int] = (12, 6)) -> dict:
    """Random pixels (N, 3, 32, 32) and labels (N,) of two parts, every class in each."""
    rng = np.random.default_rng(seed)
    return {
        part: (rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8), np.arange(n) % len(CLASSES))
        for part, n in zip(("train", "test"), sizes)
    }


def encode(pixels: np.ndarray, **options) -> bytes:
    """PNG, or whatever the options of Pillow's `save` say, of one image (C, H, W)."""
    file = BytesIO()
    image = pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)
    Image.fromarray(image).save(file, **({"format": "PNG"} | options))
    return file.getvalue()


def as_parquet(root: Path, data: dict, **options) -> Path:
    root.mkdir()
    for part, (pixels, labels) in data.items():
        img = [{"bytes": encode(image, **options), "path": "x.png"} for image in pixels]
        half = len(img) // 2
        for shard, rows in enumerate((slice(0, half), slice(half, None))):
            table = pa.table({"img": img[rows], "label": labels[rows].tolist()})
            parquet.write_table(table, root / f"{part}-0000{shard}-of-00002.parquet")
    return root


def as_folder(root: Path, data: dict, **options) -> Path:
    for part, (pixels, labels) in data.items():
        for i, (image, label) in enumerate(zip(pixels, labels)):
            file = root / part / CLASSES[label] / f"{i}.{options.get('format', 'png').lower()}"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode(image, **options))
    return root


class _Python2(pickle._Pickler):
    """Writes bytes and names as Python 2 did, which the official batches are made by."""

    dispatch = dict(pickle._Pickler.dispatch)  # noqa: RUF012 -- as the base class has it

    def save_bytes(self, value: bytes) -> None:
        self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)

    def save_text(self, value: str) -> None:
        self.save_bytes(value.encode())

    dispatch[bytes], dispatch[str] = save_bytes, save_text


def batch(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    """A batch as the official archive holds it."""
    file = BytesIO()
    content = {b"batch_label": b"one of 5", b"labels": labels.tolist(), b"data": pixels.reshape(len(pixels), -1)}
    _Python2(file, protocol=2).dump(content)
    return file.getvalue().replace(b"numpy._core.multiarray", b"numpy.core.multiarray")


def as_batches(root: Path, data: dict) -> Path:
    root.mkdir(parents=True)
    pixels, labels = data["train"]
    half = len(pixels) // 2
    (root / "data_batch_1").write_bytes(batch(pixels[half:], labels[half:]))
    (root / "data_batch_2").write_bytes(batch(pixels[:half], labels[:half]))
    (root / "test_batch").write_bytes(batch(*data["test"]))
    (root / "batches.meta").write_bytes(b"never read")
    return root


def as_archive(root: Path, data: dict) -> Path:
    """The folder that holds cifar-10-python.tar.gz."""
    batches = as_batches(root / "made" / "cifar-10-batches-py", data)
    with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(batches, arcname=batches.name)
    for file in batches.iterdir():
        file.unlink()
    return root
