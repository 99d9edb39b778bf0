"""Runs cases in workers and records each the moment it is measured.

Only this process writes, arrays too.  A case that raises, or yields no finite number, becomes a failed record; the others
go on.  A worker that dies, hangs or answers nonsense costs its case one more try, elsewhere and after the other cases; a
second time, and the case is a failed record too.
"""

import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sdebench import records
from sdebench._support.errors import UsageError
from sdebench.engine.pools import PATIENCE, Here, JobOutcome, Local, Pool
from sdebench.engine.replies import Job
from sdebench.engine.worker import failed
from sdebench.studies import base


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
    retried: list[tuple[str, str]] = field(default_factory=list)  # (label, what happened to its first worker)
    interrupted: bool = False
    seconds: float = 0.0


def label(case: dict) -> str:
    """A case in a few words, for people."""
    words = [case.get(name) for name in ("study", "kind", "statement", "solver", "loss", "problem", "model", "grid", "dtype")]
    words += [f"NFE {case['budget']}"] if "budget" in case else []
    return " ".join(str(word) for word in words if word)


class Watch:
    """Hears what a run does.  The command line's progress bar is one; this one is silent."""

    def begin(self, total: int) -> None:
        """`total` cases are going to be measured."""

    def running(self, cases: list[str]) -> None:
        """These cases, by label, are being measured now."""

    def done(self, record: dict) -> None:
        """A case has been measured and recorded."""


def _jobs(cases: list[dict]) -> list[Job]:
    """The cases, each once, with the code that measures them."""
    unique = {records.canonical(case): records.clean(case) for case in cases}
    return [Job(case, records.code_hash(base.sources(case)), base.STUDIES[case["study"]]) for case in unique.values()]


def _results(pool: Pool, jobs: list[Job], summary: Summary, watch: Watch) -> Iterator[dict]:
    """Records as they are made, in any order."""
    first, second = deque(jobs), deque()
    faults: dict[str, JobOutcome] = {}  # by key, of first tries
    while first or second or pool.running():
        while first and pool.room():
            pool.send(first.popleft())
        while second and not first and pool.room() and not (pool.alone and pool.running()):
            again = second.popleft()
            pool.send(again, away=faults[again.key].where)
        watch.running([label(job.case) for job in pool.running()])
        job, record, fault, _, final = outcome = pool.next()
        if record is not None:
            yield record
        elif job.key in faults or final:
            earlier = [faults[job.key].fault] if job.key in faults else []
            yield failed(job, "; tried again: ".join([*earlier, fault]))
        else:
            faults[job.key] = outcome
            second.append(job)
            summary.retried.append((label(job.case), fault))


def _drive(pool: Pool, todo: list[Job], writer: records.Writer, summary: Summary, watch: Watch) -> None:
    """Measure the cases and record them as they come."""
    try:
        for record in _results(pool, todo, summary, watch):
            writer.append(record)
            summary.measured += 1
            if record["status"] == "failed":
                summary.failed.append((label(record["case"]), record["message"]))
            watch.done(record)
    except KeyboardInterrupt:
        summary.interrupted = True


def _held(writer: records.Writer, wanted: set[str], retry_failed: bool) -> tuple[set[str], str]:
    """(those of the keys that need not be measured, a line on those whose arrays are lost, or "")."""
    there = [r for r in writer.records if r["key"] in wanted]
    held, lost = {r["key"] for r in there if r["status"] == "ok" or not retry_failed}, records.spoilt(there)
    if not lost:
        return held, ""
    key, fault = next(iter(lost.items()))
    return held - lost.keys(), f"{writer.path}: the arrays of {len(lost)} record(s) are measured again (those of {key} {fault})"


def _pool(jobs: int | None, scheduler: str, patience: float) -> Pool:
    if scheduler:
        from sdebench.engine.cluster import Dask

        return Dask(scheduler, patience)
    return Here() if jobs is None else Local(jobs, patience)


def run(
    cases: list[dict],
    path: str | Path,
    jobs: int | None = None,
    watch: Watch | None = None,
    retry_failed: bool = False,
    scheduler: str = "",
    patience: float | None = None,
) -> Summary:
    """Measure the cases that the results file does not hold yet and append their records.

    In `jobs` processes at a time, or on the Dask cluster with the `scheduler` of that address; with neither, in this
    process, where a solver that crashes or hangs is not survived.  A case may take `patience` seconds, an hour unless given.
    It is held when the file has a record of it made by the same code, be it ok or failed, whose arrays are there; with
    `retry_failed`, failed ones are measured again.  An interrupt from the keyboard ends the run with `interrupted` set;
    everything recorded stays.  Raises UsageError for a file that is not one of results, and for a cluster that is not
    there, is lost, or runs other code.
    """
    if jobs is not None and jobs < 1:
        raise UsageError(f"jobs is {jobs}: give the number of processes, 1 or more")
    patience = PATIENCE if patience is None else patience
    if not patience > 0:
        raise UsageError(f"patience is {patience:g}: give the seconds that a case may take, more than 0")
    watch, begun = watch or Watch(), time.perf_counter()
    with records.Writer(path) as writer:
        every = {job.key: job for job in _jobs(cases)}
        held, lost = _held(writer, every.keys(), retry_failed)
        todo = [job for key, job in every.items() if key not in held]
        repaired = "; ".join(filter(None, (writer.repaired, lost)))
        summary = Summary(len(every), len(every) - len(todo), list(every), repaired)
        watch.begin(len(todo))
        if todo:
            with closing(_pool(jobs, scheduler, patience)) as pool:
                _drive(pool, todo, writer, summary, watch)
    summary.seconds = time.perf_counter() - begun
    return summary
