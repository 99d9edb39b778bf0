"""The two loops that cross a grid: what they hand to the step, what they refuse, and the controller's promises."""

from dataclasses import dataclass, field
from itertools import pairwise
from math import nan

import pytest
import torch

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.integration.integrate import integrate, integrate_adaptive
from sdebench.integration.solver import Node, Sampler, Solver, Step, remember

PB = sb.get_problem("mixture-1d")
X = PB.initial(16, 0)
S, T = PB.span
PAIRS = ("dpm-solver-12", "dpm-solver-23")


@dataclass(frozen=True)
class Told(Solver):
    """Adds one to the state, and writes down what it was told."""

    told: list = field(default_factory=list)
    order, nfe_per_step, memory = 1, 1, 2

    def step(self, model, x, s, t, past=(), noise=None):
        self.told.append((s, t, tuple(node.t for node in past), noise))
        return Step(x + 1, remember(Node(s, model(x, s)), past, 2))


def test_integrate_hands_on_the_state_the_past_and_the_noise():
    solver = Told()
    out = integrate(solver, PB.model, X, (0.9, 0.5, 0.4, 0.1), noise="white")
    assert torch.allclose(out, X + 3)
    assert solver.told == [(0.9, 0.5, (), "white"), (0.5, 0.4, (0.9,), "white"), (0.4, 0.1, (0.5, 0.9), "white")]


def test_a_sampler_is_given_the_whole_grid():
    class Mine(Sampler):
        order, nfe_per_step = 1, 1

        def sample(self, model, x, grid, noise=None):
            return x + len(grid) + noise

    assert torch.equal(integrate(Mine(), PB.model, X, [0.9, 0.5, 0.1], noise=2), X + 5)


@pytest.mark.parametrize("grid", [(0.2, 0.6), (0.5,), (), (0.6, 0.6), (0.6, nan), (0.9, 0.3, 0.4)])
@pytest.mark.parametrize("name", ["ddim", "dpm-solver++-3m", "scipy-rk45", "dpm-solver-fast"])
def test_a_grid_that_does_not_decrease_is_refused(name, grid):
    with pytest.raises(UsageError, match="give "):
        integrate(sb.get_solver(name), PB.model, X, grid)


@pytest.mark.parametrize("grid", [(1.5, 0.8, 0.2, 0.1), (0.6, 0.3, 0.2, -1.0)])
@pytest.mark.parametrize("name", sb.list_solvers())
def test_a_time_out_of_the_domain_is_refused(name, grid):
    """Also by methods in t that never ask for lam: a state at t = -1 is none."""
    with pytest.raises(UsageError, match="domain"):
        integrate(sb.get_solver(name), PB.model, X[:2], grid)


def test_what_is_remembered_is_cut():
    nodes = tuple(Node(t, None) for t in (0.3, 0.4, 0.5))
    new = Node(0.2, None)
    assert remember(new, nodes, 0) == ()
    assert remember(new, nodes, 1) == (new,)
    assert remember(new, nodes, 3) == (new, *nodes[:2])
    assert remember(new, (), 3) == (new,)


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("rtol", [1e-2, 1e-4, 1e-6])
def test_an_adaptive_run_reports_the_grid_that_it_took(name, rtol):
    solver = sb.get_solver(name)
    x, taken = integrate_adaptive(solver, PB.model, X, S, T, rtol=rtol)
    assert (taken[0], taken[-1]) == (S, T)
    assert all(a > b for a, b in pairwise(taken))
    assert torch.equal(integrate(solver, PB.model, X, taken), x), "on the accepted grid it is the plain run"


@pytest.mark.parametrize("name", PAIRS)
def test_its_error_is_about_its_tolerance(name):
    exact = PB.solution(X, S, T)
    for rtol in (1e-3, 1e-5):
        error = float((integrate_adaptive(sb.get_solver(name), PB.model, X, S, T, rtol=rtol)[0] - exact).abs().max())
        assert error < 10 * rtol


@pytest.mark.parametrize(("name", "low"), [*zip(PAIRS, ["dpm-solver-1", "dpm-solver-2[r=0.3333333333333333]"])])
def test_the_error_estimate_is_the_difference_from_the_lower_method(name, low):
    pair, lower = sb.get_solver(name), sb.get_solver(low)
    s, t = 0.5, 0.45
    step = pair.step(PB.model, X, s, t)
    assert torch.allclose(step.error, step.x - lower.step(PB.model, X, s, t).x, rtol=1e-10, atol=1e-14)


def test_rejected_steps_cost_but_do_not_move():
    """A first step as long as the span is refused until it is short enough."""
    solver, model = sb.get_solver("dpm-solver-23"), sb.Counted(PB.model)
    span = PB.schedule.lam(T) - PB.schedule.lam(S)
    _, taken = integrate_adaptive(solver, model, X, S, T, rtol=1e-6, h=span)
    attempts = model.nfe // 3
    assert attempts > len(taken) - 1
    assert PB.schedule.lam(taken[1]) - PB.schedule.lam(S) < span / 5


def test_the_tolerance_holds_for_each_sample():
    """One stiff sample among many easy ones is not averaged away: the grid is that of the worst."""
    solver = sb.get_solver("dpm-solver-12")
    worst = max(len(integrate_adaptive(solver, PB.model, x[None], S, T)[1]) for x in X)
    assert len(integrate_adaptive(solver, PB.model, X, S, T)[1]) >= worst - 1


def test_a_solver_without_an_estimate_is_refused():
    with pytest.raises(UsageError, match="no embedded error estimate: use integrate, or a pair"):
        integrate_adaptive(sb.get_solver("ddim"), PB.model, X, S, T)


@pytest.mark.parametrize(
    ("s", "t", "settings"),
    [
        (T, S, {}),
        (S, 2.0, {}),
        (nan, T, {}),
        (1.5, T, {}),
        (S, T, {"rtol": 0.0}),
        (S, T, {"rtol": -1.0}),
        (S, T, {"rtol": nan}),
        (S, T, {"h": -1.0}),
    ],
)
def test_bad_settings_of_an_adaptive_run_are_refused(s, t, settings):
    with pytest.raises(UsageError, match="give "):
        integrate_adaptive(sb.get_solver("dpm-solver-12"), PB.model, X, s, t, **settings)


@pytest.mark.parametrize(
    ("s", "t", "settings"), [("a", T, {}), (None, T, {}), (S, T, {"rtol": "a"}), (S, T, {"h": "a"}), (PB.span, T, {})]
)
def test_settings_of_an_adaptive_run_that_are_no_numbers_are_refused(s, t, settings):
    with pytest.raises(UsageError, match="give s > t, rtol > 0"):
        integrate_adaptive(sb.get_solver("dpm-solver-12"), PB.model, X, s, t, **settings)


def test_an_adaptive_run_wants_a_deterministic_solver_a_model_and_a_state():
    pair = sb.get_solver("dpm-solver-12")
    for none in ("ddpm", "scipy-rk45"):
        with pytest.raises(UsageError, match="no embedded error estimate: use integrate, or a pair"):
            integrate_adaptive(sb.get_solver(none), PB.model, X, S, T)
    for arguments, says in [
        (("dpm-solver-12", PB.model, X), "is not a solver"),
        ((pair, PB, X), "is not a model"),
        ((pair, PB.model, [1.0]), "the state is .*: give a tensor"),
    ]:
        with pytest.raises(UsageError, match=says):
            integrate_adaptive(*arguments, S, T)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("ddim", PB.model, X, PB.span), "'ddim' is not a solver: give an instance"),
        ((X, PB.model, X, PB.span), r"tensor.* is not a solver"),
        ((Told(), PB, X, PB.span), "is not a model: give .* a problem's .model"),
        ((Told(), X, PB.model, PB.span), r"tensor.* is not a model"),
        ((Told(), PB.model, [1.0], PB.span), r"the state is \[1.0\]: give a tensor"),
        ((Told(), PB.model, X.numpy(), PB.span), "the state is array.*: give a tensor"),
        ((Told(), PB.model, X, 10), "a grid of 10: give a sequence of times"),
        ((sb.get_solver("ddpm"), PB.model, X, PB.span, torch.randn(16, 1)), "got the noise tensor.*: give noise="),
    ],
)
def test_a_run_of_what_is_none_is_refused_in_one_line(arguments, says):
    with pytest.raises(UsageError, match=says) as caught:
        integrate(*arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("end", "what"), [("a", "'a'"), (None, "None"), (X[:2], "a tensor"), (X.numpy(), "array")])
def test_a_run_that_ends_in_no_state_is_refused(end, what):
    class Ends(Told):
        def step(self, model, x, s, t, past=(), noise=None):
            return sb.Step(end)

    with pytest.raises(UsageError, match=f"Ends gave {what}.* for a state .*: return a tensor of the state's shape"):
        integrate(Ends(), PB.model, X, PB.span)


@pytest.mark.parametrize(("claim", "value"), [("order", "two"), ("order", -1), ("nfe_per_step", None)])
def test_a_claim_that_is_no_number_is_refused(claim, value):
    lying = type("Lying", (Told,), {claim: value})()
    with pytest.raises(UsageError, match=f"Lying states {claim} = .*: give a number, 0 or more"):
        integrate(lying, PB.model, X, PB.span)


def test_a_run_that_cannot_end_says_so():
    solver = sb.get_solver("dpm-solver-12")
    with pytest.raises(RuntimeError, match="more than 3 steps"):
        integrate_adaptive(solver, PB.model, X, S, T, rtol=1e-9, max_steps=3)
    with pytest.raises(RuntimeError, match="diverged"):
        integrate_adaptive(solver, PB.model, torch.full_like(X, nan), S, T)


@pytest.mark.parametrize(
    ("noise", "match"),
    [
        (None, "is stochastic: give noise="),
        (7, "got the noise 7"),
        (sb.WhiteNoise(PB.schedule, (len(X) + 1, *X.shape[1:])), "has shape"),
        (sb.WhiteNoise(sb.schedules.EDM(), X.shape), "one schedule to both"),
    ],
)
def test_a_noise_that_does_not_fit_is_refused(noise, match):
    with pytest.raises(UsageError, match=match):
        integrate(sb.get_solver("ddpm"), PB.model, X, PB.span, noise)
