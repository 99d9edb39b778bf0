"""`get_network`: a trained network by name, by folder, from the hub's cache, or from any callable."""

import hashlib
import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdebench._support.errors import STRANGERS, UsageError, describe, near_miss, shown
from sdebench._support.reading import read_bytes
from sdebench._support.registry import import_object
from sdebench.data.blurred import SOURCES, is_blurred
from sdebench.networks import safe, unet
from sdebench.networks.discrete import Discrete
from sdebench.networks.parametrisation import kind_of, parametrisation, scheduler_files
from sdebench.networks.problem import NetworkProblem
from sdebench.schedules import NoiseSchedule

SHIPPED = Path(__file__).parent / "shipped"
_NUMBERS = 1 << 24  # of a state, at most


@dataclass(frozen=True)
class Declared:
    """A network of any make, as a factory returns it: `fn(x, t)` predicts `kind` of states (B, *shape) at time t, a float.

    `lams` = (noisy, clean) is the interval of lam to sample over.  Give a torch Module as `fn`: it can be moved to another
    dtype and device, and its weights belong to the key of its results, so that new weights are measured again.
    """

    fn: Callable[[Tensor, float], Tensor]
    kind: str
    schedule: NoiseSchedule
    shape: tuple[int, ...]
    lams: tuple[float, float]


@torch.inference_mode(False)  # what is loaded is kept, and weights that were made in that mode give no gradients outside of it
def get_network(
    spec: str | PathLike, dtype: str | torch.dtype = "float32", device: str | torch.device = "cpu", download: bool = False
) -> NetworkProblem:
    """The network of a spec, in that dtype on that device:

        digits              one that is shipped (`shipped_names`)
        digits-exact        the posterior mean of the images of a data set, blurred: `networks.exact`
        path/to/folder      the layout of diffusers, with or without our card.json
        owner/name          the same from the hub: from the local cache, or loaded now where `download` is set
        module:factory      what the callable returns: a `Declared`, or an object with the same attributes

    Nothing in weights is ever executed (a factory is the user's own code, of course).  Raises UsageError for everything that
    is not there, is damaged or cannot be sampled.
    """
    if not isinstance(spec, str | PathLike) or not str(spec).strip():
        raise UsageError(f"{shown(spec)} is no network: give a name, as 'digits', or a folder")
    return _cast(_loaded(str(spec), download), dtype, device)


def get_factory(spec: str) -> list[Any]:
    """The callable of a spec `module:factory`, whose code makes the network; none for files, which are told by their hash."""
    return [import_object("network", spec, "factory")] if re.fullmatch(r"[\w.]+:[\w.]+", spec) else []


@lru_cache(maxsize=4)
def _cast(problem: NetworkProblem, dtype: str | torch.dtype, device: str | torch.device) -> NetworkProblem:
    return problem.with_(dtype, device)


def shipped_names() -> tuple[str, ...]:
    """The networks in the package."""
    return tuple(sorted(path.parent.name for path in SHIPPED.glob(f"*/{unet.CONFIG}")))


def shipped_cards() -> dict[str, dict[str, Any]]:
    """Their cards, by name; none of them is loaded."""
    return {name: safe.card(SHIPPED / name) for name in shipped_names()}


def _loaded(spec: str, download: bool) -> NetworkProblem:
    if is_blurred(spec):
        return _exact(spec)
    if spec in shipped_names():
        return _from_folder(SHIPPED / spec)
    if _is_folder(spec):
        return _from_folder(Path(spec))
    if re.fullmatch(r"[\w.]+:[\w.]+", spec):
        return _from_factory(spec)
    if re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", spec):
        return _from_folder(_from_hub(spec, download), spec)
    if "/" in spec:
        raise UsageError(f"there is no folder {shown(spec)}: give one in the layout of diffusers, or owner/name of the hub")
    there = (*shipped_names(), *SOURCES)
    known = f"{near_miss(spec, there)} (there are: {', '.join(there)})"
    raise UsageError(
        f"unknown network {shown(spec)}{known}: give one of them, a folder in the layout of diffusers, "
        "owner/name of the hub, or module:factory"
    )


@lru_cache(maxsize=4)
def _exact(spec: str) -> NetworkProblem:
    from sdebench.networks import exact

    return exact.network(spec)


def _is_folder(spec: str) -> bool:
    try:
        return Path(spec).is_dir()
    except (OSError, ValueError):  # a name that nothing has
        return False


def _from_folder(folder: Path, name: str = "") -> NetworkProblem:
    """The network of a folder, loaded again only when its files have changed."""
    home = folder / "unet" if (folder / "unet" / unet.CONFIG).is_file() else folder
    parts = (home / unet.CONFIG, *unet.weights_files(home), folder / safe.CARD, *scheduler_files(folder))
    stamps = tuple((path.stat().st_mtime_ns, path.stat().st_size) if path.is_file() else None for path in parts)
    return _read_folder(folder.absolute(), home.absolute(), name or folder.name, stamps)


@lru_cache(maxsize=4)
def _read_folder(folder: Path, home: Path, name: str, stamps: tuple) -> NetworkProblem:
    card = safe.card(folder)
    schedule, kind, time = parametrisation(folder, card)
    net = unet.load(home, safe.digest_of(card, folder))
    digest, span = safe.sha256(*unet.weights_files(home)), _span(schedule, card.get("lams"))
    return NetworkProblem(card.get("name", name), net, schedule, kind, time, span, unet.shape(net), digest, card)


def _span(schedule: NoiseSchedule, lams: Sequence[float] | None) -> tuple[float, float]:
    """The times of `lams` = (noisy, clean); of a chain without them, its first and last level."""
    if lams is None and isinstance(schedule, Discrete):
        return 1.0, 1 / schedule.steps
    try:
        noisy, clean = map(float, lams)  # type: ignore[arg-type]  # a TypeError is caught below
    except (TypeError, ValueError):
        raise UsageError(f"the interval of lam is {shown(lams)}: give two numbers, (noisy, clean)") from None
    if not noisy < clean:
        raise UsageError(f"the interval of lam is from {noisy:g} to {clean:g}: give the noisy end first, the smaller one")
    return schedule.t(noisy), schedule.t(clean)


def _from_hub(name: str, download: bool) -> Path:
    """The folder of a model of the hub in the local cache; loaded into it first where asked for."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        for weights in ("*.safetensors", "*.bin"):
            patterns = ["*.json", weights]
            folder = Path(snapshot_download(name, local_files_only=not download, allow_patterns=patterns))
            if any(path.is_file() for home in (folder, folder / "unet") for path in unet.weights_files(home)):
                break
    except LocalEntryNotFoundError:
        raise UsageError(f"{name} is no folder, and not in the hub's local cache: give --download to load it") from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise UsageError(f"{name} was not loaded from the hub ({describe(error)}): give a local folder") from None
    return folder


@lru_cache(maxsize=4)
def _from_factory(spec: str) -> NetworkProblem:
    factory = import_object("network", spec, "factory")
    if not (inspect.isclass(factory) or inspect.isfunction(factory)):
        raise UsageError(f"{shown(spec)} is no factory of networks: give module:function, which returns a Declared")
    try:
        made: Any = factory()
    except TypeError as error:  # it wants arguments, or is none
        raise UsageError(f"cannot call {spec} without arguments ({describe(error)}): give a factory that takes none") from None
    except STRANGERS as error:
        raise UsageError(f"{spec} makes no network ({describe(error)}): mend it") from None
    lacks = [name for name in ("kind", "schedule", "shape", "lams") if not hasattr(made, name)]
    fn = getattr(made, "fn", made)
    if lacks or not callable(fn):
        what = f"lacks {', '.join(lacks)}" if lacks else "is not callable"
        raise UsageError(f"what {spec} returned {what}: return sdebench.networks.Declared(fn, kind, schedule, shape, lams)")
    kind, shape = kind_of(made.kind, spec), _shape_of(made.shape, spec)
    return NetworkProblem(spec, fn, made.schedule, kind, None, _span(made.schedule, made.lams), shape, _code_hash(factory, fn))


def _shape_of(shape: Any, spec: str) -> tuple[int, ...]:
    """The shape of a state, a few whole numbers."""
    sides = tuple(shape) if isinstance(shape, list | tuple) else ()
    if not sides or len(sides) > 4 or not all(type(n) is int and n >= 1 for n in sides) or prod(sides) > _NUMBERS:
        raise UsageError(f"what {spec} returned has the shape {shown(shape)}: give whole numbers, as (3, 32, 32)")
    return sides


def _code_hash(factory: Callable, fn: Callable) -> str:
    """The SHA-256 of the file that defines the factory, and of the weights of each Module that the function is or holds."""
    try:
        digest = hashlib.sha256(read_bytes(inspect.getfile(factory)))
    except (TypeError, OSError, UsageError):
        digest = hashlib.sha256(repr(factory).encode())
    for net in _modules(fn):
        for name, value in net.state_dict().items():
            digest.update(name.encode() + value.detach().cpu().reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def _modules(fn: Callable) -> list[nn.Module]:
    """The Modules whose weights a function uses: itself, its object's, in its closure, or bound as arguments."""
    held = [fn, getattr(fn, "__self__", None)]
    if inspect.isfunction(fn):
        held += inspect.getclosurevars(fn).nonlocals.values()
    if isinstance(fn, partial):
        held += [fn.func, *fn.args, *fn.keywords.values()]
    return [value for value in held if isinstance(value, nn.Module)]
