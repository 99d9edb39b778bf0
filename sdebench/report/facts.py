"""What records say once they are read: each measured case with its slope and its verdict.

Nothing derived is stored: slopes come from `sdebench.fit` each time, so a better fit mends every old result.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from sdebench._support.errors import UsageError
from sdebench.fit import Fit, fit_order, verdict
from sdebench.grids import names as grid_names
from sdebench.records import latest
from sdebench.records.claims import held_to

Record = dict[str, Any]

CONFIRMED, REFUTED, OPEN, EXACT, FAILED = VERDICTS = ("confirmed", "refuted", "not asymptotic", "exact", "failed")
_WORST_FIRST = (REFUTED, FAILED, OPEN, CONFIRMED, EXACT)  # one refuted grid refutes; exact grids neither help nor harm
GRIDS = grid_names()
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
_ROUNDING = {"float64": 1e-8, "float32": 1e-3, "bfloat16": 1e-1}  # a floor above these is a poor reference
_NO_CLAIMS = {"family": "", "claimed_order": np.nan, "order": np.nan, "nfe_per_step": np.nan, "reference": ""}


class Measured(NamedTuple):
    """A case of the order study.  `claim` is the literature's order for it, `stated` the catalogue's; nan for none."""

    solver: str
    problem: str
    dtype: str
    kind: str
    grid: str
    claims: dict
    record: Record
    claim: float
    stated: float
    order: float = np.nan
    half_width: float = np.nan
    constant: float = np.nan
    n_window: tuple[float, float] = (np.nan, np.nan)
    verdict: str = ""
    verdict_stated: str = ""
    reason: str = ""

    @property
    def where(self) -> str:
        """The grid, or the kind where there is none."""
        return self.grid or self.kind


def sort_of(claims: dict) -> str:
    """Whether a step of the method asks for noise; records made before there were such methods do not say."""
    return STOCHASTIC if claims.get("stochastic") else DETERMINISTIC


def _family_rank(record: Record) -> tuple:
    c, case = record["claims"], record["case"]
    family = c["family"]
    place = FAMILIES.index(family) if family in FAMILIES else len(FAMILIES)
    return sort_of(c), place, family, c["claimed_order"], case.get("solver", "")


def prepare_records(records: Iterable[Record]) -> list[Record]:
    """The latest record of every case, sorted by family, claimed order and name; a failed case that never got as far as
    its claims takes them from the solver's other cases.  Raises UsageError where there is no record at all."""
    kept = latest(records)
    if not kept:
        raise UsageError("no records to report on: a report needs at least one, type 'sdebench run' first")
    known = {r["case"]["solver"]: r["claims"] for r in kept if r["claims"]}
    full = [{**r, "claims": _NO_CLAIMS | known.get(r["case"].get("solver"), {}) | r["claims"]} for r in kept]
    return sorted(full, key=_family_rank)


def of_orders(records: Iterable[Record]) -> list[Record]:
    """The records of studies that ask whether solvers are right, not how good their samples are or what they cost."""
    return [r for r in records if r["study"] not in ("quality", "profile")]


def only_profile(records: Iterable[Record]) -> bool:
    """Whether all records are of the profile study."""
    return all(r["study"] == "profile" for r in records)


def series(record: Record, name: str) -> np.ndarray:
    """One list of a record's data as floats, null as nan; shape (rungs,)."""
    return np.array(record["data"].get(name, ()), dtype=float)


def claims_of(record: Record) -> tuple[float, float]:
    """The order that the literature claims for this case, and the one that the suite's catalogue states; nan for none."""
    case = record["case"]
    claim, stated = held_to(record["claims"], case.get("kind", ""), case.get("grid", ""))
    return (np.nan if claim is None else claim), (np.nan if stated is None else stated)


@cache
def _fit(h: tuple, error: tuple, floor: tuple) -> Fit:
    return fit_order(h, error, floor)


def slope(record: Record) -> Fit:
    """The fitted order of a record's RMS error against h (or the tolerance)."""
    return _fit(*(tuple(series(record, k)) for k in ("h", "rms", "floor")))


def _exact(record: Record, fit: Fit) -> bool:
    """Whether the error is at the floor throughout AND that floor is rounding, not a poor reference hiding an order."""
    limit = _ROUNDING.get(record["case"]["dtype"], _ROUNDING["float64"])
    return fit.exact and bool(np.all(series(record, "floor") <= limit))


def _judged(fit: Fit, claim: float) -> str:
    return "" if np.isnan(claim) else verdict(fit, claim)


def _measured(record: Record) -> Measured:
    case, (claim, stated) = record["case"], claims_of(record)
    who = (case.get(k, "") for k in ("solver", "problem", "dtype", "kind", "grid"))
    blank = Measured(*who, record["claims"], record, claim, stated)
    if record["status"] != "ok":
        return blank._replace(verdict=FAILED, verdict_stated=FAILED, reason=record["message"])
    fit = slope(record)
    if _exact(record, fit):
        return blank._replace(verdict=EXACT, verdict_stated=EXACT, reason=fit.reason)
    if not fit.resolved:
        reason = fit.reason.replace("exact: ", "hidden by the reference: ")
        return blank._replace(verdict=OPEN, verdict_stated=OPEN, reason=reason)
    n = series(record, "n")[list(fit.window)]
    return blank._replace(
        order=fit.order,
        half_width=fit.half_width,
        constant=fit.constant,
        n_window=(n.min(), n.max()),
        verdict=_judged(fit, claim),
        verdict_stated=_judged(fit, stated),
    )


def measured(records: Iterable[Record]) -> list[Measured]:
    """Every case of the order study, fitted and judged."""
    return [_measured(r) for r in records if r["study"] == "order"]


def overall(verdicts: Iterable[str]) -> str:
    """One verdict for many: the worst; confirmed only where something was and nothing speaks against it."""
    seen = set(verdicts)
    return next((v for v in _WORST_FIRST if v in seen), "")
