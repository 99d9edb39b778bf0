"""Our stochastic steps beside k-diffusion's and diffusers', which are given the same normal numbers."""

import importlib
from collections import deque
from itertools import pairwise

import pytest
import torch
from comparison import WRONG, agree, difference, model_on, peers, state

import sdebench as sb
from sdebench import grids
from sdebench.noise import DATA, EPS
from sdebench.solvers.ancestral import SIGMA

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

EDM, VP = sb.schedules.EDM(), sb.schedules.VPLinear()
EDM_GRIDS = {"irregular": grids.irregular(EDM, 20.0, 0.05, 12), "karras": grids.karras(EDM, 20.0, 0.02, 12)}
VP_GRIDS = {"irregular": grids.irregular(VP, 0.9, 0.05, 12), "uniform_t": grids.uniform_t(VP, 0.9, 0.1, 12)}
on_edm = pytest.mark.parametrize("grid", EDM_GRIDS.values(), ids=EDM_GRIDS)
on_vp = pytest.mark.parametrize("grid", VP_GRIDS.values(), ids=VP_GRIDS)


@pytest.fixture(scope="module")
def sampling():
    try:
        return peers.k_diffusion_sampling()
    except ImportError as error:
        pytest.skip(str(error))


def denoiser(x, sigma):
    return model_on(EDM)(x, float(sigma.flatten()[0])).x0


def white(ns, grid):
    return sb.WhiteNoise(ns, state(ns, grid[0]).shape, 3)


def ours(name, ns, grid, noise=None):
    return sb.integrate(sb.get_solver(name), model_on(ns), state(ns, grid[0]), grid, noise or white(ns, grid))


def theirs(sampling, sampler, grid, **settings):
    x, sigmas = state(EDM, grid[0]), peers.levels(EDM, grid, torch.float64)
    return getattr(sampling, sampler)(denoiser, x, sigmas, disable=True, **settings)


# ---------------------------------------------------------------------------------------------------------- k-diffusion

ANCESTRAL = {
    "euler-ancestral": "sample_euler_ancestral",
    "dpm2-ancestral": "sample_dpm_2_ancestral",
    "dpm++-2s-ancestral": "sample_dpmpp_2s_ancestral",
}


@on_edm
@pytest.mark.parametrize("eta", [1.0, 0.6])
@pytest.mark.parametrize("name", ANCESTRAL)
def test_ancestral_samplers_of_k_diffusion(sampling, name, eta, grid):
    noise = white(EDM, grid)
    found = theirs(sampling, ANCESTRAL[name], grid, eta=eta, noise_sampler=lambda s, t: noise.normal(float(s), float(t), DATA))
    agree(ours(f"{name}[eta={eta}]", EDM, grid), found)
    assert difference(ours(f"{name}[eta=0.3]", EDM, grid), found) > WRONG


def middles(grid, r):
    """The stages' times, as our step has them: to the bit, for a Brownian path is not smooth."""
    return [EDM.t(EDM.lam(s) + r * (EDM.lam(t) - EDM.lam(s))) for s, t in pairwise(grid)]


@on_edm
@pytest.mark.parametrize("r", [0.5, 0.3])
def test_dpmpp_sde_of_k_diffusion_on_one_path(sampling, r, grid):
    """Its noise sampler is asked for [s, m] and for [s, t]: increments of a path that is Brownian in sigma, standardised."""
    times = [*grid, *middles(grid, r)]
    path = sb.BrownianPath(EDM, times, state(EDM, grid[0]).shape, 3)
    nearest = lambda u: min(times, key=lambda v: abs(v - float(u)))  # noqa: E731
    tree = lambda a, b: path.normal(nearest(a), nearest(b), SIGMA)  # noqa: E731
    found = theirs(sampling, "sample_dpmpp_sde", grid, r=r, noise_sampler=tree)
    agree(ours(f"dpm++-sde[r={r}]", EDM, grid, path), found)
    assert difference(ours(f"dpm++-sde-independent-shipped[r={r}]", EDM, grid, path), found) > WRONG


@on_edm
def test_dpmpp_sde_of_k_diffusion_with_a_plain_noise_sampler(sampling, grid):
    """FINDING: two independent noises, and with them another method, of weak order 1."""
    noise, waiting = white(EDM, grid), deque()
    for (s, t), m in zip(pairwise(grid), middles(grid, 0.5)):
        waiting += [noise.fresh(m, 1), noise.normal(s, t, DATA)]
    found = theirs(sampling, "sample_dpmpp_sde", grid, noise_sampler=lambda a, b: waiting.popleft())
    agree(ours("dpm++-sde-independent-shipped", EDM, grid), found)
    assert difference(ours("dpm++-sde", EDM, grid), found) > WRONG


def test_the_brownian_tree_of_k_diffusion_is_brownian_in_sigma(sampling):
    """As it is used there: the correlation of increments over [s, m] and [s, t] is sqrt((s - m)/(s - t)), in sigma and not in
    its logarithm."""
    pytest.importorskip("torchsde")
    s, m, t = 4.0, 1.0, 0.25
    x = torch.zeros(20_000, 1, dtype=torch.float64)
    sampler = sampling.BrownianTreeNoiseSampler(x, t, s, seed=1)
    a, b = sampler(torch.tensor(s), torch.tensor(m)), sampler(torch.tensor(s), torch.tensor(t))
    found, error = float((a * b).mean()), 1 / 20_000**0.5
    assert abs(found - ((s - m) / (s - t)) ** 0.5) < 5 * error
    assert abs(found - 0.5**0.5) > 10 * error


@on_edm
@pytest.mark.parametrize("s_noise", [1.0, 1.01])
def test_stochastic_heun_of_k_diffusion(sampling, monkeypatch, grid, s_noise):
    noise, at = white(EDM, grid), deque(grid)
    monkeypatch.setattr(torch, "randn_like", lambda x: noise.fresh(at.popleft()))
    settings = {"s_churn": 4.0, "s_tmin": 0.1, "s_tmax": 10.0}
    found = theirs(sampling, "sample_heun", grid, **settings, s_noise=s_noise)
    agree(ours(f"edm-stochastic[s_churn=4.0,s_min=0.1,s_max=10.0,s_noise={s_noise}]", EDM, grid), found)


# ------------------------------------------------------------------------------------------------------------ diffusers


def diffusers_run(scheduler, grid, draws=(), monkeypatch=None, **settings):
    """The scheduler's run over the grid; each draw of its own is replaced by the next of `draws`."""
    waiting = deque(draws)
    if monkeypatch:
        module = importlib.import_module(type(scheduler).__module__)
        monkeypatch.setattr(module, "randn_tensor", lambda *a, **k: waiting.popleft())
    x, model = state(VP, grid[0]), model_on(VP)
    for label, t in zip(scheduler.timesteps, grid[:-1]):
        x = scheduler.step(model(x, t).eps, label, x, return_dict=False, **settings)[0]
    return x


@on_vp
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_ddim_of_diffusers_with_noise(grid, eta):
    diffusers = pytest.importorskip("diffusers")
    scheduler = peers.prepare(diffusers.DDIMScheduler(clip_sample=False), VP, grid)
    noise, x, model = white(VP, grid), state(VP, grid[0]), model_on(VP)
    for label, (s, t) in zip(scheduler.timesteps, pairwise(grid)):
        z = noise.normal(s, t, DATA) if eta else None
        x = scheduler.step(model(x, s).eps, label, x, eta=eta, variance_noise=z, return_dict=False)[0]
    agree(ours(f"ddim-eta[eta={eta}]", VP, grid), x)


@on_vp
@pytest.mark.parametrize(("name", "variance"), [("ddpm", "fixed_small"), ("ddpm-large", "fixed_large")])
def test_ddpm_of_diffusers(monkeypatch, grid, name, variance):
    diffusers = pytest.importorskip("diffusers")
    scheduler = diffusers.DDPMScheduler(clip_sample=False, variance_type=variance, num_train_timesteps=len(grid))
    scheduler.alphas_cumprod = torch.tensor([VP.alpha(t) ** 2 for t in reversed(grid)], dtype=torch.float64)
    scheduler.set_timesteps(len(grid))  # its labels go down to 0, where grid[-1] is: the step from there is not made
    noise = white(VP, grid)
    weight = DATA if name == "ddpm" else EPS
    found = diffusers_run(scheduler, grid, [noise.normal(s, t, weight) for s, t in pairwise(grid)], monkeypatch)
    agree(ours(name, VP, grid), found)


@on_edm
def test_consistency_sampling_of_diffusers(monkeypatch, grid):
    """Its noise is sqrt(sigma^2 - sigma_min^2), ours at sigma_min = 0.  Of what it makes of a network's answer, c_skip and
    c_out, the inverse is put in, so that f is the model's x0."""
    diffusers = pytest.importorskip("diffusers")
    module = importlib.import_module(diffusers.CMStochasticIterativeScheduler.__module__)
    scheduler = diffusers.CMStochasticIterativeScheduler(len(grid), sigma_min=0.0, clip_denoised=False)
    scheduler.sigmas = peers.levels(EDM, grid, torch.float64)
    scheduler.timesteps = torch.arange(len(grid) - 1, dtype=torch.float64)
    scheduler.is_scale_input_called = True
    noise, x, times = white(EDM, grid), state(EDM, grid[0]), deque(grid[1:])
    monkeypatch.setattr(module, "randn_tensor", lambda *a, **k: noise.fresh(times.popleft()))
    for label, s in zip(scheduler.timesteps, grid[:-1]):
        skip, out = scheduler.get_scalings_for_boundary_condition(torch.tensor(s, dtype=torch.float64))
        answer = (denoiser(x, torch.tensor(s, dtype=torch.float64)) - skip * x) / out
        x = scheduler.step(answer, label, x, return_dict=False)[0]
    agree(ours("consistency", EDM, grid), x)
    assert difference(ours("ddim-eta", EDM, grid), x) > WRONG
