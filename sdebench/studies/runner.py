"""Runs cases in worker processes and records each the moment it is measured.

Only this process writes, arrays too.  A case that raises, or yields no finite number, becomes a failed record; the others
go on.
"""

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from .. import records
from ..errors import UsageError
from . import base

_COLUMNS_OF_ERRORS = ("rms", "median", "max")


class Job(NamedTuple):
    """A case, and the hash of the code that measures it."""

    case: dict
    code: str


@dataclass
class Summary:
    """What a run did.  `keys` are those of all its cases, measured now or before; `repaired` says what was wrong with the
    results file and what was done about it."""

    cases: int
    skipped: int
    keys: list[str]
    repaired: str = ""
    measured: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)  # (label, message)
    interrupted: bool = False
    seconds: float = 0.0


def label(case: dict) -> str:
    """A case in a few words, for people."""
    words = [case.get(name) for name in ("study", "kind", "statement", "solver", "loss", "problem", "model", "grid", "dtype")]
    words += [f"NFE {case['budget']}"] if "budget" in case else []
    return " ".join(str(word) for word in words if word)


def _single_threaded() -> None:
    """One thread for torch: there is a process a core, and sums over threads change the last bits with the machine."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def _diverged(data: dict[str, Any]) -> bool:
    """Whether every error measured is inf or nan."""
    errors = [e for name in _COLUMNS_OF_ERRORS if isinstance(data.get(name), list) for e in data[name]]
    return bool(errors) and all(e is None for e in errors)


@cache
def _end_with(driver: int) -> None:
    """End this process when its parent, the driver, does: a driver that is killed cannot tell its workers."""

    def watch() -> None:
        while os.getppid() == driver:
            time.sleep(0.5)
        os._exit(1)

    if os.getpid() != driver:
        threading.Thread(target=watch, daemon=True).start()


def _claims(case: dict) -> dict[str, Any]:
    """What the case's solver says of itself, where it can be made."""
    try:
        return base.claims(base.solver(case["solver"]))
    except Exception:  # the record is of a failure already
        return {}


def measure(module: str, job: Job, driver: int) -> dict:
    """The record of one case, by the study in that module; in a worker of the process `driver`.  Raises nothing."""
    _end_with(driver)
    case, code = job
    try:
        study = import_module(module)
        _single_threaded()
        found = study.measure(case)
        arrays = found.pop("arrays", None)
        found = records.clean(found)
        if _diverged(found["data"]):
            return records.make(case, code, "failed", "no finite error: nan or inf at every size of the step", **found)
        return records.make(case, code, "ok", **found) | ({"arrays": arrays} if arrays else {})
    except Exception as error:  # whatever a solver does wrong is a fact about it
        lines = f"{type(error).__name__}: {error}".splitlines()
        return records.make(case, code, "failed", lines[0], claims=_claims(case))


def _jobs(cases: list[dict]) -> list[Job]:
    """The cases, each once, with the code that measures them."""
    unique = {records.canonical(case): records.clean(case) for case in cases}
    return [Job(case, records.code_hash(base.sources(case))) for case in unique.values()]


@contextmanager
def _deaf() -> Iterator[None]:
    """Processes started in here never hear an interrupt from the keyboard: it is for this one, which ends them.

    What is ignored stays ignored in a child, while a blocked signal would not: joblib unblocks it on the way.  The price
    is that this process is deaf too for the milliseconds of starting them.
    """
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears interrupts, and only it may say so
        return
    heard = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, heard)


def _results(jobs: list[Job], workers: int, note: Callable[[dict], None]) -> Iterator[dict]:
    """Records as they are made, in any order; `note` hears of each case when it is handed out."""
    from joblib import Parallel, delayed, parallel_config

    def tasks():
        for job in jobs:
            note(job.case)
            yield delayed(measure)(base.STUDIES[job.case["study"]], job, os.getpid())

    # A batch of one: a longer batch would come back, and be recorded, only when its last case is done.
    with parallel_config("loky", inner_max_num_threads=1) if workers > 1 else parallel_config("sequential"):
        pool = Parallel(n_jobs=workers, batch_size=1, return_as="generator_unordered", pre_dispatch=2 * workers)
        with _deaf():
            results = pool(tasks())  # starts the workers
        yield from results


class Watch:
    """Hears what a run does.  The command line's progress bar is one; this one is silent."""

    def begin(self, total: int) -> None:
        """`total` cases are going to be measured."""

    def running(self, cases: list[str]) -> None:
        """These cases, by label, are being measured now."""

    def done(self, record: dict) -> None:
        """A case has been measured and recorded."""


def _drive(todo: list[Job], writer: records.Writer, summary: Summary, workers: int, watch: Watch) -> None:
    """Measure the cases and record them as they come."""
    pending: dict[str, str] = {}  # key -> label, in the order of handing out

    def note(case: dict) -> None:
        pending[records.canonical(case)] = label(case)
        watch.running(list(pending.values())[:workers])

    results = _results(todo, workers, note)
    try:
        for record in results:
            writer.append(record)
            summary.measured += 1
            if record["status"] == "failed":
                summary.failed.append((label(record["case"]), record["message"]))
            pending.pop(records.canonical(record["case"]), None)
            watch.done(record)
            watch.running(list(pending.values())[:workers])
    except KeyboardInterrupt:
        summary.interrupted = True
    finally:
        results.close()


def _held(writer: records.Writer, wanted: set[str], retry_failed: bool) -> tuple[set[str], str]:
    """(those of the keys that need not be measured, a line on those whose arrays are lost, or "")."""
    there = [r for r in writer.records if r["key"] in wanted]
    held, lost = {r["key"] for r in there if r["status"] == "ok" or not retry_failed}, records.spoilt(there)
    if not lost:
        return held, ""
    key, fault = next(iter(lost.items()))
    return held - lost.keys(), f"{writer.path}: the arrays of {len(lost)} record(s) are measured again (those of {key} {fault})"


def run(
    cases: list[dict], path: str | Path, jobs: int = 1, watch: Watch | None = None, retry_failed: bool = False,
) -> Summary:
    """Measure the cases that the results file does not hold yet, `jobs` at a time, and append their records.

    A case is held when the file has a record of it made by the same code, be it ok or failed, whose arrays are there; with
    `retry_failed`, failed ones are measured again.  An interrupt from the keyboard ends the run with `interrupted` set;
    everything recorded stays.  Raises UsageError for a file that is not one of results, or when a worker process dies.
    """
    if jobs < 1:
        raise UsageError(f"jobs is {jobs}: give the number of processes, 1 or more")
    watch, begun = watch or Watch(), time.perf_counter()
    with records.Writer(path) as writer, warnings.catch_warnings():
        # Workers are replaced when their caches have grown: nothing is lost, and nobody has to know.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs were given")
        every = {records.key(*job): job for job in _jobs(cases)}
        held, lost = _held(writer, every.keys(), retry_failed)
        todo = [job for key, job in every.items() if key not in held]
        repaired = "; ".join(filter(None, (writer.repaired, lost)))
        summary = Summary(len(every), len(every) - len(todo), list(every), repaired)
        watch.begin(len(todo))
        try:
            _drive(todo, writer, summary, min(jobs, max(1, len(todo))), watch)
        except Exception as error:
            if type(error).__name__ != "TerminatedWorkerError":
                raise
            raise UsageError(f"a worker process died, of memory or a crash in a solver; {summary.measured} cases were "
                             "recorded: run again to go on, with --jobs 1 to find it") from None  # fmt: skip
    summary.seconds = time.perf_counter() - begun
    return summary
