"""What records of the order study say once they are read: each case with its fitted order and its verdict.

Nothing derived is stored: orders come from `sdebench.fit` each time, so a better fit mends every old result.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from sdebench.fit import Fit, verdict
from sdebench.records import Claims, Record, held_to
from sdebench.report.facts import series, slope

CONFIRMED, REFUTED, OPEN, EXACT, FAILED = VERDICTS = ("confirmed", "refuted", "not asymptotic", "exact", "failed")
_WORST_FIRST = (REFUTED, FAILED, OPEN, CONFIRMED, EXACT)  # one refuted grid refutes; exact grids neither help nor harm
_ROUNDING = {"float64": 1e-8, "float32": 1e-3, "bfloat16": 1e-1}  # a floor above these is a poor reference


class Measured(NamedTuple):
    """A case of the order study.  `claim` is the literature's order for it, `stated` the catalogue's; nan for none."""

    solver: str
    problem: str
    dtype: str
    kind: str
    grid: str
    claims: Claims
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


def claims_of(record: Record) -> tuple[float, float]:
    """The order that the literature claims for this case, and the one that the suite's catalogue states; nan for none."""
    case = record.case
    claim, stated = held_to(record.claims, case.get("kind", ""), case.get("grid", ""))
    return (np.nan if claim is None else claim), (np.nan if stated is None else stated)


def _exact(record: Record, fit: Fit) -> bool:
    """Whether the error is at the floor throughout AND that floor is rounding, not a poor reference hiding an order."""
    limit = _ROUNDING.get(record.case["dtype"], _ROUNDING["float64"])
    return fit.exact and bool(np.all(series(record, "floor") <= limit))


def _judged(fit: Fit, claim: float) -> str:
    return "" if np.isnan(claim) else verdict(fit, claim)


def _measured(record: Record) -> Measured:
    case, (claim, stated) = record.case, claims_of(record)
    who = (case.get(k, "") for k in ("solver", "problem", "dtype", "kind", "grid"))
    blank = Measured(*who, record.claims, record, claim, stated)
    if record.status != "ok":
        return blank._replace(verdict=FAILED, verdict_stated=FAILED, reason=record.message)
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
    return [_measured(r) for r in records]


def overall(verdicts: Iterable[str]) -> str:
    """One verdict for many: the worst; confirmed only where something was and nothing speaks against it."""
    seen = set(verdicts)
    return next((v for v in _WORST_FIRST if v in seen), "")
