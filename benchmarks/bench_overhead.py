"""What a step costs beside the network: ours, diffusers' and k-diffusion's same methods, in one run, on one thread.

    pytest benchmarks/bench_overhead.py --benchmark-disable-gc --benchmark-columns=min --benchmark-json=overhead.json
    python benchmarks/overhead_table.py overhead.json

The model returns a tensor made beforehand.  One round crosses a grid of 20 steps, with two evaluations each for heun;
`us_per_step` in the extra information is the fastest round / 20.
"""

import warnings

import peers
import pytest
import torch

from sdebench.catalogue import get_solver
from sdebench.grids import uniform_lam
from sdebench.prediction import Model
from sdebench.schedules import VPLinear
from sdebench.solver import integrate

STEPS = 20
SHAPES = {"1x3x32x32": (1, 3, 32, 32), "256x3x32x32": (256, 3, 32, 32)}
VP, SPAN = VPLinear(), (0.95, 0.02)
GRID = uniform_lam(VP, *SPAN, STEPS)

METHODS = {  # (ours, diffusers' scheduler and settings, k-diffusion's sampler and settings)
    "ddim": ("ddim", ("DDIMScheduler", {"clip_sample": False}), ("sample_euler", {})),
    "dpm++2m": ("dpm-solver++-2m", ("DPMSolverMultistepScheduler", {"solver_order": 2}), ("sample_dpmpp_2m", {})),
    "dpm++3m": ("dpm-solver++-3m", ("DPMSolverMultistepScheduler", {"solver_order": 3}),
                ("sample_dpmpp_3m_sde", {"eta": 0.0, "noise_sampler": lambda s, t: None})),
    "unipc-3": ("unipc-3", ("UniPCMultistepScheduler", {"solver_order": 3}), None),
    "heun": ("heun-edm", ("HeunDiscreteScheduler", {}), ("sample_heun", {})),
}  # fmt: skip
BOTH = ("ddim", "heun")  # methods in eps, of which k-diffusion's take x0: ours and diffusers' are timed with either reading


def ours(method, reading, x, out):
    solver, model = get_solver(METHODS[method][0]), Model(lambda x, t: out, VP, reading)
    return lambda: integrate(solver, model, x, GRID), None


def diffusers(method, reading, x, out):
    library = pytest.importorskip("diffusers")
    name, settings = METHODS[method][1]
    if "solver_order" in settings:
        settings = settings | {"lower_order_final": False, "final_sigmas_type": "sigma_min"}
    scheduler = getattr(library, name)(prediction_type={"eps": "epsilon", "x0": "sample"}[reading], **settings)

    def run(scheduler):
        state = x
        for t in scheduler.timesteps:
            state = scheduler.step(out, t, state, return_dict=False)[0]

    return run, lambda: ((peers.prepare(scheduler, VP, GRID, torch.float32),), {})


def k_diffusion(method, reading, x, out):
    try:
        sampling = peers.k_diffusion_sampling()
    except ImportError as error:
        pytest.skip(str(error))
    name, settings = METHODS[method][2]
    sample, sigmas = getattr(sampling, name), peers.levels(VP, GRID, torch.float32)
    return lambda: sample(lambda x, sigma: out, x, sigmas, disable=True, **settings), None


WHO = {"sdebench": ours, "diffusers": diffusers, "k-diffusion": k_diffusion}


def cases():
    """The cases of one method and one shape stand together: their ratio is taken within some seconds."""
    for shape in SHAPES:
        for method, (_, _, k) in METHODS.items():
            for reading in ("eps", "x0") if method in BOTH else ("x0",):
                yield shape, method, "sdebench", reading
                yield shape, method, "diffusers", reading
            if k:
                yield shape, method, "k-diffusion", "x0"


@pytest.mark.parametrize(("shape", "method", "who", "reading"), cases())
def test_overhead(benchmark, shape, method, who, reading):
    rng = torch.Generator().manual_seed(0)
    x, out = (torch.randn(SHAPES[shape], generator=rng) for _ in range(2))
    run, setup = WHO[who](method, reading, x, out)
    benchmark.group = f"{shape} {method}"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            rounds = 100 if shape.startswith("1x") else 15
            benchmark.pedantic(run, setup=setup, rounds=rounds, iterations=1, warmup_rounds=3)
    finally:
        torch.set_num_threads(threads)
    benchmark.extra_info |= peers.versions() | {
        "method": method, "shape": shape, "who": who, "reading": reading, "steps": STEPS, "threads": 1,
    }  # fmt: skip
    if benchmark.stats:  # absent under --benchmark-disable
        benchmark.extra_info["us_per_step"] = benchmark.stats.stats.min / STEPS * 1e6
