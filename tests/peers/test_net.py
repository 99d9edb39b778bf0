"""Functions f(net, latents, num_steps=...): where they begin is read off, however they begin."""

import pytest
import torch
from peer_runs import Asked, ddim, run, state, uneven

from sdebench._support.errors import UsageError
from sdebench.peers import Level, NotOffered, PeerFault, RunPlan, from_net_function


def sigmas_of(num_steps, sigma_min, sigma_max, rho=7.0):
    ramp = torch.linspace(0, 1, num_steps, dtype=torch.float64)
    return (sigma_max ** (1 / rho) + ramp * (sigma_min ** (1 / rho) - sigma_max ** (1 / rho))) ** rho


def edm(net, latents, class_labels=None, randn_like=torch.randn_like, num_steps=18, sigma_min=0.01, sigma_max=40.0, churn=0.0):
    sigma_min, sigma_max = max(sigma_min, net.sigma_min), min(sigma_max, net.sigma_max)
    t = torch.cat([net.round_sigma(sigmas_of(num_steps, sigma_min, sigma_max)), torch.zeros(1, dtype=torch.float64)])
    x = latents.to(torch.float64) * t[0]
    for i in range(num_steps):
        hat = t[i] * (1 + churn)
        x = x + (hat**2 - t[i] ** 2).sqrt() * randn_like(x)
        d = (x - net(x, hat, class_labels)) / hat
        x = x + (t[i + 1] - hat) * d
    return x


def points(net, latents, class_labels=None, num_steps=None, sigma_min=0.01, sigma_max=40.0, afs=False, t_steps=None, **kwargs):
    t = sigmas_of(num_steps, sigma_min, sigma_max) if t_steps is None else t_steps
    x = latents * t[0]
    for i in range(num_steps - 1):
        d = x / (1 + t[i] ** 2).sqrt() if afs and i == 0 else (x - net(x, t[i], class_labels=class_labels)) / t[i]
        x = x + (t[i + 1] - t[i]) * d
    return x


def test_a_run_is_that_of_the_function_from_the_level_that_it_makes():
    end, session = run(from_net_function(edm), RunPlan(8))
    levels = [Level(1.0, float(s)) for s in [*sigmas_of(8, 0.01, 40.0), 0.0]]
    assert session.start == pytest.approx(levels[0], rel=1e-14)
    assert session.noise == session.start.s
    torch.testing.assert_close(end, ddim(state(), levels), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("function", "settings", "first"),
    [
        (edm, {}, 40.0),
        (edm, {"sigma_max": 5.0}, 5.0),
        (edm, {"churn": 0.3}, 40.0),
        (points, {}, 40.0),
        (points, {"afs": True, "sigma_max": 7.0}, 7.0),
    ],
)
def test_where_a_run_begins_is_read_off(function, settings, first):
    """Not the level of the first call: noise may be raised before it, or a step be made without the network."""
    session = from_net_function(function, settings=settings).prepare(RunPlan(8))
    assert session.start == (1.0, pytest.approx(first, rel=1e-12))


def test_a_first_step_without_the_network_does_not_hide_the_digits_of_its_first_level():
    def rounded(net, latents, num_steps=5, sigma_max=7.3, afs=False):
        return points(net, latents, num_steps=num_steps, afs=afs, t_steps=sigmas_of(num_steps, 0.1, sigma_max).float())

    session = from_net_function(rounded, settings={"afs": True}).prepare(RunPlan(5))
    assert session.start.s == float(sigmas_of(5, 0.1, 7.3).float()[0]) != 7.3


def test_a_first_step_without_the_network_that_no_setting_names_leaves_what_is_stated():
    def always(net, latents, num_steps=5, sigma_max=9.0):
        return points(net, latents, num_steps=num_steps, sigma_max=sigma_max, afs=True)

    assert from_net_function(always).prepare(RunPlan(5)).start == Level(1.0, 9.0)


def test_where_a_run_begins_may_not_be_known():
    def never_asks(net, latents, num_steps=5):
        return latents

    with pytest.raises(PeerFault, match="where a run begins cannot be told"):
        from_net_function(never_asks).prepare(RunPlan(5))


def test_the_network_is_what_such_functions_expect():
    def reads(net, latents, num_steps=5):
        x = latents * 2.0
        net(x, 2.0, class_labels=None, condition=None)
        assert (net.sigma_min, net.label_dim, net.img_channels, net.img_resolution) == (
            0.0,
            0,
            latents.shape[1],
            latents.shape[-1],
        )
        assert torch.equal(net.round_sigma(3.0), torch.tensor(3.0))
        return net(x, torch.tensor([2.0]).expand(len(x)))

    asked = Asked()
    run(from_net_function(reads), RunPlan(5), asked=asked)
    assert asked.told == [Level(1.0, 2.0)] * 2


def test_levels_are_put_in_where_times_may_be_handed_over():
    levels = uneven(6, convention="ve")
    peer = from_net_function(points)
    assert peer.takes_levels
    end, session = run(peer, steps=6, levels=levels)
    torch.testing.assert_close(end, ddim(state(), levels), rtol=1e-12, atol=1e-12)
    assert list(session.believed) == list(levels[:-1])
    end, session = run(peer, steps=6, levels=levels, begin=2)
    torch.testing.assert_close(end, ddim(state(), levels[2:]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("function", "plan"),
    [
        (edm, RunPlan(3, uneven(3))),
        (points, RunPlan(3, begin=1)),
        (points, RunPlan(3, prediction="eps")),
        (points, RunPlan(1, (Level(0.0, 1.0), Level(1.0, 0.1)))),
    ],
)
def test_what_the_interface_cannot_do_is_not_offered(function, plan):
    with pytest.raises(NotOffered):
        from_net_function(function).prepare(plan)


def test_settings_are_those_of_the_signature():
    with pytest.raises(UsageError, match="no setting 'chrun'; did you mean 'churn'"):
        from_net_function(edm, settings={"chrun": 1.0})
    assert from_net_function(points, settings={"anything": 1.0}).settings == {"anything": 1.0}  # it takes **kwargs
    with pytest.raises(UsageError, match="is not a function"):
        from_net_function(lambda net, x: x)
