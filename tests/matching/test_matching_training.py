"""Training with the losses of score matching: what it reaches, that it is the same each time, and what is measured of it."""

from itertools import islice, repeat

import pytest
import torch
from contract import checks_matching as check
from contract.checks_matching import LINE, PLANE, generator

from sdebench.integration.prediction import KINDS
from sdebench.matching.batch import batches, draw, stratified
from sdebench.matching.losses import LOSSES, Objective
from sdebench.matching.network import ScoreNet
from sdebench.matching.training import divergence, train

LAMS = (-1.0, 1.5)


def trained(objective, data, steps, seed=1, dim=1):
    net = ScoreNet(dim, seed=seed)
    return net, list(train(net, objective, data, steps, 5e-3, 3))


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_teaches_the_score(loss):
    check.passes(check.teaches, loss)


def test_a_training_is_the_same_to_the_bit_and_another_with_another_seed():
    runs = [
        trained(Objective("sliced-vr", "eps"), batches(PLANE.law, PLANE.schedule, LAMS, (4, 4), seed), 5, dim=2)
        for seed in (2, 2, 5)
    ]
    (one, losses), (two, again), (_, others) = runs
    assert losses == again
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters()))
    assert losses != others


def test_the_seed_of_a_training_is_that_of_the_probes():
    def losses(seed):
        data = batches(PLANE.law, PLANE.schedule, LAMS, (4, 4), 2)
        return list(train(ScoreNet(2, seed=1), Objective("sliced-vr", "eps"), data, 3, 5e-3, seed))

    assert losses(3) == losses(3) != losses(4)


def test_the_loss_that_is_told_is_that_before_the_step_and_the_step_is_made():
    net = ScoreNet(1, seed=1)
    fixed = draw(LINE.law, stratified(LINE.schedule, LAMS, 4), 8, generator())
    objective = Objective("denoising-eps", "eps")
    before = float(objective(net, fixed, generator()).detach())
    run = train(net, objective, repeat(fixed), 3, 1e-2, 0)
    assert next(run) == before
    after = float(objective(net, fixed, generator()).detach())
    assert after < before
    assert next(run) == after
    assert len(list(run)) == 1


def test_all_denoising_forms_under_one_weight_train_one_network():
    """50 steps: the parameters differ by what rounding has grown to."""
    nets = [
        trained(Objective(f"denoising-{kind}", "v"), batches(LINE.law, LINE.schedule, LAMS, (4, 8), 2), 50)[0] for kind in KINDS
    ]
    for net in nets[1:]:
        assert all(torch.allclose(a, b, atol=1e-7) for a, b in zip(nets[0].parameters(), net.parameters()))


def test_a_network_is_made_by_its_seed_and_leaves_the_global_generator_alone():
    state = torch.get_rng_state()
    one, two, other = (ScoreNet(2, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(one.of_state.weight, two.of_state.weight)
    assert not torch.equal(one.of_state.weight, other.of_state.weight)


def test_a_network_is_smooth_in_the_level_and_tells_levels_apart():
    net, x = ScoreNet(1), torch.zeros(1, 1, 1, dtype=torch.float64)
    lams = torch.linspace(-7.0, 7.0, 57, dtype=torch.float64).reshape(-1, 1, 1)
    out = net(x, lams).flatten().detach()
    assert out.shape == (57,)
    assert len(set(out.tolist())) == 57


def test_the_divergence_is_the_mean_of_squared_errors_with_its_standard_error():
    batch, net = draw(PLANE.law, stratified(PLANE.schedule, LAMS, 3), 50, generator()), ScoreNet(2, "score")
    values = (net(batch.x, batch.levels.lam) - batch.score).square().sum(-1).detach()
    found = divergence(net, batch)
    assert torch.allclose(found.value, values.mean(1))
    assert torch.allclose(found.error, values.std(1) / 50**0.5)


def test_on_a_fixed_set_implicit_matching_falls_below_what_the_exact_score_has_and_the_truth_is_lost():
    """32 samples, 200 steps: the mean loss of the exact score is -E norm(sigma score)^2 > -1; denoising stays above zero."""
    fixed = draw(LINE.law, stratified(LINE.schedule, LAMS, 4), 8, generator(7))
    kept = draw(LINE.law, stratified(LINE.schedule, LAMS, 4), 500, generator(9))
    (implicit, losses), (_, bounded) = (
        trained(Objective(name, "eps"), repeat(fixed), 200) for name in ("implicit", "denoising-eps")
    )
    assert losses[-1] < -5
    assert min(bounded) > 0
    assert float(divergence(implicit, kept).value.mean()) > 10 * float(divergence(ScoreNet(1, seed=1), kept).value.mean())


def test_batches_of_no_samples_are_refused():
    with pytest.raises(ValueError, match="1 or more"):
        list(islice(batches(LINE.law, LINE.schedule, LAMS, (0, 4), 0), 1))
