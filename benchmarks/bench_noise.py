"""What the noise of a step costs: white noise and one Brownian path, beside torch.randn of as many numbers, and peers' paths.

    pytest benchmarks/bench_noise.py --benchmark-disable-gc --benchmark-timer=time.process_time --benchmark-json=noise.json
    python benchmarks/noise_table.py noise.json

One round crosses a grid with a noise made for that round, so nothing is remembered from the one before.  `us_per_step` in the
extra information is the fastest round / steps; `normals_per_step` how many tensors of the state's shape were drawn for it.
"""

from itertools import pairwise

import peers
import pytest
import torch

from sdebench.grids import uniform_lam
from sdebench.noise import DATA, EPS, TIME, Power, WhiteNoise
from sdebench.noise.brownian import BrownianPath
from sdebench.schedules import VPLinear

SHAPES = {"1x3x32x32": (1, 3, 32, 32), "256x3x32x32": (256, 3, 32, 32)}
VP, SPAN = VPLinear(), (0.95, 0.02)
GRIDS = {n: uniform_lam(VP, *SPAN, n) for n in (20, 40)}
WEIGHTS = {"DATA": (DATA,), "EPS": (EPS,), "TIME": (TIME,), "TIME and Power(1)": (TIME, Power(1))}
SLOW = ("torchsde", "k-diffusion")  # at the large shape: some seconds a round


def ask(noise, grid, weights):
    """Every step's noise, as steps ask for it: one weight as a standard normal, several jointly."""
    for s, t in pairwise(grid):
        if len(weights) == 1:
            noise.normal(s, t, *weights)
        else:
            noise.integral(s, t, *weights)


def drawn(grid, weights) -> int:
    """Normals that the path draws for a grid, counted in its store, at a shape of which it holds them all."""
    path = BrownianPath(VP, grid, (1, 1), dtype=torch.float32)
    ask(path, grid, weights)
    return len(path._kept)


def randn(shape, grid, weights):
    count = drawn(grid, weights)

    def run(_):
        for _ in range(count):
            torch.randn(shape)

    return lambda: None, run


def white(shape, grid, weights):
    return lambda: WhiteNoise(VP, shape, 0, torch.float32), lambda noise: ask(noise, grid, weights)


def path(shape, grid, weights):
    return lambda: BrownianPath(VP, grid, shape, 0, torch.float32), lambda noise: ask(noise, grid, weights)


def torchsde(shape, grid, weights):
    """BrownianInterval with its defaults, over time; it knows the plain increment only."""
    library = pytest.importorskip("torchsde")

    def run(noise):
        for s, t in pairwise(grid):
            noise(t, s)

    return lambda: library.BrownianInterval(grid[-1], grid[0], size=shape, dtype=torch.float32, entropy=0), run


def k_diffusion(shape, grid, weights):
    """BrownianTreeNoiseSampler over the noise levels: one normal of the plain increment in the clock of sigma."""
    try:
        sampling = peers.k_diffusion_sampling()
    except ImportError as error:
        pytest.skip(str(error))
    sigmas, x = peers.levels(VP, grid, torch.float32), torch.zeros(shape)

    def run(noise):
        for s, t in pairwise(sigmas):
            noise(s, t)

    return lambda: sampling.BrownianTreeNoiseSampler(x, sigmas[-1], sigmas[0], seed=0), run


WHO = {"randn": randn, "white": white, "path": path, "torchsde": torchsde, "k-diffusion": k_diffusion}


def cases():
    """The cases of one grid, shape and weight stand together: their ratio is taken within some seconds."""
    for shape in SHAPES:
        for n in GRIDS:
            for weight in WEIGHTS:
                for who in WHO if weight == "TIME" else ("randn", "white", "path"):
                    yield shape, n, weight, who


@pytest.mark.parametrize(("shape", "n", "weight", "who"), cases())
def test_noise(benchmark, shape, n, weight, who):
    grid, weights = GRIDS[n], WEIGHTS[weight]
    make, run = WHO[who](SHAPES[shape], grid, weights)
    large = not shape.startswith("1x")
    rounds = (1 if who in SLOW else 3) if large else 15
    benchmark.group = f"{shape} {n} {weight}"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            benchmark.pedantic(
                run, setup=lambda: ((make(),), {}), rounds=rounds, warmup_rounds=0 if large and who in SLOW else 1
            )
    finally:
        torch.set_num_threads(threads)
    needed = {"randn": drawn(grid, weights) / n, "path": drawn(grid, weights) / n, "white": len(weights)}
    benchmark.extra_info |= peers.versions() | {
        "shape": shape,
        "steps": n,
        "weight": weight,
        "who": who,
        "threads": 1,
        "normals_per_step": needed.get(who),
    }
    if benchmark.stats:  # absent under --benchmark-disable
        benchmark.extra_info["us_per_step"] = benchmark.stats.stats.min / n * 1e6
