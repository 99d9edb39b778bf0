"""What all tests share: one thread of torch for each worker of xdist, and the same examples on every run."""

import sys
from pathlib import Path

import pytest
import torch
from hypothesis import settings

from sdebench import cli
from sdebench.engine import runner

torch.set_num_threads(1)
settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.load_profile("same")


@pytest.fixture(autouse=True)
def _own_modules(tmp_path_factory):
    """A module of a test's own folder is forgotten with it: the next test may have another of that name."""
    before = set(sys.modules)
    yield
    folder = tmp_path_factory.getbasetemp()
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).is_relative_to(folder):
            del sys.modules[name]


@pytest.fixture
def sdebench(capsys, tmp_path, monkeypatch):
    """`sdebench(*arguments) -> (status, stdout, stderr)`, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])

    def command(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as end:
            cli.main([str(a) for a in arguments])
        return (end.value.code, *capsys.readouterr())

    return command


@pytest.fixture
def here(monkeypatch):
    """A run measures in this process, whatever its --jobs: a worker costs seconds of imports, and has tests of its own."""
    run = runner.run
    monkeypatch.setattr(runner, "run", lambda cases, path, jobs=None, *rest: run(cases, path, None, *rest))
