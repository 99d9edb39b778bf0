"""azula's samplers: on its schedules, on given levels, from the middle."""

import pytest
import torch
from peer_runs import Asked, ddim, run, state, uneven

from sdebench._support.errors import UsageError
from sdebench.peers import Level, NotOffered, RunPlan, adapt, from_azula
from sdebench.peers.azula import LevelSchedule

sample, noise = pytest.importorskip("azula.sample"), pytest.importorskip("azula.noise")


@pytest.mark.parametrize("name", ["DDIMSampler", "EulerSampler"])
def test_levels_are_put_in(name):
    levels, asked = uneven(7), Asked()
    end, session = run(from_azula(getattr(sample, name)), RunPlan(7, levels), asked=asked)
    torch.testing.assert_close(end, ddim(state(), levels), rtol=1e-12, atol=1e-12)
    assert asked.told == list(levels[:-1])
    assert list(session.believed) == list(levels[:-1])


@pytest.mark.parametrize("convention", ["vp", "ve", "flow"])
def test_levels_of_any_convention_are_put_in_as_they_are(convention):
    levels = uneven(5, convention=convention)
    end, session = run(from_azula(sample.DDIMSampler), RunPlan(5, levels))
    torch.testing.assert_close(end, ddim(state(), levels), rtol=1e-12, atol=1e-12)
    assert session.start == levels[0]


@pytest.mark.parametrize("schedule", ["VPSchedule", "VESchedule", "RectifiedSchedule", "CosineSchedule", "DecaySchedule"])
def test_a_run_as_shipped_is_on_a_schedule_of_azula(schedule):
    times = torch.linspace(1, 0, 9, dtype=torch.float64)
    levels = [Level(float(a), float(s)) for a, s in zip(*getattr(noise, schedule)()(times))]
    end, session = run(from_azula(sample.DDIMSampler, settings={"schedule": schedule}), RunPlan(8))
    torch.testing.assert_close(end, ddim(state(), levels), rtol=1e-9, atol=1e-9)
    assert session.start == levels[0]
    assert from_azula(sample.DDIMSampler).prepare(RunPlan(8)).start[1] == pytest.approx(1.0)  # VP unless said


def test_a_run_from_the_middle_is_over_the_same_levels():
    peer, levels = from_azula(sample.EulerSampler), uneven(6)
    whole, part = peer.prepare(RunPlan(8)), peer.prepare(RunPlan(8, begin=3))
    assert [tuple(level) for level in part.believed] == [pytest.approx(level, rel=1e-12) for level in whole.believed[3:]]
    torch.testing.assert_close(run(peer, RunPlan(6, levels, begin=2))[0], ddim(state(), levels[2:]), rtol=1e-12, atol=1e-12)


def test_between_two_levels_the_angle_runs_evenly():
    at = LevelSchedule([Level(0.0, 1.0), Level(1.0, 0.0), Level(2.0, 0.0)]).at
    assert at(0.75) == pytest.approx((0.5**0.5, 0.5**0.5))
    assert at(0.25) == pytest.approx((2**0.5, 0.0))
    for t, level in ((1.0, (0.0, 1.0)), (0.5 + 1e-7, (1.0, 0.0)), (0.0, (2.0, 0.0)), (-1e-9, (2.0, 0.0))):
        assert at(t) == level


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_levels_are_as_exact_as_the_times(dtype):
    times = torch.linspace(1, 0, 41, dtype=dtype)
    levels = uneven(40)
    a, s = LevelSchedule(levels)(times)
    assert (a.dtype, a.shape) == (dtype, times.shape)
    assert torch.equal(a, torch.tensor([level.a for level in levels], dtype=dtype))
    assert torch.equal(s, torch.tensor([level.s for level in levels], dtype=dtype))


def test_every_sampler_of_the_package_runs():
    for name in sample.__all__:
        if name != "Sampler":
            peer = adapt(name, getattr(sample, name), {})
            assert (peer.kind, run(peer, RunPlan(4))[0].shape) == ("azula", state().shape)


def test_a_sampler_of_a_user_is_one_too():
    class Mine(sample.Sampler):
        def __init__(self, denoiser, factor=1.0, **kwargs):
            super().__init__(**kwargs)
            self.denoiser, self.factor = denoiser, factor

        def __call__(self, x, **kwargs):
            for t in self.timesteps[:-1].tolist():  # numbers and not tensors
                x = self.factor * self.denoiser(x, t).mean
            return x

    asked = Asked()
    run(from_azula(Mine), RunPlan(4, uneven(4)), asked=asked)
    assert asked.told == list(uneven(4)[:-1])
    assert from_azula(Mine, settings={"factor": 2.0, "start": 0.5}).prepare(RunPlan(4))._times()[0] == 0.5


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"ta": 1}, "no setting 'ta'; did you mean 'eta'"),
        ({"steps": 3}, "no setting 'steps'"),
        ({"schedule": "VPSchedul"}, "no schedule 'VPSchedul'; did you mean 'VPSchedule'"),
    ],
)
def test_a_wrong_setting_is_refused(settings, says):
    with pytest.raises(UsageError, match=says):
        from_azula(sample.DDIMSampler, settings=settings)


def test_what_is_no_sampler_or_answers_otherwise_is_refused():
    with pytest.raises(UsageError, match="is not a sampler of azula"):
        from_azula(dict)
    with pytest.raises(NotOffered, match="answers with x0"):
        from_azula(sample.DDIMSampler).prepare(RunPlan(3, prediction="eps"))
