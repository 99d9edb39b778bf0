"""The calibration study: what it measures, how it counts, and that a broken method is told from one that is not."""

from dataclasses import replace

import pytest
from mutants.one_step import PhiTwoForPhiOne, ThirdsOfTime

from sdebench.problems.random import random_problem
from sdebench.records import Claims, make_record
from sdebench.studies.base import get_study
from sdebench.studies.calibration import CalibrationCase, CalibrationSettings
from sdebench.studies.calibration.expected import expected_order, is_seen
from sdebench.studies.calibration.section import cell_rows, summary_table, wrong_table

STUDY = get_study("calibration")
RATIO = 1.5
DDIM = Claims(claimed_order=1, order=1, order_irregular=1, main_order=1, nfe_per_step=1)


def record(power: float, solver: str = "ddim", claim: int | None = None, **more):
    """A global ladder of errors h^power."""
    h = [RATIO**-k for k in range(6)]
    data = {"n": [64] * 6, "h": h, "rms": [0.1 * x**power for x in h], "floor": [0.0] * 6, "points": 64} | more
    case = {"study": "calibration", "kind": "global", "solver": solver, "grid": "uniform_lam", "random": 3, "noise": False}
    return make_record(case | ({} if claim is None else {"claim": claim}), "code", "ok", claims=DDIM, data=data)


def test_random_problems_are_those_of_their_seed():
    assert str(random_problem(5, False)) == str(random_problem(5, False)) != str(random_problem(6, False))
    noisy = random_problem(5, True)
    assert noisy.schedule.lam(noisy.span[0]) == pytest.approx(-5, abs=1e-5)
    dims = {random_problem(seed, False).dim for seed in range(60)}
    assert dims == set(range(1, 9))


def test_every_solver_has_its_turn_and_every_third_problem_begins_in_noise():
    cases = STUDY.cases(CalibrationSettings(problems=60))
    assert {case.solver for case in cases} == set(CalibrationSettings().solvers)
    assert {case.noise for case in cases if case.random % 3 == 2} == {True}
    assert {case.noise for case in cases if case.random % 3 != 2} == {False}
    assert len(cases) == len(set(cases)) >= 1000
    assert {case.claim for case in cases} == {None}


def test_a_broken_method_is_held_to_what_it_should_have():
    (case, *_) = STUDY.cases(CalibrationSettings(problems=1, solvers=("ipndm-4",), each=1, broken=True, kinds=("global",)))
    assert case.claim == 4
    assert expected_order(DDIM, "global", "uniform_lam") == 1
    assert expected_order(DDIM, "global", "uniform_lam", 4) == 4
    assert expected_order(DDIM, "local", "", 4) == 5


def test_verdicts_are_counted():
    frame = cell_rows([record(1.0), record(1.0), record(2.0), record(0.0), record(1.0, claim=2), record(2.0, claim=2)])
    rows = summary_table(frame).frame.set_index("what")
    right = rows.loc["methods that do what they state"]
    assert (right["confirmed"], right["refuted"], right["not asymptotic"]) == (3, 1, 0), "an order of 2 holds 1, too"
    more = rows.loc["the same, a claim of one order more"]
    assert (more["confirmed"], more["refuted"], more["not asymptotic"]) == (0, 3, 1), "2 where 1 is stated: a term is hidden"
    broken = rows.loc["methods that are broken, held to what they should have"]
    assert (broken["confirmed"], broken["refuted"]) == (1, 1)
    wrong = wrong_table(frame).frame
    assert sorted(wrong["order"].round()) == [0, 2]


def test_what_does_not_show_is_no_broken_method():
    same = {"original": {key: record(2.0).data[key] for key in ("h", "rms", "floor")}}
    assert not is_seen(record(2.0, claim=2, **same).data)
    assert is_seen(record(1.5, claim=2, **same).data), "worse at small steps"
    assert is_seen(record(2.0, claim=2).data), "no original to be compared with"
    frame = cell_rows([record(2.0, claim=2, **same), record(1.0)])
    rows = summary_table(frame).frame.set_index("what")
    assert rows.loc["broken ones that are nowhere less accurate here than their originals", "confirmed"] == 1
    assert not any(what.startswith("methods that are broken") for what in rows.index)


def test_thirds_of_time_are_thirds_of_lam_on_one_schedule_and_only_there():
    """What is confirmed is measured beside its original; on VE, where lam is linear in time, the two are one."""
    case = CalibrationCase("local", "mutants.one_step:ThirdsOfTime", "", 31, False, 16, 3)
    assert type(random_problem(31, False).schedule).__name__ == "VE"
    found = STUDY.measure(case)
    assert found.data["original"]["rms"] == pytest.approx(found.data["rms"], rel=1e-3, abs=1e-12)
    assert not is_seen(found.data)
    elsewhere = STUDY.measure(replace(case, random=0))
    assert is_seen(elsewhere.data)


def test_a_mutant_that_loses_an_order_is_refuted():
    case = CalibrationCase("local", "mutants.one_step:PhiTwoForPhiOne", "", 0, False, 16, PhiTwoForPhiOne().claimed_order)
    found = STUDY.measure(case)
    made = make_record(STUDY.to_json(case), "code", "ok", claims=found.claims, data=found.data)
    (row,) = cell_rows([made]).to_dict("records")
    assert row["verdict"] == "refuted"
    assert ThirdsOfTime().claimed_order == 3
