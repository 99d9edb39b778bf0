"""What sections need of records, whatever the study: the latest of each case in the order of showing, and their numbers."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from sdebench._support.errors import UsageError
from sdebench.fit import Fit, fit_ladder
from sdebench.records import Claims, Record, latest

FAMILIES = (
    "Runge-Kutta",
    "DPM-Solver",
    "DPM-Solver++",
    "DEIS",
    "UniPC",
    "LMS",
    "iPNDM",
    "PNDM",
    "exponential RK",
    "black box",
    "Euler-Maruyama",
    "Score SDE",
    "NCSN",
    "DDPM",
    "DDIM",
    "Analytic-DPM",
    "k-diffusion",
    "EDM",
    "SDE-DPM-Solver",
    "SDE-DPM-Solver++",
    "SEEDS",
    "SA-Solver",
    "ER-SDE-Solver",
    "Restart",
    "Consistency",
)  # the order in which they are shown, deterministic before stochastic; others follow
DETERMINISTIC, STOCHASTIC = "deterministic", "stochastic"
_NO_CLAIMS = Claims()
_Item = TypeVar("_Item")


def sort_of(claims: Claims) -> str:
    """Whether a step of the method asks for noise."""
    return STOCHASTIC if claims.stochastic else DETERMINISTIC


def _family_rank(record: Record) -> tuple:
    claims = record.claims or _NO_CLAIMS
    place = FAMILIES.index(claims.family) if claims.family in FAMILIES else len(FAMILIES)
    return sort_of(claims), place, claims.family, claims.claimed_order, str(record.case.get("solver", ""))


def prepare_records(records: Iterable[Record]) -> list[Record]:
    """The latest record of every case, sorted by family, claimed order and name; a failed case that never got as far as
    its claims takes them from the solver's other cases.  Raises UsageError where there is no record at all."""
    kept = latest(records)
    if not kept:
        raise UsageError("no records to report on: a report needs at least one, type 'sdebench run' first")
    known = {r.case.get("solver", ""): r.claims for r in kept if r.claims}
    full = [replace(r, claims=r.claims or known.get(r.case.get("solver", ""), _NO_CLAIMS)) for r in kept]
    return sorted(full, key=_family_rank)


def series(record: Record, name: str) -> np.ndarray:
    """One list of a record's data as floats, null as nan; shape (rungs,)."""
    return np.array(record.data.get(name, ()), dtype=float)


def group_by(items: Iterable[_Item], key: Callable[[_Item], Any]) -> dict[Any, list[_Item]]:
    """The items of each key, in the order of their first appearance."""
    groups: dict[Any, list[_Item]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def slope(record: Record) -> Fit:
    """The fitted order of a record's RMS error against h (or the tolerance)."""
    return fit_ladder(record.data)
