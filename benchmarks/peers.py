"""Peer software, driven on OUR grids: what the comparisons and the benchmarks share.

diffusers gets its noise levels from a table of training steps; `prepare` puts the levels of a given grid, in a given dtype,
in that table's place, so that a scheduler crosses exactly the intervals that our steps cross.
"""

import importlib
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import pairwise
from types import ModuleType

import torch


class _Anything(ModuleType):
    """A module of which every attribute exists: in place of torchvision, which k-diffusion imports and no sampler uses."""

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return


@cache
def k_diffusion_sampling() -> ModuleType:
    """`k_diffusion.sampling` alone; ImportError where k-diffusion, or what its samplers use, is not installed.

    The package's `__init__` imports its training code and with it a dozen packages, so it is not run; torchvision is
    stood in for, for the length of the import, whether it is missing, or there and made for another torch.
    """
    spec = find_spec("k_diffusion")
    if spec is None:
        raise ImportError("k-diffusion is not installed")
    names = ["torchvision", "torchvision.transforms", "torchvision.transforms.functional"]
    package = ModuleType("k_diffusion")
    package.__path__ = list(spec.submodule_search_locations)
    before = {name: sys.modules[name] for name in names if name in sys.modules}
    sys.modules.update({name: _Anything(name) for name in names}, k_diffusion=package)
    try:
        return importlib.import_module("k_diffusion.sampling")
    finally:
        for name in (*names, "k_diffusion"):
            del sys.modules[name]
        sys.modules.update(before)


def versions() -> dict[str, str]:
    """The versions of torch and of the peers that are installed."""
    found = {}
    for name in ("torch", "diffusers", "k-diffusion"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def levels(ns, grid, dtype) -> torch.Tensor:
    """sigma/alpha at the times of the grid: what diffusers and k-diffusion call `sigmas`."""
    return torch.tensor([ns.rho(t) for t in grid], dtype=dtype)


def prepare(scheduler, ns, grid, dtype=torch.float64):
    """The scheduler of diffusers, ready for its first step, with the levels of the grid as its whole table.

    DDIM and PNDM look alpha^2 up by an integer label, which is 0 at the start of the last step.  Flow matching counts in
    sigma itself.  A scheduler of two evaluations a step holds every level but the first twice.
    """
    n = len(grid) - 1
    if hasattr(scheduler, "final_alpha_cumprod"):
        each = 2 if scheduler.config.get("skip_prk_steps") is False else 1  # the Runge-Kutta start has labels halfway, in t
        times = [u for s, t in pairwise(grid) for u in (s, 0.5 * (s + t))[:each]] + [grid[-1]]
        table = torch.tensor([ns.alpha(t) ** 2 for t in reversed(times)], dtype=dtype)
        scheduler.final_alpha_cumprod, scheduler.alphas_cumprod = table[0], table[each:]
        scheduler.register_to_config(num_train_timesteps=each * n)
        scheduler.set_timesteps(n)
        return scheduler
    scheduler.set_timesteps(n)
    name = type(scheduler).__name__
    sigmas = torch.tensor(grid, dtype=dtype) if name.startswith("FlowMatch") else levels(ns, grid, dtype)
    if hasattr(scheduler, "state_in_first_order"):
        scheduler.sigmas = torch.cat([sigmas[:1], sigmas[1:].repeat_interleave(2)])
        scheduler.timesteps = torch.arange(2 * n, dtype=dtype)
        middle = (sigmas[:-1] * sigmas[1:]).sqrt()
        scheduler.sigmas_interpol = torch.cat([sigmas[:1], middle.repeat_interleave(2)])  # KDPM2's
    else:
        scheduler.sigmas, scheduler.timesteps = sigmas, torch.arange(n, dtype=dtype)
    if name == "IPNDMScheduler":  # its `betas` are sigmas, and its `alphas` our alphas
        scheduler.betas = torch.tensor([ns.sigma(t) for t in grid], dtype=dtype)
        scheduler.alphas = torch.tensor([ns.alpha(t) for t in grid], dtype=dtype)
    scheduler.is_scale_input_called = True  # by whoever calls us
    scheduler.set_begin_index(0)
    return scheduler
