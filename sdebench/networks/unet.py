"""The image network, `diffusers.UNet2DModel`, in the directory format of diffusers.

diffusers takes seconds to import, so it is imported when a network is asked for.
"""

import re
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sdebench._support import reading
from sdebench._support.errors import UsageError, cut, describe, shown
from sdebench._support.files import NAME
from sdebench.networks import safe

if TYPE_CHECKING:
    from diffusers import UNet2DModel

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
_STEM = "diffusion_pytorch_model"
_WIDEST, _LONGEST, _DEEPEST, _MOST = 65_536, 64, 64, 1_000_000_000  # a number, a list, layers of a block, weights of a network
_SIDE, _NUMBERS = 4096, 1 << 24  # pixels of a side of an image, and numbers of an image
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}  # of attention, before diffusers 0.17


class Sinusoids(nn.Module):
    """`[sin(w_k t), cos(w_k t)]`, `w_k = 10000^(-k/(n - shift))`, k < n = width/2: the bits of diffusers in float32.

    But in float64 for times in float64: diffusers rounds 1000 t to float32 first, a step function of t that a float64 network
    would show as an error of some 1e-7, in the place of 1e-15.
    """

    def __init__(self, width: int, flip: bool, shift: float):
        super().__init__()
        self.width, self.flip, self.shift = width, flip, shift

    def forward(self, times: Tensor) -> Tensor:
        n = self.width // 2
        exponent = -log(10000) * torch.arange(n, dtype=torch.float32, device=times.device) / (n - self.shift)
        phase = times[:, None] * exponent.exp()
        parts = (phase.cos(), phase.sin()) if self.flip else (phase.sin(), phase.cos())
        return nn.functional.pad(torch.cat(parts, -1), (0, self.width % 2))


def make(config: dict[str, Any]) -> "UNet2DModel":
    """A new network with these settings of UNet2DModel, once it is known to fit into memory.

    Raises UsageError for settings that are none, and for a network of more than a thousand million weights.
    """
    from diffusers import UNet2DModel

    for name, value in config.items():
        inside = value if isinstance(value, list | tuple) else [value]
        deepest = _DEEPEST if "layers" in str(name) else _WIDEST
        if len(inside) > _LONGEST or any(isinstance(n, int | float) and not abs(n) <= deepest for n in inside):
            raise UsageError(f"no UNet2DModel of these settings: {name} is {shown(value)}: give numbers of {deepest:,} at most")
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            weights = sum(parameter.numel() for parameter in UNet2DModel(**config).parameters())
        if weights <= _MOST:
            return UNet2DModel(**config)
    except Exception as error:  # diffusers checks little: nonsense fails in any way
        raise UsageError(f"no UNet2DModel of these settings ({describe(error)}): give such as diffusers documents") from None
    raise UsageError(f"a UNet2DModel of these settings has {weights:,} weights: give one of {_MOST:,} at most")


def save(folder: Path, net: "UNet2DModel", card: dict[str, Any]) -> Path:
    """Write a model's folder, weights in float16, whole or not at all; one that is there is replaced."""
    with safe.new_folder(folder) as made:
        net.save_config(made)
        safe.write(made, WEIGHTS, net, card)
    return folder


def weights_files(folder: Path) -> tuple[Path, ...]:
    """Where the weights of a folder are: safetensors, or else a pickle of tensors; whole, or in the shards that an index names;
    without a variant (as fp16), or else in the one variant that there is.  The first of these names where there is none.

    Raises UsageError for several variants, and for an index that names other files than shards beside it.
    """
    for kind in ("safetensors", "bin"):
        for place in (f"{_STEM}.{kind}", f"{_STEM}.{kind}.index.json"):
            if reading.is_file(folder / place):
                return _shards(folder / place)
        patterns = (f"{_STEM}.*.{kind}", f"{_STEM}.{kind}.index.*.json", f"{_STEM}.*.{kind}.index.json")
        found = sorted(path for pattern in patterns for path in folder.glob(pattern) if "-of-" not in path.name)
        if len(found) > 1:
            names = cut(", ".join(path.name for path in found))
            raise UsageError(f"{folder} has several variants of its weights ({names}): keep one of them")
        if found:
            return _shards(found[0])
    return (folder / WEIGHTS,)


def _shards(path: Path) -> tuple[Path, ...]:
    """The files of an index, in the order of their names; a file that is none is itself."""
    if path.suffix != ".json":
        return (path,)
    names = safe.read_json(path).get("weight_map")
    if not (isinstance(names, dict) and names and all(isinstance(n, str) and re.fullmatch(NAME, n) for n in names.values())):
        raise UsageError(f"{path} is no index of weights: give the file that came with the shards")
    return tuple(path.with_name(name) for name in sorted(set(names.values())))


def load(folder: Path, expected: str | None = None) -> "UNet2DModel":
    """The network of a folder (config.json and weights), in float32, for inference.

    Raises UsageError where it is another network, is conditional, or its weights are not those of its config, are damaged, or
    have another SHA-256 than `expected`.
    """
    config, paths = _config(folder / CONFIG), weights_files(folder)
    net = make(config)
    most = 8 * sum(value.numel() for value in net.state_dict().values()) + 100 * reading.MIB  # in float64, and the header
    weights = {_new_name(name): value for name, value in safe.load_weights(paths, expected, most).items()}
    _check(paths[0], weights, net.state_dict())
    net.load_state_dict({name: value.float() for name, value in weights.items()})
    net.time_proj = Sinusoids(net.time_proj.num_channels, net.time_proj.flip_sin_to_cos, net.time_proj.downscale_freq_shift)
    return net.eval().requires_grad_(False)


def _config(path: Path) -> dict[str, Any]:
    """The settings of the network, if it is one that a sampler can ask."""
    config = safe.read_json(path)
    kind = config.get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise UsageError(
            f"{path} is of a {cut(str(kind), 60)}: give a folder with a UNet2DModel, or module:factory for another network"
        )
    if config.get("class_embed_type") is not None or config.get("num_class_embeds") is not None:
        raise UsageError(f"{path} is of a network conditioned on classes: give an unconditional one, or module:factory")
    if (embedding := config.get("time_embedding_type", "positional")) != "positional":
        raise UsageError(
            f"{path} has a time embedding {shown(embedding)}: give a network with a positional one, or module:factory"
        )
    if not isinstance(config.get("freq_shift", 0), int | float):
        raise UsageError(f"{path} has the freq_shift {shown(config['freq_shift'])}: give a number")
    if config.get("in_channels", 3) != config.get("out_channels", 3):
        raise UsageError(
            f"{path} has {shown(config.get('in_channels', 3))} channels in and {shown(config.get('out_channels', 3))} out: "
            "give a network that predicts the mean alone"
        )
    return {name: value for name, value in config.items() if not name.startswith("_")}


def shape(net: "UNet2DModel") -> tuple[int, int, int]:
    """(C, H, W) of the network's images."""
    size = net.config.sample_size
    sides = list(size) if isinstance(size, list | tuple) else [size, size]
    if len(sides) != 2 or not all(type(side) is int and side >= 1 for side in sides):
        raise UsageError(f"{CONFIG} has the sample_size {shown(size)}: give a number of pixels, or [height, width]")
    if max(sides) > _SIDE or net.config.in_channels * sides[0] * sides[1] > _NUMBERS:
        raise UsageError(
            f"{CONFIG} has the sample_size {shown(size)}: give images of {_SIDE} pixels a side, {_NUMBERS:,} numbers"
        )
    return net.config.in_channels, *sides


def _new_name(name: str) -> str:
    """The name that diffusers gives today to a tensor of attention."""
    old = re.fullmatch(r"(.*attentions\.\d+\.)(query|key|value|proj_attn)(\.\w+)", name)
    return f"{old[1]}{_OLD_NAMES[old[2]]}{old[3]}" if old else name


def _check(path: Path, found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Raise UsageError, about the first that differs, unless names, shapes and kinds of number are those of the network."""
    for name in [*wanted, *found]:
        if name not in found or name not in wanted:
            what = "lacks" if name not in found else "has, beyond those of its network,"
            raise UsageError(f"{path} {what} the tensor {shown(name)}: give the weights that belong to its {CONFIG}")
        got, want = found[name], wanted[name]
        if got.shape != want.shape or not got.is_floating_point():
            what = f"{tuple(got.shape)} of {str(got.dtype).removeprefix('torch.')}"
            raise UsageError(
                f"{path} has {shown(name)} as {what}, its network as {tuple(want.shape)}: give those of its {CONFIG}"
            )
