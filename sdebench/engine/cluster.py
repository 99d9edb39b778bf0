"""Cases on a Dask cluster that somebody already has.

On each thread of its workers a case runs in a process of ours, as on this machine: a solver that crashes or hangs takes down
nobody's worker, the code is read afresh for each run, and the number of threads is ours to set.  So the death of a Dask worker
tells of the cluster, never of the case: the scheduler gives the case to another, three times unless it is set up otherwise
(`allowed-failures`), and after that it is sent anew, later.

A worker is trusted with nothing here.  What it answers is bytes, as from a process of this machine, and of what distributed
pickles on the way nothing comes to life: `inert.py`.  Who may talk to the scheduler is another matter: docs/cluster.md.

No wait is without a bound: a scheduler that says nothing, workers that leave, and a cluster that neither measures a job nor
gives it up, are each told.

distributed's own client rather than joblib's backend for it: there one lost task ends the whole run.
"""

import json
import logging
import pickle
import threading
import time
import uuid
import warnings
from itertools import islice
from multiprocessing.connection import wait
from typing import Any

from sdebench._support.errors import UsageError, cut, describe, shown
from sdebench.engine.inert import Guard, causes, connect
from sdebench.engine.pools import STARTING, JobOutcome, Worker
from sdebench.engine.replies import Fault, Job, unpack

_CONNECT = 5.0  # seconds to wait for a scheduler
_LEFT = 60.0  # seconds to wait for a worker, once the last one has gone
_LOOK = 1.0  # seconds between two looks at who is there
_QUIET = 60.0  # seconds without an answer, after which the scheduler is asked what its workers do
_ADVICE = "everything measured is recorded: run again to go on"
_ANEW = "everything measured is recorded: start the cluster anew, and run again to go on"
_held = threading.local()


def _process(run: str) -> Worker:
    """The process of this thread for that run."""
    held = getattr(_held, "worker", None)
    if held is None or _held.run != run or not held.ready():
        if held is not None:
            held.end()
        _held.worker, _held.run = Worker(), run
    return _held.worker


def attempt(job: tuple, patience: float, run: str) -> bytes:
    """On a worker of the cluster: a line of JSON, {"where": its address, "fault": a line or ""}, and the answer behind it."""
    from distributed import get_worker

    fault, found = "", b""
    process = _process(run)
    process.send(Job(*job), patience, check=True)
    try:
        while (answer := process.reply()) is None:
            wait([process.connection], 0.5)
        found = answer
    except Fault as error:
        fault = str(error)
    return json.dumps({"where": get_worker().address, "fault": fault}).encode() + b"\n" + found


class _Call:
    """Pickles as a call of `attempt`, which a task then makes by `pickle.loads`.

    A worker that cannot import `attempt` fails in the task, which tells why.  Of a function that it cannot import distributed
    loses the whole worker, and the scheduler would have to import it, too.
    """

    def __init__(self, *arguments: Any):
        self._arguments = arguments

    def __reduce__(self) -> tuple:
        return attempt, self._arguments


def _opened(answer: Any) -> tuple[str, str, bytes]:
    """(address of the worker, fault, bytes of the answer) of what `attempt` gave.  Raises Fault for anything else."""
    try:
        head, _, rest = bytes(answer).partition(b"\n")
        said = json.loads(head)
        where, fault = said["where"], said["fault"]
    except (TypeError, ValueError, KeyError, RecursionError):
        raise Fault("a worker of the cluster answered nonsense") from None
    if not (isinstance(where, str) and isinstance(fault, str)):
        raise Fault("a worker of the cluster answered nonsense")
    return cut(where), cut(fault), rest


def _connect(scheduler: str) -> tuple[Any, Guard]:
    """A client of the scheduler at that address, and its guard.  Raises UsageError where there is none."""
    try:
        guard = Guard()
    except ImportError:
        raise UsageError("a cluster needs dask.distributed, which is not installed: pip install 'sdebench[cluster]'") from None
    found: list[Any] = []

    def meet() -> None:
        try:
            found.append(connect(scheduler, _CONNECT))
        except Exception as error:  # of an address that is none, a name that is unknown, a port where nobody listens
            found.append(error)

    for name in ("distributed", "distributed.client"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what is wrong is told here, in a line
    thread = threading.Thread(target=meet, daemon=True)
    thread.start()
    thread.join(_CONNECT + 2.0)  # of something that listens and says nothing a client never has enough
    if found and not isinstance(found[0], Exception):
        return found[0], guard
    guard.lift()
    what = type(found[0]).__name__ if found else "silence"
    raise UsageError(
        f"no Dask scheduler answers at {shown(scheduler)} ({what}): give the address that it prints when it starts, "
        "such as tcp://10.0.0.1:8786"
    )


class Dask:
    """The workers of a cluster, by the address of its scheduler.  All jobs are sent at once, so that it may grow to need."""

    alone = False

    def __init__(self, scheduler: str, patience: float):
        self._client, self._guard = _connect(scheduler)
        from distributed import as_completed

        self._where, self._patience = scheduler, patience
        self._run, self._jobs = uuid.uuid4().hex, {}  # key of its future -> (job, future)
        self._done = as_completed(loop=self._client.loop)
        self._told_busy = False
        self._idle_since: float | None = None
        self._looked = self._answered = self._alone_since = self._moved = time.monotonic()
        self._threads = sum(self._workers().values())
        self._had = bool(self._threads)
        if not self._threads:
            warnings.warn(f"the cluster at {scheduler} has no worker yet: waiting for one", stacklevel=2)

    def _ask(self, what: Any) -> dict:
        """What the scheduler says, within seconds.  Raises where it says nothing."""
        found = self._client.sync(what, callback_timeout=_CONNECT)
        self._answered = time.monotonic()
        return dict(found)

    def _workers(self) -> dict[str, int]:
        """Address -> number of threads; empty where the scheduler does not say."""
        try:
            return self._ask(self._client.scheduler.ncores)
        except Exception:  # it is going, or busy: `_look` tells of one that stays silent
            return {}

    def room(self) -> bool:
        """The scheduler keeps what is not yet measured."""
        return True

    def send(self, job: Job, away: str = "") -> None:
        """Have a job measured, elsewhere than at the worker `away` if there is another."""
        others = [address for address in self._workers() if address != away] if away else []
        where = {"workers": others, "allow_other_workers": True} if others else {}
        call, name = pickle.dumps(_Call(tuple(job), self._patience, self._run)), f"sdebench-{uuid.uuid4().hex}"
        future = self._client.submit(pickle.loads, call, key=name, **where)
        self._jobs[future.key] = job, future
        self._done.add(future)
        self._moved = time.monotonic()

    def running(self) -> list[Job]:
        """As many as there are threads, of what has not come back: the scheduler keeps the order."""
        return [job for job, _ in islice(self._jobs.values(), self._threads or 1)]

    def next(self) -> JobOutcome:
        """Wait for an answer, or for the cluster to give a job up."""
        while not self._done.has_ready():
            time.sleep(0.02)
            if time.monotonic() - self._looked > _LOOK:
                self._look()
        future = next(self._done)
        self._moved, self._idle_since = time.monotonic(), None
        job, _ = self._jobs.pop(future.key)
        if self._client.status != "running":
            raise UsageError(f"the scheduler at {self._where} is gone; {_ADVICE}")
        if future.status == "error":
            return self._error(job, future.exception())
        if future.status != "finished":
            return JobOutcome(job, None, "the cluster gave it up", lost=True)
        try:
            where, failed, answer = _opened(future.result(_LEFT))
        except Fault as fault:
            return JobOutcome(job, None, str(fault), lost=True)
        except Exception as error:  # its worker went away with the answer, or sent what distributed cannot read
            return JobOutcome(job, None, f"its answer did not come ({describe(error)})", lost=True)
        if failed:
            return JobOutcome(job, None, failed, where)
        try:
            return JobOutcome(job, unpack(answer, job), where=where)
        except Fault as fault:
            return JobOutcome(job, None, str(fault), where)
        except UsageError as refused:
            advice = "install this version of sdebench, and the files of your own solvers, on every worker, and start them anew"
            raise UsageError(f"the worker {where} {refused}: {advice}") from None

    def _look(self) -> None:
        """See who is there and what they do.  Raises UsageError where nothing more is to be expected."""
        now = self._looked = time.monotonic()
        try:
            if self._client.status != "running":
                raise OSError("not connected")
            threads = sum(self._ask(self._client.scheduler.ncores).values())
            busy = self._ask(self._client.scheduler.processing) if threads and now - self._moved > _QUIET else None
        except Exception:  # it is going, and its futures tell; or it is there and silent
            if now - self._answered > _LEFT:
                silence = f"the scheduler at {self._where} has not answered for {now - self._answered:.0f} s"
                raise UsageError(f"{silence}; {_ADVICE}, on one that answers") from None
            return
        if threads:
            self._alone_since, self._had = now, True
        elif self._threads:
            warnings.warn(f"no worker is left of the cluster at {self._where}: waiting for one", stacklevel=2)
        self._threads = threads
        if now - self._alone_since > (_LEFT if self._had else self._patience):
            raise UsageError(f"no worker is left of the cluster at {self._where}; everything measured is recorded: start some")
        if busy is not None:
            self._check_moving(now, {key for keys in busy.values() for key in keys})

    def _check_moving(self, now: float, busy: set) -> None:
        """Raise UsageError where `busy`, the keys of what the workers do or have before them, promises no answer."""
        quiet = f"the cluster at {self._where} has answered nothing for {now - self._moved:.0f} s"
        ours, idle_since = busy & self._jobs.keys(), self._idle_since
        self._idle_since = None
        if busy - ours:
            if not self._told_busy:
                warnings.warn(f"{quiet}: it is busy with the tasks of others", stacklevel=2)
            self._told_busy, self._moved = True, now  # ours may have to wait for those
        elif not ours:
            self._idle_since = now if idle_since is None else idle_since
            if now - self._idle_since > _LEFT:
                raise UsageError(f"{quiet}, and its workers have nothing to do; {_ANEW}")
        elif now - self._moved > STARTING + self._patience + _LEFT:
            raise UsageError(f"{quiet}, where a case may take {self._patience:g} s; {_ANEW}")

    def _error(self, job: Job, error: BaseException) -> JobOutcome:
        """A task that could not even be run: the cluster's fault, and not the case's."""
        from distributed import KilledWorker

        for one in causes(error):
            if isinstance(one, ImportError | AttributeError | TypeError):  # no `attempt`, or one with other arguments
                what = f"the cluster's workers have no such sdebench ({describe(one)})"
                raise UsageError(f"{what}: install this version of sdebench on every worker, and start them anew")
        what = (
            "several workers of the cluster died"
            if isinstance(error, KilledWorker)
            else f"its worker failed ({describe(error)})"
        )
        return JobOutcome(job, None, what, lost=True)

    def close(self) -> None:
        """Leave the cluster, which forgets what has not been measured."""
        self._client.close()
        self._guard.lift()
