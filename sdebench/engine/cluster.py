"""Cases on a Dask cluster that somebody already has.

On each thread of its workers a case runs in a process of ours, as on this machine: a solver that crashes or hangs takes down
nobody's worker, the code is read afresh for each run, and the number of threads is ours to set.  So what the death of a
Dask worker tells is the cluster's affair, not the case's: the scheduler gives the case to another, three times unless it is
set up otherwise (`allowed-failures`), as it does for a worker that no longer speaks (`worker-ttl`).

distributed's own client rather than joblib's backend for it: there one lost task ends the whole run.
"""

import logging
import threading
import uuid
import warnings
from itertools import islice
from multiprocessing.connection import wait
from typing import Any

from sdebench._support.errors import UsageError
from sdebench.engine.pools import JobOutcome, Worker
from sdebench.engine.replies import Fault, Job, unpack

_CONNECT = 5.0  # seconds to wait for a scheduler
_held = threading.local()


def _process(run: str) -> Worker:
    """The process of this thread for that run."""
    held = getattr(_held, "worker", None)
    if held is None or _held.run != run or not held.ready():
        if held is not None:
            held.end()
        _held.worker, _held.run = Worker(), run
    return _held.worker


def attempt(job: tuple, patience: float, run: str) -> dict[str, Any]:
    """On a worker of the cluster: {"where": its address, and "answer": bytes or "fault": a line}."""
    from distributed import get_worker

    found, process = {"where": get_worker().address}, _process(run)
    process.send(Job(*job), patience, check=True)
    try:
        while (answer := process.reply()) is None:
            wait([process.connection], 0.5)
    except Fault as fault:
        return found | {"fault": str(fault)}
    return found | {"answer": answer}


def _connect(scheduler: str) -> Any:
    """A client of the scheduler at that address.  Raises UsageError where there is none."""
    try:
        from distributed import Client
    except ImportError:
        raise UsageError("a cluster needs dask.distributed, which is not installed: pip install 'sdebench[cluster]'") from None

    class Ours(Client):
        def __del__(self) -> None:
            """Nothing: one that never met its scheduler would take ten seconds, and print a traceback, to leave it."""

    found: list[Any] = []

    def meet() -> None:
        try:
            found.append(Ours(scheduler, timeout=_CONNECT, set_as_default=False))
        except Exception as error:  # of an address that is none, a name that is unknown, a port where nobody listens
            found.append(error)

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what is wrong is told here, in a line
    thread = threading.Thread(target=meet, daemon=True)
    thread.start()
    thread.join(_CONNECT + 2.0)  # of something that listens and says nothing a client never has enough
    if found and not isinstance(found[0], Exception):
        return found[0]
    what = type(found[0]).__name__ if found else "silence"
    raise UsageError(
        f"no Dask scheduler answers at {scheduler!r} ({what}): give the address that it prints when it starts, "
        "such as tcp://10.0.0.1:8786"
    )


class Dask:
    """The workers of a cluster, by the address of its scheduler.  All jobs are sent at once, so that it may grow to need."""

    alone = False

    def __init__(self, scheduler: str, patience: float):
        self._client, self._where, self._patience = _connect(scheduler), scheduler, patience
        from distributed import as_completed

        self._run, self._jobs = uuid.uuid4().hex, {}  # key of its future -> (job, future)
        self._done = as_completed(loop=self._client.loop)
        self._threads = sum(self._client.nthreads().values())
        if not self._threads:
            warnings.warn(f"the cluster at {scheduler} has no worker yet: waiting for one", stacklevel=2)

    def room(self) -> bool:
        """The scheduler keeps what is not yet measured."""
        return True

    def send(self, job: Job, away: str = "") -> None:
        """Have a job measured, elsewhere than at the worker `away` if there is another."""
        others = [address for address in self._client.nthreads() if address != away] if away else []
        where = {"workers": others, "allow_other_workers": True} if others else {}
        future = self._client.submit(attempt, tuple(job), self._patience, self._run, pure=False, **where)
        self._jobs[future.key] = job, future
        self._done.add(future)

    def running(self) -> list[Job]:
        """As many as there are threads, of what has not come back: the scheduler keeps the order."""
        return [job for job, _ in islice(self._jobs.values(), self._threads or 1)]

    def next(self) -> JobOutcome:
        """Wait for an answer, or for the cluster to give a job up."""
        future = next(self._done)
        job, _ = self._jobs.pop(future.key)
        if future.status == "error":
            return self._error(job, future.exception())
        if self._client.status != "running":
            raise UsageError(f"the scheduler at {self._where} is gone; everything measured is recorded: run again to go on")
        if future.status != "finished":
            return JobOutcome(job, None, "the cluster gave it up")
        found = future.result()
        if "answer" not in found:
            return JobOutcome(job, None, found["fault"], found["where"])
        try:
            return JobOutcome(job, unpack(found["answer"], job), where=found["where"])
        except Fault as fault:
            return JobOutcome(job, None, str(fault), found["where"])
        except UsageError as refused:
            advice = "install this version of sdebench, and the files of your own solvers, on every worker, and start them anew"
            raise UsageError(f"the worker {found['where']} {refused}: {advice}") from None

    def _error(self, job: Job, error: BaseException) -> JobOutcome:
        """A task that could not even be run."""
        from distributed import KilledWorker

        if isinstance(error, KilledWorker):
            return JobOutcome(job, None, f"{error.allowed_failures + 1} workers of the cluster died under it", final=True)
        if isinstance(error, ImportError | AttributeError):
            raise UsageError(f"a worker of the cluster has no such sdebench ({error}): install this version on every worker")
        return JobOutcome(job, None, f"its worker failed ({type(error).__name__}: {error})".splitlines()[0])

    def close(self) -> None:
        """Leave the cluster, which forgets what has not been measured."""
        self._client.close()
