"""The error of number formats: float32, bfloat16 and float16 against float64."""

from collections.abc import Iterator

import torch

from sdebench._support.errors import STRANGERS
from sdebench.studies.audit.reading import Reading
from sdebench.studies.audit.trial import Trial

_FORMATS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_USUAL = {"float32": 1e-4, "bfloat16": 0.2, "float16": 0.02}  # of the data's spread: what a step a rounding leaves, and more


def check(trial: Trial, full: bool) -> Iterator[Reading]:
    """Read the floor of each format at 50 steps, and where it rises."""
    if trial.is_stochastic:
        return
    steps = (50, 200) if full else (50,)
    if not all(trial.run(n, "told").is_finite for n in steps):
        return  # `runs` has told
    for name in _FORMATS if full else ("float32",):
        try:
            gaps = {n: _gap(trial, n, _FORMATS[name]) for n in steps}
        except STRANGERS:
            continue  # `runs` has told
        text = ", ".join(f"{gap:.2g} at {n}" for n, gap in gaps.items())
        worst = max(gaps.values())
        if not worst < float("inf"):
            yield Reading("formats", f"{name} overflows", f"{name} gives NaN or inf: {text} steps", None, "fault")
        elif worst > _USUAL[name]:
            yield Reading("formats", f"{name} floor", f"{name} adds {text} steps, of the data's spread", worst, "price")
        else:
            yield Reading("formats", name, f"{name} adds {text} steps, of the data's spread", worst, "right")


def _gap(trial: Trial, n: int, dtype: torch.dtype) -> float:
    """RMS difference to the run in float64, whose levels both are told, in units of the data's spread."""
    exact, rounded = trial.run(n, "told").end[:-2], trial.run(n, "told", dtype=dtype).end[:-2]
    gap = float((rounded.double() - exact.double()).square().mean().sqrt()) / trial.world.spread
    return gap if gap == gap else float("inf")
