"""Functions of sigmas: what they are given, what they are told, what is refused."""

import pytest
import torch
from peer_runs import Asked, ddim, run, state, uneven

from sdebench._support.errors import UsageError
from sdebench.peers import Level, NotOffered, PeerFault, RunPlan, from_sigmas_function
from sdebench.peers.sigmas import SIGMA_MAX, SIGMA_MIN, karras


def euler(model, x, sigmas, extra_args=None, callback=None, disable=None, churn=0.0):
    for i in range(len(sigmas) - 1):
        x0 = model(x, sigmas[i] * x.new_ones(len(x)))
        x = x + (sigmas[i + 1] - sigmas[i]) * (x - x0) / sigmas[i]
    return x


def of_a_range(model, x, sigma_min, sigma_max, n, disable=None):
    sigmas = torch.linspace(sigma_max, sigma_min, n + 1, dtype=x.dtype)
    return euler(model, x, sigmas), "more"


def test_a_run_on_given_levels_is_that_of_the_function():
    levels = uneven(7, convention="ve")
    end, session = run(from_sigmas_function(euler), steps=7, levels=levels)
    torch.testing.assert_close(end, ddim(state(), levels), rtol=1e-13, atol=1e-13)
    assert session.start == levels[0]
    assert list(session.believed) == list(levels[:-1])


def test_levels_of_another_convention_are_those_of_the_same_ratio():
    one, other = (run(from_sigmas_function(euler), steps=7, levels=uneven(7, convention=name))[0] for name in ("ve", "vp"))
    torch.testing.assert_close(one, other, rtol=1e-13, atol=1e-13)


def test_the_network_is_told_each_sigma_as_a_level():
    asked, levels = Asked(), uneven(5, convention="ve")
    run(from_sigmas_function(euler), RunPlan(5, levels), asked=asked)
    assert asked.told == [Level(1.0, level.s) for level in levels[:-1]]
    assert asked.times == [level.s for level in levels[:-1]]


def test_a_run_as_shipped_is_on_karras_levels_down_to_zero():
    asked = Asked()
    _, session = run(from_sigmas_function(euler), RunPlan(6), asked=asked)
    assert session.start == (1.0, pytest.approx(SIGMA_MAX, rel=1e-12))
    assert asked.times[-1] == pytest.approx(SIGMA_MIN, rel=1e-12)
    assert karras(6)[-1] == 0.0


def test_a_run_from_the_middle_begins_at_that_level():
    levels = uneven(6, convention="ve")
    end, session = run(from_sigmas_function(euler), steps=6, levels=levels, begin=2)
    assert session.start == levels[2]
    torch.testing.assert_close(end, ddim(state(), levels[2:]), rtol=1e-13, atol=1e-13)


def test_a_function_of_a_range_makes_its_own_levels():
    peer = from_sigmas_function(of_a_range)
    assert (peer.takes_levels, peer.budget) == (False, True)
    asked = Asked()
    _, session = run(peer, RunPlan(4), asked=asked)
    assert asked.times[0] == pytest.approx(SIGMA_MAX)
    assert len(asked.times) == 4
    assert not session.believed
    for plan in (RunPlan(4, uneven(4)), RunPlan(4, begin=1)):
        with pytest.raises(NotOffered, match="no sigmas but their range"):
            peer.prepare(plan)


@pytest.mark.parametrize(
    ("dtype", "sigmas"), [(torch.float64, torch.float64), (torch.float32, torch.float32), (torch.bfloat16, torch.float32)]
)
def test_sigmas_have_the_state_s_digits_and_those_of_float32_at_least(dtype, sigmas):
    seen = []

    def note(model, x, sigmas):
        seen.append(sigmas.dtype)
        return x

    end, _ = run(from_sigmas_function(note), RunPlan(3), x=state().to(dtype))
    assert (seen, end.dtype) == ([sigmas], dtype)


@pytest.mark.parametrize(
    ("plan", "says"),
    [(RunPlan(3, prediction="eps"), "answers with x0"), (RunPlan(1, (Level(0.0, 1.0), Level(1.0, 0.1))), "alpha = 0")],
)
def test_what_the_interface_cannot_do_is_not_offered(plan, says):
    with pytest.raises(NotOffered, match=says):
        from_sigmas_function(euler).prepare(plan)


def test_settings_go_to_the_function_and_misspelt_ones_are_refused():
    assert from_sigmas_function(euler, settings={"churn": 1.0}).settings == {"churn": 1.0}
    with pytest.raises(UsageError, match="no setting 'chrun'; did you mean 'churn'"):
        from_sigmas_function(euler, settings={"chrun": 1.0})
    with pytest.raises(UsageError, match="no setting 'sigmas'"):
        from_sigmas_function(euler, settings={"sigmas": 1.0})


@pytest.mark.parametrize(
    "wrong", [lambda model, x, sigmas: x[:1], lambda model, x, sigmas: None, lambda model, x, sigmas: x > 0]
)
def test_an_answer_that_is_no_state_is_a_fault(wrong):
    with pytest.raises(PeerFault, match="is expected"):
        run(from_sigmas_function(wrong), RunPlan(3))


def test_several_levels_in_one_call_are_not_offered():
    def parallel(model, x, sigmas):
        return model(x, sigmas[: len(x)])

    with pytest.raises(NotOffered, match="several levels in one call"):
        run(from_sigmas_function(parallel), RunPlan(5))


def test_another_function_is_refused():
    with pytest.raises(UsageError, match="is not a function"):
        from_sigmas_function(lambda x, t: x)
