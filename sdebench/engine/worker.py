"""What runs in a worker: measuring a case, and the process that does nothing else.

A worker is a process of its own, apart from its parent's process group: it never hears an interrupt from the keyboard, ends
when its parent does or when nothing is asked of it for IDLE seconds, and runs one thread of every numerical library.
"""

import fcntl
import io
import json
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import wait
from typing import Any

from sdebench import records
from sdebench.engine.replies import LENGTH, Job, diverged, pack, refusal
from sdebench.studies import base

IDLE = 60.0


def _single_threaded() -> None:
    """One thread for torch: there is a process a core, and sums over threads change the last bits with the machine."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


def _claims(case: dict) -> dict[str, Any]:
    """What the case's solver says of itself, where it can be made."""
    try:
        return base.claims(base.solver(case["solver"]))
    except Exception:  # the record is of a failure already
        return {}


def failed(job: Job, message: str) -> dict:
    """The record of a case that could not be measured."""
    return records.make(job.case, job.code, "failed", message, claims=_claims(job.case))


def _measure(job: Job) -> dict:
    study = import_module(job.module)
    _single_threaded()
    found = study.measure(job.case)
    arrays = found.pop("arrays", None)
    found = records.clean(found)
    if diverged(found["data"]):
        return records.make(job.case, job.code, "failed", "no finite error: nan or inf at every size of the step", **found)
    return records.make(job.case, job.code, "ok", **found) | ({"arrays": arrays} if arrays else {})


def answer(job: Job) -> bytes:
    """The record of one case, by its study, packed.  Raises nothing."""
    try:
        record = _measure(job)
        return pack(record)
    except Exception as error:  # whatever a solver does wrong is a fact about it
        return pack(failed(job, f"{type(error).__name__}: {error}".splitlines()[0]))


def _other_code(job: Job) -> str:
    """What is wrong with the code here, for a job that another machine wants measured, or ""."""
    try:
        here = records.code_hash(base.sources(job.case))
    except Exception as error:  # a solver's file that is not here
        return f"cannot make the case's solver or problem ({type(error).__name__}: {error})".splitlines()[0]
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


def _say(driver: socket.socket, message: bytes) -> None:
    driver.sendall(LENGTH.pack(len(message)))
    driver.sendall(message)


def serve() -> None:
    """Answer, in turn, the jobs that come through standard input, which is a socket, a line each; an empty message says that
    one began.  In the end, end what the cases have started."""
    driver = socket.socket(fileno=fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, 3))  # never that of a screen that is closed
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
                with suppress(Exception):  # the answer will tell
                    import_module(job.module)  # may take long, and is not the case's doing
                _say(driver, b"")
            found = refusal(other) if other else answer(job)
            _say(driver, found)
    os.killpg(0, signal.SIGKILL)
