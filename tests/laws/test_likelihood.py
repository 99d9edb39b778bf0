"""The likelihood by the probability flow: that of the law where it is known, and what its estimate by probes owes."""

import re
from pathlib import Path

import pytest
import torch

import sdebench as sb
from sdebench import grids
from sdebench.data import load, to_state
from sdebench.matching.losses import hutchinson

LAWS = ["gaussian", "mixture-1d", "mixture-2d", "product-16d", "mixture-2d[schedule=EDM]", "gaussian[schedule=VPLinear]"]
PLANE, DIGITS = sb.get_problem("mixture-2d"), sb.get_network("digits")


def states(pb, n=16):
    """n draws at the clean end."""
    return pb.law.marginal(pb.schedule, pb.span[1]).sample(n, seed=1)


def found(pb, x, **options):
    """With the exact prior, to 1e-9 a step."""
    prior = pb.law.marginal(pb.schedule, pb.span[0]).log_prob
    return sb.log_likelihood(pb.model, x, *pb.span, **{"prior": prior, "tol": 1e-9} | options)


@pytest.fixture(scope="module")
def images():
    """(held-out digits, uniform noise of their range) at the clean end."""
    digits = to_state(load("digits").test[:4])
    noise = 2 * torch.rand(digits.shape, generator=torch.Generator().manual_seed(0)) - 1
    alpha = DIGITS.schedule.alpha(DIGITS.span[1])
    return alpha * digits, alpha * noise


@pytest.mark.parametrize("name", LAWS)
def test_it_is_the_log_density_of_the_law(name):
    """To 1e-7, out in the tails too; the latent is where the exact flow leads."""
    pb = sb.get_problem(name)
    s, t = pb.span
    x = 1.5 * states(pb)
    likelihood = found(pb, x)
    torch.testing.assert_close(likelihood.log_prob, pb.law.marginal(pb.schedule, t).log_prob(x), rtol=0, atol=1e-7)
    way = pb.solution(x, t, s) if pb.has_solution else sb.oracle.trajectory(pb, x, (t, s)).states[1]
    torch.testing.assert_close(likelihood.latent, way, rtol=0, atol=1e-7)
    assert likelihood.stderr is None


def test_the_prior_is_a_normal_of_the_variance_of_data_of_variance_one():
    """Exact for N(0, I), whatever the schedule; the states of mean 0 need not be flat."""
    law = sb.problems.GaussianMixture([1.0], [[0.0] * 4], [1.0])
    for ns, s, t in ((sb.schedules.EDM(), 2.0, 0.1), (sb.schedules.VPCosine(), 0.9, 0.1), (sb.schedules.Rectified(), 0.8, 0.1)):
        x = law.marginal(ns, t).sample(8, seed=0)
        flat = sb.problems.exact_model(law, ns)
        square = sb.Model(lambda x, t, flat=flat: flat(x.flatten(1), t).eps.view(x.shape), ns, "eps")
        likelihood = sb.log_likelihood(square, x.view(8, 2, 2), s, t, tol=1e-9)
        torch.testing.assert_close(likelihood.log_prob, law.marginal(ns, t).log_prob(x), rtol=0, atol=1e-6)
        assert likelihood.latent.shape == (8, 2, 2)


def test_the_tolerance_is_met_and_paid_for():
    x = states(PLANE)
    exact = PLANE.law.marginal(PLANE.schedule, PLANE.span[1]).log_prob(x)
    rough, fine = found(PLANE, x, tol=1e-4), found(PLANE, x, tol=1e-8)
    assert 1e-5 < float((rough.log_prob - exact).abs().max()) < 1e-2
    assert float((fine.log_prob - exact).abs().max()) < 1e-6
    counted = sb.Counted(PLANE.model)
    again = sb.log_likelihood(counted, x, *PLANE.span, tol=1e-4)
    assert again.nfe == counted.nfe == rough.nfe < fine.nfe


def test_one_set_of_probes_serves_the_whole_path(monkeypatch):
    """Told at the first call that breaks it: with signs drawn anew there is no slope, and no step is short enough."""
    used = []

    def spying(eps, y, v):
        used.append(v.clone())
        assert torch.equal(v, used[(len(used) - 1) % 2])
        return hutchinson(eps, y, v)

    monkeypatch.setattr("sdebench.laws.likelihood.hutchinson", spying)
    likelihood = found(PLANE, states(PLANE), divergence="hutchinson", probes=2, tol=1e-3)
    assert len(used) == 2 * likelihood.nfe
    assert set(used[0].flatten().tolist()) == {-1.0, 1.0}
    assert not torch.equal(used[0], used[1])


def test_signs_make_no_difference_where_coordinates_are_apart():
    """A diagonal Jacobian: v'Jv is its trace for every v of signs."""
    pb = sb.get_problem("mixture-1d")
    x, s, t = states(pb, 12).view(4, 3), *pb.span
    apart = sb.Model(lambda x, t: pb.model(x.reshape(-1, 1), t).eps.view(x.shape), pb.schedule, "eps")
    exact, one = (sb.log_likelihood(apart, x, s, t, divergence=how, tol=1e-9) for how in ("exact", "hutchinson"))
    torch.testing.assert_close(one.log_prob, exact.log_prob, rtol=0, atol=1e-12)
    assert one.stderr is None
    many = sb.log_likelihood(apart, x, s, t, divergence="hutchinson", probes=5, tol=1e-9)
    assert float(many.stderr.max()) < 1e-12


@pytest.mark.parametrize("name", ["mixture-2d", "product-16d"])
def test_the_estimate_is_unbiased_within_its_standard_error(name):
    """Over 80 probes a sample: gaps in units of the standard error have mean 0 and variance 1, to four of their own errors."""
    pb = sb.get_problem(name)
    x = states(pb)
    exact, estimate = found(pb, x, tol=1e-5), found(pb, x, tol=1e-5, divergence="hutchinson", probes=80)
    z = (estimate.log_prob - exact.log_prob) / estimate.stderr
    assert float(estimate.stderr.min()) > 1e-4
    assert abs(float(z.mean())) < 4 / 16**0.5
    assert abs(float(z.square().mean()) - 1) < 4 * (2 / 16) ** 0.5
    fewer = found(pb, x, tol=1e-5, divergence="hutchinson", probes=20)
    assert float((fewer.stderr / estimate.stderr).mean()) == pytest.approx(2, rel=0.15)


def test_a_sample_has_its_value_in_every_batch():
    """Up to the tolerance of the steps; with its own signs, by its number, and others by another seed."""
    pb = sb.get_problem("product-16d")
    x, options = states(pb), {"divergence": "hutchinson", "probes": 2, "tol": 1e-8}
    whole = found(pb, x, **options)
    for first, last in ((0, 5), (7, 8), (4, 16)):
        part = found(pb, x[first:last], first=first, **options)
        torch.testing.assert_close(part.log_prob, whole.log_prob[first:last], rtol=0, atol=1e-6)
        torch.testing.assert_close(part.stderr, whole.stderr[first:last], rtol=0, atol=1e-6)
        torch.testing.assert_close(part.latent, whole.latent[first:last], rtol=0, atol=1e-6)
    assert float((found(pb, x, seed=1, **options).log_prob - whole.log_prob).abs().min()) > 1e-5
    assert torch.equal(found(pb, x, **options).log_prob, whole.log_prob)


def test_one_sample_far_out_is_as_exact_among_many():
    """The steps are held to the worst sample, and to the log density by itself."""
    x = states(PLANE, 256)
    x[17] = torch.tensor([4.0, -4.0])
    exact = PLANE.law.marginal(PLANE.schedule, PLANE.span[1]).log_prob(x)
    assert float((found(PLANE, x).log_prob - exact).abs()[17]) < 1e-6


def test_it_runs_where_samplers_do():
    """Under inference mode, on states and an exact model made there; nothing given is changed or left with a graph."""
    x = states(PLANE)
    before, expected = x.clone(), found(PLANE, x)
    with torch.inference_mode():
        pb = sb.get_problem("mixture-2d")
        for t in pb.span:
            pb.model(x, pb.schedule.t(pb.schedule.lam(t)))
        inside = found(pb, x.clone())
    torch.testing.assert_close(inside.log_prob, expected.log_prob, rtol=0, atol=0)
    assert torch.equal(x, before)
    assert not x.requires_grad
    assert not any(found.requires_grad for found in (expected.log_prob, expected.latent))


def test_the_log_density_is_float64_and_the_latent_as_the_states():
    x = states(PLANE).float()
    likelihood = found(PLANE, x, tol=1e-5)
    assert (likelihood.log_prob.dtype, likelihood.latent.dtype) == (torch.float64, torch.float32)
    exact = PLANE.law.marginal(PLANE.schedule, PLANE.span[1]).log_prob(x.double())
    torch.testing.assert_close(likelihood.log_prob, exact, rtol=0, atol=1e-3)


def test_held_out_digits_are_likelier_than_noise(images):
    """For a network: finite, and every digit more than 100 nats above every noise of the same range."""
    digits, noise = (
        sb.log_likelihood(DIGITS.model, x, *DIGITS.span, divergence="hutchinson", tol=1e-3).log_prob for x in images
    )
    assert bool(digits.isfinite().all() and noise.isfinite().all())
    assert float(digits.min()) > float(noise.max()) + 100


def test_the_trace_of_a_network_is_exact_or_estimated(images):
    """On the first fiftieth of the path, by 64 passes backwards and by 20 probes."""
    ns, x, t = DIGITS.schedule, images[0][:1], DIGITS.span[1]
    s = ns.t(ns.lam(t) - 0.2)
    exact = sb.log_likelihood(DIGITS.model, x, s, t, tol=1e-3)
    estimate = sb.log_likelihood(DIGITS.model, x, s, t, divergence="hutchinson", probes=20, tol=1e-3)
    assert bool(((estimate.log_prob - exact.log_prob).abs() < 4 * estimate.stderr).all())
    torch.testing.assert_close(estimate.latent, exact.latent, rtol=0, atol=1e-3)


def test_the_encoding_of_a_digit_is_brought_back(images):
    """By a solver on a grid, to the errors of the network's embedding of time."""
    pb, x = DIGITS, images[0][:1]
    latent = sb.log_likelihood(pb.model, x, *pb.span, divergence="hutchinson", tol=1e-4).latent
    assert 0.5 < float(latent.std()) < 1.5
    back = sb.integrate(sb.get_solver("dpm-solver-3"), pb.model, latent, grids.uniform_lam(pb.schedule, *pb.span, 100))
    assert float((back - x).square().mean().sqrt()) < 0.01
    assert not back.requires_grad


def test_the_example_of_the_docs():
    text = (Path(__file__).parents[2] / "docs/networks.md").read_text()
    names = {}
    exec(re.search(r"<!-- likelihood -->\n```python\n(.*?)```", text, re.DOTALL).group(1), names)
    assert names["log_prob"].shape == names["stderr"].shape == (2,)
    assert bool((names["log_prob"] > 0).all() and (names["stderr"] > 0).all())


def test_a_network_gives_a_graph_only_to_a_state_that_asks(images):
    x = images[0]
    assert not DIGITS.model(x, 0.5).value.requires_grad
    assert DIGITS.model(x.clone().requires_grad_(), 0.5).value.requires_grad
    trained = sb.networks.NetworkModel(torch.nn.Conv2d(1, 1, 1), DIGITS.schedule, "eps", sb.networks.Scaled())
    trained.net.forward = lambda x, t, net=trained.net: net.weight * x
    assert not trained(x, 0.5).value.requires_grad
    with torch.no_grad():
        assert not trained(x.clone().requires_grad_(), 0.5).value.requires_grad


@pytest.mark.parametrize("name", ["gaussian", "mixture-1d", "mixture-2d", "grid-25", "product-16d", "image"])
def test_exact_models_are_differentiated_as_a_difference_is(name):
    """v.grad(eps.v) by autograd and by a central difference; with the bits of the value that nobody differentiates."""
    pb = sb.get_problem(name)
    x, t = pb.initial(3, 0), pb.span[0]
    v = torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    leaf = x.clone().requires_grad_()
    eps = pb.model(leaf, t).eps
    assert torch.equal(eps.detach(), pb.model(x, t).eps)
    slope = ((pb.model(x + 1e-5 * v, t).eps - pb.model(x - 1e-5 * v, t).eps) * v).sum(-1) / 2e-5
    torch.testing.assert_close(hutchinson(eps, leaf, v).detach(), slope, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model": lambda x, t: x}, "is not a model: give sdebench.Model"),
        ({"x": [[0.0, 0.0]]}, r"the states are \[\[0.0, 0.0\]\]: give a floating tensor \(B, \*D\)"),
        ({"x": torch.zeros(3)}, r"the states are torch.float32 of shape \(3,\)"),
        ({"x": torch.zeros(0, 2)}, r"of shape \(0, 2\)"),
        ({"x": torch.zeros(2, 2, dtype=torch.int64)}, "the states are torch.int64"),
        ({"x": torch.zeros(2, 3)}, r"states have shape \(2, 3\): give \(n, 2\)"),
        ({"s": 0.1, "t": 0.5}, "from s = 0.1 to t = 0.5: give s > t, s the noisy time"),
        ({"s": 0.5, "t": 0.5}, "give s > t"),
        ({"s": "0.5"}, "from s = '0.5'"),
        ({"s": 2.0}, "time 2.0 is outside the domain"),
        ({"t": 0.0}, "time 0.0 is outside the domain"),
        ({"prior": 1.0}, "the prior is 1.0: give a function"),
        ({"prior": lambda x: x}, r"the prior gave .*: it has to return a log density a sample, \(2,\)"),
        ({"divergence": "hutchison"}, r"unknown divergence 'hutchison'; did you mean 'hutchinson'\? \(there are: exact,"),
        ({"divergence": None}, "unknown divergence None"),
        ({"probes": 0}, "the number of probes is 0: give a whole number, 1 or more"),
        ({"probes": 1.5}, "the number of probes is 1.5"),
        ({"seed": 0.5}, "seed is 0.5"),
        ({"first": -1}, "the first sample is -1"),
        ({"tol": 0.0}, "tol = 0.0: give a positive number"),
        ({"x": torch.zeros(1, 3, 8, 8)}, "the exact divergence in 192 dimensions: give divergence='hutchinson', or 128"),
    ],
)
def test_bad_input(change, says):
    given = {"model": PLANE.model, "x": torch.zeros(2, 2), "s": 0.6, "t": 0.5} | change
    with pytest.raises(sb.UsageError, match=says) as error:
        sb.log_likelihood(**given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("how", ["exact", "hutchinson"])
@pytest.mark.parametrize("kind", ["eps", "x0", "v"])
def test_a_model_without_gradients_is_refused(kind, how):
    """Also where eps has the gradient of its x, as it has if the network predicts something else."""

    @torch.no_grad()
    def network(x, t):
        return x.tanh()

    model = sb.Model(network, PLANE.schedule, kind)
    with pytest.raises(sb.UsageError, match=r"has no gradients in x: give a model without no_grad\(\) and detach\(\)"):
        sb.log_likelihood(model, states(PLANE), 0.6, 0.5, divergence=how)
