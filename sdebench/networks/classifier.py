"""The small convolutional classifiers whose penultimate features are the suite's own feature spaces."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sdebench._support.errors import UsageError
from sdebench.networks import safe

WEIGHTS = "model.safetensors"


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


def save(folder: Path, net: nn.Module, card: dict[str, Any]) -> Path:
    """Write weights (float16) and card into a new folder, whole or not at all; one that is there is replaced."""
    with safe.new_folder(folder) as made:
        safe.write(made, WEIGHTS, net, card)
    return folder


def load(folder: Path) -> Classifier:
    """The classifier of a folder.  Raises UsageError for one that is damaged."""
    card = safe.card(folder)
    weights = safe.load_weights(folder / WEIGHTS, card.get("sha256"))
    try:
        net = Classifier(card["shape"][0], card["classes"], **card["recipe"]["network"])
        net.load_state_dict({name: value.float() for name, value in weights.items()})
    except (KeyError, TypeError, RuntimeError) as error:
        what = str(error).splitlines()[0]
        raise UsageError(f"{folder} holds no classifier whose card and weights agree ({what}): make it anew") from None
    return net.eval().requires_grad_(False)
