"""The study of the ends: errors against closed forms, exponents that theory knows, what is left out, and its section."""

from math import sqrt
from pathlib import Path

import pandas as pd
import pytest

import sdebench as sb
from sdebench import report
from sdebench.catalogue import expand_solvers
from sdebench.engine.suite import load_suite
from sdebench.fit import fit_order
from sdebench.problems import GaussianMixture, Problem
from sdebench.records import make_record
from sdebench.schedules import VE, Rectified, VPCosine, VPLinear
from sdebench.studies.base import get_study
from sdebench.studies.ends import EndsCase, EndsSettings
from sdebench.studies.ends.levels import ENDS, LEVELS
from sdebench.studies.ends.measure import cases, end_time, exact, level_time, measure
from sdebench.studies.ends.tables import SHOWN, ends_frame, ends_tables
from sdebench.studies.settings import read_settings

FLOW, LAW = "mixture-1d[schedule=Rectified]", "gaussian[schedule=Rectified]"


def one_gaussian(schedule: str = "Rectified") -> Problem:
    """N(0.5, 0.3^2) in one dimension, as a problem of this file."""
    ns = sb.schedules.SCHEDULES[schedule]()
    return Problem("one", GaussianMixture([1.0], [[0.5]], [0.09]), ns, (ns.t(-1.0), ns.t(1.0)))


ONE = f"{__name__}:one_gaussian"


def case(solver: str, end: str, problem: str = FLOW) -> EndsCase:
    return EndsCase(solver, problem, end, 0, 32)


def exponent(solver: str, end: str) -> float:
    data = measure(case(solver, end)).data
    fit = fit_order(data["h"], data["rms"], data["floor"])
    assert fit.resolved, fit.reason
    return fit.order


# ------------------------------------------------------------------------------------------------------------- references


@pytest.mark.parametrize("problem", [FLOW, "mixture-1d[schedule=VPCosine]"])
@pytest.mark.parametrize("end", ENDS)
def test_the_quantile_flow_and_an_integrator_agree_up_to_the_ends(problem, end):
    """DOP853 knows neither quantiles nor the ends: what it misses is the error bar."""
    known = exact(problem, end, 32, 0)
    assert len(known.states) == len(LEVELS)
    assert 0 < max(known.errors) < 1e-12


@pytest.mark.parametrize("problem", ["mixture-2d[schedule=Rectified]", "guided-16d[w=3]"])
@pytest.mark.parametrize(("end", "bar"), [("noise", 1e-10), ("data", 1e-13)])
def test_without_a_formula_two_integrators_agree_up_to_the_ends(problem, end, bar):
    """At the noisy end both are integrated from sigma/alpha = 5e5, whose rounding is the bar."""
    assert 0 < max(exact(problem, end, 16, 0).errors) < bar


@pytest.mark.parametrize("end", ENDS)
def test_with_its_formula_hidden_a_flow_has_the_same_states(end, monkeypatch):
    """Quantiles against both integrators, at the end and at all levels, within ten bars."""
    known = exact(FLOW, end, 16, 1)
    monkeypatch.setattr(Problem, "has_solution", False)
    exact.cache_clear()
    found = exact(FLOW, end, 16, 1)
    exact.cache_clear()
    for state, other in zip((known.end, *known.states), (found.end, *found.states)):
        assert float((state - other).square().mean().sqrt()) < 10 * max(found.errors)


@pytest.mark.parametrize(("end", "exponents"), [("noise", (2, 3)), ("data", (2, 2))])
def test_exponents_are_those_of_an_unguided_flow(end, exponents):
    """Euler's step and Heun's in t, guided: at sigma = 0 Heun's is Euler's, as in flow schedulers."""
    for solver, expected in zip(("euler-t", "heun-t"), exponents):
        data = measure(case(solver, end, "guided-16d[w=3]")).data
        assert fit_order(data["h"], data["rms"], data["floor"]).order == pytest.approx(expected, abs=0.1)


def test_the_references_are_those_of_one_gaussian():
    known, ns, t = exact(ONE, "noise", 32, 0), Rectified(), None
    for level, state in zip(LEVELS, known.states):
        t = level_time(ns, "noise", level)
        expected = ns.alpha(t) * 0.5 + sqrt(ns.alpha(t) ** 2 * 0.09 + t * t) * known.end
        assert float((state - expected).abs().max()) < 1e-13


# ---------------------------------------------------------------------------------------------------------- closed forms


def test_ddims_first_step_on_one_gaussian():
    """It puts back x; the flow, sqrt(alpha^2 v + sigma^2)/sigma of it."""
    data, x = measure(case("ddim", "noise", ONE)).data, exact(ONE, "noise", 32, 0).end
    for level, rms in zip(data["h"], data["rms"]):
        t = level_time(Rectified(), "noise", level)
        off = (sqrt((1 - t) ** 2 * 0.09 + t * t) - t) * x
        assert rms == pytest.approx(float(off.square().mean().sqrt()), rel=1e-9, abs=1e-14)


def test_ddims_last_step_on_one_gaussian():
    """It shrinks by v/(v + rho^2), the flow by the root of that: c sigma^2 with c = 1/(2 v)."""
    data, known = measure(case("ddim", "data", ONE)).data, exact(ONE, "data", 32, 0)
    for level, rms in zip(data["h"], data["rms"]):
        kept = 0.09 / (0.09 + level * level)
        off = (sqrt(kept) - 1) * (known.end - 0.5)
        assert rms == pytest.approx(float(off.square().mean().sqrt()), rel=1e-9)
    assert data["rms"][-1] / float((known.end - 0.5).square().mean().sqrt()) == pytest.approx(LEVELS[-1] ** 2 / 0.18, rel=1e-4)


def test_the_law_of_a_last_step_is_as_far_off_as_the_noise_that_it_takes_away():
    """A denoised state has too little variance, v^2/(v + s^2), one with its noise left in too much, v + s^2: to s^4 alike."""
    denoised, left = (measure(case(name, "data", LAW)).data["rms"][-1] for name in ("ddpm", "annealed-langevin"))
    assert denoised == pytest.approx(left, rel=1e-3)
    assert measure(case("annealed-langevin", "data", LAW)).data["nfe"] == [0] * len(LEVELS)


# -------------------------------------------------------------------------------------------------------------- exponents


@pytest.mark.parametrize(
    ("solver", "end", "expected"),
    [
        ("ddim", "noise", 2),
        ("ddim", "data", 2),
        ("heun-edm", "data", 2),
        ("dpm-solver++-2m", "data", 2),
        ("krogstad-4", "noise", 2),
        ("unipc-2", "noise", 3),  # the trapezoidal rule
        ("unipc-2-bh1", "noise", 2),
        ("midpoint-t", "noise", 3),
        ("kutta3-t", "noise", 4),
        ("rk4-t", "noise", 5),
        ("lms-1", "data", 2),
        ("lms-2", "data", 4),  # eps is an odd function of rho, so a line through two nodes gains two orders
        ("lms-3", "data", 4),
        ("lms-4", "data", 6),
        ("dpm-solver++-2m-lower-final", "data", 2),
    ],
)
def test_exponents(solver, end, expected):
    assert abs(exponent(solver, end) - expected) < 0.15


def test_evaluations_and_claims_are_recorded():
    found = measure(case("heun-edm", "data"))
    assert found.data["claim"] == "paper"
    assert found.data["nfe"] == [1] * len(LEVELS)
    assert found.claims.to_data == "paper"
    assert measure(case("krogstad-4", "noise")).data["nfe"] == [2] * len(LEVELS)
    assert measure(case("scipy-rk45", "data")).data["nfe"] == [1] * len(LEVELS)


# ------------------------------------------------------------------------------------------------------------------ cases


def settings(**more) -> EndsSettings:
    return read_settings(EndsSettings, more, "ends")


def test_both_ends_of_every_solver_but_two():
    with pytest.warns(UserWarning, match="edm-stochastic is a run, not a step"):
        found = cases(settings())
    names = expand_solvers(["all"])
    assert {c.solver for c in found} == {*names} - {"edm-stochastic", "restart"}
    assert len(found) == 2 * (len(names) - 2)
    assert {c.problem for c in found} == {FLOW, LAW}


def test_where_ends_are():
    assert end_time(Rectified(), "noise") == 1.0
    assert end_time(VPCosine(), "noise") == 1.0
    assert end_time(VPLinear(), "noise") is None
    assert end_time(VPLinear(), "data") == 0.0
    assert end_time(VE(), "data") is None


def test_a_schedule_without_ends_is_refused_in_one_line():
    with pytest.raises(sb.UsageError, match=r"VE.* has no time at which"):
        cases(settings(problems=["mixture-1d[schedule=VE]"], solvers=["ddim"]))
    with pytest.warns(UserWarning, match=r"VPLinear.* has no time at which alpha = 0"):
        found = cases(settings(problems=["mixture-1d[schedule=VPLinear]"], solvers=["ddim"]))
    assert [c.end for c in found] == ["data"]


def test_a_problem_of_two_components_is_refused_for_stochastic_solvers():
    with pytest.raises(sb.UsageError, match="is not one Gaussian"):
        cases(settings(laws=[FLOW], solvers=["ddpm"]))


def test_a_setting_that_is_none_is_refused():
    with pytest.raises(sb.UsageError, match="unknown end 'middle'"):
        settings(ends=["middle"])


def test_the_benchmark_loads():
    with pytest.warns(UserWarning, match="left out"):
        name, tasks = load_suite(str(Path(__file__).parents[3] / "benchmarks" / "ends.toml"))
    assert name == "ends"
    assert len(tasks) > 700
    assert {task.case.end for task in tasks} == set(ENDS)


# ---------------------------------------------------------------------------------------------------------------- section


def record(solver: str, end: str, problem: str = FLOW):
    one, study = case(solver, end, problem), get_study("ends")
    found = measure(one)
    return make_record(study.to_json(one), "code", "ok", "", dict(found.context), found.claims, dict(found.data))


def test_the_table_has_both_ends_in_a_row():
    records = [record("ddim", "noise"), record("ddim", "data"), record("lms-2", "data")]
    frame = ends_frame(records)
    row = frame[frame["solver"] == "ddim"].iloc[0]
    assert (row["noise_claim"], row["data_claim"]) == ("limit", "paper")
    assert row["noise_exponent"] == pytest.approx(2.0, abs=0.05)
    assert row["data_1/32"] == records[1].data["rms"][LEVELS.index(SHOWN["1/32"])]
    other = frame[frame["solver"] == "lms-2"].iloc[0]
    assert other["noise_why"] == "not measured"
    (table,) = ends_tables(frame, "deterministic")
    assert len(table.frame) == 2
    assert ends_tables(frame, "stochastic") == ()
    both = pd.concat([frame, frame.assign(problem="other")])
    first, whole = ends_tables(both, "deterministic")
    assert [len(first.frame), len(whole.frame)] == [2, 4]
    assert [first.name, whole.name] == ["ends", "ends-all"]


def test_the_section_is_on_the_page(tmp_path):
    records = [record("ddim", "noise"), record("ddim", "data"), record("ddpm", "data", LAW)]
    report.build(records, tmp_path)
    page = (tmp_path / "README.md").read_text()
    assert "The ends" in page
    assert "| ddim |" in page
    assert (tmp_path / "tables" / "ends.csv").is_file()
    assert (tmp_path / "tables" / "ends-laws.csv").is_file()
    assert len(list((tmp_path / "figures").glob("ends-*.svg"))) == 2


def test_a_case_comes_back_from_its_record():
    study = get_study("ends")
    one = case("ddim", "noise")
    assert study.from_json(study.to_json(one)) == one
