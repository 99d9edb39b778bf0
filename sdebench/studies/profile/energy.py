"""Energy, where the device tells it: joules since some moment, of which differences are taken."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch

_RAPL = Path("/sys/class/powercap")  # Linux: Intel's and AMD's counters of a processor's package, in microjoules


def meter(device: torch.device, rapl: Path = _RAPL) -> Callable[[], float] | None:
    """What reads the joules that the device has taken; None where it does not tell.

    Of a CPU: of all its packages, whoever made them work.  A counter starts again at its range, which ten minutes at 100 W may
    fill; differences are right where readings are less than that apart.
    """
    return _of_gpu(device) if device.type == "cuda" else _of_cpu(rapl)


def _of_cpu(rapl: Path) -> Callable[[], float] | None:
    packages = [f for f in rapl.glob("intel-rapl:[0-9]*") if f.name.count(":") == 1]  # not their parts
    with suppress(OSError, ValueError):  # root alone may read them, mostly
        counters = [_Counter(f) for f in packages]
        return (lambda: sum(c.joules() for c in counters)) if counters and all(c.counts for c in counters) else None
    return None


class _Counter:
    """Joules of a package since this was made."""

    def __init__(self, folder: Path):
        self._file, self._range = folder / "energy_uj", int((folder / "max_energy_range_uj").read_text())
        self._last, self._sum = int(self._file.read_text()), 0
        self.counts = self._last > 0 and self._range > 0  # some virtual machines have nothing but zeros

    def joules(self) -> float:
        now = int(self._file.read_text())
        self._sum += (now - self._last) % self._range
        self._last = now
        return self._sum * 1e-6


def _of_gpu(device: torch.device) -> Callable[[], float] | None:
    with suppress(Exception):  # no nvidia-ml-py, no driver, an old GPU: whatever it is, there is no figure
        import pynvml

        pynvml.nvmlInit()
        uuid = torch.cuda.get_device_properties(device).uuid  # NVML counts devices otherwise than torch does
        handle = pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        return lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) * 1e-3
    return None
