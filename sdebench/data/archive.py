"""The python batches of CIFAR-10 and CIFAR-100: the official archive, its folder, or batches that somebody saved again.

The batches are pickles, and a pickle is a program: whoever unpickles one runs what it names.  Here it can name a few things
only: numpy's array, dtype and scalar and what makes them, each of which means an inert `_Note` that writes down what it was
given, and the function by which Python 3 writes bytes for Python 2, which makes bytes and nothing else.  Nothing else is
looked up, so nothing of the file's is run.

Pixels are (N, 3072), reds before greens before blues, as the official files have them, (N, 3, 32, 32), or (N, 32, 32, 3), as
torchvision has them in memory: told by their shape, never reshaped blindly.
"""

import bz2
import gzip
import lzma
import pickle
import re
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from sdebench._support.errors import UsageError, cut, shown
from sdebench._support.reading import GIB, MIB, open_file, read_bytes, size_of
from sdebench.data.images import Part

ARCHIVE = "cifar-10-python.tar.gz"
_HOMES = ("cifar-10-batches-py", "cifar-100-python")
_ARCHIVES = (ARCHIVE, "cifar-100-python.tar.gz")
_BATCH = 512 * MIB  # bytes of a batch; an official one has 31 MB
_WHOLE = 2 * GIB  # bytes of all that is in an archive; the official one has 186 MB
_ADVICE = "give the official archive"
_PACKED = ((b"\x1f\x8b", gzip), (b"BZh", bz2), (b"\xfd7zXZ", lzma))
_LABELS = ("labels", "fine_labels")
_INTEGERS = ("i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1")


class _Wrong(ValueError):
    """What a batch has in the place of what it should have."""


class _Note:
    """Stands for numpy's objects in a pickle, and remembers what they were made of."""

    def __init__(self, *made: Any):
        self.made, self.state = made, ()

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Buffer(_Note):
    """An array as protocol 5 has it: (bytes, dtype, shape, order)."""


class _Scalar(_Note):
    """One number: (dtype, bytes)."""


def _encode(text: str, encoding: str) -> bytes:
    """Bytes as protocol 2 has them, in text."""
    if not isinstance(text, str) or encoding not in ("latin1", b"latin1"):
        raise _Wrong("text in the place of bytes")
    return text.encode("latin1")


_MULTIARRAY, _NUMERIC = ("numpy.core.multiarray", "numpy._core.multiarray"), ("numpy.core.numeric", "numpy._core.numeric")
_KNOWN = {
    **{(module, name): _Note for module in ("numpy", *_MULTIARRAY) for name in ("ndarray", "dtype", "_reconstruct")},
    **{(module, "scalar"): _Scalar for module in _MULTIARRAY},
    **{(module, "_frombuffer"): _Buffer for module in _NUMERIC},
    ("_codecs", "encode"): _encode,
}


class _Reader(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _KNOWN:
            return _KNOWN[module, name]
        raise UsageError(f"it asks for {cut(f'{module}.{name}', 60)}, which a batch of images does not need")


def _dtype(note: Any, allowed: tuple[str, ...]) -> np.dtype:
    """The dtype that a note is about, one of those allowed."""
    kind, order = note.made[0], note.state[1] if len(note.state) > 1 else "|"
    kind, order = (text.decode() if isinstance(text, bytes) else text for text in (kind, order))
    if kind not in allowed or order not in ("<", "|", "="):
        raise _Wrong(f"numbers of dtype {shown(kind)}")
    return np.dtype(f"<{kind}")


def _array(note: Any, allowed: tuple[str, ...]) -> np.ndarray:
    """The array that a note is about; its state is (version, shape, dtype, Fortran order, bytes)."""
    if isinstance(note, _Buffer):
        raw, dtype, shape, order = note.made
    elif isinstance(note, _Note):
        _, shape, dtype, fortran, raw = note.state  # type: ignore[misc]  # as numpy pickles an array
        order = "F" if fortran else "C"
    else:
        raise _Wrong(f"a {type(note).__name__} in the place of an array")
    return np.frombuffer(raw, _dtype(dtype, allowed)).reshape(shape, order="F" if order in ("F", b"F") else "C")


def _planes(pixels: np.ndarray) -> np.ndarray:
    """Pixels as (N, 3, 32, 32), whichever of the three layouts they are in."""
    if pixels.shape[1:] == (3072,) or pixels.shape[1:] == (3, 32, 32):
        return pixels.reshape(-1, 3, 32, 32)
    if pixels.shape[1:] == (32, 32, 3):
        return np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    raise _Wrong(f"pixels of shape {pixels.shape}, not (N, 3072), (N, 3, 32, 32) or (N, 32, 32, 3)")


def _numbers(found: Any) -> np.ndarray:
    """Labels, of a list or an array."""
    if isinstance(found, _Note):
        return _array(found, _INTEGERS).astype(np.int64)
    if not isinstance(found, list | tuple):
        raise _Wrong(f"a {type(found).__name__} in the place of the labels")
    plain = [int(np.frombuffer(n.made[1], _dtype(n.made[0], _INTEGERS))[0]) if isinstance(n, _Scalar) else n for n in found]
    if not all(type(n) is int and abs(n) < 2**31 for n in plain):
        raise _Wrong("labels that are no whole numbers")
    return np.array(plain, dtype=np.int64)


def _batch(name: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (N, 3, 32, 32) and labels (N,) of one batch."""
    try:
        batch = _Reader(BytesIO(content), encoding="bytes").load()
        if not isinstance(batch, dict):
            raise _Wrong(f"a {type(batch).__name__} in the place of a dictionary")
        batch = {name.decode("latin1") if isinstance(name, bytes) else name: value for name, value in batch.items()}
        key = next((name for name in _LABELS if name in batch), None)
        if "data" not in batch or key is None:
            raise _Wrong(f"the keys {', '.join(shown(name) for name in list(batch)[:6])}, and not 'data' and 'labels'")
        pixels, labels = _planes(_array(batch["data"], ("u1",))), _numbers(batch[key])
        if labels.shape != (len(pixels),):
            raise _Wrong(f"{len(pixels)} images and labels of shape {labels.shape}")
    except UsageError as error:
        raise UsageError(f"{name} is refused: {error}; nothing of it was run. Give the official archive") from None
    except _Wrong as error:
        raise UsageError(f"{name} is no batch of CIFAR images, it has {error}: {_ADVICE}") from None
    except Exception as error:  # a broken pickle raises nearly anything
        raise UsageError(f"{name} is no batch of CIFAR images, or is broken: {_ADVICE}") from error
    return pixels, labels


def _part_of(path: Path) -> str:
    """The part that a batch of that name belongs to, or "": in CIFAR-100 the files are called train and test."""
    if re.fullmatch(r"data_batch(_\d+)?", path.name):
        return "train"
    if re.fullmatch(r"test_batch(_\d+)?", path.name):
        return "test"
    return path.name if path.name in ("train", "test") and path.parent.name == _HOMES[1] else ""


def _members(source: Path) -> Iterator[tuple[Path, str, bytes]]:
    """Name in the archive, name for messages, and content of each batch in a tar or zip archive; none is extracted."""
    try:
        if zipfile.is_zipfile(source):
            yield from _zipped(source)
            return
        with tarfile.open(fileobj=BytesIO(_unpacked(source))) as archive:
            for member in archive:
                if member.isfile() and member.size <= _BATCH and _part_of(Path(member.name)):
                    content = archive.extractfile(member)
                    yield Path(member.name), f"{source} ({cut(member.name)})", content.read() if content else b""
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError, OSError, EOFError, RuntimeError) as error:
        raise UsageError(f"{source} is no tar archive, or is cut off or broken: give a whole one") from error


def _unpacked(source: Path) -> bytes:
    """The bytes of a tar archive, as long as they are not too many: a small file may hold any number of zeros."""
    with open_file(source, _WHOLE, "give the archive of a data set") as file:
        start = file.read(8)
        file.seek(0)
        packed = next((kind for mark, kind in _PACKED if start.startswith(mark)), None)
        content = (packed.open(file) if packed else file).read(_WHOLE + 1)
    if len(content) > _WHOLE:
        raise UsageError(f"{source} holds more than {size_of(_WHOLE)}: unpack it, and give the folder")
    return content


def _zipped(source: Path) -> Iterator[tuple[Path, str, bytes]]:
    with open_file(source, _WHOLE, "give the archive of a data set") as file, zipfile.ZipFile(file) as archive:
        found = [info for info in archive.infolist() if not info.is_dir()]
        batches = [info for info in found if _part_of(Path(info.filename))]
        if not batches:
            kinds = Counter(Path(info.filename).suffix or "no suffix" for info in found).most_common(3)
            what = ", ".join(f"{count} of {shown(kind)}" for kind, count in kinds) or "nothing"
            raise UsageError(f"{source} is a zip of other files ({what}): unpack it, and give the folder")
        for info in batches:
            if info.file_size > _BATCH or info.flag_bits & 1 or sum(each.file_size for each in batches) > _WHOLE:
                raise UsageError(
                    f"{source} ({cut(info.filename)}) is too large, or has a password: unpack it, and give the folder"
                )
            with archive.open(info) as member:
                yield Path(info.filename), f"{source} ({cut(info.filename)})", member.read(_BATCH)


def _files(source: Path) -> Iterator[tuple[Path, str, bytes]]:
    """Path, name for messages, and content of each batch in an archive or a folder."""
    if not source.is_dir():
        yield from _members(source)
        return
    for path in sorted(source.iterdir()):
        if _part_of(path.absolute()) and path.is_file():
            yield path.absolute(), str(path), read_bytes(path, _BATCH, _ADVICE)


def _source(root: Path) -> Path | None:
    """The archive or the folder of batches that a path is or holds; None if there is none."""
    if root.is_file():
        return root
    for folder in (root, *(root / home for home in _HOMES)):
        if any(folder.glob("data_batch*")) or (folder.name == _HOMES[1] and (folder / "train").is_file()):
            return folder
    return next((root / name for name in _ARCHIVES if (root / name).is_file()), None)


def read(root: Path) -> dict[str, Part]:
    """The parts in an archive, in its extracted folder, or in a folder that holds either; none if it has none."""
    source = _source(root.absolute())
    batches: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {"train": [], "test": []}
    for path, name, content in _files(source) if source else ():
        batches[_part_of(path)].append(_batch(name, content))
    sides = {part: [np.concatenate(side) for side in zip(*some)] for part, some in batches.items() if some}
    return {part: Part(pixels, labels, {"exact"}) for part, (pixels, labels) in sides.items()}
