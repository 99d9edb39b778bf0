"""The mixture's score beside torch's own matrix product of the same work, in one run.

    pytest benchmarks/bench_mixture.py

10,000 points, 64 components with full covariances, 64 dimensions: the score needs one product into the components'
eigenbases and one back, (n, d) x (d, K d) and (n, K d) x (K d, d).  `ratio` in the extra information is the time of
these two products at torch's best rate (the best chunk of several) over that of the score: 0.5 is half of that rate.
"""

from time import perf_counter

import pytest
import torch

from sdebench.catalogue import get_problem
from sdebench.problems import GaussianMixture, exact_model
from sdebench.schedules import VPLinear

N, K, D = 10_000, 64, 64


def law():
    rng = torch.Generator().manual_seed(0)
    a = torch.randn(K, D, D, dtype=torch.float64, generator=rng) / D**0.5
    covs = a @ a.transpose(1, 2) + 0.1 * torch.eye(D, dtype=torch.float64)
    means = torch.randn(K, D, dtype=torch.float64, generator=rng)
    return GaussianMixture([1 / K] * K, means, (covs + covs.transpose(1, 2)) / 2)


def best_matmul_seconds(x, rounds=3):
    """The two products alone, at the best of several chunk sizes, best of some rounds."""
    into, back = torch.randn(D, K * D, dtype=torch.float64), torch.randn(K * D, D, dtype=torch.float64)
    best = float("inf")
    for chunk in (100, 250, 500, 1000, N):
        middle, out = torch.empty(chunk, K * D, dtype=torch.float64), torch.empty(chunk, D, dtype=torch.float64)
        for _ in range(rounds):
            start = perf_counter()
            for part in x.split(chunk):
                torch.mm(torch.mm(part, into, out=middle), back, out=out)
            best = min(best, perf_counter() - start)
    return best


def test_full_covariances(benchmark):
    marginal = law().marginal(VPLinear(), 0.5)
    x = marginal.sample(N, seed=1)
    marginal.score(x[:10])
    benchmark.pedantic(marginal.score, args=(x,), rounds=7, warmup_rounds=1)
    if benchmark.disabled:
        return
    products, score = best_matmul_seconds(x), benchmark.stats.stats.min
    benchmark.extra_info |= {
        "matmul_seconds": products,
        "ratio": products / score,
        "gflops": 4 * N * K * D * D / score / 1e9,
        "threads": torch.get_num_threads(),
    }


@pytest.mark.parametrize("name", ["mixture-1d", "mixture-2d", "grid-25", "product-16d", "image"])
def test_one_call_of_the_model(benchmark, name):
    """What a solver study pays for one evaluation: 64 points, a time that has been seen before."""
    problem = get_problem(name)
    x = problem.initial(64, 0)
    model = exact_model(problem.law, problem.schedule)
    benchmark(model, x, problem.span[0])
