"""What a step costs beside the network: ours, eager and fused, diffusers' and k-diffusion's same methods, on one thread.

    pytest benchmarks/bench_overhead.py --benchmark-disable-gc --benchmark-columns=min --benchmark-json=overhead.json
    python benchmarks/overhead_table.py overhead.json

The model returns one of four tensors made beforehand, in turn.  One round crosses a grid of 20 steps, with two evaluations each
for heun; `us_per_step` in the extra information is the fastest round / 20.

`us_floor` is what moving the bytes of the fused plan costs, by copies.  `normals` is what drawing the noise of a stochastic
method costs, by itself.
"""

import time
import warnings
from itertools import cycle

import peers
import pytest
import torch

from sdebench.catalogue import get_solver
from sdebench.grids import uniform_lam
from sdebench.integration.executors.plan import plan
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Model
from sdebench.noise import WhiteNoise
from sdebench.schedules import VPLinear

STEPS, OUTS = 20, 4
SHAPES = {"1x3x32x32": (1, 3, 32, 32), "256x3x32x32": (256, 3, 32, 32)}
VP, SPAN = VPLinear(), (0.95, 0.02)
GRID = uniform_lam(VP, *SPAN, STEPS)

METHODS = {  # (ours, diffusers' scheduler and settings, k-diffusion's sampler and settings)
    "ddim": ("ddim", ("DDIMScheduler", {"clip_sample": False}), ("sample_euler", {})),
    "dpm++2m": ("dpm-solver++-2m", ("DPMSolverMultistepScheduler", {"solver_order": 2}), ("sample_dpmpp_2m", {})),
    "dpm++3m": (
        "dpm-solver++-3m",
        ("DPMSolverMultistepScheduler", {"solver_order": 3}),
        ("sample_dpmpp_3m_sde", {"eta": 0.0, "noise_sampler": lambda s, t: None}),
    ),
    "unipc-3": ("unipc-3", ("UniPCMultistepScheduler", {"solver_order": 3}), None),
    "heun": ("heun-edm", ("HeunDiscreteScheduler", {}), ("sample_heun", {})),
}
STOCHASTIC = ("ddpm", "sde-dpm-solver++-2m", "seeds-2", "srk-additive")  # of 1, 1, 2 and 2 normals a step
BOTH = ("ddim", "heun")  # methods in eps, of which k-diffusion's take x0: ours and diffusers' are timed with either reading


def ours(method, reading, x, outs, executor="eager"):
    name = METHODS[method][0] if method in METHODS else method
    solver, model = get_solver(name), Model(lambda x, t: next(outs), VP, reading)
    noise = WhiteNoise(VP, x.shape, 0, x.dtype)
    return lambda: integrate(solver, model, x, GRID, noise, executor), None


def fused(method, reading, x, outs):
    """Before each round the vectors of its plan are moved, and that is timed: floor and figure within milliseconds."""
    run, _ = ours(method, reading, x, outs, "fused")
    move, times = moving(get_solver(METHODS.get(method, (method,))[0]), reading, x), []

    def setup():
        began = time.process_time()
        move()
        times.append(time.process_time() - began)

    setup.times = times
    return run, setup


def moving(solver, reading, x):
    """Copies around as many vectors as a run touches, until as many were read and written as its plan reads and writes."""
    made = plan(solver, VP, GRID, reading)
    copies, ring = sum(made.traffic) // 2, [torch.randn_like(x) for _ in range(made.buffers + OUTS)]

    def move():
        for i in range(copies):
            ring[i % len(ring)].copy_(ring[i % len(ring) - 1])

    return move


def normals(method, reading, x, outs):
    noise = WhiteNoise(VP, x.shape, 0, x.dtype)
    questions = [q for p in plan(get_solver(method), VP, GRID, reading).passes for q in p.questions]
    return lambda: [getattr(noise, q.method)(*q.args, **q.settings) for q in questions], None


def diffusers(method, reading, x, outs):
    library = pytest.importorskip("diffusers")
    name, settings = METHODS[method][1]
    if "solver_order" in settings:
        settings = settings | {"lower_order_final": False, "final_sigmas_type": "sigma_min"}
    scheduler = getattr(library, name)(prediction_type={"eps": "epsilon", "x0": "sample"}[reading], **settings)

    def run(scheduler):
        state = x
        for t in scheduler.timesteps:
            state = scheduler.step(next(outs), t, state, return_dict=False)[0]

    return run, lambda: ((peers.prepare(scheduler, VP, GRID, torch.float32),), {})


def k_diffusion(method, reading, x, outs):
    try:
        sampling = peers.k_diffusion_sampling()
    except ImportError as error:
        pytest.skip(str(error))
    name, settings = METHODS[method][2]
    sample, sigmas = getattr(sampling, name), peers.levels(VP, GRID, torch.float32)
    return lambda: sample(lambda x, sigma: next(outs), x, sigmas, disable=True, **settings), None


WHO = {"sdebench": ours, "fused": fused, "normals": normals, "diffusers": diffusers, "k-diffusion": k_diffusion}


def cases():
    """The cases of one method and one shape stand together: their ratio is taken within some seconds."""
    for shape in SHAPES:
        for method, (_, _, k) in METHODS.items():
            for reading in ("eps", "x0") if method in BOTH else ("x0",):
                for who in ("sdebench", "fused", "diffusers"):
                    yield shape, method, who, reading
            if k:
                yield shape, method, "k-diffusion", "x0"
    for method in STOCHASTIC:
        for who in ("sdebench", "fused", "normals"):
            yield "256x3x32x32", method, who, "x0"


@pytest.mark.parametrize(("shape", "method", "who", "reading"), cases())
def test_overhead(benchmark, shape, method, who, reading):
    rng = torch.Generator().manual_seed(0)
    x, *outs = (torch.randn(SHAPES[shape], generator=rng) for _ in range(1 + OUTS))
    run, setup = WHO[who](method, reading, x, cycle(outs))
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
        "method": method,
        "shape": shape,
        "who": who,
        "reading": reading,
        "steps": STEPS,
        "threads": 1,
    }
    if benchmark.stats:  # absent under --benchmark-disable
        benchmark.extra_info["us_per_step"] = benchmark.stats.stats.min / STEPS * 1e6
        if who == "fused":
            benchmark.extra_info["us_floor"] = min(setup.times) / STEPS * 1e6
