"""Where is the state, and what was the network told?  Read off two probes on which every linear step is exact."""

from collections.abc import Iterator
from itertools import pairwise
from math import exp, isfinite

from sdebench.peers import Level
from sdebench.studies.audit.reading import Reading
from sdebench.studies.audit.trial import Call, Run, Trial

_CLEAN = 2e-3  # s/a that no eye and no number format below float32 sees
_SHRINKS = 0.5  # a gap at 50 steps over that at 10, below which it is an error of the steps
_INEXACT = "; it falls with the steps: they are not exact on one point"
_NOISE = -4.0  # a lam below which a state is noise, whatever its level is called
_EXACT = 2e-3  # in lam: what rounding levels to float32 may do, and more


def check(trial: Trial, full: bool) -> Iterator[Reading]:
    """Read the first level, those on the way, and the last."""
    traces = {n: trial.run(n) for n in ((10, 20, 50) if full else (10, 50)) if trial.takes(n)}
    if not traces or not all(trace.is_finite and trace.calls for trace in traces.values()):
        return
    yield from _first(traces[max(traces)], max(traces))
    if not trial.is_stochastic:
        yield from _last({n: trace.level for n, trace in traces.items()}, any(map(_is_exact, traces.values())))
        yield from _told(traces)
        yield from _path({n: trace for n, trace in traces.items() if len(trace.calls) == n})
        yield from _believed(traces, trial.calls_a_step)


def _first(trace: Run, n: int) -> Iterator[Reading]:
    session = trace.session
    expected, start = session.start.radius, session.start
    if session.noise is None:  # its caller makes the first state
        return
    off = session.noise / expected - 1
    text = f"a run begins with noise times {session.noise:.5g}, where a state of unit data has {expected:.5g}"
    if abs(off) > 0.02:
        yield Reading("levels", "first state", text, off, "fault")
    elif abs(off) > 1e-3:
        yield Reading("levels", "first state is rounded", text, off, "price")
    else:
        yield Reading("levels", "first", f"a run begins at alpha/sigma = {_over(start.a, start.s)} ({n} steps)", None, "told")
    if start.s > start.a > 0.03 * start.s:
        text = f"a run begins from noise alone where alpha/sigma = {start.a / start.s:.3g} ({n} steps)"
        yield Reading("levels", "signal at the start", text, start.a / start.s, "price")


def _over(a: float, s: float) -> str:
    return f"{a / s:.3g}" if s > 0 else "inf"


def _last(ends: dict[int, Level], exact: bool) -> Iterator[Reading]:
    left = {n: end.s / end.a for n, end in ends.items() if end.a > 0.5}
    if len(left) < len(ends):
        if all(end.s > 0.5 for end in ends.values()):
            yield Reading("levels", "ends in noise", "a run ends at noise: an inverse sampler", None, "told")
            return
        worst = min(end.a for end in ends.values())
        yield Reading("levels", "data are shrunk", f"data come out multiplied by {worst:.3g}", worst, "fault")
        return
    worst = max(left.values(), key=abs)
    at = ", ".join(f"{ratio:.2g} at {n}" for n, ratio in sorted(left.items()))
    if abs(worst) > _CLEAN:
        ratio = abs(left[max(left)] / left[min(left)]) if left[min(left)] else float("inf")
        text = f"noise is left at the end: sigma/alpha = {at} steps"
        falls = ratio < _SHRINKS and not exact
        text += _INEXACT if falls else ""
        yield Reading("levels", "noise is left", text, worst, "price" if falls or 0.5 < ratio < 1.5 else "fault")
    else:
        yield Reading("levels", "last", "a run ends at clean data", worst, "right")
    scale = max((abs(end.radius - 1) for end in ends.values()), default=0.0)
    if scale > 5e-3 and abs(worst) <= _CLEAN:
        shrunk = max((end.radius for end in ends.values()), key=lambda r: abs(r - 1))
        yield Reading("levels", "data are scaled", f"data come out multiplied by {shrunk:.4g}", shrunk, "fault")


def _mismatch(call: Call, trace: Run) -> tuple[float, float]:
    """(told less own lam, the same in training steps)."""
    gap = call.told.lam - call.level.lam
    if not isfinite(gap) or max(call.told.lam, call.level.lam) < _NOISE:
        return 0.0, 0.0
    width = trace.session.width(call.time)
    return gap, abs(gap) / width if width > 0 and isfinite(width) else 0.0


def _told(traces: dict[int, Run]) -> Iterator[Reading]:
    """What the network is told against where the state is."""
    if not all(trace.session.told_is_known for trace in traces.values()):
        yield Reading(
            "levels", "told unknown", "nothing tells at which level a network is trained on the times told", None, "limit"
        )
        return
    pairs = [(*_mismatch(call, trace), call, n) for n, trace in traces.items() for call in trace.calls if call.level.s > 1e-4]
    gap, _, call, n = max(pairs, key=lambda pair: abs(pair[0]))
    most = max(pair[1] for pair in pairs)
    text = (
        f"the network is told sigma/alpha = {exp(-call.told.lam):.4g} (t = {call.time:.6g}) where the state is at "
        f"{exp(-call.level.lam):.4g} ({n} steps)"
    )
    if abs(gap) <= _EXACT:
        yield Reading("levels", "told", "the network is told the level of the state", gap, "right")
    elif 0 < most <= 1.05:
        text += f": at most {most:.2g} training steps off, as rounding to whole ones gives"
        yield Reading("levels", "told is rounded", text, gap, "price")
    elif _shrinks({n: _mean_gap(trace) for n, trace in traces.items()}):
        yield Reading("levels", "told is near", text + _INEXACT, gap, "price")
    elif all(map(_asks_ahead, traces.values())):
        yield Reading("levels", "told is the next", text + "; it is told the level that the step goes to", gap, "price")
    else:
        yield Reading("levels", "told is wrong", text + (f", {most:.2g} training steps off" if most else ""), gap, "fault")


def _is_exact(trace: Run) -> bool:
    """Whether the states are where the network is told that they are: then the steps are exact on one point."""
    return all(abs(_mismatch(call, trace)[0]) <= 0.02 for call in trace.calls)


def _mean_gap(trace: Run) -> float:
    """The mean distance in lam of what is told from where the state is."""
    return sum(abs(_mismatch(call, trace)[0]) for call in trace.calls) / len(trace.calls)


def _shrinks(gaps: dict[int, float]) -> bool:
    """Whether a gap falls with the number of steps, as a discretisation error does."""
    return len(gaps) > 1 and gaps[max(gaps)] < _SHRINKS * gaps[min(gaps)]


def _asks_ahead(trace: Run) -> bool:
    """Whether every call is told the level that the state has at the next one."""
    pairs = [(a.told.lam, b.level.lam) for a, b in pairwise(trace.calls)]
    return bool(pairs) and all(abs(told - after) <= 0.02 or not isfinite(told - after) for told, after in pairs)


def _path(traces: dict[int, Run]) -> Iterator[Reading]:
    """Levels that repeat or go back, of code that asks once a step."""
    for n, trace in traces.items():
        lams = [*(call.level.lam for call in trace.calls), trace.level.lam]
        steps = [b - a for a, b in pairwise(lams)]
        rises = [-step for step in steps] if lams[-1] < lams[0] else steps
        back = [step for step in rises if step < -1e-6]
        still = [step for step in rises if abs(step) <= 1e-9]
        if back:
            yield Reading(
                "levels", "goes back", f"{len(back)} of {n} steps go back, by up to {-min(back):.3g} in lam", min(back), "fault"
            )
        elif still:
            text = f"{len(still)} of {len(steps)} steps do not change the level ({n} steps asked for)"
            yield Reading("levels", "repeats", text, float(len(still)), "fault" if len(still) > 0.05 * n + 1 else "price")


def _believed(traces: dict[int, Run], calls_a_step: float) -> Iterator[Reading]:
    """`add_noise` to where a run would be, against where a run is."""
    gaps = {n: gaps for n, trace in traces.items() if calls_a_step == 1 and (gaps := _gaps(trace))}
    if not gaps:
        return
    n = min(gaps)
    worst = max(range(len(gaps[n])), key=gaps[n].__getitem__)
    value = gaps[n][worst]
    if value <= 1e-2:
        yield Reading("levels", "add_noise", "add_noise puts a state where a run would have it", value, "right")
        return
    b, c = traces[n].session.believed[worst], traces[n].calls[worst].level
    where = f"a run of {n} steps is at ({c.a:.4g}, {c.s:.4g}), step {worst}"
    shrinks = _shrinks({k: max(values) for k, values in gaps.items()})
    text = f"add_noise gives ({b.a:.4g}, {b.s:.4g}) where {where}{_INEXACT * shrinks}"
    yield Reading("levels", "add_noise differs", text, value, "price" if shrinks else "fault")


def _gaps(trace: Run) -> list[float]:
    """How far a run is from where the code believes it to be, call by call; [] for code with stages."""
    believed = trace.session.believed
    if len(believed) != len(trace.calls) or len({call.time for call in trace.calls}) < len(trace.calls):
        return []
    pairs = zip(believed, trace.calls)
    return [max(abs(b.a - c.level.a), abs(b.s - c.level.s)) / c.level.radius for b, c in pairs]
