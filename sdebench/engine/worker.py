"""What runs in a worker: measuring a case, and the process that does nothing else.

A worker is a process of its own, apart from its parent's process group: it never hears an interrupt from the keyboard, ends
when its parent does or when nothing is asked of it for IDLE seconds, and runs one thread of every numerical library.
"""

import io
import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any

from sdebench._support.errors import STRANGERS, describe
from sdebench._support.registry import import_object
from sdebench.engine.code import Codes
from sdebench.engine.replies import LENGTH, Job, Reply, is_diverged, pack, refusal
from sdebench.engine.suite import Task
from sdebench.records import Claims, Record, clean, make_record

IDLE = 60.0


def _single_threaded() -> None:
    """One thread for torch: there is a process a core, and sums over threads change the last bits with the machine."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def _claims(case: dict) -> Claims | None:
    """What the case's solver says of itself, where it can be made."""
    from sdebench.catalogue import get_solver

    try:
        return Claims.of(get_solver(case["solver"]))
    except STRANGERS:  # the record is of a failure already
        return None


def failed(job: Job, message: str) -> Record:
    """The record of a case that could not be measured."""
    return make_record(job.case, job.code, "failed", message, claims=_claims(job.case))


def _task(job: Job) -> Task:
    study = import_object("study", job.study)()
    type(study).name = job.case["study"]  # of an entry point's, which was not registered here
    return Task(study, study.from_json(job.case))


def _measure(job: Job) -> Reply:
    task = _task(job)
    _single_threaded()
    found = task.study.measure(task.case)
    data = clean(found.data)
    if is_diverged(data):
        message = "no finite error: nan or inf at every size of the step"
        return Reply(make_record(job.case, job.code, "failed", message, found.context, found.claims, data))
    return Reply(make_record(job.case, job.code, "ok", "", found.context, found.claims, data), found.arrays)


def answer(job: Job) -> bytes:
    """The record of one case, by its study, packed.  Raises nothing."""
    try:
        return pack(_measure(job))
    except STRANGERS as error:  # whatever a solver does wrong is a fact about it
        return pack(Reply(failed(job, describe(error))))


def _other_code(job: Job) -> str:
    """What is wrong with the code here, for a job that another machine wants measured, or ""."""
    try:
        here = Codes().of(_task(job)).hash
    except STRANGERS as error:  # a solver's file that is not here
        return f"cannot make the case's solver or problem ({describe(error)})"
    return "" if here == job.code else f"runs other code ({here}; here it is {job.code})"


def _end_with(parent: int) -> None:
    """End this process, and those that it started, when its parent does: one that is killed cannot tell its workers."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os.killpg(0, signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


class _Screen(io.RawIOBase):
    """Where cases print.  That nobody reads it any more, or that there is no room, is no fault of theirs."""

    def fileno(self) -> int:
        """Standard error's."""
        return 2

    def writable(self) -> bool:
        """Always."""
        return True

    def write(self, data: Any) -> int:
        """Write what can be written."""
        try:
            return os.write(2, data)
        except OSError:
            return len(data)


def _away_from_the_screen(fd: int) -> int:
    """Another number for an open file, above those of the three standard streams, which may be closed."""
    taken = [fd]
    while taken[-1] <= 2:
        taken.append(os.dup(taken[-1]))
    for low in taken[1:-1]:
        os.close(low)
    return taken[-1]


def _say(driver: socket.socket, message: bytes) -> None:
    driver.sendall(LENGTH.pack(len(message)))
    driver.sendall(message)


def serve() -> None:
    """Answer, in turn, the jobs that come through standard input, which is a socket, a line each; an empty message says that
    one began.  In the end, end what the cases have started."""
    driver = socket.socket(fileno=_away_from_the_screen(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # a solver that reads from the keyboard gets nothing
    screen = io.BufferedWriter(_Screen())
    sys.stdout = sys.stderr = io.TextIOWrapper(screen, "utf-8", "backslashreplace", line_buffering=True)
    _end_with(int(sys.argv[1]))
    orders = driver.makefile("rb")
    with suppress(OSError):  # nobody is there any more
        while wait([driver], IDLE) and (line := orders.readline()).endswith(b"\n"):
            order = json.loads(line)
            job = Job(*order["job"])
            other = _other_code(job) if order["check"] else ""
            if not other:
                with suppress(*STRANGERS):  # the answer will tell
                    _task(job)  # imports may take long, and are not the case's doing
                _say(driver, b"")
            found = refusal(other) if other else answer(job)
            _say(driver, found)
    os.killpg(0, signal.SIGKILL)
