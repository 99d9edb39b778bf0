"""Where cases are measured: in this process, or in processes of this machine (on a cluster: `cluster.py`).

A pool takes jobs while it has `room()`, and `next()` waits for an outcome: a record, or what became of the worker.  Every
process measures one case at a time and has a connection of its own.  So the case of a process that dies is known, a process
that hangs is ended without harm to others, and each is replaced by a new one.  joblib's pool, and its backend for a cluster,
can do neither: one dead worker ends the whole run, and nothing tells which case it had.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from multiprocessing.connection import wait
from typing import NamedTuple, Protocol

from sdebench.engine import worker
from sdebench.engine.replies import LENGTH, Fault, Job, Reply, unpack

PATIENCE = 3600.0  # seconds that a case may take
STARTING = 300.0  # seconds that a process may take, besides, to load its libraries
_STEP = 0.5
_PIECE = 1 << 20  # bytes of an answer that are taken at a time, so that one worker's keeps nobody waiting
_THREADS = ("OMP_NUM", "MKL_NUM", "OPENBLAS_NUM", "BLIS_NUM", "NUMEXPR_NUM", "VECLIB_MAXIMUM")


class JobOutcome(NamedTuple):
    """What became of a job: its answer, or what was wrong with its worker."""

    job: Job
    answer: Reply | None
    fault: str = ""
    where: str = ""  # the worker's address
    lost: bool = False  # by the cluster: that says nothing of the case, which is sent again


class Pool(Protocol):
    """Measures jobs, several at a time."""

    alone: bool  # whether a second try is best made with nothing beside it

    def room(self) -> bool: ...  # whether another job may be sent
    def send(self, job: Job, away: str = "") -> None: ...  # where possible, not to the worker of that address
    def running(self) -> list[Job]: ...  # what was sent and has not come back, the oldest first
    def next(self) -> JobOutcome: ...
    def close(self) -> None: ...


class Here:
    """Measures in this process, one after the other, where nothing stands between it and a solver that crashes or hangs."""

    alone = False

    def __init__(self) -> None:
        self._jobs: list[Job] = []

    def room(self) -> bool:
        """Whether there is nothing to measure."""
        return not self._jobs

    def send(self, job: Job, away: str = "") -> None:
        """Take a job."""
        self._jobs.append(job)

    def running(self) -> list[Job]:
        """The job, if there is one."""
        return list(self._jobs)

    def next(self) -> JobOutcome:
        """Measure it."""
        job = self._jobs.pop()
        try:
            return JobOutcome(job, unpack(worker.answer(job), job))
        except Fault as fault:
            return JobOutcome(job, None, str(fault))

    def close(self) -> None:
        """There is nothing to end."""


def _environment() -> dict[str, str]:
    """One thread a library, and the modules that can be imported here."""
    path = os.pathsep.join(map(os.path.abspath, sys.path))
    return os.environ | {f"{name}_THREADS": "1" for name in _THREADS} | {"PYTHONPATH": path}


class Worker:
    """A process that measures one case after another, at this end of its connection, where nothing waits: a worker may stop in
    the middle of an answer."""

    def __init__(self) -> None:
        self.connection, theirs = socket.socketpair()
        self.connection.setblocking(False)
        with theirs:
            code = "from sdebench.engine.worker import serve; serve()"
            command = [sys.executable, "-P", "-c", code, str(os.getpid())]
            self._process = subprocess.Popen(command, stdin=theirs, stdout=2, env=_environment(), process_group=0)  # type: ignore[call-overload]  # a socket is a file to a process
        self._used, self._unsent, self._came = time.monotonic(), b"", bytearray()
        self._job: Job | None = None

    def ready(self) -> bool:
        """Whether it lives, and is not about to end for want of work."""
        return self._process.poll() is None and time.monotonic() - self._used < worker.IDLE / 2

    def send(self, job: Job, patience: float, check: bool = False) -> None:
        """Give it a job; with `check`, one to be refused where the code is not the job's."""
        self._job, self._patience = job, patience
        self._deadline = time.monotonic() + STARTING + patience
        self._unsent = json.dumps({"job": job, "check": check}).encode() + b"\n"
        self._push()

    def _push(self) -> None:
        """Send what there is room for."""
        with suppress(OSError):  # there is no room, or it has died, as the next look at it tells
            while self._unsent:
                self._unsent = self._unsent[self.connection.send(self._unsent) :]

    def _message(self) -> bytes | None:
        """Its next message, or None where that is not whole yet.  Raises EOFError where none will come."""
        lost = self._process.poll() is not None  # asked first: what it said before its end is there
        try:
            came = self.connection.recv(_PIECE)
            lost = not came
        except BlockingIOError:
            came = b""
        except OSError:
            came, lost = b"", True
        self._came += came
        first = LENGTH.size
        length = LENGTH.unpack_from(self._came)[0] if len(self._came) >= first else 0
        if first + length <= len(self._came):
            message = bytes(self._came[first : first + length])
            del self._came[: first + length]
            return message
        if lost:
            raise EOFError
        return None

    def reply(self) -> bytes | None:
        """The answer, or None where there is none yet.  Raises Fault, the process ended, where none will come."""
        self._push()
        try:
            while (answer := self._message()) == b"":
                self._deadline = time.monotonic() + self._patience  # it has begun
        except EOFError:
            raise Fault(f"its process {self.end(5.0)}") from None
        if answer is not None:
            self._believe(answer)
        elif time.monotonic() > self._deadline:
            self.end()
            raise Fault(f"no answer within {self._patience:g} s")
        return answer

    def _believe(self, answer: bytes) -> None:
        """Raise Fault, the process ended, for nonsense."""
        self._used = time.monotonic()
        try:
            unpack(answer, self._job)  # type: ignore[arg-type]  # who answers has a job
        except Fault:
            self.end()
            raise
        except ValueError:
            pass  # a refusal, which is for the driver to tell

    def end(self, grace: float = 0.0) -> str:
        """End the process, after `grace` seconds to end by itself, and what it has started; says how it ended."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(grace)
        lived = self._process.returncode is None
        if self.connection.fileno() >= 0:  # once: later its number may be another's
            with suppress(ProcessLookupError, PermissionError):  # nothing is left; so macOS says where all have just died
                os.killpg(self._process.pid, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(5.0)
        self.connection.close()
        if lived:
            return "closed its connection"
        status = self._process.returncode
        if status >= 0:
            return f"ended with exit status {status}"
        names = {one.value: one.name for one in signal.Signals}  # not all have one
        return f"died of {names.get(-status, f'signal {-status}')}" + " (out of memory?)" * (status == -signal.SIGKILL)


class Local:
    """`jobs` processes of this machine.  A process that was lost is replaced by a new one."""

    alone = True  # what died for want of memory may do without its neighbours

    def __init__(self, jobs: int, patience: float):
        self._jobs, self._patience = jobs, patience
        self._busy: dict[Worker, Job] = {}
        self._idle: list[Worker] = []

    def room(self) -> bool:
        """Whether a process is free, or may be started."""
        return len(self._busy) < self._jobs

    def send(self, job: Job, away: str = "") -> None:
        """Measure a job in a process that is free, or in a new one."""
        free = self._idle.pop() if self._idle else Worker()
        if not free.ready():
            free.end()
            free = Worker()
        self._busy[free] = job
        free.send(job, self._patience)

    def running(self) -> list[Job]:
        """What is being measured."""
        return list(self._busy.values())

    def next(self) -> JobOutcome:
        """Wait for an answer, a death, or the end of patience."""
        while True:
            for one, job in self._busy.items():
                try:
                    answer = one.reply()
                except Fault as fault:
                    del self._busy[one]
                    return JobOutcome(job, None, str(fault))
                if answer is not None:
                    del self._busy[one]
                    self._idle.append(one)
                    return JobOutcome(job, unpack(answer, job))
            wait([one.connection for one in self._busy], _STEP)

    def close(self) -> None:
        """End all processes."""
        for one in (*self._busy, *self._idle):
            one.end()
