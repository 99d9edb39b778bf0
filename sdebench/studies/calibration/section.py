"""The section of the calibration study: how often the suite is wrong."""

from collections.abc import Iterable

import pandas as pd

from sdebench.records import Record
from sdebench.report.section import Section, TableBlock, Text
from sdebench.report.table import Column, Table
from sdebench.studies.calibration.expected import expected_order, is_seen
from sdebench.studies.order.judge import CONFIRMED, EXACT, OPEN, REFUTED, judge

_LEAD = (
    "Random problems that nobody tuned for: mixtures and products in one to eight dimensions, five schedules, spans of lam "
    "anywhere in [-5, 6], every third from pure noise. A method that does what it states must be confirmed, a claim of one "
    "order more must not, and 95 of 100 intervals must hold the true order."
)


def cell_rows(records: Iterable[Record]) -> pd.DataFrame:
    """One row a cell: the true order, the measured one, and the verdicts on the truth and on one order more."""
    rows = []
    for r in records:
        claim = r.case.get("claim")  # of a method that is broken on purpose
        true = expected_order(r.claims, r.case["kind"], r.case["grid"], claim)
        row = {k: r.case[k] for k in ("solver", "kind", "grid", "random", "noise")}
        row |= {"broken": claim is not None, "seen": is_seen(r.data), "true": true}
        if not r.is_ok:
            rows.append(row | {"verdict": "failed", "more": "failed", "reason": r.message})
            continue
        found = judge(r.case["kind"], r.data, None if claim is not None else true)
        fit = found.fit
        rows.append(
            row
            | {
                "order": fit.order,
                "half_width": fit.half_width,
                "verdict": found.verdict(true),
                "more": found.verdict(true + 1),
                "inside": fit.resolved and abs(fit.order - true) <= fit.half_width,
                "resolved": fit.resolved,
                "reason": found.reason,
            }
        )
    return pd.DataFrame(rows)


def _count(frame: pd.DataFrame, what: str, column: str = "verdict") -> dict:
    found = frame[column].value_counts()
    cells = len(frame)
    counts = {name: int(found.get(name, 0)) for name in (CONFIRMED, REFUTED, OPEN, EXACT, "failed")}
    return {"what": what, "cells": cells} | counts | {"unresolved": 100 * counts[OPEN] / cells if cells else 0.0}


def summary_table(frame: pd.DataFrame) -> Table:
    """Counts of verdicts: of methods that are right, of claims of one order more, of methods that are broken."""
    right, broken, hidden = (frame[part] for part in (~frame["broken"], frame["broken"] & frame["seen"], ~frame["seen"]))
    rows = [_count(right, "methods that do what they state")]
    rows += [_count(right[right["kind"] == kind], f"of these, {kind} orders") for kind in dict.fromkeys(right["kind"])]
    rows += [_count(right[right["noise"]], "of these, from pure noise")] if right["noise"].any() else []
    rows.append(_count(right, "the same, a claim of one order more", "more"))
    if len(broken):
        rows.append(_count(broken, "methods that are broken, held to what they should have"))
    if len(hidden):
        rows.append(_count(hidden, "broken ones that are nowhere less accurate here than their originals"))
    resolved = right[right["resolved"].fillna(False).astype(bool)]
    inside = 100 * resolved["inside"].astype(bool).mean() if len(resolved) else float("nan")
    columns = (
        Column("Cells", "what"),
        Column("Number", "cells", "count"),
        *(Column(name.capitalize(), name, "count") for name in (CONFIRMED, REFUTED, OPEN, EXACT, "failed")),
        Column("Not asymptotic, %", "unresolved", "percent"),
    )
    caption = (
        f"Verdicts on {frame['random'].nunique()} random problems. The interval that is called 95 % held the true order in "
        f"{inside:.1f} % of {len(resolved)} cells."
    )
    return Table("calibration", "How often the suite is wrong", caption, pd.DataFrame(rows), columns)


def wrong_table(frame: pd.DataFrame) -> Table:
    """Every cell whose verdict is not the right one, with its reason."""
    right = ~frame["broken"] & ((frame["verdict"] != CONFIRMED) | (frame["more"] == CONFIRMED))
    shown = frame[right | (frame["broken"] & (frame["verdict"] == CONFIRMED))].copy()
    shown.loc[~shown["seen"], "reason"] = "no less accurate here than its original"
    headings = {
        "solver": "Solver",
        "kind": "Kind",
        "grid": "Grid",
        "random": "Problem",
        "verdict": "Verdict",
        "reason": "Reason",
    }
    columns = (
        *(Column(heading, key) for key, heading in headings.items()),
        Column("True", "true", "count"),
        Column("Measured", "order", "order", "half_width"),
    )
    return Table("calibration-wrong", "Cells that are wrong or open", "", shown, columns)


def make_section(records: list[Record]) -> Section:
    """The counts, and the cells behind them."""
    frame = cell_rows(records)
    summary = TableBlock(summary_table(frame), in_readme=True, terminal=("what", "cells", CONFIRMED, REFUTED, OPEN))
    return Section(
        "calibration", "How often is this suite wrong?", (Text(_LEAD), summary, TableBlock(wrong_table(frame), show="folded"))
    )
