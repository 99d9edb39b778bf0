"""The problem of flows: velocities, from noise to data; and what flow samplers of others are called here."""

import pytest
import torch

import sdebench as sb
from sdebench.problems import FlowProblem, exact_model

F = torch.float64


@pytest.mark.parametrize("t", [1.0, 0.7, 0.01, 0.0])
def test_the_model_predicts_eps_less_x0_at_both_ends_too(t):
    problem = sb.get_problem("flow-16d")
    x = problem.law.marginal(problem.schedule, t).sample(4, 0)
    found, exact = problem.model(x, t), exact_model(problem.law, problem.schedule)(x, t)
    assert isinstance(problem, FlowProblem)
    assert found.kind == "velocity"
    assert torch.allclose(found.value, exact.read("velocity"), rtol=1e-14)
    assert torch.allclose((1 - t) * found.x0 + t * found.read("eps"), x, rtol=1e-12, atol=1e-12)


def test_the_velocity_is_the_slope_of_the_exact_flow():
    problem, t, h = sb.get_problem("flow-16d"), 0.6, 1e-5
    x = problem.law.marginal(problem.schedule, t).sample(4, 0)
    slope = (problem.solution(x, t, t + h) - problem.solution(x, t, t - h)) / (2 * h)
    assert torch.allclose(problem.model(x, t).value, slope, rtol=1e-7, atol=1e-7)


def theirs(name: str, shift: float = 3.0, **more):
    diffusers = pytest.importorskip("diffusers")
    if name.startswith("FlowMatch"):
        return getattr(diffusers, name)(shift=shift, **more)
    flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction", "flow_shift": shift}
    return getattr(diffusers, name)(**flow, **more)


@pytest.mark.parametrize(
    ("name", "ours", "more"),
    [
        ("FlowMatchEulerDiscreteScheduler", "ddim", {}),
        ("FlowMatchEulerDiscreteScheduler", "euler-t", {}),
        ("FlowMatchHeunDiscreteScheduler", "heun-t", {}),
        ("DPMSolverMultistepScheduler", "dpm-solver++-2m", {"solver_order": 2}),
        ("UniPCMultistepScheduler", "unipc-2", {"solver_order": 2}),
    ],
)
def test_what_flow_samplers_of_diffusers_are(name, ours, more):
    """On ten levels that they choose, shift 3, from noise to data: the same to the rounding of their float32."""
    problem, scheduler = sb.get_problem("flow-16d"), theirs(name, **more)
    start = x = problem.initial(4, 0)
    scheduler.set_timesteps(10)
    for told in scheduler.timesteps:
        level = float(scheduler.sigmas[scheduler.step_index or 0])
        x = scheduler.step(problem.model(x, level).value, told, x, return_dict=False)[0].double()
    grid = tuple(dict.fromkeys(map(float, scheduler.sigmas)))
    assert grid[-1] == 0.0
    assert (sb.integrate(sb.get_solver(ours), problem.model, start, grid) - x).abs().max() < 2e-5
