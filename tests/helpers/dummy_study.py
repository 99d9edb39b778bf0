"""A study for the runner's tests: cases that last as long as told, and succeed or fail as told, in any way that there is."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from sdebench._support.registry import register_study
from sdebench.studies.base import Found, Study
from sdebench.studies.settings import whole


@dataclass(frozen=True)
class DummySettings:
    """What a `[[study]]` table may say; what it leaves out, no case has."""

    count: int = whole(3)
    seconds: float = 0.0
    what: str = "ok"
    log: str = ""
    arrays: int = 0
    once: str = ""


@dataclass(frozen=True)
class DummyCase:
    """A number, and how its case goes; `solver` is one that the case names and does not use."""

    number: int
    seconds: float | None = None
    what: str | None = None
    log: str | None = None
    arrays: int | None = None
    once: str | None = None
    solver: str | None = None


def _hang() -> None:
    while True:
        time.sleep(1.0)


def _answer(change: Callable[[bytes], bytes]) -> None:
    """Have this worker's next answer spoilt on its way."""
    from sdebench.engine import worker

    say = worker._say

    def spoilt(driver: socket.socket, message: bytes) -> None:
        worker._say = say
        say(driver, change(message))

    worker._say = spoilt


def _say(change: Callable[[bytes], bytes]) -> None:
    """Have this worker's next answer, and the length before it, spoilt on its way."""
    from sdebench.engine import worker

    def spoilt(driver: socket.socket, message: bytes) -> None:
        driver.sendall(change(worker.LENGTH.pack(len(message)) + message))

    worker._say = spoilt


def _leave_a_child() -> None:
    child = subprocess.Popen(["sleep", "1000"])
    Path(os.environ["CHILD"]).write_text(str(child.pid))


def _raise() -> None:
    raise ZeroDivisionError("no such step\nand a second line")


_DO = {
    "raise": _raise,
    "die": lambda: os._exit(9),
    "crash": lambda: os.abort(),
    "odd signal": lambda: os.kill(os.getpid(), 40),
    "hang": _hang,
    "hang up": lambda: (os.closerange(3, 64), _hang()),
    "print": lambda: print("a solver that talks", flush=True),
    "read": lambda: sys.stdin.read(),
    "rubbish": lambda: _answer(lambda answer: b"\x00 Traceback"),
    "another case": lambda: _answer(lambda answer: answer.replace(b'"number": 1', b'"number": 2')),
    "half an answer": lambda: _say(lambda sent: sent[:-9]),
    "half a length": lambda: _say(lambda sent: sent[:4]),
    "long length": lambda: _say(lambda sent: b"\x01" + sent[1:]),
    "short length": lambda: _say(lambda sent: bytes(7) + b"\x02" + sent[8:]),
    "leave a child": _leave_a_child,
    "leave a child and die": lambda: (_leave_a_child(), os._exit(9)),
    "arrays lost": lambda: _answer(lambda answer: answer.partition(b"\n")[0] + b"\n"),
}


@register_study("dummy")
class DummyStudy(Study):
    """Cases that go as told."""

    settings, case = DummySettings, DummyCase

    def cases(self, settings: DummySettings) -> list[DummyCase]:
        """`count` cases, all alike but for their number."""
        told = {key.name: getattr(settings, key.name) for key in fields(settings) if key.name != "count"}
        rest = {name: value for name, value in told.items() if value != getattr(DummySettings, name)}
        return [DummyCase(i, **rest) for i in range(settings.count)]

    def measure(self, case: DummyCase) -> Found:
        """Numbers made of the case's own, after a line in the log that tells how often this was called."""
        time.sleep(case.seconds or 0.0)
        if case.log:
            with open(case.log, "a") as log:
                log.write(f"{case.number}\n")
        what = case.what if case.number == 1 else "ok"
        if what in _DO and not (case.once and Path(case.once).exists()):
            if case.once:
                Path(case.once).touch()
            _DO[what]()
        rms = {"nan": [float("nan"), float("inf")], "one nan": [0.5, float("nan")]}.get(what, [0.5, 0.25])
        context = {"dim": 1, "threads": os.environ.get("OMP_NUM_THREADS", "")} if what == "threads" else {"dim": 1}
        arrays = {"x": np.full(case.arrays, float(case.number))} if case.arrays else None
        return Found(context, data={"n": [8, 16], "rms": rms}, arrays=arrays)
