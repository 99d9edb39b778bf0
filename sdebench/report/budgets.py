"""Errors within budgets of network evaluations, for the studies that run over budgets."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from sdebench.records import Claims, Record
from sdebench.report.facts import series, sort_of
from sdebench.report.table import Column, case_columns

BUDGETS = (4, 8, 16, 32, 64, 128, 256, 512)


def run_frame(records: Iterable[Record], keys: tuple[str, ...]) -> pd.DataFrame:
    """One row a run."""
    rows = []
    for r in (r for r in records if r.is_ok):
        head = {k: r.case.get(k, "") for k in ("solver", "problem", "dtype", "grid")}
        claims = r.claims or Claims()
        head |= {"family": claims.family, "sort": sort_of(claims), "claimed": claims.claimed_order}
        data = {k: series(r, k) for k in keys}
        rows += [head | {k: v[i] if i < v.size else np.nan for k, v in data.items()} for i in range(data["rms"].size)]
    return pd.DataFrame(rows)


def _within(runs: list[tuple[float, float]], low: int, high: int) -> dict:
    """The longest of the (nfe, error) runs of more than `low` and at most `high` evaluations."""
    fitting = [run for run in runs if low < run[0] <= high]
    if not fitting:
        why = f"no run of {low + 1} to {high} evaluations"
        return {f"nfe_{high}": np.nan, f"used_{high}": np.nan, f"why_{high}": why}
    nfe, error = max(fitting, key=lambda run: run[0])
    why = f"{nfe:g} evaluations" + (", not finite" if np.isnan(error) else "")
    return {f"nfe_{high}": error, f"used_{high}": nfe, f"why_{high}": why}


def within_budgets(runs: pd.DataFrame, budgets: tuple[int, ...], what: str) -> tuple[pd.DataFrame, tuple[Column, ...]]:
    """(a row a solver, problem and dtype, with the error within each budget; the columns to show)"""
    keys, rows = ["solver", "problem", "dtype", "family", "sort"], []
    for case, group in runs.groupby(keys, sort=False) if len(runs) else ():
        row, measured = dict(zip(keys, case)), list(zip(group["nfe"], group["rms"]))
        for low, high in zip((0, *budgets), budgets):
            row |= _within(measured, low, high)
        rows.append(row)
    frame = pd.DataFrame(rows)
    shown = [b for b in budgets if len(frame) and frame[f"nfe_{b}"].notna().any()]
    kind = (Column("Kind", "sort"),) if len(frame) and frame["sort"].nunique() > 1 else ()
    errors = (
        Column(f"{b} NFE", f"nfe_{b}", "error", why=f"why_{b}", tip=f"{what} of the longest run within {b} evaluations")
        for b in shown
    )
    return frame, (*case_columns(frame), *errors, *kind, Column("Family", "family"))


def best_solvers(budgets: pd.DataFrame, count: int) -> list[str]:
    """The solvers with the lowest error within 32 evaluations, or within the next budget that was measured."""
    for column in ("nfe_32", "nfe_64", "nfe_16", "nfe_128", "nfe_8"):
        if column in budgets and budgets[column].notna().any():
            return list(budgets.nsmallest(count, column)["solver"])
    return []
