r"""The order, on levels that are ours: of the main scheme from an exact past, of a whole run, and of the first steps.

Code that keeps its history inside is given an exact one: the states before its first steps are overwritten by exact ones, so
what it remembers is exact too.  These steps grow from very small ones: what a start-up leaves behind, of code that corrects its
own states and not those that it is handed, is then nothing.  From there it runs freely, and the error at a fixed level is that
of the main scheme.  A run without such a past has the start-up in it.  Levels go on behind the place where the error is read,
so that no last step is.

The local order is told and not judged.  Code with a corrector asks the network about states that are not corrected yet, whose
local order is one less; and so has a scheme whose wrong weights cancel from step to step, as 1/r in the place of r in
DPM-Solver++(2M): both are of their order in every run, and what one sees of them from outside is the same.
"""

from collections.abc import Iterator, Sequence
from math import exp
from typing import Any

from torch import Tensor

from sdebench.fit import Fit, fit_order, pack_angles, verdict
from sdebench.peers import Level, NotOffered, RunPlan
from sdebench.peers.base import CONVENTIONS, convention_of
from sdebench.studies.audit.claims import Claim, claim_of
from sdebench.studies.audit.reading import Reading
from sdebench.studies.audit.trial import Enough, Trial

_LOW, _HIGH = -0.5, 2.1  # where the data, of a third of a unit, bend the flow
_SIZES, _MORE = (24, 48, 72, 96), (144, 216)  # of 24, so that methods which group two or three steps are seen at a group's end
_PAST, _BEHIND = 12, 8
_RATIOS = (1.0, 0.75, 1.3, 0.8, 1.15, 0.7, 1.25, 1.05)
_SMALL, _FIRST = (0.07, 0.05, 0.035, 0.025, 0.0175, 0.0125), 6  # sizes of the steps whose error is local, and their number
_TAKEN = 1e-3


def place(lam: float, trial: Trial) -> Level:
    """The level of that lam, in the peer's convention."""
    return CONVENTIONS[convention_of(trial.run(10).session)](exp(-lam))


def check(trial: Trial, full: bool) -> Iterator[Reading]:
    """Read the main order and that of a whole run, and hold the main one against the claim."""
    if trial.is_stochastic:
        return
    if not trial.peer.takes_levels:
        raise NotOffered("levels of ours cannot be put in")
    claim = claim_of(trial.peer)
    main = _order(trial, _RATIOS, full, exact_past=True)
    if claim is not None:
        yield Reading("order", "claim", f"claimed: order {claim.order} ({claim.reference})", float(claim.order), "told")
    held = f"; claimed {claim.order} ({claim.reference})" if claim else ""
    yield _told("main order", f"the main scheme, from an exact past, on irregular levels: order {_text(main)}{held}", main)
    run = None
    if full:
        run = _order(trial, (1.0,), full, exact_past=False)
        yield _told("order of a run", f"a whole run on smooth levels, without its last steps: order {_text(run)}", run)
    if full and trial.calls_a_step == 1:
        local = _local(trial)
        yield _told("local order", f"the first {_FIRST} steps from an exact past: local order {_text(local)}", local)
    if claim is not None:
        yield from _judge(claim, main, run)


def _text(fit: Fit) -> str:
    return f"{fit.order:.2f} +- {fit.half_width:.2f}" if fit.resolved else f"not asymptotic ({fit.reason})"


def _told(name: str, what: str, fit: Fit) -> Reading:
    return Reading("order", name, what, fit.order if fit.resolved else None, "told")


def _judge(claim: Claim, main: Fit, run: Fit | None) -> Iterator[Reading]:
    said = verdict(main, claim.order)
    if said == "refuted":
        text = f"the main scheme has order {_text(main)}, and {claim.order} is claimed ({claim.reference})"
        yield Reading("order", "order", text, main.order, "fault")
    elif said == "confirmed":
        yield Reading("order", "order", f"the main scheme has the order {claim.order} that is claimed", main.order, "right")
        if run is not None and verdict(run, claim.order) == "refuted":
            text = f"a whole run has order {_text(run)}: a start of lower order, of a scheme of order {claim.order}"
            yield Reading("order", "start-up", text, run.order, "price")


def _weights(n: int, ratios: Sequence[float], past: int) -> list[float]:
    """The sizes of steps: a past in which each is twice the one before, then n by the ratios, and some behind."""
    return [0.5 ** (past - i) for i in range(past)] + [ratios[i % len(ratios)] for i in range(n + _BEHIND)]


def _levels(trial: Trial, begin: float, unit: float, weights: Sequence[float], past: int) -> tuple[Level, ...]:
    """The levels of those steps times the unit; the first behind the past begins at lam = begin."""
    lams = [begin - unit * sum(weights[:past])]
    for weight in weights:
        lams.append(lams[-1] + unit * weight)
    return tuple(place(lam, trial) for lam in lams)


def _order(trial: Trial, ratios: Sequence[float], full: bool, exact_past: bool) -> Fit:
    """The order of the error at _HIGH over the number of steps."""
    sizes = _SIZES + (_MORE if full else ())
    past = _PAST if exact_past and trial.calls_a_step == 1 else 0
    found = []
    for n in sizes:
        weights = _weights(n, ratios, past)
        unit = (_HIGH - _LOW) / sum(weights[past : past + n])
        found.append(_seen(trial, _levels(trial, _LOW, unit, weights, past), past, past + n))
    return _fit([(_HIGH - _LOW) / n for n in sizes], found)


def _fit(h: Sequence[float], found: Sequence[tuple[Tensor, float]]) -> Fit:
    sizes = [float(error.square().mean().sqrt()) for error, _ in found]
    return fit_order(h, sizes, [floor for _, floor in found], pack_angles([error.numpy() for error, _ in found]))


def _local(trial: Trial) -> Fit:
    """Errors of the first steps behind an exact past, over their size: of so many that methods in groups end one there."""
    weights = _weights(_FIRST, _RATIOS, _PAST)
    found = [_seen(trial, _levels(trial, 0.8, h, weights, _PAST), _PAST, _PAST + _FIRST) for h in _SMALL]
    return _fit(_SMALL, found)


def _seen(trial: Trial, levels: tuple[Level, ...], past: int, place: int) -> tuple[Tensor, float]:
    """(the error at levels[place], its floor) of a run whose first `past` steps begin with exact states.

    Code that is told our levels is answered at them, and its state is held against the exact one there: a start-up that asks
    between two levels is left alone there.  Code that is not is answered at the level of the state: that is then the level
    that was put in, to rounding.
    """
    world, wanted, found = trial.world, levels[place], dict[str, Any]()
    near = 1e-3 * (levels[place + 1].lam - wanted.lam)
    session = trial.peer.prepare(RunPlan(len(levels) - 1, levels))

    def watch(i: int, state: Tensor, level: Level, told: Level) -> None:
        is_past = told.lam <= levels[past].lam + near if session.told_is_known else i <= past
        if past and is_past:
            at = _index(levels[: past + 1], told.lam) if session.told_is_known else i
            if at is not None:
                state.copy_(world.start(levels[at]).to(state.dtype))
            return
        ahead = (told if session.told_is_known else level).lam - wanted.lam
        if abs(ahead) < near:  # of several calls at that level the last is of the state, the others of stages
            found["x"], found["level"] = state.double().clone(), level
        elif ahead > 0 and found:
            raise Enough

    trial.fresh(session, "told" if session.told_is_known else "own", watch=watch, doubles=True)
    if not found:
        raise NotOffered("levels that are put in are not taken: no state is at them")
    level = found["level"]
    gap = max(abs(level.a - wanted.a), abs(level.s - wanted.s)) / wanted.radius
    if session.told_is_known and gap > 1e-9:  # its steps are not exact on one point
        return (found["x"][:-2] - world.points(wanted)) / wanted.radius, 1e-15
    if gap > _TAKEN:
        raise NotOffered(f"levels that are put in are not taken: the state is at {tuple(level)}, not at {tuple(wanted)}")
    return (found["x"][:-2] - world.points(level)) / level.radius, max(0.1 * gap, 1e-15)


def _index(levels: Sequence[Level], lam: float) -> int | None:
    """Which of the levels it is, to rounding in float32; None where it lies between two."""
    lams = [level.lam for level in levels]
    i = min(range(len(lams)), key=lambda k: abs(lams[k] - lam))
    step = min(abs(lams[i] - lams[k]) for k in (i - 1, i + 1) if 0 <= k < len(lams))
    return i if abs(lams[i] - lam) < 0.1 * step else None
