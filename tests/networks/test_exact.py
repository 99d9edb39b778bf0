"""Networks that are exact: against a plain sum over the images, against the law's own score, and their refusals."""

import pytest
import torch
from mutants import exact as mutants

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.data import blurred, load, to_state
from sdebench.networks import get_network
from sdebench.networks.exact import PosteriorMean

LAMS = (-5.0, -2.0, 0.0, 1.0, 2.5, 5.5)


def states(spec, lam, n=8):
    """(states of the law at lam, their time)"""
    law, ns = blurred.read(spec, load), get_network(spec).schedule
    t = ns.t(lam)
    alpha, sigma = ns.levels(t)
    noise = torch.randn((n, *law.images.shape[1:]), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return alpha * law.sample(n, 2)[0] + sigma * noise, t


def plain(spec, x, t):
    """The posterior mean by a plain loop over the images, each with its own difference."""
    law, ns = blurred.read(spec, load), get_network(spec).schedule
    alpha, sigma = ns.levels(t)
    wide = alpha**2 * law.h**2 + sigma**2
    images = to_state(law.images).double()
    logs = torch.stack([-((x - alpha * y) ** 2).flatten(1).sum(1) / (2 * wide) for y in images], 1)
    weights = torch.softmax(logs, 1)
    ends = [y + alpha * law.h**2 / wide * (x - alpha * y) for y in images]
    return sum(weights[:, k].view(-1, 1, 1, 1) * end for k, end in enumerate(ends))


def gap(net, spec, lam):
    x, t = states(spec, lam)
    return float((net(x, t) - plain(spec, x, t)).abs().max())


@pytest.mark.parametrize("spec", ["digits-exact", "digits-exact[h=0.03]", "digits-exact[label=3]"])
@pytest.mark.parametrize("lam", LAMS)
def test_the_posterior_mean_is_a_plain_sum_over_the_images(spec, lam):
    net = get_network(spec, "float64").model
    assert gap(lambda x, t: net(x, t).x0, spec, lam) < 1e-12


@pytest.mark.parametrize("mutant", mutants.ALL, ids=lambda m: m.__name__)
def test_a_mutant_is_rejected(mutant):
    law, ns = blurred.read("digits-exact", load), get_network("digits-exact").schedule
    assert gap(mutant(law.images, law.h, ns).double(), "digits-exact", 1.0) > 1e-6
    assert gap(PosteriorMean(law.images, law.h, ns).double(), "digits-exact", 1.0) < 1e-12


@pytest.mark.parametrize("lam", LAMS)
def test_it_is_the_score_of_the_mixture(lam):
    law, problem = blurred.read("digits-exact", load), get_network("digits-exact", "float64")
    means = to_state(law.images).double().flatten(1)
    weights = torch.full((len(means),), 1 / len(means), dtype=torch.float64)
    model = sb.problems.exact_model(sb.GaussianMixture(weights, means, weights * 0 + law.h**2), problem.schedule)
    x, t = states("digits-exact", lam)
    assert torch.allclose(problem.model(x, t).eps.flatten(1), model(x.flatten(1), t).eps, rtol=0, atol=1e-11)


@pytest.mark.parametrize("lam", LAMS)
def test_float32_is_right_to_its_digits(lam):
    x, t = states("digits-exact", lam)
    found = get_network("digits-exact").model(x.float(), t).x0
    assert found.dtype == torch.float32
    assert float((found.double() - plain("digits-exact", x, t)).abs().max()) < 5e-5


def test_draws_are_of_the_law_and_the_same_each_time():
    law, images = blurred.read("digits-exact", load), load("digits-exact")
    x, _ = law.sample(20_000, 3)
    source = to_state(law.images).double()
    assert float((x.mean(0) - source.mean(0)).abs().max()) < 0.03
    spread = source.var(0, correction=0) + law.h**2
    assert float((x.var(0) / spread - 1).abs().max()) < 0.1
    assert (images.shape, images.name) == ((1, 8, 8), "digits-exact")
    assert images.sha256 == load("digits-exact").sha256 != load("digits-exact[h=0.2]").sha256
    assert set(load("digits-exact[label=3]").train_labels.tolist()) == {3}


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("digits-exact[h=0]", "h is 0.0: give a number, more than 0"),
        ("digits-exact[h=x]", "h is 'x': give a number"),
        ("digits-exact[width=1]", "unknown setting 'width' of digits-exact"),
        ("digits-exact[label=10]", "label is 10: give 0 to 9"),
        ("digits-exakt", "did you mean 'digits-exact'"),
    ],
)
def test_what_is_no_law_is_refused_in_one_line(spec, line):
    with pytest.raises(UsageError) as refused:
        get_network(spec)
    assert line in str(refused.value)
    assert "\n" not in str(refused.value)
