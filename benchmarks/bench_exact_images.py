"""An evaluation of an exact network of images, beside torch's matrix products of the same size.

    products    (B, d) x (d, N) and (B, N) x (N, d): what the softmax over N images cannot do without
    exact       the posterior mean of the law

`pytest benchmarks/bench_exact_images.py` times both on digits (N = 1797, d = 64); with SDEBENCH_CIFAR10 set, also on CIFAR-10
(N = 60,000, d = 3072).
"""

import os

import pytest
import torch

from sdebench.networks import get_network

BATCH = 100
MODELS = ["digits-exact", *(["cifar10-exact"] if os.environ.get("SDEBENCH_CIFAR10") else [])]


def parts(spec):
    problem = get_network(spec)
    return problem, problem.initial(BATCH, 0), problem.schedule.t(0.0)


@pytest.mark.parametrize("spec", MODELS)
def test_exact(spec, benchmark):
    problem, x, t = parts(spec)
    assert benchmark(problem.model, x, t).x0.shape == x.shape


@pytest.mark.parametrize("spec", MODELS)
def test_products(spec, benchmark):
    problem, x, _ = parts(spec)
    images = torch.randn(problem.net.images.shape)
    weights = torch.randn(BATCH, len(images))
    benchmark(lambda: (x.flatten(1) @ images.T, weights @ images))
