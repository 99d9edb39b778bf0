"""Guided problems: their references, the orders of solvers on them, and the studies that refuse them."""

import numpy as np
import pytest
import torch
from scipy.integrate import solve_ivp

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.engine import suite
from sdebench.laws import oracle
from sdebench.problems import GuidedProblem, LabelledMixture
from sdebench.problems.guided_flow import guided_problem

F = torch.float64
SPECS = ["guided-2d[w=0]", "guided-2d", "guided-2d[w=7.5]", "guided-16d[w=1]", "guided-16d[w=7.5]"]
WIDE = ["guided-2d[w=10,noisy=-4,clean=3]", "guided-16d[w=10,noisy=-4,clean=3]"]


@pytest.mark.parametrize("spec", SPECS + WIDE)
def test_the_two_integrators_agree(spec):
    problem = sb.get_problem(spec)
    reference = oracle.trajectory(problem, problem.initial(16, 0), problem.span)
    assert 0 < reference.error[1] < 1e-12


def test_a_third_integrator_agrees_too():
    """Radau in t, implicit: for x of dx/dt = f x - g2/2 score."""
    problem, ns = sb.get_problem("guided-2d[w=7.5]"), sb.get_problem("guided-2d").schedule
    x = problem.initial(2, 0)

    def slope(t, flat):
        y = torch.from_numpy(flat).view(2, 2)
        return (ns.f(t) * y - 0.5 * ns.g2(t) * problem.model(y, t).score).numpy().ravel()

    run = solve_ivp(slope, problem.span, x.numpy().ravel(), method="Radau", rtol=1e-10, atol=1e-12)
    exact = oracle.trajectory(problem, x, problem.span).states[1]
    assert np.abs(run.y[:, -1] - exact.numpy().ravel()).max() < 1e-8


def test_unguided_it_is_the_flow_of_the_label_which_has_a_formula():
    """w = 0, a label of one Gaussian: both integrators against the closed form, within ten times their bar."""
    labelled = LabelledMixture([0.3, 0.7], [[1.0, 0.0], [-1.0, 0.5]], [0.3, 0.2], (0, 1))
    problem = guided_problem("mine", labelled, 0, 0.0, "EDM", (-1.0, 2.0))
    x = problem.initial(16, 0)
    reference = oracle.trajectory(problem, x, problem.span)
    right = labelled.given(0).flow(x, problem.schedule, *problem.span)
    assert float((reference.states[1] - right).square().mean().sqrt()) < 10 * reference.error[1] + 1e-14


def test_guidance_moves_the_flow_to_the_label():
    """The share of end points of which the label is the likeliest rises with w."""
    law = sb.get_problem("guided-2d").labelled
    shares = []
    for w in (-1.0, 0.0, 3.0):
        problem = sb.get_problem(f"guided-2d[w={w}]")
        end = oracle.extrapolated(problem, problem.initial(200, 0), *problem.span)
        cond, whole = (p.marginal(problem.schedule, problem.span[1]) for p in (law.given(0), law.law))
        posterior = (cond.log_prob(end) - whole.log_prob(end)).exp() * law.probability(0)
        shares.append(float((posterior > 0.5).double().mean()))
    assert shares[0] < shares[1] < shares[2]


@pytest.mark.parametrize("w", [1, 3])
@pytest.mark.parametrize(
    ("solver", "order"), [("ddim", 1), ("dpm-solver++-2m", 2), ("dpm-solver-3", 3), ("unipc-3", 3), ("krogstad-4", 4)]
)
def test_orders_are_kept(solver, order, w):
    """Global order on irregular steps, as without guidance."""
    found = sb.measure_order(solver, f"guided-2d[w={w}]", "global", "irregular", points=16)
    assert found.verdict == "confirmed", found
    assert abs(found.order - order) < 0.1


@pytest.mark.parametrize("solver", ["ddim", "dpm-solver-3"])
def test_orders_are_kept_in_sixteen_dimensions_at_the_largest_weight(solver):
    found = sb.measure_order(solver, "guided-16d[w=7.5]", "global", "irregular", points=8)
    assert found.verdict == "confirmed", found


def test_the_draws_are_those_of_the_label_and_the_model_is_the_guided_one():
    problem = sb.get_problem("guided-2d[w=3]")
    s = problem.span[0]
    assert isinstance(problem, GuidedProblem)
    assert torch.equal(problem.initial(5, 1), problem.labelled.given(0).marginal(problem.schedule, s).sample(5, 1))
    x = problem.initial(5, 0)
    right = problem.labelled.guided_model(problem.schedule, 0, 3.0)(x, s).eps
    assert torch.equal(problem.model(x, s).eps, right)
    with pytest.raises(UsageError, match="number of points is 0"):
        problem.initial(0, 0)


NO_LAW = "'guided-2d' has no law, since the marginals of a guided flow are not a diffusion of a law: give"
STUDY = {"problems": ["guided-2d[w=3]"]}


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda: sb.measure_order("ddpm", "guided-2d"), NO_LAW),
        (lambda: sb.measure_order("ddpm", sb.get_problem("guided-2d"), "weak"), NO_LAW),
        (lambda: suite.expand({"study": "law", "solvers": ["ddim"]} | STUDY), NO_LAW),
        (lambda: suite.expand({"study": "order", "solvers": ["ddpm"], "kinds": ["weak"]} | STUDY), NO_LAW),
        (lambda: sb.get_problem("guided-2d").law.marginal(sb.schedules.EDM(), 0.5), NO_LAW),
        (lambda: suite.expand({"study": "family"} | STUDY), "not a mixture in one dimension"),
        (lambda: suite.expand({"study": "score-matching"} | STUDY), "not a mixture in one or two dimensions"),
        (lambda: sb.get_problem("guided-2d[w=a]"), "setting 'w' of 'guided-2d' is 'a'"),
        (lambda: sb.get_problem("guided-2d[scale=3]"), "unknown setting 'scale'.*it has settings: w, schedule, noisy, clean"),
        (lambda: sb.get_problem("guided-2d[schedule=EMD]"), "did you mean 'EDM'"),
        (
            lambda: guided_problem("mine", sb.get_problem("guided-2d").labelled, 5, 1.0, "EDM", (-1, 1)),
            "no component has the label 5",
        ),
        (lambda: guided_problem("mine", sb.get_problem("guided-2d").labelled, 0, None, "EDM", (-1, 1)), "w is None"),
    ],
)
def test_what_is_refused_is_refused_in_one_line(ask, says):
    with pytest.raises(UsageError, match=says) as caught:
        ask()
    assert "\n" not in str(caught.value)


def test_weak_orders_are_left_out_unless_asked_for_and_strong_ones_are_measured():
    cases = suite.expand({"study": "order", "solvers": ["ddpm"]} | STUDY)
    assert {task.case.kind for task in cases} == {"strong"}
