"""Energy, where the device tells it: joules since some moment, of which differences are taken."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

_RAPL = Path("/sys/class/powercap")  # Linux: Intel's and AMD's counters of a processor's package, in microjoules


def meter(device: torch.device, rapl: Path = _RAPL) -> Callable[[], float] | None:
    """What reads the joules that the device has taken; None where it does not tell.

    Of a CPU: of all its packages, whoever made them work.  The counters start again at their range, some hours apart.
    """
    return _of_gpu(device) if device.type == "cuda" else _of_cpu(rapl)


def _of_cpu(rapl: Path) -> Callable[[], float] | None:
    files = sorted(rapl.glob("intel-rapl:[0-9]*/energy_uj"))
    files = [f for f in files if f.parent.name.count(":") == 1]  # packages, not their parts
    read = lambda: sum(int(f.read_text()) for f in files) * 1e-6  # noqa: E731
    with suppress(OSError, ValueError):  # root alone may read them, mostly
        return read if files and read() > 0 else None
    return None


def _of_gpu(device: torch.device) -> Callable[[], float] | None:
    with suppress(Exception):  # no nvidia-ml-py, no driver, an old GPU: whatever it is, there is no figure
        import pynvml

        pynvml.nvmlInit()
        handle = pynvml.nvmlDeviceGetHandleByIndex(device.index or 0)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) * 1e-3
    return None
