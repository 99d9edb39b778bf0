"""Weights from strangers: safetensors, or pickles of tensors alone.  Nothing in them is ever executed."""

import hashlib
import json
import os
import pickle
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from sdebench._support import files, reading
from sdebench._support.errors import UsageError, cut, describe, shown
from sdebench._support.files import is_sha256

CARD = "card.json"
_ADVICE = "give the file that came with the weights"
_KINDS = {
    "name": str,
    "shape": list,
    "data": dict,
    "recipe": dict,
    "figures": dict,
    "licence": str,
    "teacher": dict,
    "sampled": dict,
    "classes": int,
}  # of what a card may say, beside what its reader checks


@cache
def _digest(path: Path, size: int, modified: int) -> str:
    return files.sha256(path)


def sha256(*paths: Path) -> str:
    """The SHA-256 of a file, in hex, or of the digests of several; computed once while the files stay as they are."""
    stats = [(path.absolute(), path.stat()) for path in paths]
    digests = [_digest(path, about.st_size, about.st_mtime_ns) for path, about in stats]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """The object of a JSON file.  Raises UsageError where there is none."""
    try:
        found = reading.parse_json(reading.read_bytes(path, reading.CONFIG, _ADVICE))
    except FileNotFoundError as error:
        raise UsageError(f"cannot read {cut(str(path))} ({error.strerror}): {_ADVICE}") from None
    except UsageError:
        raise
    except ValueError as error:
        raise UsageError(f"cannot read {cut(str(path))}, which {error}: {_ADVICE}") from None
    if not isinstance(found, dict):
        raise UsageError(f"cannot read {cut(str(path))}, which holds {shown(found)}: {_ADVICE}")
    return found


def card(folder: Path) -> dict[str, Any]:
    """The card of a model's folder; {} where it has none.  What it says is of the kind that it has to be of."""
    path = folder / CARD
    if not os.path.lexists(path):
        return {}
    found = read_json(path)
    for name, kind in _KINDS.items():
        if name in found and not isinstance(found[name], kind):
            raise UsageError(f"{cut(str(path))} has the {name} {shown(found[name])}: {_ADVICE}")
    return found


def digest_of(card: dict[str, Any], folder: Path) -> str | None:
    """The SHA-256 of the weights that a card names; None where it names none.

    Raises UsageError for what is no SHA-256, and where a card that `sdebench train` wrote has lost its own.
    """
    if "sha256" not in card and "recipe" not in card:
        return None
    if not is_sha256(card.get("sha256")):
        what = f"the sha256 {shown(card['sha256'])}" if "sha256" in card else "no sha256 of the weights"
        raise UsageError(f"{folder / CARD} has {what}: {_ADVICE}, with its 64 hexadecimal digits")
    return card["sha256"]


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


def load_weights(paths: Path | Sequence[Path], expected: str | None = None, most: int = reading.WEIGHTS) -> dict[str, Tensor]:
    """The tensors of a weights file, or of several, by name.

    Raises UsageError for files of more than `most` bytes, whose SHA-256 is not the `expected` one, that are broken, or that
    hold more than tensors.
    """
    paths = [paths] if isinstance(paths, Path) else list(paths)
    for path in paths:
        if not reading.is_file(path):
            raise UsageError(f"there are no weights {cut(str(path))}: give a folder that has them{_beside(path)}")
        reading.check_file(path, most, "give the weights that belong to the config beside it")
    if expected is not None and sha256(*paths) != expected:
        raise UsageError(f"{paths[0]} is not what its card says (another SHA-256): it was damaged or exchanged; get it again")
    found: dict[str, Tensor] = {}
    for path in paths:
        some = _tensors(path) if path.suffix == ".safetensors" else _unpickled(path)
        if not isinstance(some, dict) or not all(isinstance(v, Tensor) and isinstance(k, str) for k, v in some.items()):
            raise UsageError(f"{path} is no dictionary of tensors: give the state dict of the network")
        found |= some
    return found


def _beside(path: Path) -> str:
    """What lies in the folder instead."""
    names = sorted(each.name for each in path.parent.iterdir()) if path.parent.is_dir() else []
    return f" (it has {cut(', '.join(names[:6]))}{', ...' if len(names) > 6 else ''})" if names else ""


def _tensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise UsageError(f"cannot read the weights {path} ({describe(error)}): they are damaged; get them again") from None


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
