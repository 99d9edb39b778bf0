"""The harness of an audit: the exact law against Monte Carlo, the exact past, the second problem; and the study around it."""

from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import torch
from studies.audit import planted

from sdebench._support.errors import UsageError
from sdebench.engine.runner import run
from sdebench.engine.suite import expand
from sdebench.peers import PeerFault, RunPlan, adapt
from sdebench.peers.base import Answer
from sdebench.records import latest, read
from sdebench.studies.audit import measure
from sdebench.studies.audit.certificate import faults_of, repeat, row_of
from sdebench.studies.audit.checks import law, order
from sdebench.studies.audit.release import folder_of
from sdebench.studies.audit.section import make_section
from sdebench.studies.audit.trial import Trial


def lms(model, x, sigmas, extra_args=None, callback=None, disable=None):
    """Adams-Bashforth of order 4 in sigma, with an Euler start."""
    past = []
    for i in range(len(sigmas) - 1):
        s, t = sigmas[i], sigmas[i + 1]
        past = [(float(s), (x - model(x, s * x.new_ones(len(x)))) / s), *past][:4]
        nodes = [node for node, _ in past]
        power = np.polynomial.Polynomial.fromroots
        for node, slope in past:
            others = [one for one in nodes if one != node]
            basis = power(others) / np.prod([node - one for one in others]) if others else np.polynomial.Polynomial([1.0])
            integral = basis.integ()
            x = x + float(integral(float(t)) - integral(float(s))) * slope
    return x


def test_the_law_of_code_is_that_of_many_runs():
    """Mean and spread from unit vectors, against 40,000 samples of the same code on the same Gaussian data."""
    trial, n, mu, v = Trial(adapt("ancestral", planted.Ancestral, {})), 12, 1.0, law._V
    found = law.law(trial, n)
    session = trial.peer.prepare(RunPlan(n))
    a, s = session.start

    def network(x, told, time):
        total = told.a**2 * v + told.s**2
        gap = (x - told.a * mu) / total
        return Answer(mu + told.a * v * gap, told.s * gap)

    torch.manual_seed(0)
    x = a * mu + sqrt(a * a * v + s * s) * torch.randn(40_000, 1, 1, 1, dtype=torch.float64)
    end = session.run(network, x)
    spread = float(end.std()) / sqrt(v) - 1
    assert abs(spread - found.spread) < 4 / sqrt(2 * 40_000)
    assert abs(float(end.mean()) - 1 - found.mean) < 4 * sqrt(v / 40_000)


def test_a_start_up_is_not_taken_for_a_wrong_scheme(monkeypatch):
    peer = replace(adapt("lms", lms, {}), claim=4)
    readings = measure.audit(peer, full=True, only=("order",))
    assert [one.verdict for one in readings if one.name in ("order", "start-up")] == ["right", "price"]
    monkeypatch.setattr(order, "_PAST", 0)  # without an exact past it would be
    assert not any(one.verdict == "right" for one in measure.audit(peer, full=True, only=("order",)))


def test_a_fault_that_one_problem_alone_shows_is_none(monkeypatch):
    def check(trial, full):
        verdict = "fault" if trial.world == measure.World() else "right"
        yield measure.Reading("runs", "odd", "it is odd", 1.0, verdict)

    monkeypatch.setitem(measure.CHECKS, "runs", check)
    (reading,) = measure.audit(adapt("right", planted.Right, {}), only=("runs",))
    assert reading.verdict == "told"
    assert "on another problem this was not found" in reading.what


def test_a_network_that_is_asked_about_other_states_is_a_finding():
    class Grows(planted.Right):
        def scale_model_input(self, x, t):
            return torch.cat([x, x])

    with pytest.raises(PeerFault, match="floating tensor of shape"):
        Trial(adapt("grows", Grows, {})).run(5)


def test_the_study_is_measured_resumed_and_shown(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text("from studies.audit.planted import Right, WritesIntoTheState\n")
    monkeypatch.chdir(tmp_path)
    peers = ["mine.py:Right", "mine.py:WritesIntoTheState"]
    tasks = expand({"study": "audit", "peers": peers})
    out = tmp_path / "audit.jsonl"
    assert run(tasks, out).measured == 2
    assert run(tasks, out).measured == 0  # both are held
    right, wrong = latest(read(out))
    assert row_of(right) | {"calls": 1.0, "faults": 0} == row_of(right)
    assert {fault["check"] for fault in faults_of(wrong)} == {"runs"}
    assert right.context["file"]
    (faults,) = [table for table in make_section([right, wrong]).tables() if "faults" in table.name]
    assert list(faults.frame["peer"]) == ["WritesIntoTheState"]
    assert repeat(wrong.case, "runs") == "sdebench audit mine.py:WritesIntoTheState --check runs"


def test_another_file_is_another_case(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    keys = []
    for text in ("from studies.audit.planted import Right\n", "from studies.audit.planted import Right  # changed\n"):
        (tmp_path / "mine.py").write_text(text)
        (task,) = expand({"study": "audit", "peers": "mine.py:Right"})
        keys.append(task.json["version"])
    assert keys[0] != keys[1]


def test_a_release_is_run_from_its_folder_and_not_installed(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    package = tmp_path / "sdebench" / "releases" / "made_up-1.2" / "made_up"
    package.mkdir(parents=True)
    source = (planted.__file__ or "").replace(".pyc", ".py")
    (package / "__init__.py").write_text(open(source, encoding="utf-8").read())  # noqa: SIM115  # a small file
    (task,) = expand({"study": "audit", "peers": "made_up:WritesIntoTheState", "releases": ["1.2"]})
    found = task.study.measure(task.case)
    assert task.json["version"] == "1.2"
    assert any(one["verdict"] == "fault" and "writes into" in one["what"] for one in found.data["readings"])
    with pytest.raises(UsageError, match="is not a version"):
        folder_of("made_up:Right", "../1.2")
