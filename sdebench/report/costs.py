"""The tables of the work-precision, law and floor studies."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from sdebench.report.facts import Record, series, slope, sort_of
from sdebench.report.tables import Column, Table, case_columns

DTYPES = ("float64", "float32", "bfloat16")
BUDGETS = (4, 8, 16, 32, 64, 128, 256, 512)
_OVERTAKEN = 2.0  # total error over truncation error at which the rest, rounding, has become the larger part


def _run_frame(records: Iterable[Record], study: str, keys: tuple[str, ...]) -> pd.DataFrame:
    """One row a run of the study."""
    rows = []
    for r in (r for r in records if r["study"] == study and r["status"] == "ok"):
        head = {k: r["case"].get(k, "") for k in ("solver", "problem", "dtype", "grid")}
        head |= {"family": r["claims"]["family"], "sort": sort_of(r["claims"]), "claimed": r["claims"]["claimed_order"]}
        data = {k: series(r, k) for k in keys}
        rows += [head | {k: v[i] if i < v.size else np.nan for k, v in data.items()} for i in range(data["rms"].size)]
    return pd.DataFrame(rows)


def runs_table(records: Iterable[Record]) -> Table:
    """Work-precision as measured: one row a run, with its NFE, error (RMS, median, maximum) and seconds."""
    keys = ("n", "nfe", "tolerance", "rms", "median", "max", "seconds", "floor")
    frame = _run_frame(records, "work-precision", keys)
    columns = (
        *case_columns(frame),
        Column("NFE", "nfe", "count"),
        Column("RMS error", "rms", "error"),
        Column("Seconds", "seconds", "seconds"),
    )
    return Table(
        "work-precision-runs", "Every run of the work-precision study", "RMS error and time as measured.", frame, columns
    )


def law_runs_table(records: Iterable[Record]) -> Table:
    """Distances of laws as measured: one row a run, with its NFE, W2 (which is `rms` too), KL and seconds."""
    frame = _run_frame(records, "law", ("n", "nfe", "rms", "w2", "kl", "seconds", "floor"))
    columns = (*case_columns(frame), Column("NFE", "nfe", "count"), Column("W2", "w2", "error"), Column("KL", "kl", "error"))
    return Table("law-runs", "Every run of the law study", "Distances of laws as measured.", frame, columns)


def _within(runs: list[tuple[float, float]], low: int, high: int) -> dict:
    """The longest of the (nfe, error) runs of more than `low` and at most `high` evaluations."""
    fitting = [run for run in runs if low < run[0] <= high]
    if not fitting:
        why = f"no run of {low + 1} to {high} evaluations"
        return {f"nfe_{high}": np.nan, f"used_{high}": np.nan, f"why_{high}": why}
    nfe, error = max(fitting, key=lambda run: run[0])
    why = f"{nfe:g} evaluations" + (", not finite" if np.isnan(error) else "")
    return {f"nfe_{high}": error, f"used_{high}": nfe, f"why_{high}": why}


def _budgets(runs: pd.DataFrame, budgets: tuple[int, ...], what: str) -> tuple[pd.DataFrame, tuple[Column, ...]]:
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


def budget_table(records: Iterable[Record], budgets: tuple[int, ...] = BUDGETS) -> Table:
    """The error of the longest run within each NFE budget, and beyond the budget before it; nothing is interpolated."""
    frame, columns = _budgets(runs_table(records).frame, budgets, "RMS error")
    caption = "RMS error of the longest measured run within each budget and beyond the one before it; nothing is interpolated."
    return Table("work-precision", "Error within a budget of network evaluations", caption, frame, columns)


def law_table(records: Iterable[Record], budgets: tuple[int, ...] = BUDGETS) -> Table:
    """The distance of the law from the exact one, Wasserstein-2, within each budget; nothing is interpolated."""
    frame, columns = _budgets(law_runs_table(records).frame, budgets, "W2")
    caption = (
        "Wasserstein-2 distance of a method's law from the exact marginal, of the longest measured run within each "
        "budget and beyond the one before it; nothing is sampled, nothing is interpolated."
    )
    return Table("law", "Distance of the law within a budget of network evaluations", caption, frame, columns)


def _truncation(record: Record) -> dict[float, float]:
    """n -> truncation error of a float64 run: as measured up to the end of its window, its power law beyond.  {} where
    the order is not resolved."""
    fit = slope(record)
    if not fit.resolved:
        return {}
    n, h, error = (series(record, k) for k in ("n", "h", "rms"))
    last = max(fit.window, key=lambda i: n[i])
    law = error[last] * (h / h[last]) ** fit.order
    return {k: e if k <= n[last] else e_law for k, e, e_law in zip(n, error, law)}


def rounding_onset(record: Record, in_float64: Record | None) -> dict:
    """Where rounding overtakes truncation: the first rung whose error is over twice the truncation error in float64.

    `bound` is "=" for a rung found, "<=" where already the first one is past it, ">" where none is; `level` is the
    lowest error of the ladder.
    """
    blank = {"n": np.nan, "bound": "", "level": np.nan, "why": ""}
    if record["status"] != "ok":
        return blank | {"why": record["message"]}
    n, error = series(record, "n"), series(record, "rms")
    blank["level"] = np.nanmin(error) if np.isfinite(error).any() else np.nan
    truncation = _truncation(in_float64) if in_float64 is not None and in_float64["status"] == "ok" else {}
    if not truncation:
        return blank | {"why": "no float64 run with a resolved order to take the truncation error from"}
    past = [i for i in np.argsort(n) if n[i] in truncation and not error[i] <= _OVERTAKEN * truncation[n[i]]]
    if not past:
        return blank | {"n": n.max(), "bound": ">", "why": "not within the ladder"}
    return blank | {"n": n[past[0]], "bound": "<=" if n[past[0]] == n.min() else "="}


def floor_table(records: Iterable[Record]) -> Table:
    """One row a solver and problem: for each dtype, the N where rounding overtakes truncation and the lowest error."""
    keys = ("solver", "problem", "grid")
    cases: dict[tuple, dict[str, Record]] = {}
    for r in (r for r in records if r["study"] == "floor"):
        cases.setdefault(tuple(r["case"].get(k, "") for k in keys), {})[r["case"]["dtype"]] = r
    dtypes = sorted({d for runs in cases.values() for d in runs}, key=lambda d: (*DTYPES, d).index(d))
    rows = []
    for case, runs in cases.items():
        row = dict(zip(keys, case))
        for d in dtypes:
            found = rounding_onset(runs[d], runs.get("float64")) if d in runs else {"why": "not measured"}
            row |= {f"{key}_{d}": value for key, value in found.items()}
        rows.append(row)
    tip = "steps at which rounding overtakes truncation in {}"
    per_dtype = (
        c
        for d in dtypes
        for c in (
            Column(f"N, {d}", f"n_{d}", "bound", f"bound_{d}", f"why_{d}", tip.format(d)),
            Column(f"lowest error, {d}", f"level_{d}", "error", why=f"why_{d}"),
        )
    )
    frame = pd.DataFrame(rows)
    grid = (Column("Grid", "grid"),) if len(frame) and frame["grid"].nunique() > 1 else ()
    shown = (*case_columns(frame), *grid, *per_dtype)
    caption = (
        "N is the first number of steps whose error is over twice the truncation error that float64 shows; "
        "> N: not within the ladder."
    )
    return Table("floor", "Where rounding overtakes truncation", caption, frame, shown)
