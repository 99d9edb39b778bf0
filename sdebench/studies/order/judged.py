"""What records of the order study say once they are read: each case with its fitted order and its verdict.

Nothing derived is stored: orders come from `sdebench.fit` each time, so a better fit mends every old result.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from sdebench.records import Claims, Record, held_to
from sdebench.report.facts import series
from sdebench.studies.order.judge import CONFIRMED, EXACT, FAILED, OPEN, REFUTED, VERDICTS, judge

_WORST_FIRST = (REFUTED, FAILED, OPEN, CONFIRMED, EXACT)  # one refuted grid refutes; exact grids neither help nor harm


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


def _measured(record: Record) -> Measured:
    case, (claim, stated) = record.case, claims_of(record)
    who = {name: case.get(name, "") for name in ("solver", "problem", "dtype", "kind", "grid")}
    blank = Measured(**who, claims=record.claims, record=record, claim=claim, stated=stated)
    if not record.is_ok:
        return blank._replace(verdict=FAILED, verdict_stated=FAILED, reason=record.message)
    found = judge(case.get("kind", ""), record.data, None if np.isnan(stated) else stated, case["dtype"])
    fit = found.fit
    if not fit.resolved:
        nothing = EXACT if fit.exact else REFUTED if fit.diverges else OPEN
        return blank._replace(verdict=nothing, verdict_stated=nothing, reason=fit.reason)
    n = series(record, "n")[list(fit.window)]
    return blank._replace(
        order=fit.order,
        half_width=fit.half_width,
        constant=fit.constant,
        n_window=(n.min(), n.max()),
        reason=found.reason,
        verdict=found.verdict(claim),
        verdict_stated=found.verdict(stated),
    )


_known: dict[int, tuple[Record, Measured]] = {}  # id -> a record, which keeps its id its own, and what it says
_MOST_KNOWN = 50_000


def measured(records: Iterable[Record]) -> list[Measured]:
    """Every case of the order study, fitted and judged: each once, for all tables and figures that ask."""
    if len(_known) > _MOST_KNOWN:
        _known.clear()
    out = []
    for record in records:
        if id(record) not in _known:
            _known[id(record)] = record, _measured(record)
        out.append(_known[id(record)][1])
    return out


__all__ = ["CONFIRMED", "EXACT", "FAILED", "OPEN", "REFUTED", "VERDICTS", "Measured", "claims_of", "measured", "overall"]


def overall(verdicts: Iterable[str]) -> str:
    """One verdict for many: the worst; confirmed only where something was and nothing speaks against it."""
    seen = set(verdicts)
    return next((v for v in _WORST_FIRST if v in seen), "")
