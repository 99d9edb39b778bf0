"""The image network, `diffusers.UNet2DModel`, in the directory format of diffusers.

diffusers takes seconds to import, so it is imported when a network is asked for.
"""

import re
from math import log
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sdebench._support.errors import UsageError
from sdebench.networks import safe

if TYPE_CHECKING:
    from diffusers import UNet2DModel

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model.safetensors"
_PICKLED = "diffusion_pytorch_model.bin"
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
    """A new network with these settings of UNet2DModel.  Raises UsageError for settings that are none."""
    from diffusers import UNet2DModel

    try:
        return UNet2DModel(**config)
    except Exception as error:  # diffusers checks little: nonsense fails in any way
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UsageError(f"no UNet2DModel of these settings ({what}): give such as diffusers documents") from None


def save(folder: Path, net: "UNet2DModel", card: dict[str, Any]) -> Path:
    """Write a model's folder, weights in float16, whole or not at all; one that is there is replaced."""
    with safe.new_folder(folder) as made:
        net.save_config(made)
        safe.write(made, WEIGHTS, net, card)
    return folder


def weights_file(folder: Path) -> Path:
    """Where the weights of a folder are: safetensors, or else a pickle of tensors."""
    pickled = folder / _PICKLED
    return pickled if pickled.is_file() and not (folder / WEIGHTS).is_file() else folder / WEIGHTS


def load(folder: Path, expected: str | None = None) -> "UNet2DModel":
    """The network of a folder (config.json and weights), in float32, for inference.

    Raises UsageError where it is another network, is conditional, or its weights are not those of its config, are damaged, or
    have another SHA-256 than `expected`.
    """
    config = _config(folder / CONFIG)
    path = weights_file(folder)
    weights = {_new_name(name): value for name, value in safe.load_weights(path, expected).items()}
    net = make(config)
    _check(path, weights, net.state_dict())
    net.load_state_dict({name: value.float() for name, value in weights.items()})
    net.time_proj = Sinusoids(net.time_proj.num_channels, net.time_proj.flip_sin_to_cos, net.time_proj.downscale_freq_shift)
    return net.eval().requires_grad_(False)


def _config(path: Path) -> dict[str, Any]:
    """The settings of the network, if it is one that a sampler can ask."""
    config = safe.read_json(path)
    kind = config.get("_class_name", "UNet2DModel")
    if kind != "UNet2DModel":
        raise UsageError(f"{path} is of a {kind}: give a folder with a UNet2DModel, or module:factory for another network")
    if config.get("class_embed_type") is not None or config.get("num_class_embeds") is not None:
        raise UsageError(f"{path} is of a network conditioned on classes: give an unconditional one, or module:factory")
    if (embedding := config.get("time_embedding_type", "positional")) != "positional":
        raise UsageError(f"{path} has a time embedding {embedding!r}: give a network with a positional one, or module:factory")
    if not isinstance(config.get("freq_shift", 0), int | float):
        raise UsageError(f"{path} has the freq_shift {config['freq_shift']!r}: give a number")
    if config.get("in_channels", 3) != config.get("out_channels", 3):
        raise UsageError(
            f"{path} has {config.get('in_channels', 3)} channels in and {config.get('out_channels', 3)} out: "
            "give a network that predicts the mean alone"
        )
    return {name: value for name, value in config.items() if not name.startswith("_")}


def shape(net: "UNet2DModel") -> tuple[int, int, int]:
    """(C, H, W) of the network's images."""
    size = net.config.sample_size
    sides = list(size) if isinstance(size, list | tuple) else [size, size]
    if len(sides) != 2 or not all(type(side) is int and side >= 1 for side in sides):
        raise UsageError(f"{CONFIG} has the sample_size {size!r}: give a number of pixels, or [height, width]")
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
            raise UsageError(f"{path} {what} the tensor {name!r}: give the weights that belong to its {CONFIG}")
        got, want = found[name], wanted[name]
        if got.shape != want.shape or not got.is_floating_point():
            what = f"{tuple(got.shape)} of {str(got.dtype).removeprefix('torch.')}"
            raise UsageError(f"{path} has {name!r} as {what}, its network as {tuple(want.shape)}: give those of its {CONFIG}")
