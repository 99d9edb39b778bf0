"""What runs in a worker: measuring a case, and the process that does nothing else.

A worker is a process of its own, apart from its parent's process group: it never hears an interrupt from the keyboard, ends
when its parent does or when nothing is asked of it for IDLE seconds, and runs one thread of every numerical library.
"""

import json
import os
import signal
import sys
import threading
import time
from contextlib import suppress
from importlib import import_module
from multiprocessing.connection import Connection
from typing import Any

from .. import records
from . import base
from .replies import Job, diverged, pack, refusal

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


def serve() -> None:
    """Answer, in turn, the jobs that come through standard input, which is a socket; an empty message says that one began."""
    asked = Connection(os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)  # a solver that reads from the keyboard gets nothing
    _end_with(int(sys.argv[1]))
    with suppress(EOFError, OSError):  # nobody is there any more
        while asked.poll(IDLE):
            order = json.loads(asked.recv_bytes())
            job = Job(*order["job"])
            other = _other_code(job) if order["check"] else ""
            if not other:
                with suppress(Exception):  # the answer will tell
                    import_module(job.module)  # may take long, and is not the case's doing
                asked.send_bytes(b"")
            asked.send_bytes(refusal(other) if other else answer(job))
