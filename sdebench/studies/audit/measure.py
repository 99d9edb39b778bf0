"""How an audit measures: every check on one problem, and each fault once more on another."""

import contextlib
import inspect
import json
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from sdebench._support.errors import STRANGERS, UsageError, describe, near_miss, shown
from sdebench._support.files import sha256
from sdebench.peers import NotOffered, Peer, PeerFault, get_peer
from sdebench.records import clean
from sdebench.studies.audit import AuditCase, AuditStudy
from sdebench.studies.audit.checks import formats, identity, ladder, law, levels, middle, order, parametrisations, runs
from sdebench.studies.audit.claims import OTHER_NETWORKS
from sdebench.studies.audit.reading import Check, Reading
from sdebench.studies.audit.release import folder_of, measure_elsewhere
from sdebench.studies.audit.trial import Trial
from sdebench.studies.audit.world import World, other
from sdebench.studies.base import Found

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


def measure(case: AuditCase) -> Found:
    """Audit one peer, here or with a release of its own."""
    if case.release:
        given = {key: value for key, value in asdict(case).items() if key != "release"}
        found = measure_elsewhere(given, folder_of(case.peer, case.release))
    else:
        found = measure_here(case)
    return Found(context=found["context"], data={"readings": found["readings"], "printed": found["printed"]})


def measure_here(case: AuditCase) -> dict[str, Any]:
    """The readings of a peer, what it is, and what it printed.  Raises UsageError for one that cannot be made."""
    only = case.checks or ()
    for name in only:
        if name not in CHECKS:
            raise UsageError(f"unknown check {shown(name)}{near_miss(name, CHECKS)} (there are: {', '.join(CHECKS)})")
    with printing_apart() as printed:
        peer, stood_in = get_peer(case.peer, case.interface or "")
        peer = replace(peer, claim=case.claim)
        readings = audit(peer, case.full, tuple(only))
    context = {
        "package": str(getattr(peer.target, "__module__", "")).partition(".")[0],
        "file": sha256_of(peer.target),
        "interface": peer.kind,
        "stood_in": list(stood_in),
    }
    return {"context": context, "readings": [asdict(reading) for reading in readings], "printed": printed[:3]}


def sha256_of(target: Any) -> str:
    """The SHA-256 of the file that defines a class or a function; "" where there is none."""
    try:
        return sha256(Path(inspect.getsourcefile(target) or ""))
    except (TypeError, OSError):
        return ""


def audit(peer: Peer, full: bool = False, only: tuple[str, ...] = ()) -> list[Reading]:
    """All readings of a peer; every fault was found on two problems."""
    trial = Trial(peer)
    found: list[Reading] = []
    again = cache(lambda: Trial(peer, other(World())))
    for name in only or CHECKS:
        readings = list(_read(name, trial, full))
        if any(reading.verdict == "fault" for reading in readings):
            second = {reading.name for reading in _read(name, again(), full) if reading.verdict == "fault"}
            readings = [_confirmed(reading, second) for reading in readings]
        found += readings
    return found


def _read(name: str, trial: Trial, full: bool) -> Iterator[Reading]:
    try:
        if what := OTHER_NETWORKS.get(getattr(trial.peer.target, "__name__", "")):
            raise NotOffered(f"its network gives {what}: there is no exact one here")
        if name != "runs" and trial.is_blind:
            raise NotOffered("it begins at alpha = 0 with a network of eps, which tells nothing of the data there")
        yield from CHECKS[name](trial, full)
    except UsageError:
        raise
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


def serve() -> None:
    """Audit the case on standard input; the answer is JSON on standard output.  What a process of `release` runs."""
    case = AuditStudy().from_json(json.load(sys.stdin))
    out = os.dup(1)
    os.dup2(2, 1)  # what the peer prints is not the answer
    try:
        found = measure_here(case)
    except UsageError as error:
        found = {"usage": str(error)}
    with os.fdopen(out, "w", encoding="utf-8") as answer:
        json.dump(clean(found), answer)
