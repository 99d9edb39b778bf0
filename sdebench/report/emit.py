"""A table as Markdown, CSV and LaTeX, and the one place that says how a value is written."""

from math import floor, isnan, log10
from typing import Any, NamedTuple

import pandas as pd
from pandas.api.types import is_numeric_dtype

from sdebench._support import escape
from sdebench.report.table import Column, Table

DASH = "—"
SYMBOLS = {"confirmed": "✓", "refuted": "✗", "not asymptotic": "?", "exact": "=", "failed": "!"}
PARTIAL = ("smooth grids only", "tolerance")  # what a confirmation must say when it does not speak of all grids
NUMERIC = ("order", "count", "error", "distance", "fixed", "seconds", "bound", "plain", "percent")


class TableCell(NamedTuple):
    """A value as shown: its text, what it sorts by (a number or text), and what stands behind it."""

    text: str
    sort: float | str
    why: str = ""


def _missing(value: object) -> bool:
    return value is None or value == "" or (isinstance(value, float) and isnan(value))


def _with_spread(value: float, half: Any) -> str:
    """A number to two digits of its half-width, or to three digits where there is none."""
    if _missing(half) or not half > 0:
        return f"{value:.3g}".replace("-", "−")
    digits = max(0, 1 - floor(log10(half)))
    return f"{value:.{digits}f} ± {half:.{digits}f}".replace("-", "−")


def _scientific(value: float) -> str:
    """Two digits and an exponent."""
    return ("−" if value < 0 else "") + f"{abs(value):.1e}" if value else "0"


def plain(value: float) -> str:
    """Three digits, and no exponent of a number that one can read without."""
    return f"{float(f'{value:.3g}'):.10g}".replace("-", "−")


def cell(row: dict[str, Any], column: Column) -> TableCell:
    """One row (a dict of plain values) in one column; an em dash, with its reason, where there is nothing."""
    value: Any = row.get(column.key)
    why = row.get(column.why) or ""
    why = "" if _missing(why) else str(why)
    if _missing(value):
        return TableCell(DASH, "", why or "not measured")
    half: Any = row.get(column.half_width)
    if column.kind == "order":
        spread = "" if _missing(half) else f" ± {half:.2f}"
        mark = f" {SYMBOLS['refuted']}" if row.get(column.judged) == "refuted" else ""
        return TableCell(f"{value:.2f}{spread}{mark}".replace("-", "−"), float(value), why)
    if column.kind == "bound":
        return TableCell({"<=": "≤ ", ">": "> "}.get(half, "") + f"{value:.0f}", float(value), why)
    if column.kind == "verdict":
        scope = f" ({half})" if half in PARTIAL and value == "confirmed" else ""
        return TableCell(f"{SYMBOLS[value]} {value}{scope}", str(value), why)
    if column.kind == "count":
        return TableCell(f"{value:g}", float(value), why)
    if column.kind in ("error", "distance"):
        note = row.get(column.note)
        text = _with_spread(value, half) if column.kind == "distance" else _scientific(value)
        return TableCell(text if _missing(note) else f"{text} {note}", float(value), why)
    if column.kind in ("plain", "percent"):
        text = plain(value) if column.kind == "plain" else f"{round(value, 1) + 0.0:.1f}".replace("-", "−")
        return TableCell(text, float(value), why)
    if column.kind in ("fixed", "seconds"):
        return TableCell(f"{value:.2f}" if column.kind == "fixed" else f"{value:.2g}", float(value), why)
    return TableCell(str(value), str(value), why)


def cells(table: Table) -> list[list[TableCell]]:
    """All rows of a table as shown."""
    return [[cell(row, c) for c in table.columns] for row in table.frame.to_dict("records")]


def csv(table: Table) -> str:
    """All plain values of the table, shown or not, with full precision."""
    frame = table.frame.rename(columns=escape.csv)
    for name in frame.columns[[not is_numeric_dtype(kind) for kind in frame.dtypes]]:
        frame[name] = [escape.csv(value) for value in frame[name]]
    return frame.to_csv(index=False, lineterminator="\n")


def markdown(table: Table, limit: int | None = None) -> str:
    """A GitHub table of the first `limit` rows; no text of a cell is taken for markup."""

    def line(texts):
        return "| " + " | ".join(map(escape.markdown, texts)) + " |"

    rule = ["---:" if c.kind in NUMERIC else "---" for c in table.columns]
    body = [line(c.text for c in row) for row in cells(table)[:limit]]
    return "\n".join([line(c.heading for c in table.columns), f"| {' | '.join(rule)} |", *body]) + "\n"


def latex(table: Table) -> str:
    r"""A `longtable` with the rules of booktabs, to be `\input` where both packages are loaded."""
    rows = [[escape.latex(c.text) for c in row] for row in cells(table)]
    frame = pd.DataFrame(rows, columns=[escape.latex(c.heading) for c in table.columns])
    align = "".join("r" if c.kind in NUMERIC else "l" for c in table.columns)
    caption = escape.latex(f"{table.title}. {table.caption}")
    return frame.to_latex(
        index=False, escape=False, longtable=True, column_format=align, caption=caption, label=f"tab:{table.name}"
    )
