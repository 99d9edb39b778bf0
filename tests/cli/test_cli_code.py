"""`sdebench run --why` and `--accept-code`: what a change of code costs, and what it need not cost."""

import json
import sys
from pathlib import Path

import pytest

from sdebench import records
from sdebench.records import code
from sdebench.studies import base

MINE = '''
from dataclasses import dataclass

import sdebench as sb


def weight(x):
    return 1.0 * x  # of x_0


@dataclass(frozen=True)
class Mine(sb.Solver):
    """Mine."""

    order, nfe_per_step, family = 1, 1, "Mine"

    def step(self, model, x, s, t, past=(), noise=None):
        """alpha_t x0 + sigma_t eps."""
        ns, p = model.schedule, model(x, s)
        return sb.Step(weight(ns.alpha(t) * p.x0) + ns.sigma(t) * p.eps)
'''
SUITE = """[[study]]
study = "order"
problems = ["mixture-1d"]
solvers = ["mine:Mine", "ddim"]
grids = ["uniform_lam"]
kinds = ["local", "global"]
points = 4
"""
RUN = ("run", "some.toml")
RESULTS = Path("results/some.jsonl")


def forget() -> None:
    sys.modules.pop("mine", None)
    base._solver.cache_clear()
    code.forget()


def edit(old: str, new: str) -> None:
    text = Path("mine.py").read_text()
    assert text.count(old) == 1
    Path("mine.py").write_text(text.replace(old, new))
    forget()


@pytest.fixture
def mine(sdebench, here, monkeypatch):
    """The command line, in a folder with a solver of one's own and a suite that has been measured."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    forget()
    Path("mine.py").write_text(MINE)
    Path("some.toml").write_text(SUITE)
    yield sdebench
    forget()


@pytest.fixture
def measured(mine):
    assert mine(*RUN, "--no-report")[0] == 0
    return mine


def test_why_says_what_would_be_measured_and_measures_nothing(mine):
    status, out, err = mine(*RUN, "--why")
    labels = ("order local mine:Mine mixture-1d float64", "order local ddim mixture-1d float64")
    third = "order global mine:Mine mixture-1d uniform_lam float64"
    assert (status, err) == (0, "")
    assert out == f"4 cases ({', '.join((*labels, third))} and 1 more): never measured\n4 cases would be measured\n"
    assert not RESULTS.exists()
    assert json.loads(mine(*RUN, "--why", "--json")[1])[0]["why"] == "never measured"


def test_why_names_the_function_that_changed_and_what_changes_no_number_costs_nothing(measured):
    assert measured(*RUN, "--why")[1] == "0 cases would be measured\n"
    before = RESULTS.read_bytes()
    edit("# of x_0", "# of the data")
    edit('"""Mine."""', '"""My own."""')
    assert measured(*RUN, "--why")[1] == "0 cases would be measured\n"
    edit("1.0 * x", "1.01 * x")
    out = measured(*RUN, "--why")[1]
    assert out.splitlines()[0].startswith("2 cases (order local mine:Mine mixture-1d float64, order global mine:Mine ")
    assert out.splitlines()[0].endswith(": changed mine.weight")
    assert out.splitlines()[1] == "2 cases would be measured"
    found = json.loads(measured(*RUN, "--why", "--json")[1])
    assert {(row["case"]["solver"], row["why"]) for row in found} == {("mine:Mine", "changed mine.weight")}
    Path("some.toml").write_text(SUITE.replace('"local", "global"', '"local"'))
    out = measured(*RUN, "--why")[1]
    assert out == "1 case (order local mine:Mine mixture-1d float64): changed mine.weight\n1 case would be measured\n"
    assert RESULTS.read_bytes() == before
    assert "1 case measured" in measured(*RUN, "--no-report")[2]


def test_records_are_kept_over_a_change_where_the_gate_finds_nothing_moved(measured):
    assert measured("baseline", "mine:Mine")[0] == 0
    before = RESULTS.read_bytes().splitlines()
    numbers = {r.case["kind"]: r.data for r in records.read(RESULTS) if r.case["solver"] == "mine:Mine"}
    edit("1.0 * x", "x * 1.0")
    status, out, err = measured(*RUN, "--accept-code", "a product has no order")
    assert (status, out) == (0, "")
    assert err == (f"sdebench: 2 records of {RESULTS} have the key of the code as it is; the numbers are what they were\n")
    now = records.read(RESULTS)
    assert {r.case["kind"]: r.data for r in now if r.case["solver"] == "mine:Mine"} == numbers
    assert [(r.case["solver"], [p.reason for p in r.rekeyed]) for r in now if r.rekeyed] == [
        ("mine:Mine", ["a product has no order"]),
        ("mine:Mine", ["a product has no order"]),
    ]
    assert [line for line in RESULTS.read_bytes().splitlines() if b'"solver": "ddim"' in line] == [
        line for line in before if b'"solver": "ddim"' in line
    ]
    assert measured(*RUN, "--why")[1] == "0 cases would be measured\n"
    assert "0 cases measured" in measured(*RUN, "--no-report")[2]


def test_records_are_not_kept_where_the_gate_finds_a_figure_moved(measured):
    measured("baseline", "mine:Mine")
    before = RESULTS.read_bytes()
    edit("1.0 * x", "1.01 * x")
    status, out, err = measured(*RUN, "--accept-code", "only a tidier line")
    assert (status, out) == (1, "")
    first, second = err.splitlines()
    assert first.startswith("sdebench: the records of mine:Mine are not kept: ")
    assert " moved (" in first
    assert second.startswith("sdebench: 0 records of ")
    assert RESULTS.read_bytes() == before
    assert "changed mine.weight" in measured(*RUN, "--why")[1]


def test_without_figures_to_compare_with_nothing_is_kept(measured):
    edit("1.0 * x", "x * 1.0")
    before = RESULTS.read_bytes()
    status, out, err = measured(*RUN, "--accept-code", "a product has no order")
    assert (status, out) == (2, "")
    assert "there is no baseline results/baseline.json" in err
    assert err.count("\n") == 1
    measured("baseline", "ddim")
    status, _, err = measured(*RUN, "--accept-code", "a product has no order")
    assert status == 1
    assert "'sdebench baseline mine:Mine' takes them" in err
    assert RESULTS.read_bytes() == before


@pytest.mark.parametrize("reason", ["", "  "])
def test_a_reason_is_asked_for(measured, reason):
    edit("1.0 * x", "x * 1.0")
    before = RESULTS.read_bytes()
    status, out, err = measured(*RUN, "--accept-code", reason)
    assert (status, out) == (2, "")
    assert err == "sdebench: no reason given: say in a few words why the change cannot change a number\n"
    assert RESULTS.read_bytes() == before


def test_cases_without_a_record_are_told_to_be_measured(mine):
    Path("some.toml").write_text(SUITE.replace('"local", "global"', '"local"'))
    mine(*RUN, "--no-report")
    mine("baseline", "mine:Mine")
    Path("some.toml").write_text(SUITE)
    edit("1.0 * x", "x * 1.0")
    status, _, err = mine(*RUN, "--accept-code", "a product has no order")
    assert status == 0
    assert err.splitlines()[0].startswith("sdebench: 1 record of ")
    assert err.splitlines()[1] == "sdebench: 2 cases have no record to keep: 'sdebench run' measures what is missing"
