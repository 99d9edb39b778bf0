"""What a cell of the calibration must show, from its record alone."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sdebench.fit import MARGIN
from sdebench.records import Claims, held_to

SEEN = 1.5  # times the error of its original, at one common step at least, or nothing is broken there


def expected_order(claims: Claims, kind: str, grid: str, claim: float | None = None) -> float | None:
    """The order that a method states for a kind and grid; of one that is broken the one that it should have."""
    if claim is not None:
        claims = replace(claims, order=claim, order_irregular=claim, main_order=claim, claimed_order=claim)
    return held_to(claims, kind, grid)[1]


def is_seen(data: Mapping[str, Any]) -> bool:
    """Whether a broken method is less accurate than its original, at a step that both ladders have above their floors.

    Where it is not, what is broken lies below the method's own error on this problem, or is no fault there: thirds of time
    are thirds of lam where lam is linear in time.
    """
    original = data.get("original")
    if not original:
        return True
    known = {h: rms for h, rms, floor in zip(original["h"], original["rms"], original["floor"]) if rms > MARGIN * floor}
    errors = zip(data["h"], data["rms"], data["floor"])
    return any(rms > SEEN * known[h] for h, rms, floor in errors if h in known and rms > MARGIN * floor)
