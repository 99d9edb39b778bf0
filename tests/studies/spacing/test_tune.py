"""The search for a grid: never worse than what is known, judged on unseen points, and the optimum where it is known."""

import json
from itertools import pairwise

import numpy as np
import pytest

import sdebench as sb
from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.integration.integrate import integrate
from sdebench.studies.quality import error as quality_error
from sdebench.studies.spacing.tune import KNOWN, on_problem, tune


def tuned_on(solver, nfe):
    solver = sb.get_solver(solver)
    return tune(solver, on_problem(solver, sb.get_problem("mixture-1d"), 32, 0), nfe)


@pytest.fixture(scope="module")
def tuned():
    return tuned_on("dpm-solver++-2m", 6)


def test_it_is_better_than_the_best_known_grid_on_points_that_it_has_not_seen(tuned):
    assert tuned.best.grid == "tuned"
    assert tuned.gain > 1.2
    assert {row.grid for row in tuned.rows} == {*KNOWN, "tuned"}
    assert [row.unseen for row in tuned.rows] == sorted(row.unseen for row in tuned.rows)


def test_its_errors_are_those_of_runs(tuned):
    problem = sb.get_problem("mixture-1d")
    for row in tuned.rows:
        for seed, told in ((0, row.searched), (1, row.unseen)):
            x = problem.initial(32, seed)
            found = integrate(sb.get_solver("dpm-solver++-2m"), problem.model, x, row.times)
            exact = problem.solution(x, *problem.span)
            assert float((found - exact).square().mean().sqrt()) == pytest.approx(told, rel=1e-9)


def test_one_step_between_is_where_a_scan_finds_it():
    """With two steps there is one number to choose: the minimum of a fine scan is met."""
    problem, solver = sb.get_problem("mixture-1d"), sb.get_solver("ddim")
    tuned = tuned_on("ddim", 2)
    row = next(row for row in tuned.rows if row.grid == "tuned")
    ns, (s, t), x = problem.schedule, problem.span, problem.initial(32, 0)
    exact = problem.solution(x, s, t)
    middles = np.linspace(ns.lam(s), ns.lam(t), 801)[1:-1]
    errors = [float((integrate(solver, problem.model, x, (s, ns.t(m), t)) - exact).square().mean().sqrt()) for m in middles]
    assert row.searched <= min(errors) * (1 + 1e-6)
    assert ns.lam(row.times[1]) == pytest.approx(middles[int(np.argmin(errors))], abs=0.02)


def test_the_list_is_read_back(tuned):
    problem = sb.get_problem("mixture-1d")
    spec = grids.normal(",".join(map(repr, tuned.sigmas())))
    assert grids.get(spec)(problem.schedule, *problem.span, 6) == pytest.approx(tuned.best.times, rel=1e-9)
    assert all(a > b for a, b in pairwise(tuned.sigmas()))


@pytest.mark.parametrize(
    ("solver", "nfe", "line"),
    [
        ("ddim", 1, "1 evaluations are 1 steps of this method: give a budget of 2 to 100 steps"),
        ("heun-edm", 1000, "1000 evaluations are 500 steps of this method"),
        ("ddpm", 8, "is stochastic"),
        ("scipy-rk45", 8, "chooses its own steps"),
    ],
)
def test_what_has_no_grid_to_tune_is_refused(solver, nfe, line):
    with pytest.raises(UsageError, match=line):
        tuned_on(solver, nfe)


def test_the_command_writes_a_list_that_a_run_reads_and_nothing_of_others(sdebench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = ("tune", "--solver", "ddim", "--nfe", 4, "--problem", "mixture-1d", "--points", 8)
    status, out, err = sdebench(*words, "--out", "grid.txt")
    assert status == 0, err
    assert "sigmas: 2.71828," in out
    assert sdebench(*words, "--out", "grid.txt")[0] == 0
    assert sdebench("order", "ddim", "--problem", "mixture-1d", "--grid", "grid.txt")[0] in (0, 1)
    (tmp_path / "notes.txt").write_text("precious")
    status, out, err = sdebench(*words, "--out", "notes.txt")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    assert (tmp_path / "notes.txt").read_text() == "precious"


def test_a_network_is_tuned_against_its_converged_trajectory(sdebench, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(quality_error, "FINE", (("unipc-3", "uniform_lam", 30), ("dpm-solver++-2m", "uniform_lam", 60)))
    quality_error.converged.cache_clear()
    words = ("tune", "--solver", "dpm-solver++-2m", "--nfe", 3, "--model", "digits-exact", "--points", 2, "--json")
    status, out, err = sdebench(*words)
    assert status == 0, err
    found = json.loads(out)
    errors = {row["grid"]: row["searched"] for row in found["rows"]}
    assert errors["tuned"] < min(error for grid, error in errors.items() if grid != "tuned")
    quality_error.converged.cache_clear()
    status, out, err = sdebench("tune", "--model", "digits-exact", "--problem", "mixture-1d")
    assert (status, out) == (2, "")
    assert "give one of them" in err
