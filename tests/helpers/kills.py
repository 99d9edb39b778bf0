"""Kills, at random moments, of the workers of a study and of the command that runs it; and what must come out the same.

Ten in the gate.  A hundred, by hand, in the local pool and in a cluster (a quarter of an hour on two cores):
SDEBENCH_KILLS=100 pytest tests/engine/test_backends.py tests/engine/test_cluster.py -k ten_kills
"""

import json
import os
import random
import signal
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from runs import lines, wait_for

from sdebench import records

ROUNDS = range(max(1, int(os.environ.get("SDEBENCH_KILLS", "10")) // 10))  # of ten kills each


def facts(path: Path) -> list[records.Record]:
    """All records of a results file, each of which must be the only one of its case, without the times made."""
    found = sorted(records.read(path), key=lambda record: record.key)
    assert len({record.key for record in found}) == len(found), "a case was counted twice"
    for record in found:
        records.load_arrays(record)  # raises where they are not those that were measured
    return [replace(record, made="", arrays=record.arrays and replace(record.arrays, path="")) for record in found]


def survive(
    begin: Callable[[], subprocess.Popen], path: Path, cases: int, workers: Callable[[subprocess.Popen], list[int]], seed: int
) -> None:
    """Run a command to its end through ten kills, three of them its own, spread over the first three quarters of its cases.

    `workers(run)` are the processes that may be killed for it.  Records that are there once must stay there.
    """
    rng, run, held, killed = random.Random(seed), begin(), b"", 0
    for number, victim in enumerate(rng.sample(["driver"] * 3 + ["worker"] * 7, 10)):
        wanted = 1 + (number + rng.random()) * 0.75 * cases / 10
        wait_for(lambda wanted=wanted, run=run: lines(path) >= wanted or run.poll() is not None, 60)
        assert run.poll() is None, f"it ended early: {run.communicate()}"
        if victim == "driver":
            run.kill()
            run.communicate()
            run = begin()
        else:
            os.kill(rng.choice(wait_some(lambda run=run: workers(run))), signal.SIGKILL)
        killed += 1
        now = path.read_bytes()
        assert now.startswith(held), "a record that was there is gone"
        held = now[: now.rindex(b"\n") + 1]
    out, err = run.communicate(timeout=120)
    assert (run.returncode, killed) == (0, 10), err
    assert path.read_bytes().startswith(held)
    assert json.loads(out)["failed"] == []


def wait_some(find: Callable[[], list[int]]) -> list[int]:
    """What is found, once there is something."""
    found: list[int] = []
    wait_for(lambda: found.extend(find()) or found)
    return found
