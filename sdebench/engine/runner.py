"""Runs cases in workers and records each the moment it is measured.

Only this process writes, arrays too.  A case that raises, or yields no finite number, becomes a failed record; the others
go on.  A worker that dies, hangs or answers nonsense costs its case one more try, elsewhere and after the other cases; a
second time, and the case is a failed record too.  What a cluster loses is no failure of a case: it is sent again, later.
"""

import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from sdebench._support.errors import UsageError, shown
from sdebench._support.processes import most_jobs
from sdebench._support.registry import GRIDS, PROBLEMS, SOLVERS
from sdebench.engine.code import Codes, write_manifest
from sdebench.engine.pools import PATIENCE, Here, JobOutcome, Local, Pool
from sdebench.engine.replies import Job, Reply
from sdebench.engine.suite import Task, label, unique
from sdebench.engine.worker import failed
from sdebench.records import Record, Writer, find_spoilt
from sdebench.records.code import Code

_LOSSES = 10  # times that a cluster may lose a case
LONGEST = 1e7  # seconds that a case may take, at most: four months


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


class Watch:
    """Hears what a run does.  The command line's progress bar is one; this one is silent."""

    def begin(self, total: int) -> None:
        """`total` cases are going to be measured."""

    def running(self, cases: list[str]) -> None:
        """These cases, by label, are being measured now."""

    def done(self, record: Record) -> None:
        """A case has been measured and recorded."""


@dataclass(frozen=True)
class Planned:
    """A case, the code that measures it, and the job for a worker."""

    task: Task
    code: Code
    job: Job


def plan(tasks: Iterable[Task]) -> dict[str, Planned]:
    """Key -> what is to be done, of each case once."""
    codes, found = Codes(), {}
    for task in unique(tasks):
        code = codes.of(task)
        study = type(task.study)
        job = Job(task.json, code.hash, f"{study.__module__}:{study.__qualname__}")
        found[job.key] = Planned(task, code, job)
    return found


def _answers(pool: Pool, jobs: list[Job], summary: Summary, watch: Watch) -> Iterator[Reply]:
    """Answers as they come, in any order."""
    first, second = deque(jobs), deque()
    faults: dict[str, JobOutcome] = {}  # by key, of first tries
    losses: Counter[str] = Counter()  # by key, how often its worker was lost
    while first or second or pool.running():
        while first and pool.room():
            pool.send(first.popleft())
        while second and not first and pool.room() and not (pool.alone and pool.running()):
            again = second.popleft()
            pool.send(again, away=faults[again.key].where if again.key in faults else "")
        watch.running([label(job.case) for job in pool.running()])
        job, answer, fault, _, lost = outcome = pool.next()
        losses[job.key] += lost
        if answer is not None:
            yield answer
        elif losses[job.key] > _LOSSES:
            why = f"the cluster lost {label(job.case)} {_LOSSES + 1} times ({fault}), which is no failure of it"
            raise UsageError(f"{why}; everything measured is recorded: mend the cluster, and run again to go on")
        elif job.key in faults and not lost:
            yield Reply(failed(job, "; tried again: ".join([faults[job.key].fault, fault])))
        else:
            faults |= {} if lost else {job.key: outcome}
            second.append(job)
            summary.retried.append((label(job.case), fault))


def _drive(pool: Pool, todo: list[Job], writer: Writer, summary: Summary, watch: Watch) -> None:
    """Measure the cases and record them as they come."""
    try:
        for record, arrays in _answers(pool, todo, summary, watch):
            writer.append(record, arrays)
            summary.measured += 1
            if not record.is_ok:
                summary.failed.append((label(record.case), record.message))
            watch.done(record)
    except KeyboardInterrupt:
        summary.interrupted = True


def held(records: Iterable[Record], wanted: Iterable[str], retry_failed: bool = False) -> tuple[set[str], dict[str, str]]:
    """(those of the keys that need not be measured, key -> what is wrong with its arrays)."""
    wanted = set(wanted)
    there = [r for r in records if r.key in wanted]
    lost = find_spoilt(there)
    return {r.key for r in there if r.is_ok or not retry_failed} - lost.keys(), lost


def _tell_lost(path: Path, lost: dict[str, str]) -> str:
    if not lost:
        return ""
    key, fault = next(iter(lost.items()))
    return f"{path}: the arrays of {len(lost)} record(s) are measured again (those of {key} {fault})"


def _check_known(tasks: Iterable[Task]) -> None:
    """Raise UsageError for a case whose solver or problem no worker can make: that is no failure of it."""
    for task in tasks:
        for key, registry in (("solver", SOLVERS), ("problem", PROBLEMS), ("grid", GRIDS)):
            spec = task.json.get(key)
            why = registry.why_only_here(spec) if isinstance(spec, str) and spec else ""
            if why:
                raise UsageError(f"{why}; or measure in this process, by sdebench.engine.runner.run(..., jobs=None)")


def _pool(jobs: int | None, scheduler: str, patience: float) -> Pool:
    if scheduler:
        from sdebench.engine.cluster import Dask

        return Dask(scheduler, patience)
    return Here() if jobs is None else Local(jobs, patience)


def run(
    tasks: Sequence[Task],
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
    if jobs is not None and not 1 <= jobs <= most_jobs():
        raise UsageError(f"jobs is {shown(jobs)}: give the number of processes, 1 or more, {most_jobs()} at most")
    patience = PATIENCE if patience is None else patience
    if not 0 < patience <= LONGEST:
        raise UsageError(f"patience is {patience:g}: give the seconds that a case may take, more than 0, {LONGEST:g} at most")
    watch, begun = watch or Watch(), time.perf_counter()
    with Writer(path) as writer:
        every = plan(tasks)
        there, lost = held(writer.records, every, retry_failed)
        todo = [planned.job for key, planned in every.items() if key not in there]
        repaired = "; ".join(filter(None, (writer.repaired, _tell_lost(writer.path, lost))))
        summary = Summary(len(every), len(every) - len(todo), list(every), repaired)
        watch.begin(len(todo))
        if todo:
            if jobs is not None or scheduler:
                _check_known(planned.task for key, planned in every.items() if key not in there)
            write_manifest(writer.path, (p.code for p in every.values()), {r.code for r in writer.records})
            with closing(_pool(jobs, scheduler, patience)) as pool:
                _drive(pool, todo, writer, summary, watch)
    summary.seconds = time.perf_counter() - begun
    return summary
