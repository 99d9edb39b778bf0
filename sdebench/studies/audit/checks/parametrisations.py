"""One denoiser, said as eps, x0, v and velocity, gives one result."""

from collections.abc import Iterator
from math import isfinite

from sdebench._support.errors import STRANGERS, describe
from sdebench.peers import NotOffered
from sdebench.studies.audit.reading import Reading
from sdebench.studies.audit.trial import By, Run, Trial

_SAME, _STEPS = 5e-3, 20
_NOT_OF = {"flow": "v", "circle": "velocity"}  # a velocity is that of a flow, v that of a circle


def _is_flow(trace: Run) -> bool:
    call = trace.calls[len(trace.calls) // 2]
    return abs(call.level.a + call.level.s - 1) < 1e-3


def check(trial: Trial, full: bool) -> Iterator[Reading]:
    """Compare every parametrisation with the one that the peer has by itself."""
    if trial.is_stochastic or len(trial.peer.predictions) < 2:
        return
    own = trial.run(_STEPS)
    if not own.is_finite:
        return
    kept = []
    for word in trial.peer.predictions:
        if word == own.session.prediction or word == _NOT_OF["flow" if _is_flow(own) else "circle"]:
            continue
        if word == "eps" and own.session.start.a == 0:
            continue  # which tells nothing of the data there
        try:
            gap = min(_gap(trial, word, by) for by in ("own", "told"))
        except NotOffered:
            continue
        except STRANGERS as error:
            if isinstance(error, ValueError | NotImplementedError):
                continue  # it says that it has not that one
            yield Reading("parametrisations", f"{word} raises", f"raises on {word}: {describe(error)}", None, "fault")
            continue
        if gap <= _SAME:
            kept.append(word)
        else:
            where = f"ends {gap:.2g} of the data's spread from" if isfinite(gap) else "gives no finite state, unlike"
            text = f"a network of {word} {where} the same network of {own.session.prediction}"
            yield Reading("parametrisations", f"{word} differs", text, gap, "fault")
    if kept:
        text = f"{own.session.prediction} and {', '.join(kept)} give one result"
        yield Reading("parametrisations", "same", text, None, "right")


def _gap(trial: Trial, word: str, by: By) -> float:
    """RMS difference of the ends.  Where steps are not exact it is the level told that both parametrisations go by, and where
    the level told is wrong it is the state's."""
    own, other = trial.run(_STEPS, by), trial.run(_STEPS, by, prediction=word)
    gap = float((other.end - own.end)[:-2].double().square().mean().sqrt()) / trial.world.spread
    return gap if gap == gap else float("inf")
