"""What the suite adds to the bare network loop of sampling, at batch 64.

    bare        the network alone, as often as the solver asks it, on one state that never changes
    SOLVER      what the quality study runs: noise, the solver's steps, readings of the prediction, pixels

`pytest benchmarks/bench_fid.py --benchmark-disable-gc` times both; `test_share` tells the time around the network from that in
it, in one run, and holds it to 5 %.  The digits network is the cheapest that is shipped: with any larger one, the share is
smaller.
"""

from copy import copy
from time import process_time

import pytest
import torch

from sdebench import get_solver
from sdebench.data import to_uint8
from sdebench.studies.quality.run import Sampling, Timed, grid_of, sample

BATCH, STEPS, ROUNDS, SHARE = 64, 10, 6, 0.05
SOLVERS = ("ddim", "dpm-solver++-2m", "unipc-3", "heun-edm", "ddpm", "sde-dpm-solver++-2m")
AT = Sampling("digits", "float32", "cpu", 0)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def suite(spec: str):
    """(run of the suite, network calls that it makes)"""
    solver, grid = get_solver(spec), grid_of(AT.problem, "uniform_lam", STEPS)

    def run(model=None) -> torch.Tensor:
        return to_uint8(sample(solver, model or Timed(AT.problem.model), grid, AT, 0, BATCH))

    run(counted := Timed(AT.problem.model))
    return run, counted.nfe


def bare(calls: int):
    """The network alone, so many times."""
    net, x = AT.problem.model.net, AT.problem.initial(BATCH, 0)
    times = torch.full((BATCH,), 500.0)

    def run() -> None:
        with torch.inference_mode():
            for _ in range(calls):
                net(x, times)

    return run


@pytest.mark.parametrize("who", ["bare", *SOLVERS])
def test_time(benchmark, who):
    run, calls = (bare(STEPS), STEPS) if who == "bare" else suite(who)
    benchmark.pedantic(run, rounds=ROUNDS, iterations=1, warmup_rounds=1)
    benchmark.extra_info |= {"batch": BATCH, "calls": calls, "threads": 1, "torch": torch.__version__}
    if benchmark.stats:  # absent under --benchmark-disable
        benchmark.extra_info["ms_per_call"] = benchmark.stats.stats.min / calls * 1e3


class Clocked:
    """A network that adds up the time of the process in it."""

    def __init__(self, net):
        self.net, self.seconds = net, 0.0

    def __call__(self, x, times):
        begun = process_time()
        found = self.net(x, times)
        self.seconds += process_time() - begun
        return found


@pytest.mark.parametrize("spec", SOLVERS)
def test_share(spec):
    """Of the time of this process, in and around the network of one run, the least of some rounds."""
    run, _ = suite(spec)
    shares = []
    for _ in range(ROUNDS):
        clocked = copy(AT.problem.model)
        clocked.net = Clocked(clocked.net)
        begun = process_time()
        run(Timed(clocked))
        whole = process_time() - begun
        shares.append((whole - clocked.net.seconds) / clocked.net.seconds)
    print(f"{spec}: the suite adds {100 * min(shares):.2f} % ({100 * max(shares):.2f} % at most)")
    assert min(shares) <= SHARE
