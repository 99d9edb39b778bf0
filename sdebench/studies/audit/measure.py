"""How an audit measures: every check on one problem, and each fault once more on another."""

import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from typing import Any

import torch

from sdebench._support.errors import STRANGERS, describe
from sdebench.peers import NotOffered, Peer, PeerFault
from sdebench.studies.audit.checks import formats, identity, ladder, law, levels, middle, order, parametrisations, runs
from sdebench.studies.audit.reading import Check, Reading
from sdebench.studies.audit.trial import Trial
from sdebench.studies.audit.world import World, other

CHECKS: dict[str, Check] = {
    "runs": runs.check,
    "levels": levels.check,
    "ladder": ladder.check,
    "order": order.check,
    "law": law.check,
    "parametrisations": parametrisations.check,
    "middle": middle.check,
    "formats": formats.check,
    "identity": identity.check,
}
FULL_ONLY = ("identity",)


def audit(peer: Peer, full: bool = False, only: tuple[str, ...] = ()) -> list[Reading]:
    """All readings of a peer; every fault was found on two problems."""
    chosen = only or tuple(name for name in CHECKS if full or name not in FULL_ONLY)
    trial = Trial(peer)
    found: list[Reading] = []
    again: Callable[[], Trial] = _once(lambda: Trial(peer, other(World())))
    for name in chosen:
        readings = list(_read(name, trial, full))
        if any(reading.verdict == "fault" for reading in readings):
            second = {reading.name for reading in _read(name, again(), full) if reading.verdict == "fault"}
            readings = [_confirmed(reading, second) for reading in readings]
        found += readings
    return found


def _once(make: Callable[[], Trial]) -> Callable[[], Trial]:
    kept: list[Trial] = []

    def get() -> Trial:
        if not kept:
            kept.append(make())
        return kept[0]

    return get


def _read(name: str, trial: Trial, full: bool) -> Iterator[Reading]:
    try:
        yield from CHECKS[name](trial, full)
    except NotOffered as limit:
        yield Reading(name, "limit", str(limit), None, "limit")
    except PeerFault as fault:
        yield Reading(name, "what came", str(fault), None, "fault" if name == "runs" else "limit")
    except STRANGERS as error:
        yield Reading(name, "not measured", f"could not be measured: {describe(error)}", None, "limit")


def _confirmed(reading: Reading, second: set[str]) -> Reading:
    """The reading, or one without a judgement where the second problem does not show it."""
    if reading.verdict != "fault" or reading.name in second:
        return reading
    return replace(reading, verdict="told", what=f"{reading.what}; on another problem this was not found")


def as_dicts(readings: list[Reading]) -> list[dict[str, Any]]:
    """The readings as a record keeps them."""
    return [asdict(reading) for reading in readings]


@contextlib.contextmanager
def printing_apart() -> Iterator[list[str]]:
    """Within, what foreign code prints and logs goes to a file, and its lines into the list afterwards; one thread of torch."""
    threads, lines = torch.get_num_threads(), list[str]()
    torch.set_num_threads(1)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as out:
        try:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield lines
        finally:
            for fd, old in zip((1, 2), kept):
                os.dup2(old, fd)
                os.close(old)
            torch.set_num_threads(threads)
            out.seek(0)
            lines += list(dict.fromkeys(line.strip() for line in out.read(100_000).splitlines() if line.strip()))
