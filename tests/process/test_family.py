"""Every eta has the same marginals: the exact density solves the Fokker-Planck equation, and no other drift does it."""

from math import inf, sqrt

import pytest
import torch

from sdebench import Model
from sdebench._support.errors import UsageError
from sdebench.catalogue import get_problem, get_solver
from sdebench.noise import TIME, WhiteNoise
from sdebench.process.family import Dynamics, _Marginal, divergence, fokker_planck

ETAS = [0.0, 0.25, 0.5, 1.0, 1.5, 2.0, lambda t: 3 * t * t]
PROBLEMS = ["mixture-1d", "mixture-2d"]


def points(pb, t, n=200):
    """n places that a wider law than the marginal would visit."""
    return 1.3 * pb.law.marginal(pb.schedule, t).sample(n, seed=5)


def times(pb, n=4):
    s, t = pb.span
    return [s + (t - s) * i / (n - 1) for i in range(n)]


@pytest.mark.parametrize("backward", [True, False])
@pytest.mark.parametrize("eta", ETAS)
@pytest.mark.parametrize("name", [*PROBLEMS, "gaussian", "mixture-1d[schedule=Rectified]"])
def test_the_exact_density_solves_the_fokker_planck_equation_whatever_eta_is(name, eta, backward):
    pb = get_problem(name)
    for t in times(pb):
        residual = fokker_planck(pb.law, Dynamics(pb.schedule, eta), points(pb, t), t, backward=backward)
        assert residual.shape == (200,)
        assert float(residual.max()) <= 1e-10


def printed(pb):
    """The reverse VP drift as the seed prints it: -1/2 sigma^2 (x - grad log q)."""
    return lambda model, x, t: -0.5 * pb.schedule.sigma(t) ** 2 * (x - model(x, t).score)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_seed_s_misprinted_drift_does_not(name):
    pb = get_problem(name)
    for t in times(pb):
        wrong = fokker_planck(pb.law, Dynamics(pb.schedule, 1.0), points(pb, t), t, drift=printed(pb))
        assert float(wrong.median()) > 0.1
        right = fokker_planck(
            pb.law,
            Dynamics(pb.schedule, 1.0),
            points(pb, t),
            t,
            drift=lambda m, x, t: -0.5 * pb.schedule.g2(t) * (x + 2 * m(x, t).score),
        )
        assert float(right.max()) < 1e-12


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_drift_of_one_direction_is_wrong_in_the_other_but_for_the_flow(name):
    pb, t = get_problem(name), get_problem(name).span[1]
    for eta in (0.0, 1.0):
        dynamics = Dynamics(pb.schedule, eta)
        swapped = fokker_planck(pb.law, dynamics, points(pb, t), t, drift=dynamics.forward_drift)
        assert (float(swapped.median()) < 1e-12) == (eta == 0)


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_rate_of_the_log_density_is_that_of_a_difference_in_time(name):
    """The closed form against an 8th-order central difference of the law's own log density."""
    pb = get_problem(name)
    t = times(pb)[2]
    x, h = points(pb, t), 2e-3
    weights = {1: 4 / 5, 2: -1 / 5, 3: 4 / 105, 4: -1 / 280}
    log_p = lambda u: pb.law.marginal(pb.schedule, u).log_prob(x)  # noqa: E731
    rate = sum(w * (log_p(t + k * h) - log_p(t - k * h)) for k, w in weights.items()) / h
    found = _Marginal(pb.law, pb.schedule, t).d_log_p(x)
    assert float((found - rate).abs().max() / rate.abs().max()) < 1e-9


@pytest.mark.parametrize("name", PROBLEMS)
def test_score_and_laplacian_are_those_of_the_law(name):
    """laplacian p / p = div score + |score|^2, with the score of the problem's own kernels."""
    pb = get_problem(name)
    t = times(pb)[1]
    x, p = points(pb, t), _Marginal(pb.law, pb.schedule, times(pb)[1])
    score, div = divergence(p.score, x)
    torch.testing.assert_close(score, pb.model(x, t).score, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(p.laplacian(x), div + score.square().sum(-1), rtol=1e-11, atol=1e-11)


def test_named_members_of_the_family():
    pb = get_problem("mixture-1d")
    ns, t, model = pb.schedule, 0.3, pb.model
    x, score = points(pb, t), pb.model(points(pb, t), t).score
    flow, sde, twice = (Dynamics(ns, c) for c in (0, 1, 2))
    assert flow.diffusion(t) == 0.0
    assert torch.equal(flow.drift(model, x, t), flow.forward_drift(model, x, t))
    assert sde.diffusion(t) == sqrt(ns.g2(t))
    torch.testing.assert_close(sde.forward_drift(model, x, t), ns.f(t) * x, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(sde.drift(model, x, t), ns.f(t) * x - ns.g2(t) * score, rtol=1e-14, atol=1e-14)
    torch.testing.assert_close(twice.drift(model, x, t), ns.f(t) * x - 2.5 * ns.g2(t) * score, rtol=1e-14, atol=1e-14)
    assert Dynamics(ns, lambda t: 2 * sqrt(ns.g2(t))).coefficients(t) == pytest.approx(twice.coefficients(t), rel=1e-15)


@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0, 2.0])
def test_euler_maruyama_takes_its_drift_and_its_diffusion_from_the_family(eta):
    pb = get_problem("mixture-1d")
    s, t = pb.span[0], 0.9 * pb.span[0]
    x, noise = pb.initial(64, 0), WhiteNoise(pb.schedule, (64, 1), 1)
    dynamics = pb.dynamics(eta)
    assert dynamics == Dynamics(pb.schedule, eta)
    found = get_solver(f"euler-maruyama[eta={eta}]").step(pb.model, x, s, t, (), noise).x
    z = noise.normal(s, t, TIME)
    expected = x - (s - t) * dynamics.drift(pb.model, x, s) + dynamics.diffusion(s) * sqrt(s - t) * z
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("eta", [-0.1, inf, float("nan"), lambda t: -1.0])
def test_noise_that_is_none_is_refused(eta):
    with pytest.raises(UsageError, match="eta"):
        Dynamics(get_problem("mixture-1d").schedule, eta).diffusion(0.3)


def test_a_law_without_covariances_is_refused():
    pb = get_problem("product-16d")
    with pytest.raises(UsageError, match="give a GaussianMixture"):
        fokker_planck(pb.law, Dynamics(pb.schedule), pb.initial(2, 0), pb.span[0])


def test_the_drift_takes_any_model():
    pb = get_problem("mixture-1d")
    model = Model(lambda x, t: torch.zeros_like(x), pb.schedule, "eps")
    x = points(pb, 0.3, 5)
    assert torch.equal(Dynamics(pb.schedule, 1.0).drift(model, x, 0.3), pb.schedule.f(0.3) * x)


def test_the_covariances_of_a_mixture_are_those_that_it_was_given():
    pb = get_problem("mixture-2d")
    between = pb.law.means - pb.law.mean()
    total = (pb.law.weights[:, None, None] * (pb.law.covs + between[:, :, None] * between[:, None])).sum(0)
    torch.testing.assert_close(total, pb.law.cov(), rtol=1e-13, atol=1e-13)
    assert get_problem("mixture-1d").law.covs.flatten().tolist() == pytest.approx([0.4**2, 0.5**2])
