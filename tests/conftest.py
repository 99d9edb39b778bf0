"""What all tests share: one thread of torch for each worker of xdist, and the same examples on every run."""

import sys

import pytest
import torch
from hypothesis import settings

from sdebench import cli
from sdebench.engine import runner

torch.set_num_threads(1)
settings.register_profile("same", derandomize=True, deadline=None, database=None)
settings.load_profile("same")


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
