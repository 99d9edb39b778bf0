"""torchsde's integrator on the reverse SDE: its steps, its law, its settings."""

import pytest
import torch
from peer_runs import MEAN, VARIANCE, Asked, network, run, state, uneven

from sdebench._support.errors import UsageError
from sdebench.peers import Level, NotOffered, RunPlan, from_sdeint
from sdebench.peers.noise import Draws, Path, brownian_path
from sdebench.schedules import VPLinear
from sdebench.studies.audit.checks.law import law
from sdebench.studies.audit.trial import Trial

torchsde = pytest.importorskip("torchsde")


def test_euler_s_steps_are_those_of_the_reverse_sde():
    """x <- x + [beta/2 x - beta eps/sigma] dt + sqrt(beta) dw, with all dw of one sign; dt is even."""
    ns, x, n = VPLinear(), state(), 4
    known = Path()
    with brownian_path(known):
        run(from_sdeint(torchsde.sdeint, settings={"method": "euler"}), RunPlan(n))
    path = Path(tuple(sorted(known.asked)), lambda shape: torch.ones(shape, dtype=torch.float64))
    with brownian_path(path):
        end, session = run(from_sdeint(torchsde.sdeint, settings={"method": "euler"}), RunPlan(n))
    h = 0.999 / n
    for i in range(n):
        t = 1 - i * h
        told = Level(*ns.levels(t))
        beta = ns.g2(t)
        x = x + (beta / 2 * x - beta / told.s * network(x, told, t).eps) * h + (beta * h) ** 0.5
    torch.testing.assert_close(end, x, rtol=1e-9, atol=1e-9)
    assert session.start == Level(*ns.levels(1.0))


@pytest.mark.parametrize(
    ("method", "calls"),
    [("euler", 1), ("milstein", 1), ("srk", 3), ("midpoint", 2), ("heun", 2), ("euler_heun", 1), ("log_ode", 2)],
)
def test_a_run_makes_the_steps_that_are_asked_for(method, calls):
    """And one call more, by which torchsde looks at the shape of the drift."""
    for dtype in (torch.float64, torch.float32):
        asked = Asked()
        run(from_sdeint(torchsde.sdeint, settings={"method": method}), RunPlan(7), x=state().to(dtype), asked=asked)
        assert len(asked.times) == 7 * calls + 1
        assert all(told == Level(*VPLinear().levels(t)) for told, t in zip(asked.told, asked.times))
        assert {tuple(x.shape) for x in asked.states} == {tuple(state().shape)}


@pytest.mark.parametrize(
    ("method", "steps", "least"), [("euler", (20, 80), 1.0), ("srk", (20, 80), 1.5), ("heun", (40, 160), 1.5)]
)
def test_the_law_tends_to_the_right_one(method, steps, least):
    """The exact law of a Gaussian, areas of the Brownian path included; `least` is the order that is seen, of the mean."""
    trial = Trial(from_sdeint(torchsde.sdeint, settings={"method": method}))
    first, last = (law(trial, n) for n in steps)
    assert last.affine < 1e-12
    assert abs(last.mean) < abs(first.mean) / 4 ** (least - 0.2)
    assert abs(last.spread) < abs(first.spread) / 3


def test_a_seed_of_torch_tells_the_path():
    peer = from_sdeint(torchsde.sdeint)
    ends = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        ends.append(run(peer, RunPlan(5))[0])
    assert torch.equal(ends[0], ends[1])
    assert not torch.equal(ends[0], ends[2])
    with Draws() as draws:
        run(peer, RunPlan(5))
    assert not draws.others


def test_many_runs_have_the_right_mean_and_spread():
    torch.manual_seed(0)
    session = from_sdeint(torchsde.sdeint, settings={"method": "srk"}).prepare(RunPlan(60))
    a, s = session.start
    x = a * MEAN + (a * a * VARIANCE + s * s) ** 0.5 * torch.randn(4000, 2, dtype=torch.float64)
    end = session.run(network, x)
    assert abs(float(end.mean()) - MEAN) < 4 * (VARIANCE / 8000) ** 0.5 + 1e-3
    assert abs(float(end.std()) / VARIANCE**0.5 - 1) < 4 / (2 * 8000) ** 0.5 + 1e-2


def test_settings_are_those_of_the_function_and_two_of_the_adapter():
    asked = Asked()
    run(from_sdeint(torchsde.sdeint, settings={"method": "euler", "dt": 0.1, "t_end": 0.5}), RunPlan(3), asked=asked)
    assert min(asked.times) == pytest.approx(0.6)
    assert len(asked.times) in (6, 7)
    one, other = Asked(), Asked()
    run(from_sdeint(torchsde.sdeint, settings={"noise_type": "additive"}), RunPlan(3), asked=one)
    run(from_sdeint(torchsde.sdeint, settings={"noise_type": "diagonal"}), RunPlan(3), asked=other)
    assert len(one.times) < len(other.times)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"metod": "srk"}, "no setting 'metod'; did you mean 'method'"),
        ({"bm": 1}, "no setting 'bm'"),
        ({"noise_type": "diagonl"}, "noise_type is 'diagonl'; did you mean 'diagonal'"),
        ({"t_end": 1.0}, "t_end is 1.0"),
    ],
)
def test_a_wrong_setting_is_refused(settings, says):
    with pytest.raises(UsageError, match=says):
        from_sdeint(torchsde.sdeint, settings=settings)


def test_what_the_interface_cannot_do_is_not_offered():
    peer = from_sdeint(torchsde.sdeint)
    for plan in (RunPlan(3, uneven(3)), RunPlan(3, begin=1), RunPlan(3, prediction="x0")):
        with pytest.raises(NotOffered):
            peer.prepare(plan)
    with pytest.raises(UsageError, match="is not a function"):
        from_sdeint(print)
    with pytest.raises(UsageError, match="no package that has a BrownianInterval"):
        run(from_sdeint(lambda sde, y0, ts: y0), RunPlan(3))
