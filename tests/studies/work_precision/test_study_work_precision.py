"""The work-precision study: budgets, spans that reach both ends, and its published suites of guidance and of flows."""

import tomllib
from math import isfinite

import pytest

import sdebench as sb
from sdebench.engine.suite import load_suite
from sdebench.studies.setting import setting
from sdebench.studies.work_precision import WorkPrecisionCase
from sdebench.studies.work_precision.measure import measure, steps_for


def run(solver: str, problem: str, budgets=(8, 15, 50), grid: str = "uniform_t") -> dict:
    return measure(WorkPrecisionCase(solver, problem, "nfe", grid, points=16, budgets=budgets)).data


@pytest.mark.parametrize("solver", ["ddim", "heun-t", "dpm-solver++-2m", "unipc-2"])
def test_a_whole_run_from_noise_to_data_is_measured_against_the_exact_flow(solver):
    """From alpha = 0 to sigma = 0, where lam is infinite: the errors are those of integrate on the same grid."""
    data, problem, made = run(solver, "flow-16d"), sb.get_problem("flow-16d"), sb.get_solver(solver)
    x = problem.initial(16, 0)
    for n, h, rms in zip(data["n"], data["h"], data["rms"]):
        end = sb.integrate(made, problem.model, x, sb.grids.uniform_t(problem.schedule, 1.0, 0.0, n))
        assert rms == pytest.approx(float((end - problem.solution(x, 1.0, 0.0)).square().mean().sqrt()), rel=1e-9)
        assert h == 1 / n
    assert data["rms"][0] > data["rms"][1] > data["rms"][2]
    assert max(data["floor"]) < 1e-12


def test_inside_nothing_is_otherwise():
    """A span that reaches no end has its mean step in lam."""
    at = setting("guided-2d[w=1]", 16, 0)
    data = run("ddim", "guided-2d[w=1]", (8,), "uniform_lam")
    assert data["h"] == [at.grid("uniform_lam", 8)[1]]


def test_a_grid_of_lam_does_not_reach_an_end():
    with pytest.raises(sb.UsageError, match="outside"):
        run("ddim", "flow-16d", (8,), "uniform_lam")


def test_an_impure_method_is_named_on_a_whole_run_too():
    from mutants import one_step

    name = f"{one_step.__name__}:{one_step.MutatesItsInput.__name__}"
    with pytest.raises(sb.UsageError, match="writes into its input"):
        run(name, "flow-16d", (8,))


def test_a_guided_evaluation_is_one_call():
    """Of double batch: so a run of 8 steps of one has 8."""
    data = run("ddim", "guided-2d[w=3]", (8,), "uniform_lam")
    assert data["nfe"] == [8]
    assert all(map(isfinite, data["rms"]))


def test_the_suite_of_guidance_names_what_exists():
    name, tasks = load_suite("benchmarks/guided.toml")
    weights = {task.case.problem.partition("w=")[2].partition(",")[0].rstrip("]") for task in tasks}
    assert name == "guided"
    assert weights == {"0", "1", "3", "7.5", "10"}
    budgets = {task.case.budgets for task in tasks if task.study.name == "work-precision"} - {None}
    assert all({5, 8, 10, 15, 20, 50} <= set(found) for found in budgets)


def test_the_suite_of_flows_names_solvers_and_problems_that_exist():
    """Its grid `shifted` is that of image and video models."""
    with open("benchmarks/flows.toml", "rb") as file:
        tables = tomllib.load(file)["study"]
    for table in tables:
        for solver in table["solvers"]:
            sb.get_solver(solver)
        for problem in table["problems"]:
            sb.get_problem(problem)
    assert {grid for table in tables for grid in table.get("grids", ())} == {"uniform_t", "shifted[shift=3]"}
    assert steps_for(sb.get_solver("ddim"), (5, 8)) == (5, 8)
