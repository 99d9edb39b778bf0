"""Reference trajectories: two integrators agree, agree with formulas, and report it where they do not."""

import pytest
import torch

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.laws import oracle


@pytest.mark.parametrize(("name", "points", "bar"), [("mixture-2d", 64, 1e-12), ("grid-25", 64, 1e-12), ("image", 2, 1e-11)])
def test_error_bar_over_the_span(name, points, bar):
    problem = sb.get_problem(name)
    s, t = problem.span
    reference = oracle.trajectory(problem, problem.initial(points, 0), (s, t))
    assert reference.error[0] == 0.0
    assert 0 < reference.error[1] < bar


def test_times_in_any_order_and_both_directions():
    problem = sb.get_problem("mixture-2d")
    u = [problem.schedule.t(lam) for lam in (0.5, 0.1, 0.9, 0.5, -0.2)]
    x = problem.law.marginal(problem.schedule, u[0]).sample(8, seed=0)
    reference = oracle.trajectory(problem, x, u)
    assert torch.equal(reference.states[0], x)
    assert torch.equal(reference.states[3], x)
    assert max(reference.error) < 1e-13
    for state, t in zip(reference.states, u):
        back = oracle.trajectory(problem, state, (t, u[0])).states[1]
        assert (back - x).abs().max() < 1e-13


@pytest.mark.parametrize("name", ["mixture-1d", "product-16d", "gaussian"])
def test_exact_flow_is_taken_where_there_is_one(name):
    problem = sb.get_problem(name)
    s, t = problem.span
    x = problem.initial(6, 0)
    reference = oracle.trajectory(problem, x, (s, t))
    assert torch.equal(reference.states[1], problem.solution(x, s, t))
    assert 0 < reference.error[1] < 1e-13


@pytest.mark.parametrize("schedule", ["VPLinear", "VE", "EDM", "Rectified"])
def test_schedules_agree_on_the_same_law(schedule):
    """x/alpha at equal lam does not depend on the schedule: a slip in either change of variables would show."""
    a, b = sb.get_problem("mixture-2d"), sb.get_problem(f"mixture-2d[schedule={schedule}]")
    x = a.initial(8, 0)
    y = x / a.schedule.alpha(a.span[0]) * b.schedule.alpha(b.span[0])
    end_a = oracle.trajectory(a, x, a.span).states[1] / a.schedule.alpha(a.span[1])
    end_b = oracle.trajectory(b, y, b.span)
    assert end_b.error[1] < 1e-12
    assert (end_b.states[1] / b.schedule.alpha(b.span[1]) - end_a).abs().max() < 1e-12


def test_a_fault_of_one_integrator_becomes_the_error_bar(monkeypatch):
    problem = sb.get_problem("mixture-2d")
    right = oracle.dop853
    monkeypatch.setattr(oracle, "dop853", lambda *a: right(*a) * (1 + 1e-6))
    assert oracle.trajectory(problem, problem.initial(4, 0), problem.span).error[1] > 1e-7


def test_a_short_hop_is_one_macro_step():
    problem = sb.get_problem("mixture-2d")
    s, ns = problem.span[0], problem.schedule
    counted = sb.Counted(problem.model)
    problem.__dict__["model"] = counted
    oracle.extrapolated(problem, problem.initial(4, 0), s, ns.t(ns.lam(s) + 0.2))
    assert counted.nfe < 60


def test_midpoint_extrapolation_has_even_powers():
    """y' = y: the second column of the tableau is of order 4, the third of order 6."""
    y = torch.ones(1, 1, dtype=torch.float64)

    def error(h, columns):
        row = []
        for j in range(columns):
            new = [oracle._midpoint_rule(lambda _, v: v, y, y, 0.0, h, 2 * (j + 1))]
            for k in range(j):
                new.append(new[k] + (new[k] - row[k]) / (((j + 1) / (j - k)) ** 2 - 1))
            row = new
        return abs(float(row[-1]) + 1 - float(torch.tensor(h, dtype=torch.float64).exp()))

    for columns in (1, 2, 3):
        rate = torch.log2(torch.tensor(error(0.4, columns) / error(0.2, columns)))
        assert abs(float(rate) - (2 * columns + 1)) < 0.2


@pytest.mark.parametrize(
    ("x", "times", "says"),
    [
        (torch.zeros(2, 2, dtype=torch.float64), (), "no times"),
        (torch.zeros(2, 3, dtype=torch.float64), (0.5, 0.4), r"shape \(2, 3\): give a floating \(n, 2\)"),
        (torch.zeros(2, 2, dtype=torch.int64), (0.5, 0.4), "the state is torch.int64"),
        (torch.zeros(2, 2, dtype=torch.float64), (0.5, -0.4), "outside the domain"),
    ],
)
def test_bad_input(x, times, says):
    with pytest.raises(UsageError, match=says):
        oracle.trajectory(sb.get_problem("mixture-2d"), x, times)
