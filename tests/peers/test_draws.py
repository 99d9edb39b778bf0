"""Draws of foreign code: every way of drawing normals is seen and can be given, and nothing stays behind."""

import random

import numpy as np
import pytest
import torch

from sdebench.peers.noise import Doubles, Draws, untouched

GENERATOR = torch.Generator().manual_seed(1)
WAYS = {  # name -> (draw numbers of mean 2 and standard deviation 3, or of 0 and 1), mean, standard deviation
    "randn": (lambda: torch.randn(2, 3), 0.0, 1.0),
    "randn of a tuple, with a generator": (lambda: torch.randn((2, 3), generator=GENERATOR), 0.0, 1.0),
    "randn by keyword": (lambda: torch.randn(size=(2, 3), dtype=torch.float64), 0.0, 1.0),
    "randn_like": (lambda: torch.randn_like(torch.zeros(2, 3)), 0.0, 1.0),
    "randn_like of a dtype": (lambda: torch.randn_like(torch.zeros(2, 3), dtype=torch.float64), 0.0, 1.0),
    "normal of numbers": (lambda: torch.normal(2.0, 3.0, (2, 3)), 2.0, 3.0),
    "normal of tensors": (lambda: torch.normal(torch.full((2, 3), 2.0), torch.full((2, 3), 3.0)), 2.0, 3.0),
    "normal by keyword": (lambda: torch.normal(mean=torch.full((2, 3), 2.0), std=3.0, generator=GENERATOR), 2.0, 3.0),
    "normal_": (lambda: torch.empty(2, 3).normal_(), 0.0, 1.0),
    "normal_ of numbers": (lambda: torch.empty(2, 3).normal_(2.0, 3.0, generator=GENERATOR), 2.0, 3.0),
    "normal_ by keyword": (lambda: torch.empty(2, 3).normal_(mean=2.0, std=3.0), 2.0, 3.0),
    "a distribution": (lambda: torch.distributions.Normal(2.0, 3.0).sample((2, 3)), 2.0, 3.0),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_of_drawing_normals_is_given(way):
    call, mean, std = WAYS[way]
    z = torch.arange(6.0, dtype=torch.float64).view(2, 3)
    with Draws(lambda shape: z.view(shape)) as draws:
        found = call()
    assert torch.equal(found.double(), mean + std * z)
    assert (draws.count, draws.others) == (1, set())


@pytest.mark.parametrize("way", WAYS)
def test_draws_that_are_only_counted_stay_as_they_are(way):
    call = WAYS[way][0]
    torch.manual_seed(3)
    GENERATOR.manual_seed(3)
    alone = call()
    torch.manual_seed(3)
    GENERATOR.manual_seed(3)
    with Draws() as draws:
        assert torch.equal(call(), alone)
    assert draws.count == 1


def test_draws_of_another_law_are_named():
    with Draws(torch.zeros) as draws:
        torch.rand(3), torch.randint(3, ()), torch.randperm(3), torch.zeros(2).uniform_()
    assert (draws.count, draws.others) == (0, {"rand", "randint", "randperm", "uniform_"})


def test_casts_to_float32_are_not_carried_out():
    x = torch.tensor(1 / 3, dtype=torch.float64)
    with Doubles() as casts:
        assert x.float() is x.to(torch.float32) is x.to(dtype=torch.float32) is x
        assert x.to(torch.float16).dtype is torch.float16
    assert casts.casts == 3


def misbehave():
    """Leave the generators, the default dtype, the gradients and a function of torch otherwise than they were."""
    torch.manual_seed(17)
    np.random.seed(17)  # noqa: NPY002  # as foreign code does
    random.seed(17)
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.randn = torch.zeros
    raise RuntimeError("halfway")


def kept():
    """What foreign code may change."""
    return (
        torch.rand(1).item(),
        np.random.rand(),  # noqa: NPY002
        random.random(),
        torch.randn,
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
    )


def test_everything_is_back_after_an_exception():
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    before = kept()
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    with pytest.raises(RuntimeError, match="halfway"), untouched(), Draws(torch.zeros):
        misbehave()
    assert kept() == before
    assert float(torch.randn(1000).std()) > 0.5
