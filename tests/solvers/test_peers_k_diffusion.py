"""Our steps beside k-diffusion's samplers on the same grid: alpha = 1, and its models give x0."""

import pytest
import torch
from comparison import WRONG, agree, difference, from_past, model_on, ours, peers, state

import sdebench as sb
from sdebench import grids

EDM = sb.schedules.EDM()
EDM_GRIDS = {"irregular": grids.irregular(EDM, 20.0, 0.05, 12), "karras": grids.karras(EDM, 20.0, 0.02, 12)}
STILL = {"eta": 0.0, "noise_sampler": lambda s, t: 0.0}
SAMPLERS = {
    "sample_euler": ("ddim", {}),
    "sample_heun": ("heun-edm", {}),
    "sample_dpm_2": ("midpoint-log-sigma", {}),
    "sample_lms": ("lms-4", {"order": 4}),
    "sample_dpmpp_2m": ("dpm-solver++-2m", {}),
    "sample_dpmpp_2m_sde": ("dpm-solver++-2m", STILL | {"solver_type": "midpoint"}),
    "sample_dpmpp_2s_ancestral": ("dpm-solver++-2s", STILL),
    "sample_dpmpp_sde": ("dpm-solver++-2s", STILL),
}


@pytest.fixture(scope="module")
def sampling():
    try:
        return peers.k_diffusion_sampling()
    except ImportError as error:
        pytest.skip(str(error))


@pytest.fixture
def double():
    """float64 where a peer makes a tensor without saying of what dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def denoiser(x, sigma):
    return model_on(EDM)(x, float(sigma.flatten()[0])).x0


@pytest.mark.parametrize("grid", EDM_GRIDS.values(), ids=EDM_GRIDS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_samplers_of_k_diffusion(sampling, sampler, grid):
    name, settings = SAMPLERS[sampler]
    x, sigmas = state(EDM, grid[0]), peers.levels(EDM, grid, torch.float64)
    agree(ours(name, EDM, x, grid), getattr(sampling, sampler)(denoiser, x, sigmas, disable=True, **settings))


def test_3m_sde_of_k_diffusion_lacks_the_factor(sampling):
    """FINDING: without noise it is 3M as shipped (its second step apart, which has the exact phi_2), not 3M."""
    grid, seen = EDM_GRIDS["irregular"], []
    x, sigmas = state(EDM, grid[0]), peers.levels(EDM, grid, torch.float64)
    last = sampling.sample_dpmpp_3m_sde(denoiser, x, sigmas, disable=True, callback=seen.append, **STILL)
    states, outs = [*(info["x"] for info in seen), last], [model_on(EDM)(info["x"], t) for info, t in zip(seen, grid)]
    for u, theirs in from_past(sb.get_solver("dpm-solver++-3m-shipped"), states, outs, grid, EDM, 2):
        agree(u, theirs)
    right = from_past(sb.get_solver("dpm-solver++-3m"), states, outs, grid, EDM, 2)
    assert max(difference(u, theirs) for u, theirs in right) > WRONG


@pytest.mark.parametrize(("nfe", "name"), [(12, "dpm-solver-fast"), (13, "dpm-solver-fast-3k1"), (14, "dpm-solver-fast-3k2")])
def test_dpm_fast_of_k_diffusion(sampling, double, nfe, name):
    """Runs of DPM-Solver-3 with a last step of lower order, on uniform steps in lam."""
    grid = grids.uniform_lam(EDM, 20.0, 0.05, nfe // 3 + 1)
    x, ends = state(EDM, grid[0]), torch.tensor([EDM.lam(grid[0]), EDM.lam(grid[-1])])
    agree(ours(name, EDM, x, grid), sampling.DPMSolver(denoiser).dpm_solver_fast(x, *ends, nfe))
