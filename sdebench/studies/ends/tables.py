"""The tables of the ends study: solver x end."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from sdebench.records import Record
from sdebench.report.facts import group_by, series, slope, sort_of
from sdebench.report.table import Column, Table, case_columns
from sdebench.studies.ends.levels import ENDS

SHOWN = {"1/4": 0.25, "1/32": 0.03125, "1/256": 0.00390625}  # levels with a column of their own
_HEADINGS = {"noise": "α = 0", "data": "σ = 0"}
_LEVEL = {"noise": "α/σ after the step", "data": "σ/α before the step"}


def _half(record: Record | None, end: str) -> dict:
    """What one record says, under names that begin with its end."""
    if record is None or not record.is_ok:
        return {f"{end}_why": record.message if record is not None else "not measured"}
    h, rms, nfe, fit = series(record, "h"), series(record, "rms"), series(record, "nfe"), slope(record)
    row: dict = {"claim": record.data.get("claim", ""), "nfe": nfe[0], "why": fit.reason}
    row |= {name: rms[h == level][0] if (h == level).any() else np.nan for name, level in SHOWN.items()}
    row |= {"exponent": fit.order if fit.resolved else np.nan, "half": fit.half_width}
    return {f"{end}_{key}": value for key, value in row.items()}


def ends_frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row a solver and problem, with both ends."""
    rows = []
    for (solver, problem), found in group_by(records, lambda r: (r.case["solver"], r.case["problem"])).items():
        by_end = {r.case["end"]: r for r in found}
        claims = found[0].claims
        row = {"solver": solver, "problem": problem, "family": claims.family, "sort": sort_of(claims)}
        for end in ENDS:
            row |= _half(by_end.get(end), end)
        rows.append(row)
    return pd.DataFrame(rows)


def _columns(end: str) -> tuple[Column, ...]:
    where, why = _HEADINGS[end], f"{end}_why"
    errors = (Column(f"Error at {name}", f"{end}_{name}", "error", why=why, tip=f"{_LEVEL[end]}: {name}") for name in SHOWN)
    return (
        Column(
            f"{where}: how", f"{end}_claim", why=why, tip="as its paper, by its formula, by the limit of it, or DDIM's step"
        ),
        Column("NFE", f"{end}_nfe", "count", why=why, tip="network evaluations of the step"),
        *errors,
        Column("Exponent", f"{end}_exponent", "order", f"{end}_half", why, f"of the error in {_LEVEL[end]}"),
    )


def ends_tables(frame: pd.DataFrame, sort: str) -> tuple[Table, ...]:
    """Deterministic solvers by their states, or stochastic ones by their laws: on the first problem, and on all."""
    chosen = frame[frame["sort"] == sort] if len(frame) else frame
    if not len(chosen):
        return ()
    first = chosen[chosen["problem"] == chosen["problem"].iloc[0]]
    tables = (_ends_table(first, sort),)
    return tables if len(first) == len(chosen) else (*tables, _ends_table(chosen, sort, "-all", " on all problems"))


def _ends_table(chosen: pd.DataFrame, sort: str, suffix: str = "", where: str = "") -> Table:
    of_states = sort == "deterministic"
    what = "RMS error of the state" if of_states else "Distance of mean and covariance, on one Gaussian,"
    caption = (
        f"{what} after one exact step from α = 0 to a level α/σ, and after one from a level σ/α to σ = 0, from an exact state"
        " and past; the exponent in that level."
    )
    name, title = ("ends", "The first step and the last") if of_states else ("ends-laws", "The first step and the last: laws")
    columns = (*case_columns(chosen), *(column for end in ENDS for column in _columns(end)))
    return Table(name + suffix, title + where, caption, chosen, columns)
