"""float32 as it is named, on a GPU too."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def full_float32() -> Iterator[None]:
    """Within it convolutions of float32 are of float32; on a GPU PyTorch rounds their factors to TF32, of 10 bits, unless told.

    Products of matrices are not rounded, unless somebody wants it so.
    """
    cudnn = torch.backends.cudnn
    # PyTorch 2.9 has new names, and raises where an old one is read after a new one was set.
    flags, name, full = (cudnn.conv, "fp32_precision", "ieee") if hasattr(cudnn, "conv") else (cudnn, "allow_tf32", False)
    before = getattr(flags, name)
    setattr(flags, name, full)
    try:
        yield
    finally:
        setattr(flags, name, before)
