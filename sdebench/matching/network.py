"""A small network of the state and the noise level, smooth in both, for laws of a few dimensions."""

from math import pi

import torch
from torch import Tensor, nn

from sdebench._support.errors import UsageError
from sdebench.integration.prediction import KINDS


class ScoreNet(nn.Module):
    """An MLP with SiLU between `depth` hidden layers; (L, m, d) and lam (L, 1, 1) in, (L, m, d) of the given `kind` out.

    lam goes in as itself and as sines and cosines of `bands` frequencies, from one period over [-8, 8] upwards.  float64.
    """

    def __init__(self, dim: int, kind: str = "eps", width: int = 64, depth: int = 2, bands: int = 4, seed: int = 0):
        super().__init__()
        if kind not in KINDS:
            raise UsageError(f"unknown kind of output {kind!r}: give one of {', '.join(KINDS)}")
        self.kind = kind
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            self.of_state = nn.Linear(dim, width, dtype=torch.float64)
            self.of_level = nn.Linear(1 + 2 * bands, width, dtype=torch.float64)
            hidden = [layer for _ in range(depth - 1) for layer in (nn.Linear(width, width, dtype=torch.float64), nn.SiLU())]
            self.rest = nn.Sequential(nn.SiLU(), *hidden, nn.Linear(width, dim, dtype=torch.float64))
        self.register_buffer("frequencies", 2 * pi / 16 * 2.0 ** torch.arange(bands, dtype=torch.float64))

    def forward(self, x: Tensor, lam: Tensor) -> Tensor:
        """The output at states x of the levels lam."""
        waves = self.frequencies * lam  # type: ignore[operator]  # a buffer
        return self.rest(self.of_state(x) + self.of_level(torch.cat([lam, waves.sin(), waves.cos()], -1)))
