"""The table of the spacing study."""

from collections.abc import Iterable

import pandas as pd

from sdebench.records import Record
from sdebench.report.table import Column, Table, case_columns

TUNED = "tuned"
_BESIDE = {"uniform_lam": "Uniform in λ", "karras": "Karras 7", "ays[model=sd15]": "AYS"}


def spacing_frame(records: Iterable[Record]) -> pd.DataFrame:
    """One row a solver, problem and budget: the error on unseen points of each grid, the best known one, and the gain."""
    rows = []
    for record in records:
        row = {key: record.case[key] for key in ("solver", "problem", "budget")} | {"why": record.message}
        if record.is_ok:
            unseen = dict(zip(record.data["grid"], record.data["unseen"]))
            row |= unseen
            known = {name: error for name, error in unseen.items() if name != TUNED}
            best = min(known, key=lambda name: known[name])
            chosen = record.data["grid"].index(min(unseen, key=lambda name: unseen[name]))
            row |= {"best": best, "known": known[best], "gain": known[best] / min(unseen.values())}
            row["sigmas"] = ",".join(f"{sigma:.4g}" for sigma in record.data["sigmas"][chosen])
        rows.append(row)
    return pd.DataFrame(rows)


def spacing_table(records: Iterable[Record]) -> Table:
    """The error of the tuned grid beside those of known ones, on points that the search has not seen."""
    frame = spacing_frame(records)
    columns = (
        *case_columns(frame),
        Column("NFE", "budget", "count"),
        *(Column(head, key, "error", why="why") for key, head in _BESIDE.items() if key in frame),
        Column("Best known", "best", tip="of uniform, Karras, AYS, KL-optimal, beta and shifted grids"),
        Column("its error", "known", "error", why="why"),
        Column("Tuned", TUNED, "error", why="why"),
        Column(
            "Gain", "gain", "fixed", tip="error of the best known grid over that of the one to take; 1: no better one was found"
        ),
        Column("The one to take, as sigmas", "sigmas"),
    )
    caption = "RMS error at the end of the run, on points that the search has not seen. Sigmas are σ/α, as libraries want them."
    return Table("spacing", "Where the steps should lie", caption, frame, columns)
