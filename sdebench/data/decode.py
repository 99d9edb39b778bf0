"""Encoded images, PNG or JPEG, to pixels.

One after another: on 32 x 32 pixels threads spend more on waiting for each other than they win (60,000 images took
4 s on one thread and 7 s on two).
"""

import warnings
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin

from sdebench._support.errors import UsageError
from sdebench._support.reading import GIB, MIB, read_bytes, size_of

SIDE = 2048  # pixels of a side of an image
_FILE, _ALL = 64 * MIB, 4 * GIB  # bytes of an encoded image, and of all pixels of a part
_MODES = {"L": "L", "RGB": "RGB", "P": "RGB"}  # kinds of pixels that are read, and what they become


def _settings(image: Image.Image) -> tuple:
    """What a JPEG file shows of its encoder's settings: quantisation tables and chroma subsampling."""
    return image.quantization, JpegImagePlugin.get_sampling(image)  # type: ignore[attr-defined]  # a JPEG has one


@cache
def _settings75() -> dict[str, tuple]:
    """The settings of quality 75 with halved chroma (4:2:0), read off such files in grey and in colour."""
    made = {}
    for mode in ("L", "RGB"):
        file = BytesIO()
        Image.new(mode, (16, 16)).save(file, "JPEG", quality=75, subsampling="4:2:0")
        made[mode] = _settings(Image.open(file))
    return made


def _stored(image: Image.Image) -> str:
    """How an image was stored: "exact" (PNG), "jpeg75" (quality 75, halved chroma) or "jpeg" (any other settings)."""
    if image.format == "PNG":
        return "exact"
    return "jpeg75" if _settings(image) == _settings75()[image.mode] else "jpeg"


def _one(name: str, blob: bytes | Path, shape: tuple[int, ...] = ()) -> tuple[np.ndarray, str]:
    """The pixels (H, W) or (H, W, 3) of an image and how it was stored.  `shape`: what it must have, if given."""
    try:
        content = blob if isinstance(blob, bytes) else read_bytes(blob, _FILE, "mend or remove it")
        with warnings.catch_warnings(action="ignore"), Image.open(BytesIO(content), formats=("PNG", "JPEG")) as image:
            if max(image.size) > SIDE:
                raise UsageError(f"{name} has {image.width} x {image.height} pixels: give images of {SIDE} a side at most")
            if image.mode not in _MODES:
                raise UsageError(f"{name} has pixels of kind {image.mode}: give 8-bit grey or RGB images, none transparent")
            mode = _MODES[image.mode]
            found = (image.height, image.width, *((3,) if mode == "RGB" else ()))
            if shape and found != shape:
                raise UsageError(f"{name} is an image of {found}, the first one of {shape}: give images of one size and kind")
            return np.asarray(image.convert(mode)), _stored(image)
    except UsageError:
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error and others
        raise UsageError(f"{name} is no PNG or JPEG image that can be read: mend or remove it") from error


def decode(names: Sequence[str], blobs: Sequence[bytes | Path]) -> tuple[np.ndarray, set[str]]:
    """uint8 (N, C, H, W) of N > 0 files or their bytes, and the ways they were stored; `names` are for messages.

    An image is measured before it is decoded.  Raises UsageError, with the name, for one that is broken, too large, or not of
    the size and kind of the first.
    """
    first, _ = _one(names[0], blobs[0])
    if len(blobs) * first.nbytes > _ALL:
        what = f"{len(blobs)} images of {first.shape}"
        raise UsageError(f"{what}, as {names[0]} is, take more than {size_of(_ALL)}: give fewer or smaller ones")
    pixels, stored = np.empty((len(blobs), *first.shape), np.uint8), set()
    for i, (name, blob) in enumerate(zip(names, blobs, strict=True)):
        pixels[i], how = _one(name, blob, first.shape)
        stored.add(how)
    return (pixels[:, None] if first.ndim == 2 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))), stored
