"""What the tests of networks share: small folders in the layout of diffusers, and exact models that pose as networks."""

import json
from math import cos, pi
from pathlib import Path

import torch
from safetensors.torch import save_file

from sdebench.networks import unet
from sdebench.problems import GaussianMixture

CONFIG = {
    "sample_size": 4,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": [8, 16],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "norm_num_groups": 4,
    "attention_head_dim": 8,
}
CARD = {
    "name": "small",
    "kind": "v",
    "schedule": "VPCosine(s=0.008)",
    "time": {"kind": "continuous", "scale": 1000.0},
    "lams": [-4.0, 4.0],
}
# As google/ddpm-cifar10-32 has it: no prediction_type, which is epsilon then.
CHAIN = {
    "_class_name": "DDPMScheduler",
    "num_train_timesteps": 1000,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "beta_end": 0.02,
}
SHAPE = (1, 4, 4)


def network(**settings):
    """A small network with weights of a seed, none of them zero."""
    torch.manual_seed(7)
    net = unet.make(CONFIG | settings)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(0.05 * torch.randn_like(value))
    return net


def folder(path: Path, card=None, chain=None, unet_in="", scheduler_in="", **settings) -> Path:
    """A model's folder, written without the suite's own `save`: config, float32 safetensors, and card or scheduler."""
    net, home = network(**settings), path / unet_in
    home.mkdir(parents=True, exist_ok=True)
    config = {"_class_name": "UNet2DModel", "_diffusers_version": "0.30.0"} | CONFIG | settings
    (home / "config.json").write_text(json.dumps(config))
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, home / unet.WEIGHTS, {"format": "pt"})
    if card is not None:
        (path / "card.json").write_text(json.dumps(card))
    if chain is not None:
        (path / scheduler_in).mkdir(exist_ok=True)
        (path / scheduler_in / "scheduler_config.json").write_text(json.dumps(chain))
    return path


def _means():
    rng = torch.Generator().manual_seed(5)
    return 0.7 * torch.randn(3, 16, dtype=torch.float64, generator=rng)


LAW = GaussianMixture([0.2, 0.5, 0.3], _means(), [0.04, 0.09, 0.16])


def exact_x0_eps(x, alpha, sigma):
    """E[x_0 | x], E[eps | x] of LAW at one signal and noise, from Bayes' rule and nothing of the suite; (B, *D)."""
    flat = x.flatten(1).double()
    spread = LAW.covs[:, 0, 0]
    total = alpha**2 * spread + sigma**2
    away = flat.unsqueeze(1) - alpha * LAW.means
    logits = LAW.weights.log() - 0.5 * flat.shape[1] * total.log() - 0.5 * away.square().sum(2) / total
    r = logits.softmax(1).unsqueeze(2)
    x0 = (r * (LAW.means + (alpha * spread / total)[:, None] * away)).sum(1)
    return x0.reshape(x.shape), ((flat - alpha * x0) / sigma).reshape(x.shape)


def _answer(kind, x, alpha, sigma):
    x0, eps = exact_x0_eps(x, alpha, sigma)
    return {"x0": x0, "eps": eps, "v": alpha * eps - sigma * x0}[kind].to(x.dtype)


class Chain:
    """A network that has learnt LAW on a chain of 1000 levels: told an INTEGER index, it looks its own abar up."""

    def __init__(self, kind="eps"):
        self.kind = kind
        self.abar = torch.linspace(0.0001, 0.02, 1000, dtype=torch.float64).neg().add(1).cumprod(0)

    def __call__(self, x, times):
        i = set(times.tolist())
        assert len(i) == 1
        assert all(v == int(v) for v in i), "the grid of the test consists of levels, and so must the indices"
        abar = self.abar[int(i.pop())]
        return _answer(self.kind, x, float(abar.sqrt()), float((1 - abar).sqrt()))


class Cosine:
    """A network that has learnt LAW on the cosine schedule at all times: told 1000 t, it has the formula of the paper."""

    def __init__(self, kind="v"):
        self.kind = kind

    def __call__(self, x, times):
        t = float(times[0]) / 1000
        alpha = cos(0.5 * pi * (t + 0.008) / 1.008) / cos(0.5 * pi * 0.008 / 1.008)
        return _answer(self.kind, x, alpha, (1 - alpha**2) ** 0.5)
