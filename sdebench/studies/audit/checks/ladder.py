"""The error over the number of steps, as shipped, and whose fault a floor is."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import log

from sdebench.studies.audit.reading import Reading, Verdict
from sdebench.studies.audit.trial import Run, Trial

DIVIDING, AWKWARD, MORE = (10, 20, 50, 100, 200), (150,), (333, 700, 999)
_LARGE = 0.03  # of the data's spread: an error that a user sees
_FLAT = 0.7  # an error that falls by less over a factor of 4 in the steps has stalled


@dataclass(frozen=True)
class ErrorRung:
    """The error of one run, and that of it without its last step, in units of the data's spread."""

    n: int
    error: float
    before: float


def check(trial: Trial, full: bool) -> Iterator[Reading]:
    """Read how the error falls as shipped, and how it would if the network were told the state's level."""
    if trial.is_stochastic or trial.is_adaptive:
        return
    told = [_rung(trial, n, trial.run(n, "told")) for n in (DIVIDING if full else DIVIDING[:-1])]
    odd = [_rung(trial, n, trial.run(n, "told")) for n in (*AWKWARD, *(MORE if full else ()))]
    own = [_rung(trial, n, trial.run(n)) for n in (DIVIDING if full else DIVIDING[1:-1:2])]
    if not all(rung.error < float("inf") for rung in (*own, *told, *odd)):
        return
    best = min((*told, *odd), key=lambda rung: rung.error)
    text = f"best error as shipped {best.error:.2g} of the data's spread, at {best.n} steps"
    yield Reading("ladder", "best", text, best.error, "told", best.n)
    yield from _fall(told, own)
    yield from _odd(told, odd)


def _rung(trial: Trial, n: int, trace: Run) -> ErrorRung:
    """The last step is taken out by one exact step to x0 from the exact state before it."""
    world = trial.world
    if not (trace.is_finite and trace.calls) or trace.level.radius < 1e-3:
        return ErrorRung(n, float("inf"), float("inf"))
    error = world.error(trace.end, trace.level)
    last = trace.calls[-1].level
    if trace.level.s > 1e-3 * trace.level.radius or last.s <= 0 or last.a <= 0:
        return ErrorRung(n, error, error)
    exact = world.points(last)
    x0 = world.posterior(exact.numpy(), last)[0] * trace.level.a
    gap = trace.end[:-2].double().numpy() - x0
    before = float((gap**2).mean() ** 0.5) / world.scale(trace.level)
    return ErrorRung(n, error, min(error, before))


def _fall(told: list[ErrorRung], own: list[ErrorRung]) -> Iterator[Reading]:
    """Falls, stalls, rises, diverges; and whose doing that is."""
    first, last = told[1], told[-1]
    middle = max((rung for rung in told if 4 * rung.n <= last.n), key=lambda rung: rung.n)
    text = ", ".join(f"{rung.error:.2g} at {rung.n}" for rung in told) + " steps"
    whose = f" (if the network is told the state's level: {own[-1].error:.2g} at {own[-1].n})"
    falls = own[-1].before < 0.5 * last.before
    if last.before > 1 and last.before > 0.5 * first.before:
        yield Reading("ladder", "does not converge", f"diverges: the error is {text}{whose * falls}", last.error, "fault")
    elif last.before > 0.5 * first.before and last.before > _LARGE:
        yield Reading(
            "ladder", "does not converge", f"does not converge: the error is {text}{whose * falls}", last.error, "fault"
        )
    elif last.before > _FLAT * middle.before and last.before > 2e-3:
        verdict: Verdict = "price" if falls else "fault"  # a time that is rounded has its price
        yield Reading("ladder", "stalls", f"the error stalls: {text}, the last step aside{whose * falls}", last.before, verdict)
    elif last.error > _FLAT * middle.error and last.error > 2e-3:
        text = f"the error stalls at {last.error:.2g}: that of the last step to zero, from a level that stays where it is"
        yield Reading("ladder", "last step", text, last.error, "price")
    else:
        slope = log(middle.error / last.error) / log(last.n / middle.n) if last.error > 0 else float("nan")
        yield Reading("ladder", "falls", f"the error falls: {text} (like N^-{slope:.1f})", slope, "right")


def _odd(own: list[ErrorRung], odd: list[ErrorRung]) -> Iterator[Reading]:
    """Numbers of steps that do not divide the training steps, against the smaller ones that do."""
    found = []
    for rung in odd:
        below = max((one for one in own if one.n <= rung.n), key=lambda one: one.n)
        if rung.error > 3 * below.error and rung.error > 2e-3:
            found.append((rung, below))
    if found:
        parts = (f"{rung.error:.2g} at {rung.n} ({below.error:.2g} at {below.n})" for rung, below in found)
        worst = max(rung.error for rung, _ in found)
        text = f"numbers of steps that do not divide the training steps have a larger error: {', '.join(parts)}"
        yield Reading("ladder", "awkward numbers", text, worst, "fault")
