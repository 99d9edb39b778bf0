"""The table of the floor study."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from sdebench.records import Record
from sdebench.report.facts import series, slope
from sdebench.report.table import Column, Table, case_columns
from sdebench.studies.dtypes import DTYPES

_OVERTAKEN = 2.0  # total error over truncation error at which the rest, rounding, has become the larger part


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
    if not record.is_ok:
        return blank | {"why": record.message}
    n, error = series(record, "n"), series(record, "rms")
    blank["level"] = np.nanmin(error) if np.isfinite(error).any() else np.nan
    truncation = _truncation(in_float64) if in_float64 is not None and in_float64.is_ok else {}
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
    for r in records:
        cases.setdefault(tuple(r.case.get(k, "") for k in keys), {})[r.case["dtype"]] = r
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
