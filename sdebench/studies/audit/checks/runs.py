"""Does it run?  Finite at usual and at awkward numbers of steps, as often as it is asked, and without side effects."""

from collections.abc import Iterator

import torch

from sdebench._support.errors import STRANGERS, UsageError, describe
from sdebench.peers import NotOffered, PeerFault, RunPlan
from sdebench.studies.audit.reading import Reading, Verdict
from sdebench.studies.audit.trial import Run, Trial

USUAL, AWKWARD, MORE = (5, 10, 20, 50), (7, 150), (333, 700, 999)
_SAME = 1e-9


def check(trial: Trial, full: bool) -> Iterator[Reading]:
    """Read all of it."""
    traces: dict[int, Run] = {}
    failed: dict[tuple[str, bool], list[int]] = {}
    for n in (*USUAL, *AWKWARD, *(MORE if full else ())):
        try:
            traces[n] = trial.run(n, "told")
        except (NotOffered, UsageError):
            raise
        except STRANGERS as error:
            failed.setdefault((describe(error), isinstance(error, ValueError)), []).append(n)
    for (message, refused), steps in failed.items():
        verdict: Verdict = "limit" if refused and traces else "fault"
        yield Reading("runs", "raises", f"raises at {_list(steps)} steps: {message}", float(steps[0]), verdict)
    bad = [n for n, trace in traces.items() if not trace.is_finite]
    if bad:
        yield Reading("runs", "not finite", f"gives NaN or inf at {_list(bad)} steps", float(bad[0]), "fault")
    elif traces:
        yield Reading("runs", "finite", f"finite at {_list(list(traces))} steps", None, "right")
    if traces:
        yield from _calls(traces, trial.peer.budget)
        yield from _side_effects(trial, traces)


def _list(steps: list[int]) -> str:
    return ", ".join(map(str, steps))


def _calls(traces: dict[int, Run], budget: bool) -> Iterator[Reading]:
    """Network evaluations against steps asked for: c N + d with small c and d, or a fault."""
    counts = {n: len(trace.calls) for n, trace in traces.items()}
    if budget:
        over = {n: c for n, c in counts.items() if c > n}
        verdict: Verdict = "fault" if over else "right"
        yield Reading("runs", "budget", f"evaluations made of those asked for: {_pairs(counts)}", None, verdict)
        return
    if len(counts) < 3:
        return
    (n1, c1), (n2, c2) = sorted(counts.items())[-2:]
    slope = round((c2 - c1) / (n2 - n1))
    if slope == 0:
        yield Reading("runs", "adaptive", f"it chooses its steps: {c2} evaluations, whatever is asked for", None, "told")
        return
    rests = {n: c - slope * n for n, c in counts.items()}
    steady = len(set(rests.values())) == 1
    rest = next(iter(rests.values()))
    if steady and slope >= 1 and -2 <= rest <= 0:
        text = f"{slope} evaluation{'s' * (slope > 1)} a step" + (f", {-rest} less in all" if rest else "")
        yield Reading("runs", "calls", text, float(slope), "right")
    elif steady:
        yield Reading("runs", "calls", f"{slope} evaluations a step and {rest} more", float(slope), "price")
    else:
        yield Reading("runs", "calls differ", f"evaluations against steps asked for: {_pairs(counts)}", None, "price")


def _pairs(counts: dict[int, int]) -> str:
    return ", ".join(f"{c} for {n}" for n, c in sorted(counts.items()))


def _side_effects(trial: Trial, traces: dict[int, Run]) -> Iterator[Reading]:
    n = 10 if 10 in traces else next(iter(traces))
    trace = traces[n]
    if not trace.is_finite:
        return
    for note in sorted(trace.notes):
        yield Reading("runs", note, f"{note}", None, "told" if note.startswith("draws") else "fault")
    yield from _again(trial, trace, n)
    yield from _batch(trial, trace, n)
    yield from _dtypes(trial, n)


def _again(trial: Trial, trace: Run, n: int) -> Iterator[Reading]:
    """The same object, run a second time."""
    session = trial.peer.prepare(RunPlan(n))
    trial.fresh(session, "told")
    try:
        gap = _gap(trial.fresh(session.again(), "told").end, trace.end)
    except STRANGERS as error:
        yield Reading("runs", "second run raises", f"a second run of the same object raises: {describe(error)}", None, "fault")
        return
    if gap <= _SAME:
        yield Reading("runs", "second run", "a second run of the same object is as the first", gap, "right")
    else:
        yield Reading("runs", "second run differs", f"a second run of the same object differs by {gap:.2g}", gap, "fault")


def _batch(trial: Trial, trace: Run, n: int) -> Iterator[Reading]:
    """A sample alone, or among others."""
    if trial.is_stochastic:
        return
    few = 4
    gap = _gap(trial.fresh(trial.peer.prepare(RunPlan(n)), "told", samples=few).end[:few], trace.end[:few])
    if gap <= _SAME:
        yield Reading("runs", "batch", "a sample does not depend on its batch", gap, "right")
    else:  # one who chooses the steps looks at the whole batch
        verdict: Verdict = "price" if trial.takes(50) and trial.is_adaptive else "fault"
        yield Reading("runs", "batch matters", f"a sample depends on the others of its batch, by {gap:.2g}", gap, verdict)


def _dtypes(trial: Trial, n: int) -> Iterator[Reading]:
    for dtype in (torch.float32, torch.float16):
        name = str(dtype).removeprefix("torch.")
        try:
            end = trial.run(n, "told", dtype=dtype).end
        except (PeerFault, *STRANGERS) as error:
            yield Reading("runs", f"{name} raises", f"raises on a state of {name}: {describe(error)}", None, "fault")
            continue
        if end.dtype == dtype:
            yield Reading("runs", f"{name} kept", f"a state of {name} stays one", None, "right")
        else:
            other = str(end.dtype).removeprefix("torch.")
            yield Reading("runs", f"{name} changed", f"a state of {name} comes back as {other}", None, "price")


def _gap(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, relative to the largest entry."""
    gap = float((one.double() - other.double()).abs().max() / other.double().abs().max())
    return gap if gap == gap else float("inf")
