"""A run that begins at a later step is the rest of the whole run."""

from collections.abc import Iterator

from sdebench._support.errors import STRANGERS, describe
from sdebench.peers import NotOffered
from sdebench.studies.audit.reading import Reading
from sdebench.studies.audit.trial import Run, Trial

_STEPS, _BEGIN, _SAME = 20, 8, 2e-2


def check(trial: Trial, full: bool) -> Iterator[Reading]:
    """Compare the levels of both, call by call, of code that asks once a step."""
    if trial.is_stochastic or trial.calls_a_step != 1:
        return
    whole = trial.run(_STEPS)
    if len(whole.calls) != _STEPS or not whole.is_finite:
        return
    if len(whole.session.believed) != len(whole.calls):
        raise NotOffered("it does not say at which level a later step begins")
    try:
        rest = trial.run(_STEPS, begin=_BEGIN)
    except NotOffered:
        raise
    except STRANGERS as error:
        yield Reading("middle", "raises", f"a run from step {_BEGIN} of {_STEPS} raises: {describe(error)}", None, "fault")
        return
    lams = [[*(call.level.lam for call in trace.calls if call.level.s > 1e-4)] for trace in (whole, rest)]
    pairs = list(zip(lams[0][_BEGIN:], lams[1]))
    gap = max((abs(a - b) for a, b in pairs), default=float("nan"))
    if len(whole.calls) - _BEGIN != len(rest.calls):
        text = f"a run from step {_BEGIN} of {_STEPS} asks {len(rest.calls)} times, and not {len(whole.calls) - _BEGIN}"
        yield Reading("middle", "other calls", text, float(len(rest.calls)), "fault")
    elif not gap <= max(_SAME, 3 * _inexact(whole)):
        text = f"a run from step {_BEGIN} of {_STEPS} takes other levels than the whole run: up to {gap:.2g} in lam"
        yield Reading("middle", "other levels", text, gap, "fault")
    elif not trial.world.error(rest.end, rest.level) < 3 * trial.world.error(whole.end, whole.level) + 0.05:
        text = f"a run from step {_BEGIN} of {_STEPS} has the error {trial.world.error(rest.end, rest.level):.2g}"
        yield Reading("middle", "error", text, trial.world.error(rest.end, rest.level), "fault")
    else:
        yield Reading("middle", "same", f"a run from step {_BEGIN} of {_STEPS} is the rest of the whole run", gap, "right")


def _inexact(whole: Run) -> float:
    """How far the whole run is from where the code believes it to be: of steps that are not exact on one point."""
    pairs = zip(whole.session.believed, whole.calls)
    gaps = [abs(b.lam - c.level.lam) for b, c in pairs if min(b.s, c.level.s) > 1e-4 and min(b.a, c.level.a) > 1e-4]
    return max(gaps, default=0.0)
