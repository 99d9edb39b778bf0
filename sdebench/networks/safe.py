"""Weights from strangers: safetensors, or pickles of tensors alone.  Nothing in them is ever executed."""

import json
import os
import pickle
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sdebench._support import files
from sdebench._support.errors import UsageError

CARD = "card.json"


@cache
def _digest(path: Path, size: int, modified: int) -> str:
    return files.sha256(path)


def sha256(path: Path) -> str:
    """The SHA-256 of a file, in hex; computed once while the file stays as it is."""
    about = path.stat()
    return _digest(path.absolute(), about.st_size, about.st_mtime_ns)


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file.  Raises UsageError where there is none."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        what = error.strerror if isinstance(error, OSError) else str(error).splitlines()[0]
        raise UsageError(f"cannot read {path} ({what}): give the file that came with the weights") from None


def card(folder: Path) -> dict[str, Any]:
    """The card of a model's folder; {} where it has none."""
    return read_json(folder / CARD) if (folder / CARD).exists() else {}


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A folder to write in, which becomes `folder` when all is written; one that is there is replaced then, and not before."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as beside:
        made = Path(beside) / "new"
        made.mkdir()
        yield made
        if folder.exists():
            os.replace(folder, Path(beside) / "old")
        os.replace(made, folder)


def write(folder: Path, name: str, net: nn.Module, card: dict[str, Any]) -> None:
    """Write a network's weights, in float16, into the folder as `name`, and beside them its card, with their SHA-256."""
    from safetensors.torch import save_file

    weights = {key: value.detach().half().contiguous().cpu() for key, value in net.state_dict().items()}
    save_file(weights, folder / name, {"format": "pt"})
    (folder / CARD).write_text(json.dumps(card | {"sha256": sha256(folder / name)}, indent=1) + "\n")


def load_weights(path: Path, expected: str | None = None) -> dict[str, Tensor]:
    """The tensors of a weights file, by name.

    Raises UsageError for a file whose SHA-256 is not the `expected` one, that is broken, or that holds more than tensors.
    """
    if not path.is_file():
        raise UsageError(f"there are no weights {path}: give a folder that has them")
    if expected and sha256(path) != expected:
        raise UsageError(f"{path} is not what its card says (another SHA-256): it was damaged or exchanged; get it again")
    found = _tensors(path) if path.suffix == ".safetensors" else _unpickled(path)
    if not isinstance(found, dict) or not all(isinstance(value, Tensor) for value in found.values()):
        raise UsageError(f"{path} is no dictionary of tensors: give the state dict of the network")
    return found


def _tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(f"cannot read the weights {path} ({error}): they are damaged; get them again") from None


def _unpickled(path: Path) -> Any:
    """What PyTorch's restricted unpickler makes of a file: it knows tensors and containers, and refuses every other global."""
    import torch

    if tuple(map(int, torch.__version__.split(".")[:2])) < (2, 6):  # CVE-2025-32434
        raise UsageError(f"{path} is a pickle, and PyTorch {torch.__version__} cannot read one safely: give safetensors")
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.load(path, "cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise UsageError(f"{path} is damaged or holds more than tensors, which could run code: give safetensors") from None
    except Exception:  # a damaged file fails in any way; PyTorch's own text would advise to load it without the restriction
        raise UsageError(f"{path} is damaged or no state dict of PyTorch: get it again, or give safetensors") from None
