"""Which laws are to be had at a fair price, and that the studies of orders and of laws go by one answer."""

import pytest

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.laws.feasible import has_noise_inside, kind_of, why_not
from sdebench.problems import GaussianMixture, Problem
from sdebench.studies.law import LawSettings, LawStudy
from sdebench.studies.order import OrderSettings, OrderStudy, stochastic
from sdebench.studies.order.measure import kinds_of
from sdebench.studies.setting import setting

GAUSSIAN, LINE, PLANE = (sb.get_problem(name) for name in ("gaussian", "mixture-1d", "mixture-2d"))


def test_the_way_to_a_law_is_the_problem_s():
    assert (kind_of(GAUSSIAN), kind_of(LINE)) == ("gaussian", "quadrature")
    one = Problem("one", GaussianMixture([1.0], [[0.3]], [0.25]), LINE.schedule, LINE.span)
    assert kind_of(one) == "gaussian", "one component in one dimension"
    with pytest.raises(UsageError, match="'mixture-2d' has no law in closed form: give one Gaussian"):
        kind_of(PLANE)


@pytest.mark.parametrize(
    ("spec", "problem", "reason"),
    [
        ("ddim", GAUSSIAN, ""),
        ("ddim", LINE, ""),
        ("srk-additive", LINE, ""),
        ("restart", LINE, ""),
        ("sde-dpm-solver-2m", GAUSSIAN, ""),
        ("seeds-3", GAUSSIAN, ""),
        ("dpm-solver++-2m", LINE, ""),
        ("sde-dpm-solver-2m", LINE, "it has a memory of 1"),
        ("seeds-3", LINE, "more than 1 noise enters its stages"),
        ("sa-solver-p1c1", LINE, "no noise of it enters its last line alone"),
        ("predictor-corrector", GAUSSIAN, "it is not linear in its vectors"),
        ("euler-maruyama[eta=0]", LINE, "it draws no noise"),
        ("scipy-rk45", GAUSSIAN, "it chooses its own steps"),
        ("ddim", PLANE, "problem 'mixture-2d' has no law in closed form"),
    ],
)
def test_why_a_method_has_no_law(spec, problem, reason):
    assert why_not(sb.get_solver(spec), problem) == reason


def test_noise_that_only_the_last_line_sees_is_not_inside():
    assert [has_noise_inside(sb.get_solver(name), LINE) for name in ("euler-maruyama", "restart", "seeds-2")] == [0, 0, 1]


def test_both_studies_go_by_it():
    """The order study measures weak orders by itself where the law study has a case."""
    for problem in ("gaussian", "mixture-1d"):
        asked = {"solvers": sb.list_solvers(), "problems": (problem,)}
        with pytest.warns(UserWarning, match="left out"):
            has_law = {case.solver for case in LawStudy().cases(LawSettings(**asked))}
        weak = {case.solver for case in OrderStudy().cases(OrderSettings(**asked)) if case.kind == "weak"}
        assert weak == {name for name in has_law if "weak" in kinds_of(sb.get_solver(name))}
    asked = OrderSettings(solvers=("ddpm",), problems=("mixture-2d",))
    assert not [case for case in OrderStudy().cases(asked) if case.kind == "weak"]


@pytest.mark.parametrize(
    ("spec", "problem", "way"),
    [
        ("ddpm", "gaussian", "_moments"),
        ("predictor-corrector", "gaussian", "_sampled_moments"),
        ("restart", "mixture-1d", "_expectation"),
        ("seeds-3", "mixture-1d", "_coupled"),
        ("ddpm", "mixture-2d", "_coupled"),
    ],
)
def test_weak_errors_are_measured_the_best_way_that_there_is(spec, problem, way, monkeypatch):
    for name in ("_moments", "_sampled_moments", "_expectation", "_coupled"):
        monkeypatch.setattr(stochastic, name, lambda *_, name=name: name)
    assert stochastic.weak(sb.get_solver(spec), setting(problem, 4, 0), "uniform_lam") == way


def test_the_weak_order_of_a_sampler_by_quadrature():
    measured = sb.measure_order("restart", "mixture-1d", "weak", "irregular")
    assert measured.order == pytest.approx(2, abs=0.1)
    assert measured.half_width < 0.1
