"""Clocks and threads: what a measurement of time needs."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter

import torch


def now(device: str) -> float:
    """The clock in seconds, once all that was asked of the device is done."""
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    return perf_counter()


@contextmanager
def threads(n: int) -> Iterator[None]:
    """Run with n threads of torch.  For states as small as most studies' a second thread costs more than it brings."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)
