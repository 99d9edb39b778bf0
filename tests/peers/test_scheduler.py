"""Schedulers: what their numbers mean is read off, levels are put in, and what is no scheduler is said to be none."""

from math import inf, log, sqrt
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from peer_runs import Asked, ddim, run, state, uneven
from studies.audit.planted import Right

from sdebench._support.errors import UsageError
from sdebench.peers import Level, NotOffered, PeerFault, RunPlan, adapt, from_scheduler
from sdebench.peers.scheduler import prediction_of, told_ratio


def of(target, **settings):
    return adapt("mine", target, settings)


class OfSigmas:
    """Euler on an array of sigmas, of states with a = 1 (VE) or a + s = 1 (a flow)."""

    def __init__(self, flow=False, shift=1.0):
        self.flow, self.shift, self.sigmas = flow, shift, None
        if not flow:
            self.alphas_cumprod = 1 / (1 + torch.logspace(-2, 2, 1000, dtype=torch.float64) ** 2)

    def set_timesteps(self, num_inference_steps, last=0.0):
        top = 1.0 if self.flow else 100.0
        self.sigmas = torch.linspace(top, last, num_inference_steps + 1, dtype=torch.float64)
        self.timesteps = (
            self.sigmas[:-1] * 1000 if self.flow else torch.linspace(999, 0, num_inference_steps, dtype=torch.float64)
        )
        self.init_noise_sigma, self.i = top, 0

    def scale_model_input(self, x, t):
        return x if self.flow else x / (1 + self.sigmas[self.i] ** 2).sqrt()

    def step(self, model_output, timestep, sample, scale=1.0):
        h = self.sigmas[self.i + 1] - self.sigmas[self.i]
        self.i += 1
        return SimpleNamespace(prev_sample=sample + scale * h * model_output)

    def add_noise(self, data, noise, timesteps):
        s = torch.stack([self.sigmas[int((self.timesteps - t).abs().argmin())] for t in timesteps]).view(-1, 1, 1, 1)
        return ((1 - s) if self.flow else 1) * data + s * noise


# ---- what its numbers mean -----------------------------------------------------------------------------------------


def test_a_run_is_that_of_the_chain():
    peer, asked = of(Right), Asked()
    end, session = run(peer, RunPlan(10), asked=asked)
    bars = Right().alphas_cumprod
    levels = [Level(sqrt(float(bars[t])), sqrt(1 - float(bars[t]))) for t in range(999, 0, -100)]
    assert session.start == pytest.approx(levels[0], rel=1e-14)
    assert session.believed == [pytest.approx(level, rel=1e-14) for level in levels]
    assert asked.told == [pytest.approx(level, rel=1e-12) for level in levels]
    torch.testing.assert_close(end, ddim(state(), [*levels, Level(1.0, 0.0)]), rtol=1e-11, atol=1e-11)


def test_a_time_between_two_of_the_chain_is_read_between_them():
    ratio = told_ratio(Right())
    ends = ratio(3), ratio(4)
    assert ratio(3.25) == pytest.approx(ends[0] ** 0.75 * ends[1] ** 0.25)
    assert (ratio(-1), ratio(2000)) == (ratio(0), ratio(999))


@pytest.mark.parametrize(("flow", "convention", "start"), [(False, "ve", (1.0, 100.0)), (True, "flow", (0.0, 1.0))])
def test_the_convention_of_a_state_is_read_off(flow, convention, start):
    session = of(OfSigmas, flow=flow).prepare(RunPlan(5))
    assert (session.convention, session.start, session.noise) == (convention, start, session.start.s)
    assert session.prediction == ("velocity" if flow else "eps")


def test_what_is_said_of_a_time_is_read_off():
    class Continuous(Right):
        def sigma_to_t(self, sigma):
            return 0.25 * torch.as_tensor(sigma).log()

    assert told_ratio(Continuous())(0.25 * log(3.0)) == pytest.approx(3.0, rel=1e-12)
    flow = OfSigmas(flow=True)
    flow.set_timesteps(4)
    assert (told_ratio(flow)(250.0), told_ratio(flow)(1000.0)) == (pytest.approx(1 / 3), inf)
    with pytest.raises(NotOffered, match="nothing tells"):
        told_ratio(SimpleNamespace(config={}))


@pytest.mark.parametrize(
    ("config", "prediction"),
    [
        ({}, "eps"),
        ({"prediction_type": "sample"}, "x0"),
        ({"prediction_type": "v_prediction"}, "v"),
        ({"prediction_type": "odd"}, "odd"),
    ],
)
def test_the_parametrisation_is_that_of_the_configuration(config, prediction):
    assert prediction_of(SimpleNamespace(config=config, betas=1)) == prediction


def test_every_parametrisation_of_a_configuration_gives_the_same_run():
    peer = of(Right)
    one, *others = (run(peer, steps=10, prediction=word)[0] for word in ("eps", "x0", "v"))
    for other in others:
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


# ---- levels, a start in the middle, once more ----------------------------------------------------------------------


@pytest.mark.parametrize("target", [Right, OfSigmas])
def test_levels_are_put_in(target):
    """Right takes them as a chain, OfSigmas as sigmas; the network is told the level and not a time of its training."""
    asked, convention = Asked(), "vp" if target is Right else "ve"
    levels = uneven(7, convention=convention)
    end, session = run(of(target), RunPlan(7, levels), asked=asked)
    torch.testing.assert_close(end, ddim(state(), levels), rtol=1e-10, atol=1e-10)
    assert asked.told == [pytest.approx(level, rel=1e-9) for level in levels[:-1]]
    assert not session.told_is_known


def test_levels_of_a_flow_are_put_in():
    levels = uneven(7, convention="flow")
    end, _ = run(of(OfSigmas, flow=True), RunPlan(7, levels))
    torch.testing.assert_close(end, ddim(state(), levels), rtol=1e-10, atol=1e-10)


def test_levels_that_are_not_taken_are_not_offered():
    class Fixed(Right):
        def __init__(self):
            super().__init__()

    with pytest.raises(NotOffered, match="neither sigmas nor betas"):
        of(Fixed).prepare(RunPlan(3, uneven(3)))
    with pytest.raises(NotOffered, match="alpha = 0"):
        of(OfSigmas).prepare(RunPlan(1, (Level(0.0, 1.0), Level(1.0, 0.1))))


def test_a_run_from_the_middle_begins_at_that_step():
    session = of(Right).prepare(RunPlan(10, begin=4))
    assert session.start == pytest.approx(of(Right).prepare(RunPlan(10)).believed[4])
    assert len(session.times) == 6


def test_a_second_run_is_with_the_same_object():
    session = of(OfSigmas).prepare(RunPlan(5))
    again = session.again()
    assert again.scheduler is session.scheduler
    assert of(OfSigmas).prepare(RunPlan(5)).scheduler is not session.scheduler


# ---- settings, and an object that was made -------------------------------------------------------------------------


def test_settings_go_where_they_are_taken():
    peer = of(OfSigmas, shift=2.0, last=0.5, scale=0.0)
    session = peer.prepare(RunPlan(4))
    assert (session.scheduler.shift, float(session.scheduler.sigmas[-1])) == (2.0, 0.5)
    assert torch.equal(run(peer, RunPlan(4))[0], state())


def test_a_wrong_setting_or_a_missing_one_is_refused():
    with pytest.raises(UsageError, match="no setting 'shif'; did you mean 'shift'"):
        of(OfSigmas, shif=1)

    class Needs(Right):
        def __init__(self, table):
            super().__init__()

    with pytest.raises(UsageError, match=r"cannot be made .*give what it needs in brackets"):
        of(Needs).prepare(RunPlan(3))


def test_an_object_that_was_made_is_left_alone():
    scheduler = OfSigmas(shift=3.0)
    peer = from_scheduler(scheduler)
    _, session = run(peer, RunPlan(5))
    assert session.scheduler.shift == 3.0
    assert scheduler.sigmas is None
    with pytest.raises(UsageError, match="is not a scheduler"):
        from_scheduler(OfSigmas)
    with pytest.raises(UsageError, match="is not a scheduler"):
        from_scheduler(3)


def test_an_object_of_diffusers_is_made_again_of_its_configuration():
    diffusers = pytest.importorskip("diffusers")
    made = diffusers.DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, timestep_spacing="trailing")
    peer = from_scheduler(made)
    assert dict(peer.prepare(RunPlan(10, prediction="v")).scheduler.config)["beta_schedule"] == "scaled_linear"
    assert peer.prepare(RunPlan(10, prediction="v")).prediction == "v"
    levels = uneven(6)
    end, _ = run(peer, RunPlan(6, levels))
    torch.testing.assert_close(end, ddim(state(), levels), rtol=1e-6, atol=1e-6)


# ---- what no scheduler may do --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "result", [(1,), None, torch.zeros(2), {"prev_sample": "x"}, torch.zeros(3, 1, 2, 2, dtype=torch.int64)]
)
def test_a_step_that_gives_no_state_is_a_fault(result):
    class Odd(Right):
        def step(self, model_output, timestep, sample):
            return result

    with pytest.raises(PeerFault, match="step gives"):
        run(of(Odd), RunPlan(4))


@pytest.mark.parametrize(
    "how",
    [lambda x: x, lambda x: (x, 1), lambda x: [x], lambda x: {"prev_sample": x}, lambda x: SimpleNamespace(prev_sample=x)],
)
def test_a_state_may_come_in_any_of_the_usual_wrappings(how):
    class Wrapped(Right):
        def step(self, model_output, timestep, sample):
            return how(sample)

    assert torch.equal(run(of(Wrapped), RunPlan(4))[0], state())


@pytest.mark.parametrize("times", [torch.zeros(3, dtype=torch.complex64), torch.zeros(2, 2), torch.tensor([]), None])
def test_timesteps_that_are_not_one_real_number_a_step_are_a_fault(times):
    class Odd(Right):
        def set_timesteps(self, num_inference_steps):
            self.timesteps = times

    with pytest.raises(PeerFault, match="timesteps"):
        of(Odd).prepare(RunPlan(4))


@pytest.mark.parametrize("times", [[0.3, 0.1], (0.3, 0.1), np.array([0.3, 0.1])])
def test_timesteps_keep_their_digits(times):
    class Odd(Right):
        def set_timesteps(self, num_inference_steps):
            self.timesteps = times

        def step(self, model_output, timestep, sample):
            return sample

    asked = Asked()
    run(of(Odd), RunPlan(2), asked=asked)
    assert asked.times == [0.3, 0.1]


def test_what_writes_where_it_should_not_is_noted():
    class Writes(Right):
        def step(self, model_output, timestep, sample):
            model_output.zero_()
            return sample.zero_()

    _, session = run(of(Writes), RunPlan(3))
    assert session.notes == {"writes into the state that it is given", "writes into the network's answer"}
    assert not run(of(Right), RunPlan(3))[1].notes


def test_a_step_of_other_arguments_is_refused():
    class Odd(Right):
        def step(self, a, b, c):
            return c

    with pytest.raises(UsageError, match=r"a scheduler's takes \(model_output, timestep, sample\)"):
        of(Odd)
