"""Any function f(model, x, times): its conventions, its parametrisations, its settings."""

from itertools import pairwise
from math import cos, pi, sin

import pytest
import torch
from peer_runs import Asked, ddim, run, state, uneven

from sdebench._support.errors import UsageError
from sdebench.peers import Level, NotOffered, RunPlan, adapt, from_callable
from sdebench.schedules import VPLinear

LEVELS = {  # the level of a time, written again
    "edm": lambda t: Level(1.0, t),
    "flow": lambda t: Level(1 - t, t),
    "vp": lambda t: Level(cos(t), sin(t)),
    "VPLinear": lambda t: Level(*VPLinear().levels(t)),
}
PARTS = {  # a reading as p x0 + q eps
    "x0": lambda a, s: (1.0, 0.0),
    "eps": lambda a, s: (0.0, 1.0),
    "v": lambda a, s: (-s, a),
    "velocity": lambda a, s: (-1.0, 1.0),
}


def sampler(prediction, convention):
    """DDIM that solves the reading and the state for x0 and eps."""

    def ddim(model, x, times):
        for s, t in pairwise(times.tolist()):
            (a, b), (p, q) = LEVELS[convention](s), PARTS[prediction](*LEVELS[convention](s))
            value = model(x, s)
            det = a * q - b * p
            x0, eps = (q * x - b * value) / det, (a * value - p * x) / det
            to = LEVELS[convention](t)
            x = to.a * x0 + to.s * eps
        return x

    return ddim


CASES = [
    (prediction, convention)
    for convention in LEVELS
    for prediction in PARTS
    if not (prediction == "v" and convention in ("edm", "flow"))  # v is of a state with a^2 + s^2 = 1
]


@pytest.mark.parametrize(("prediction", "convention"), CASES)
def test_every_convention_and_parametrisation_gives_the_same_run(prediction, convention):
    kind = {"edm": "ve", "flow": "flow"}.get(convention, "vp")
    levels = uneven(6, convention=kind)
    peer = from_callable(sampler(prediction, convention), prediction, convention)
    end, session = run(peer, steps=6, levels=uneven(6))
    torch.testing.assert_close(end, ddim(state(), levels), rtol=1e-11, atol=1e-11)
    assert session.start == pytest.approx(levels[0], rel=1e-12)
    assert session.believed == [pytest.approx(level, rel=1e-12) for level in levels[:-1]]
    assert (session.prediction, peer.predictions) == (prediction, (prediction,))


def test_a_run_from_the_middle_begins_at_that_level():
    levels = uneven(6, convention="flow")
    end, session = run(from_callable(sampler("velocity", "flow"), "velocity", "flow"), RunPlan(6, levels, begin=2))
    assert session.start == pytest.approx(levels[2])
    torch.testing.assert_close(end, ddim(state(), levels[2:]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("dtype", "times"), [(torch.float64, torch.float64), (torch.bfloat16, torch.float32)])
def test_times_have_the_state_s_digits_and_those_of_float32_at_least(dtype, times):
    seen = []

    def note(model, x, times):
        seen.append(times.dtype)
        return x

    run(from_callable(note), RunPlan(3), x=state().to(dtype))
    assert seen == [times]


def test_the_network_is_told_the_level_of_the_time_it_is_given():
    asked = Asked()

    def late(model, x, times):
        model(x, 0.25 * torch.ones(len(x)))
        return model(x, times[0])

    run(from_callable(late, convention="flow"), RunPlan(3), asked=asked)
    assert asked.told == [Level(0.75, 0.25), Level(0.0, 1.0)]


def test_both_ends_of_a_convention_are_there_to_the_bit():
    ends = (Level(0.0, 1.0), Level(1.0, 0.0))
    for convention in ("flow", "vp"):
        session = from_callable(sampler("x0", convention), convention=convention).prepare(RunPlan(1, ends))
        assert session.start == (0.0, 1.0)
        assert session._times == [{"flow": 1.0, "vp": pi / 2}[convention], 0.0]


@pytest.mark.parametrize("convention", LEVELS)
def test_a_run_as_shipped_falls_to_the_data(convention):
    levels = from_callable(sampler("x0", convention), convention=convention).default_levels(9)
    lams = [level.lam for level in levels]
    assert len(levels) == 10
    assert lams == sorted(lams)
    assert levels[-1].s == 0.0


def test_a_level_that_a_convention_cannot_hold_is_not_offered():
    noise = (Level(0.0, 1.0), Level(1.0, 0.5))
    with pytest.raises(NotOffered, match="cannot hold a level with alpha = 0"):
        from_callable(sampler("x0", "edm")).prepare(RunPlan(1, noise))
    with pytest.raises(NotOffered, match="does not reach the level"):
        from_callable(sampler("x0", "VPLinear"), convention=VPLinear()).prepare(RunPlan(1, noise))
    with pytest.raises(NotOffered, match="written for a model that answers with x0"):
        from_callable(sampler("x0", "edm")).prepare(RunPlan(3, prediction="eps"))


def with_settings(model, x, times, eta=0.0, *, last=True):
    return x * eta


def test_settings_of_the_adapter_and_of_the_function_are_told_apart():
    peer = adapt("mine", with_settings, {"prediction": "eps", "convention": "flow", "eta": 2.0})
    assert (peer.kind, peer.prediction, peer.convention, peer.settings) == ("callable", "eps", "flow", {"eta": 2.0})
    end, _ = run(peer, RunPlan(3))
    assert torch.equal(end, 2 * state())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"etta": 1}, "no setting 'etta'; did you mean 'eta'"),
        ({"prediction": "epsilon"}, "unknown prediction 'epsilon'; did you mean 'eps'"),
        ({"convention": "edn"}, "unknown convention 'edn'; did you mean 'EDM'"),
        ({"convention": 3}, "unknown convention 3"),
    ],
)
def test_a_wrong_setting_is_refused(settings, says):
    with pytest.raises(UsageError, match=says):
        adapt("mine", with_settings, settings)


def test_a_function_that_takes_anything_takes_any_setting():
    def anything(model, x, times, **more):
        return x * more["factor"]

    assert torch.equal(run(adapt("mine", anything, {"factor": 3.0}), RunPlan(2))[0], 3 * state())


@pytest.mark.parametrize("wrong", [3, lambda x, t: x, dict])
def test_what_cannot_be_called_with_three_is_refused(wrong):
    with pytest.raises(UsageError, match="cannot be called as f"):
        from_callable(wrong)
