"""The small convolutional classifiers whose penultimate features are the suite's own feature spaces."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdebench._support.errors import UsageError, describe, shown
from sdebench._support.reading import GIB
from sdebench.networks import safe

WEIGHTS = "model.safetensors"
_WIDEST, _DEEPEST, _MOST = 10_000, 16, 100_000_000  # a number of the settings, resolutions, weights


class _Residual(nn.Module):
    """x + conv(relu(norm(conv(relu(norm(x)))))), at half the resolution and with other channels where asked."""

    def __init__(self, inner: int, outer: int, stride: int):
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(8, inner), nn.GroupNorm(8, outer)
        self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.skip = nn.Conv2d(inner, outer, 1, stride, bias=False) if stride > 1 or inner != outer else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.norm1(x))
        return self.skip(x) + self.conv2(torch.relu(self.norm2(self.conv1(y))))


class Classifier(nn.Module):
    """A residual network of `channels` at one resolution after another; `features` is the width of its last but one layer.

    He et al. 2016, arXiv:1603.05027 (pre-activation), with group norm: an image's features do not depend on its batch.
    """

    def __init__(self, colours: int, classes: int, channels: list[int], features: int):
        super().__init__()
        widths = [channels[0], *channels]
        steps = enumerate(pairwise(widths))
        self.stem = nn.Conv2d(colours, widths[0], 3, 1, 1, bias=False)
        self.blocks = nn.Sequential(*(_Residual(a, b, 1 + (i > 0)) for i, (a, b) in steps))
        self.norm, self.inner = nn.GroupNorm(8, widths[-1]), nn.Linear(widths[-1], features)
        self.last = nn.Linear(features, classes)

    def features(self, x: Tensor) -> Tensor:
        """States in [-1, 1], (B, C, H, W) -> (B, features)."""
        y = torch.relu(self.norm(self.blocks(self.stem(x)))).mean((2, 3))
        return nn.functional.silu(self.inner(y))

    def forward(self, x: Tensor) -> Tensor:
        """Logits, (B, classes)."""
        return self.last(self.features(x))


def make(shape: Sequence[int], classes: int, network: dict[str, Any]) -> Classifier:
    """A new classifier of images (C, H, W).  Raises UsageError for settings that are none, or too large for memory."""
    if not isinstance(network, dict) or len(shape) != 3:
        raise UsageError(f"no classifier of shape {shown(shape)} with {shown(network)}: give (C, H, W) and a table of settings")
    channels = network.get("channels")
    inside = channels if isinstance(channels, list | tuple) and 1 <= len(channels) <= _DEEPEST else [0]
    if not all(type(n) is int and 1 <= n <= _WIDEST for n in (*shape, classes, network.get("features"), *inside)):
        raise UsageError(
            f"no classifier of {shown(classes)} classes with {shown(network)}: give channels, at most {_DEEPEST} of them, and "
            f"features, whole numbers from 1 to {_WIDEST:,}"
        )
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            weights = sum(parameter.numel() for parameter in Classifier(shape[0], classes, **network).parameters())
        if weights <= _MOST:
            return Classifier(shape[0], classes, **network)
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"no classifier of these settings ({describe(error)}): give channels that 8 divides") from None
    raise UsageError(f"a classifier of these settings has {weights:,} weights: give one of {_MOST:,} at most")


def save(folder: Path, net: nn.Module, card: dict[str, Any]) -> Path:
    """Write weights (float16) and card into a new folder, whole or not at all; one that is there is replaced."""
    with safe.new_folder(folder) as made:
        safe.write(made, WEIGHTS, net, card)
    return folder


def load(folder: Path) -> Classifier:
    """The classifier of a folder.  Raises UsageError for one that is damaged."""
    card = safe.card(folder)
    weights = safe.load_weights(folder / WEIGHTS, safe.digest_of(card, folder), 4 * GIB)
    try:
        net = make(card["shape"], card["classes"], card["recipe"]["network"])
        net.load_state_dict({name: value.float() for name, value in weights.items()})
    except (KeyError, IndexError, TypeError, RuntimeError) as error:
        raise UsageError(
            f"{folder} holds no classifier whose card and weights agree ({describe(error)}): make it anew"
        ) from None
    return net.eval().requires_grad_(False)
