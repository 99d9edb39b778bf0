"""Runs of the dummy study: in this process, and by the command line in another that may be killed."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dummy_study  # noqa: F401  registers the study
import pytest

from sdebench.engine import suite as suites
from sdebench.engine.suite import Task
from sdebench.records.code import Code

HELPERS, ROOT = Path(__file__).parent, Path(__file__).parents[2]
CODE = "pinned: sources that somebody edits meanwhile are no part of these tests"
DRIVER = f"""
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are deaf to it
import dummy_study
from sdebench.cli import main
from sdebench.engine import code
code.code_of = lambda *_: code.Code({CODE!r}, ())
main(sys.argv[1:])
"""


def pin_code(monkeypatch: pytest.MonkeyPatch, code: str = CODE) -> None:
    """Give every case that code, as the processes of `command_line` do."""
    from sdebench.engine import code as codes

    monkeypatch.setattr(codes, "code_of", lambda *_: Code(code, ()))


def cases(**settings: object) -> list[Task]:
    """Cases of the dummy study."""
    return suites.expand({"study": "dummy", **settings})


def suite(folder: Path, **settings: object) -> Path:
    """A suite of them."""
    path = folder / "s.toml"
    path.write_text('[[study]]\nstudy = "dummy"\n' + "".join(f"{k} = {json.dumps(v)}\n" for k, v in settings.items()))
    return path


def command_line(*arguments: object) -> subprocess.Popen:
    """`sdebench` with the dummy study, in a session of its own."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{HELPERS}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER, *map(str, arguments)],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def children(run: subprocess.Popen) -> list[int]:
    """The processes that a run has started."""
    return [int(child) for child in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]


def lines(path: Path) -> int:
    """The number of whole lines."""
    return path.read_bytes().count(b"\n") if path.exists() else 0


def kills(
    begin: Callable[[], subprocess.Popen], path: Path, rng: random.Random, times: int, longest: float, patience: float = 60
) -> Iterator[bool]:
    """Begin a run that many times, and kill it at a random moment, up to `longest` seconds after a new record is there; yields
    whether it was running still."""
    for _ in range(times):
        before, run = lines(path), begin()
        wait_for(lambda before=before, run=run: lines(path) > before or run.poll() is not None, patience)
        time.sleep(rng.uniform(0.0, longest))
        run.kill()
        yield run.wait() == -signal.SIGKILL
