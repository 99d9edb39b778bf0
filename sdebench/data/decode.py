"""Encoded images (PNG or JPEG) to pixels, on as many threads as there are cores."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, JpegImagePlugin

from ..errors import UsageError

CHUNK = 500  # images a thread takes at a time
_MODES = {"L": "L", "RGB": "RGB", "P": "RGB"}


def _print(image: Image.Image) -> tuple:
    """What a JPEG file shows of its encoder's settings: quantisation tables and chroma subsampling."""
    return image.quantization, JpegImagePlugin.get_sampling(image)


@cache
def _print75() -> tuple:
    """The settings of quality 75 with halved chroma (4:2:0), read off such a file."""
    file = BytesIO()
    Image.new("RGB", (16, 16)).save(file, "JPEG", quality=75, subsampling="4:2:0")
    return _print(Image.open(file))


def _stored(image: Image.Image) -> str:
    """How an image was stored: "png", "jpeg75" or "jpeg" (with any other settings)."""
    if image.format == "PNG":
        return "png"
    return "jpeg75" if _print(image) == _print75() else "jpeg"


def _open(name: str, blob: bytes | Path) -> Image.Image:
    image = Image.open(BytesIO(blob) if isinstance(blob, bytes) else blob, formats=("PNG", "JPEG"))
    if image.mode not in _MODES:
        raise UsageError(f"{name} has pixels of kind {image.mode}: give 8-bit grey or RGB images without transparency")
    return image


def _one(name: str, blob: bytes | Path, shape: tuple[int, ...] | None) -> tuple[np.ndarray, str]:
    """The pixels (H, W) or (H, W, 3) of one image and how it was stored.  UsageError, with its name, if not that shape."""
    try:
        with _open(name, blob) as image:
            mode = _MODES[image.mode]
            found = (image.height, image.width, *((3,) if mode == "RGB" else ()))
            if shape and found != shape:
                raise UsageError(f"{name} is {found}, and the first image is {shape}: give images of one size (H, W, channels)")
            return np.asarray(image.convert(mode)), _stored(image)
    except UsageError:
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        raise UsageError(f"{name} is no PNG or JPEG image that can be read: mend or remove it") from error


def decode(names: Sequence[str], blobs: Sequence[bytes | Path]) -> tuple[np.ndarray, set[str]]:
    """uint8 (N, C, H, W) of N > 0 files or their bytes, and the ways they were stored; `names` are for messages.

    All have the size of the first.  Raises UsageError, with the name, for one that is broken or of another size.
    """
    first, _ = _one(names[0], blobs[0], None)
    pixels = np.empty((len(blobs), *first.shape), np.uint8)

    def chunk(start: int) -> set[str]:
        stored = set()
        for i in range(start, min(start + CHUNK, len(blobs))):
            pixels[i], how = _one(names[i], blobs[i], first.shape)
            stored.add(how)
        return stored

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        stored = set().union(*pool.map(chunk, range(0, len(blobs), CHUNK)))
    return (pixels[:, None] if first.ndim == 2 else np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))), stored
