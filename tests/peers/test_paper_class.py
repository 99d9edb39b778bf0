"""A paper's class over a noise schedule: what it is handed, its levels, its settings."""

from itertools import pairwise

import pytest
import torch
from peer_runs import Asked, ddim, level_of, network, run, state, uneven

from sdebench._support.errors import UsageError
from sdebench.peers import Level, NotOffered, RunPlan, from_class
from sdebench.peers.paper_class import PaperSchedule
from sdebench.schedules import VPLinear


class Exponential:
    """DDIM and a midpoint method in lam, on the interface of the official DPM-Solver; written for this test."""

    def __init__(self, model_fn, noise_schedule, kind="eps", scale=1.0):
        self.model, self.ns, self.kind, self.scale = (
            (lambda x, t: model_fn(x, t.expand(x.shape[0]))),
            noise_schedule,
            kind,
            scale,
        )

    def get_time_steps(self, skip_type, t_T, t_0, N, device):
        if skip_type == "time":
            return torch.linspace(t_T, t_0, N + 1)
        ends = (self.ns.marginal_lambda(torch.tensor(t)) for t in (t_T, t_0))
        return self.ns.inverse_lambda(torch.linspace(*(float(lam) for lam in ends), N + 1))

    def cross(self, x, eps, s, t):
        ns = self.ns
        h = ns.marginal_lambda(t) - ns.marginal_lambda(s)
        ratio = torch.exp(ns.marginal_log_mean_coeff(t) - ns.marginal_log_mean_coeff(s))
        return ratio * x - ns.marginal_std(t) * torch.expm1(h) * eps

    def sample(
        self, x, steps=20, t_start=None, t_end=None, order=1, skip_type="time", method="multistep", denoise_to_zero=False
    ):
        first, last = t_start or self.ns.T, t_end or 1 / self.ns.total_N
        if method == "singlestep_fixed":
            steps = steps // order
        times = self.get_time_steps(skip_type, first, last, steps, x.device)
        for s, t in pairwise(times):
            eps = self.model(x, s)
            if order == 2:
                inner = self.get_time_steps("lam", s.item(), t.item(), 2, x.device)[1]
                eps = self.model(self.cross(x, eps, s, inner), inner)
            x = self.cross(x, eps, s, t)
        if denoise_to_zero:
            t = torch.ones(1) * last
            x = (x - self.ns.marginal_std(t) * self.model(x, t)) / self.ns.marginal_alpha(t)
        return x


def test_the_schedule_that_is_handed_over_is_ours():
    ns, ours = PaperSchedule(), VPLinear()
    for t in (1e-4, 0.1, 0.5, 1.0):
        time = torch.tensor(t, dtype=torch.float64)
        lam = ours.lam(t)
        assert float(ns.marginal_alpha(time)) == pytest.approx(ours.alpha(t), rel=1e-14)
        assert float(ns.marginal_std(time)) == pytest.approx(ours.sigma(t), rel=1e-14)
        assert float(ns.marginal_log_mean_coeff(time).exp()) == pytest.approx(ours.alpha(t), rel=1e-14)
        assert float(ns.marginal_lambda(time)) == pytest.approx(lam, rel=1e-13, abs=1e-13)
        assert float(ns.inverse_lambda(torch.tensor(lam, dtype=torch.float64))) == pytest.approx(t, rel=1e-13)
        assert ns.level(t) == pytest.approx(Level(*ours.levels(t)), rel=1e-14)
    assert (ns.T, ns.total_N, ns.schedule, ns.beta_0, ns.beta_1) == (1.0, 1000, "linear", 0.1, 20.0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_its_answers_have_the_shape_of_the_times_and_the_dtype_of_the_state(dtype):
    ns, times = PaperSchedule(dtype), torch.tensor([[0.2], [0.4]])
    for method in (ns.marginal_alpha, ns.marginal_std, ns.marginal_lambda, ns.marginal_log_mean_coeff, ns.inverse_lambda):
        assert (method(times).shape, method(times).dtype) == (times.shape, dtype)
    end, _ = run(from_class(Exponential, settings={"denoise_to_zero": True}), RunPlan(4), x=state().to(dtype))
    assert end.dtype == dtype


def test_a_run_as_shipped_goes_from_noise_to_the_time_of_the_schedule():
    asked = Asked()
    _, session = run(from_class(Exponential), RunPlan(5), asked=asked)
    ours = VPLinear()
    assert session.start == pytest.approx(Level(*ours.levels(1.0)), rel=1e-14)
    assert session.noise == 1.0
    assert asked.times == pytest.approx([1.0 - 0.999 * i / 5 for i in range(5)], rel=1e-6)
    assert asked.told[2] == pytest.approx(Level(*ours.levels(asked.times[2])), rel=1e-14)


def test_levels_are_put_in_where_the_class_asks_itself_for_times():
    levels = uneven(7)
    peer = from_class(Exponential)
    assert peer.takes_levels
    end, session = run(peer, RunPlan(7, levels))
    torch.testing.assert_close(end, ddim(state(), levels), rtol=1e-11, atol=1e-11)
    assert session.believed == [pytest.approx(level, rel=1e-12) for level in levels[:-1]]
    end, _ = run(peer, RunPlan(7, levels, begin=3))
    torch.testing.assert_close(end, ddim(state(), levels[3:]), rtol=1e-11, atol=1e-11)


def test_times_within_a_step_stay_its_own():
    """A single-step method: one step a level, and the midpoint in lam, written again."""
    levels, x = uneven(3), state()
    end, _ = run(from_class(Exponential, settings={"order": 2, "method": "singlestep_fixed"}), RunPlan(3, levels))
    for s, t in pairwise(levels):
        mid = level_of(0.5 * (s.lam + t.lam))
        eps = network(ddim(x, (s, mid)), mid, 0.0).eps
        x = t.a / s.a * x + (t.s - t.a / s.a * s.s) * eps
    torch.testing.assert_close(end, x, rtol=1e-6, atol=1e-6)  # its inner times are float32


@pytest.mark.parametrize(("method", "budget"), [("multistep", False), ("singlestep", True), ("singlestep_fixed", True)])
def test_steps_of_a_single_step_method_are_evaluations(method, budget):
    assert from_class(Exponential, settings={"method": method}).budget is budget


def test_what_the_interface_cannot_do_is_not_offered():
    class Fixed:
        def __init__(self, model_fn, noise_schedule): ...

        def sample(self, x, steps): ...

    peer = from_class(Fixed)
    assert not peer.takes_levels
    for plan in (RunPlan(3, uneven(3)), RunPlan(3, begin=1), RunPlan(3, prediction="x0")):
        with pytest.raises(NotOffered):
            peer.prepare(plan)
    for noise in (Level(0.0, 1.0), level_of(-6.0)):
        with pytest.raises(NotOffered, match="its times hold lam from -5"):
            from_class(Exponential).prepare(RunPlan(1, (noise, level_of(0.0))))

    class Coarse(Exponential):
        def sample(self, x, steps, t_start=None, t_end=None):
            return super().sample(x, steps // 2, t_start, t_end)

    with pytest.raises(NotOffered, match="asks for 2 steps over the 5 levels"):
        run(from_class(Coarse), RunPlan(4, uneven(4)))


def test_settings_go_to_the_constructor_or_to_sample():
    _, session = run(from_class(Exponential, settings={"kind": "x", "t_start": 0.5, "t_end": 0.1}), RunPlan(3))
    assert session.start == pytest.approx(Level(*VPLinear().levels(0.5)), rel=1e-14)
    with pytest.raises(UsageError, match="no setting 'ordr'; did you mean 'order'"):
        from_class(Exponential, settings={"ordr": 2})
    for given in ("x", "steps", "model_fn", "noise_schedule"):
        with pytest.raises(UsageError, match=f"no setting '{given}'"):
            from_class(Exponential, settings={given: 2})


def test_a_class_that_cannot_be_made_or_is_none_is_refused():
    class Fails(Exponential):
        def __init__(self, model_fn, noise_schedule, table):
            super().__init__(model_fn, noise_schedule)

    with pytest.raises(UsageError, match=r"cannot be made \(TypeError.*table"):
        run(from_class(Fails), RunPlan(3))
    for wrong in (dict, 3, test_settings_go_to_the_constructor_or_to_sample):
        with pytest.raises(UsageError, match="is not a class"):
            from_class(wrong)
