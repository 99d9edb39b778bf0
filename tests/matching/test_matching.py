"""The losses of score matching: their minimisers, their constants, their weights, and the trace estimators."""

from itertools import islice, repeat

import pytest
import torch
from contract import checks_matching as check
from contract.checks_matching import LINE, PLANE, generator

from sdebench._support.errors import UsageError
from sdebench.integration.prediction import KINDS
from sdebench.matching import breakdown
from sdebench.matching.batch import Levels, batches, draw, stratified
from sdebench.matching.equivalence import constant, gaps, gradient_gaps, pairs, trace_estimate
from sdebench.matching.losses import LOSSES, Objective, fisher, hutchinson, plain_weight, rademacher, read, trace
from sdebench.matching.network import ScoreNet
from sdebench.matching.quadrature import energy, nodes
from sdebench.matching.training import gradient, gradient_noise
from sdebench.problems import GaussianMixture
from sdebench.problems.energy import mean_square_eps


@pytest.mark.parametrize("loss", LOSSES)
def test_the_minimiser_of_each_loss_is_the_exact_score_in_one_dimension(loss):
    check.passes(check.exact_minimiser, loss)


@pytest.mark.parametrize("loss", ["fisher", "implicit", "sliced", "sliced-vr", "denoising-eps"])
def test_the_minimiser_of_each_loss_is_the_exact_score_in_the_plane(loss):
    """The other denoising forms are this one to rounding: see below."""
    check.passes(check.minimiser_in_the_plane, loss)


@pytest.mark.parametrize("loss", ["implicit", "denoising-eps"])
def test_the_minimiser_of_a_sample_tends_to_the_exact_score_with_the_root_of_its_size(loss):
    """RMS over 16 samples of 256 and of 4096 points: a ratio of 4, within what the spread of 16 of 5 values allows."""
    few, many = (check.minimisers_of_samples(LOSSES[loss], size, 16) - check.truth(5) for size in (512, 8192))
    ratio = few.square().mean(0).sqrt() / many.square().mean(0).sqrt()
    assert 3.0 < float(ratio.log().mean().exp()) < 5.3


@pytest.mark.parametrize("loss", LOSSES)
def test_each_loss_is_the_fisher_divergence_and_a_constant(loss):
    check.passes(check.fisher_plus_a_constant, loss)


@pytest.mark.parametrize("loss", LOSSES)
def test_the_constant_is_that_of_theory(loss):
    """Quadrature on the 1-D mixture; E norm(score)^2 also by the rule of another file, to 1e-10."""
    levels = Levels(LINE.schedule, check.AT)
    for found in gaps(ScoreNet(1, "v", seed=3), loss, LINE.law, levels, 0, 0):
        assert abs(found.gap) < 1e-9 * (1 + found.fisher + abs(found.constant))
    for t, least in zip(levels.times, constant("implicit", LINE.law, levels).tolist()):
        assert least == pytest.approx(-mean_square_eps(LINE.law, LINE.schedule, t) / LINE.schedule.sigma(t) ** 2, rel=1e-10)


@pytest.mark.parametrize("loss", ["implicit", "sliced", "sliced-vr", "denoising-x0"])
def test_the_constant_is_that_of_theory_in_the_plane(loss):
    """16,384 draws, three levels: within 4.5 standard errors, which are below a tenth of the loss."""
    for found in gaps(ScoreNet(2, "eps", seed=3), loss, PLANE.law, Levels(PLANE.schedule, check.AT), 1 << 14, 1):
        assert abs(found.gap) < 4.5 * found.error
        assert 0 < found.error < 0.1 * (found.fisher + abs(found.constant))


def test_weights_are_those_worked_out_by_hand():
    """Of errors in x0 = (x + sigma^2 s)/alpha, eps = -sigma s, v = alpha eps - sigma x0, velocity = eps - x0."""
    levels = Levels(PLANE.schedule, check.AT)
    a, s = levels.alpha.flatten(), levels.sigma.flatten()
    by_hand = {
        "score": 1 + 0 * s,
        "eps": s**2,
        "x0": s**4 / a**2,
        "v": s**2 * (a**2 + s**2) ** 2 / a**2,
        "velocity": s**2 * (a + s) ** 2 / a**2,
    }
    assert set(by_hand) == set(KINDS)
    for kind, expected in by_hand.items():
        assert torch.allclose(levels.weight(kind)[:, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_a_denoising_loss_with_its_own_weight_is_a_plain_squared_error(kind):
    batch, net = draw(PLANE.law, stratified(PLANE.schedule, (-1.0, 1.5), 3), 5, generator()), ScoreNet(2, kind)
    a, s = batch.levels.alpha, batch.levels.sigma
    truth = {
        "x0": batch.x0,
        "eps": batch.eps,
        "v": a * batch.eps - s * batch.x0,
        "score": -batch.eps / s,
        "velocity": batch.eps - batch.x0,
    }[kind]
    objective = Objective(f"denoising-{kind}", plain_weight(f"denoising-{kind}"))
    expected = (net(batch.x, batch.levels.lam) - truth).square().sum(-1)
    assert torch.allclose(objective.values(net, batch, generator()), expected, rtol=1e-10)


@pytest.mark.parametrize("output", KINDS)
@pytest.mark.parametrize("weight", KINDS)
def test_the_denoising_forms_have_one_gradient(output, weight):
    """Whatever the network puts out and whatever lambda(t) is: to 1e-12."""
    batch = draw(PLANE.law, stratified(PLANE.schedule, (-1.0, 1.5), 4), 16, generator())
    found = gradient_gaps(ScoreNet(2, output), batch, weight)
    assert set(found) == set(KINDS)
    assert max(found.values()) < 1e-12


def test_a_gradient_that_differs_is_told(monkeypatch):
    """Twice a loss has twice the gradient: a gap of 1."""
    plain = LOSSES["denoising-x0"]
    monkeypatch.setitem(LOSSES, "denoising-x0", lambda net, batch, rng: 2 * plain(net, batch, rng))
    batch = draw(PLANE.law, stratified(PLANE.schedule, (-1.0, 1.5), 4), 16, generator())
    found = gradient_gaps(ScoreNet(2), batch)
    assert found["x0"] == pytest.approx(1.0, rel=1e-9)
    assert found["v"] < 1e-12


def test_forms_under_their_own_weights_have_other_gradients():
    batch, net = draw(PLANE.law, stratified(PLANE.schedule, (-1.0, 1.5), 4), 16, generator()), ScoreNet(2)
    of = {kind: gradient(net, Objective("denoising-eps", kind), batch, generator()) for kind in KINDS}
    cosine = torch.nn.functional.cosine_similarity(of["score"], of["x0"], dim=0)
    assert cosine < 0.99


@pytest.mark.parametrize("probe", ["rademacher", "normal"])
def test_trace_estimates_are_unbiased_and_have_the_variance_that_is_due(probe):
    """2-D, 64 points with 4096 probes each: the mean within 4.5 standard errors; the variance within 5 %."""
    batch = draw(PLANE.law, Levels(PLANE.schedule, check.AT), 16, generator(1))
    found = trace_estimate(ScoreNet(2, seed=2), batch, probe, 4096, 3)
    assert abs(found.gap) < 4.5 * found.error
    assert found.variance == pytest.approx(found.variance_due, rel=0.05)
    assert found.variance_due > 1e-3


def test_signs_have_less_variance_than_normal_numbers_and_none_in_one_dimension():
    plane, line = (draw(p.law, Levels(p.schedule, (0.4,)), 16, generator(1)) for p in (PLANE, LINE))
    signs, normals = (trace_estimate(ScoreNet(2), plane, probe, 64, 3).variance_due for probe in ("rademacher", "normal"))
    assert signs < normals
    on_a_line = trace_estimate(ScoreNet(1), line, "rademacher", 64, 3)
    assert abs(on_a_line.gap) < 1e-12
    assert on_a_line.variance < 1e-24


def test_the_exact_trace_is_that_of_a_matrix():
    """Of s = x M each v'Mv and tr M, for a matrix that is not symmetric."""
    x = torch.randn(3, 7, 4, dtype=torch.float64, generator=generator()).requires_grad_()
    matrix = torch.randn(4, 4, dtype=torch.float64, generator=generator(1))
    v = rademacher(x.shape, generator(2))
    assert torch.allclose(trace(x @ matrix, x), matrix.trace().expand(3, 7))
    assert torch.allclose(hutchinson(x @ matrix, x, v), torch.einsum("lmi,ij,lmj->lm", v, matrix, v))


def test_all_losses_agree_where_probes_have_one_value():
    """In one dimension a sign squares to one: implicit, sliced and sliced-vr are one loss."""
    batch, net = draw(LINE.law, stratified(LINE.schedule, (-1.0, 1.5), 4), 32, generator()), ScoreNet(1)
    values = [LOSSES[name](net, batch, generator()) for name in ("implicit", "sliced", "sliced-vr")]
    assert torch.allclose(values[0], values[1], rtol=1e-12)
    assert torch.allclose(values[0], values[2], rtol=1e-12)


def test_at_the_exact_score_only_the_fisher_divergence_has_no_noise():
    class Exact:
        kind = "score"

        def __call__(self, x, lam):
            return batch.score

    batch = draw(PLANE.law, stratified(PLANE.schedule, (-1.0, 1.5), 4), 32, generator())
    assert fisher(Exact(), batch, generator()).abs().max() == 0
    assert LOSSES["denoising-eps"](Exact(), batch, generator()).min() > 0


def test_the_readings_of_a_batch_and_of_a_network_follow_one_definition():
    batch = draw(PLANE.law, stratified(PLANE.schedule, (-1.0, 1.5), 3), 4, generator())
    assert torch.allclose(batch.truth("x0"), batch.x0, atol=1e-12)

    class Told:
        kind = "v"

        def __call__(self, x, lam):
            return batch.truth("v")

    for kind in KINDS:
        assert torch.allclose(read(Told(), kind, batch.x, batch.levels), batch.truth(kind), atol=1e-11)
    exact = torch.stack([PLANE.model(x, t).score for x, t in zip(batch.x, batch.levels.times)])
    assert torch.allclose(batch.score, exact, rtol=1e-12)


def test_levels_cover_the_interval_evenly_and_move_with_the_offset():
    levels = [stratified(LINE.schedule, (-1.0, 1.0), 4, offset).lams for offset in (0.0, 0.5)]
    assert levels[0] == (-1.0, -0.5, 0.0, 0.5)
    assert levels[1] == (-0.75, -0.25, 0.25, 0.75)
    stream = batches(LINE.law, LINE.schedule, (-1.0, 1.0), (4, 2), 0)
    seen = torch.tensor([next(stream).levels.lams for _ in range(400)])
    assert (seen.amin(0) - torch.tensor(levels[0])).abs().max() < 0.02
    assert float(seen.mean()) == pytest.approx(0.0, abs=4.5 * 0.5 / 12**0.5 / 20)


def test_batches_are_the_same_for_one_seed_and_others_for_another():
    one, two, other = (next(batches(PLANE.law, PLANE.schedule, (-1.0, 1.0), (2, 3), seed)) for seed in (1, 1, 2))
    assert torch.equal(one.x, two.x)
    assert not torch.equal(one.x, other.x)
    first, second = islice(batches(PLANE.law, PLANE.schedule, (-1.0, 1.0), (2, 3), 1), 2)
    assert not torch.isin(second.x0, first.x0).any()
    assert not torch.isin(second.eps, first.eps).any()
    big = next(batches(PLANE.law, PLANE.schedule, (-1.0, 1.0), (1, 20000), 1))
    product = big.x0 * big.eps  # of mean 0, unless one stream was read twice
    assert abs(float(product.mean())) < 4.5 * float(product.std()) / 40000**0.5


def test_quadrature_is_that_of_closed_forms():
    """Of one Gaussian, E norm(score)^2 = tr C^-1; the mass of a mixture is one."""
    cov = torch.tensor([[0.5, 0.2], [0.2, 0.3]], dtype=torch.float64)
    due = float(torch.linalg.inv(cov).trace())
    assert energy(GaussianMixture([1.0], [[1.0, -2.0]], cov[None])) == pytest.approx(due, rel=1e-10)
    assert float(nodes(PLANE.law)[1].sum()) == pytest.approx(1.0, abs=1e-10)
    with pytest.raises(UsageError, match="mixture-2d"):
        nodes(GaussianMixture([1.0], [[0.0] * 3], [1.0]))


def test_pairs_integrate_a_product():
    batch, weights = pairs(LINE.law, Levels(LINE.schedule, (0.3,)))
    assert float(weights.sum()) == pytest.approx(1.0, abs=1e-10)
    moments = (batch.x0[0, :, 0] * batch.eps[0, :, 0] ** 2) @ weights
    assert float(moments) == pytest.approx(float(LINE.law.mean()), abs=1e-10)


def test_gradient_noise_is_that_of_the_mini_batches_and_its_signal_is_unbiased():
    """Of the loss z theta, z ~ N(1, 1) a batch: variance 1, signal 1, in the mean over 1600 times 4 batches."""

    class One(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.theta = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))

    def objective(net, z, _):
        return (z * net.theta).sum()

    rng = generator(5)
    data = (torch.randn(1, dtype=torch.float64, generator=rng) + 1 for _ in repeat(None))
    found = torch.tensor([gradient_noise(One(), objective, data, 4, 0) for _ in range(1600)], dtype=torch.float64)
    error = found.std(0) / 40
    assert (4.5 * error < 0.2).all()  # less than the 1/4 by which the square of a mean of 4 is too large
    assert ((found.mean(0) - 1).abs() < 4.5 * error).all()


def test_noise_at_the_exact_score_is_what_theory_says_at_the_ends():
    """sigma -> 0: on full support sigma^2 times the noise tends to 1 for denoising and to 0 for implicit; on points it is the
    other way round.  4096 draws, 10 %."""
    levels = Levels(PLANE.schedule, (6.0,))
    noise = {}
    for support in ("full", "points"):
        batch = draw(breakdown.on_support(PLANE.law, support), levels, 4096, generator(1))
        for loss in ("implicit", "denoising-eps"):
            noise[support, loss] = float(breakdown.gradient_noise(loss, batch, 0)[0] * levels.weight("eps"))
    assert noise["full", "denoising-eps"] == pytest.approx(1.0, abs=0.1)
    assert noise["points", "implicit"] == pytest.approx(1.0, abs=0.1)
    assert noise["full", "implicit"] < 1e-3
    assert noise["points", "denoising-eps"] < 1e-3


def test_thin_supports_keep_the_means_and_lose_the_width():
    points, segments = (breakdown.on_support(PLANE.law, name) for name in ("points", "segments"))
    assert torch.allclose(points.means, PLANE.law.means)
    assert float(torch.linalg.eigvalsh(points.covs).max()) < 1e-11
    widest = torch.linalg.eigvalsh(PLANE.law.covs)[:, -1]
    assert torch.allclose(torch.linalg.eigvalsh(segments.covs)[:, -1], widest, rtol=1e-6)
    assert float(torch.linalg.eigvalsh(segments.covs)[:, 0].max()) < 1e-11
    with pytest.raises(UsageError, match="did you mean 'points'"):
        breakdown.on_support(PLANE.law, "point")


def test_the_implicit_loss_of_finitely_many_points_has_no_lower_bound():
    """s = -(x - x_i)/v around each of well separated points: 2 div s + norm(s)^2 = -2 d/v at them."""
    points = torch.tensor([[[-3.0, 0.0], [0.0, 3.0], [3.0, 0.0]]], dtype=torch.float64)
    for v in (1e-1, 1e-2, 1e-3):
        law = GaussianMixture([1 / 3] * 3, points[0], [v] * 3)
        x = points.clone().requires_grad_()
        net = check.Linear(law, Levels(PLANE.schedule, (20.0,)))
        s = net.score(x)
        assert float((2 * trace(s, x) + s.square().sum(-1)).mean().detach()) == pytest.approx(-4 / v, rel=1e-3)


@pytest.mark.parametrize(
    ("loss", "weight", "message"), [("denoising", "eps", "did you mean 'denoising-v'"), ("implicit", "sigma", "score")]
)
def test_a_loss_or_a_weight_that_is_none_is_refused_in_a_line(loss, weight, message):
    with pytest.raises(UsageError, match=message) as error:
        Objective(loss, weight)
    assert "\n" not in str(error.value)


def test_a_network_of_an_unknown_kind_is_refused():
    with pytest.raises(UsageError, match="velocity"):
        ScoreNet(1, "noise")
