"""The fuzzer measures nothing: what it looks at is what comes before."""

import copy
import os

import pytest
import torch
from fuzzing import tried

from sdebench.catalogue import get_solver
from sdebench.engine import runner
from sdebench.engine.pools import JobOutcome
from sdebench.engine.replies import Reply
from sdebench.engine.worker import failed
from sdebench.gate import figures, timing
from sdebench.studies.order import measurement


class Nothing:
    """A pool in which every case fails at once."""

    alone = False

    def __init__(self):
        self.jobs = []

    def room(self):
        return True

    def send(self, job, away=""):
        self.jobs.append(job)

    def running(self):
        return self.jobs[:1]

    def next(self):
        job = self.jobs.pop(0)
        return JobOutcome(job, Reply(failed(job, "not measured by the fuzzer")))

    def close(self):
        pass


@pytest.fixture(scope="session")
def ddim():
    """The figures of a solver, measured once."""
    return figures.figures(get_solver("ddim"))


@pytest.fixture(autouse=True)
def quick(monkeypatch, ddim):
    def refuse(*args, **options):
        raise RuntimeError("not measured by the fuzzer")

    monkeypatch.setattr(runner, "_pool", lambda *args: Nothing())
    monkeypatch.setattr(measurement, "measure_kind", refuse)
    monkeypatch.setattr(figures, "measure", lambda names: {name: copy.deepcopy(ddim) for name in names})
    monkeypatch.setattr(timing, "ratios", lambda solver: [1.0] * 12)
    monkeypatch.setattr(os, "fsync", lambda file: None)  # a pass over a suite writes a thousand records: that is no wait here
    torch.manual_seed(0)


def pytest_terminal_summary(terminalreporter):
    """Tell how many inputs were tried; without pytest-xdist, whose processes count for themselves."""
    if tried:
        terminalreporter.write_line(f"the fuzzer tried {tried['commands']} commands and {tried['calls']} calls")
