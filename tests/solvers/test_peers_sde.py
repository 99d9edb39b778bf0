"""Our stochastic multistep methods beside k-diffusion's and diffusers', handed the same normals."""

import importlib
from itertools import pairwise

import pytest
import torch
from comparison import agree, model_on, peers, state

import sdebench as sb
from sdebench import grids
from sdebench.noise import DATA, WhiteNoise

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

EDM, VP = sb.schedules.EDM(), sb.schedules.VPLinear()
EDM_GRIDS = {"irregular": grids.irregular(EDM, 20.0, 0.05, 12), "karras": grids.karras(EDM, 20.0, 0.02, 12)}
VP_GRIDS = {"irregular": grids.irregular(VP, 0.9, 0.05, 12), "uniform_t": grids.uniform_t(VP, 0.9, 0.1, 12)}
K_DIFFUSION = {
    "sde-dpm-solver++-2m": ("sample_dpmpp_2m_sde", {"solver_type": "midpoint"}),
    "sde-dpm-solver++-2m-heun": ("sample_dpmpp_2m_sde", {"solver_type": "heun"}),
    "sa-solver-p2[tau=0.6]": ("sample_dpmpp_2m_sde", {"solver_type": "heun", "eta": 0.36}),
    "sde-dpm-solver++-3m-shipped": ("sample_dpmpp_3m_sde", {}),
}


def ours(name, ns, x, grid, noise):
    return sb.integrate(sb.get_solver(name), model_on(ns), x, grid, noise)


@pytest.mark.parametrize("grid", EDM_GRIDS.values(), ids=EDM_GRIDS)
@pytest.mark.parametrize("name", K_DIFFUSION)
def test_multistep_sde_of_k_diffusion(name, grid):
    """Their eta is our tau^2: they multiply the exponent by it, 1 + eta, and the variance's by 2 eta."""
    try:
        sampling = peers.k_diffusion_sampling()
    except ImportError as error:
        pytest.skip(str(error))
    sampler, settings = K_DIFFUSION[name]
    x, noise = state(EDM, grid[0]), WhiteNoise(EDM, (16, 2), 3)
    denoiser = lambda x, sigma: model_on(EDM)(x, float(sigma.flatten()[0])).x0  # noqa: E731
    drawn = lambda s, t: noise.normal(float(s), float(t), DATA)  # noqa: E731
    sigmas = peers.levels(EDM, grid, torch.float64)
    theirs = getattr(sampling, sampler)(denoiser, x, sigmas, disable=True, noise_sampler=drawn, **settings)
    agree(ours(name, EDM, x, grid, noise), theirs)


class _Double:
    """`torch` for a scheduler's module, with float64 where it says float32."""

    def __getattr__(self, name):
        return getattr(torch, "float64" if name == "float32" else name)


@pytest.fixture
def cross(monkeypatch):
    """A function that crosses a grid with a scheduler of diffusers in float64, and returns it and the last state."""
    diffusers = pytest.importorskip("diffusers")

    def run(name, grid, noise, x, **settings):
        module = importlib.import_module(getattr(diffusers, name).__module__)
        made = getattr(diffusers, name)(**settings)
        monkeypatch.setattr(module, "torch", _Double())
        steps = iter(pairwise(grid))
        monkeypatch.setattr(module, "randn_tensor", lambda *args, **kwargs: noise.normal(*next(steps), DATA))
        scheduler = peers.prepare(made, VP, grid)
        for label, t in zip(scheduler.timesteps, grid[:-1], strict=True):
            x = scheduler.step(model_on(VP)(x, t).eps, label, x, return_dict=False)[0]
        return scheduler, x

    return run


END = {"lower_order_final": False, "final_sigmas_type": "sigma_min"}
DIFFUSERS = {
    "sde-dpm-solver-1": (1, "sde-dpmsolver", "midpoint"),
    "sde-dpm-solver-2m": (2, "sde-dpmsolver", "midpoint"),
    "sde-dpm-solver-2m-heun": (2, "sde-dpmsolver", "heun"),
    "sde-dpm-solver++-1": (1, "sde-dpmsolver++", "midpoint"),
    "sde-dpm-solver++-2m": (2, "sde-dpmsolver++", "midpoint"),
    "sde-dpm-solver++-2m-heun": (2, "sde-dpmsolver++", "heun"),
    "sde-dpm-solver++-3m-diffusers-shipped": (3, "sde-dpmsolver++", "midpoint"),
}


@pytest.mark.parametrize("grid", VP_GRIDS.values(), ids=VP_GRIDS)
@pytest.mark.parametrize("name", DIFFUSERS)
def test_multistep_sde_of_diffusers(cross, name, grid):
    order, algorithm, kind = DIFFUSERS[name]
    x, noise = state(VP, grid[0]), WhiteNoise(VP, (16, 2), 3)
    settings = END | {"solver_order": order, "algorithm_type": algorithm, "solver_type": kind}
    theirs = cross("DPMSolverMultistepScheduler", grid, noise, x, **settings)[1]
    agree(ours(name, VP, x, grid, noise), theirs)


@pytest.mark.parametrize("grid", VP_GRIDS.values(), ids=VP_GRIDS)
@pytest.mark.parametrize(("p", "c"), [(2, 2), (3, 4)])
@pytest.mark.parametrize("tau", [0.0, 0.7, 1.0])
def test_sa_solver_of_diffusers(cross, p, c, tau, grid):
    """Up to the state from which their last step starts: that step is not corrected, and ours are."""
    x, noise = state(VP, grid[0]), WhiteNoise(VP, (16, 2), 3)
    settings = {"predictor_order": p, "corrector_order": c, "tau_func": lambda t: tau, "lower_order_final": False}
    scheduler = cross("SASolverScheduler", grid, noise, x, **settings)[0]
    agree(ours(f"sa-solver-p{p}c{c}-shipped[tau={tau}]", VP, x, grid[:-1], noise), scheduler.last_sample)
