"""The tables of the work-precision study."""

from collections.abc import Iterable

from sdebench.records import Record
from sdebench.report.budgets import BUDGETS, run_frame, within_budgets
from sdebench.report.table import Column, Table, case_columns


def runs_table(records: Iterable[Record]) -> Table:
    """Work-precision as measured: one row a run, with its NFE, error (RMS, median, maximum) and seconds."""
    keys = ("n", "nfe", "tolerance", "rms", "median", "max", "seconds", "floor")
    frame = run_frame(records, keys)
    columns = (
        *case_columns(frame),
        Column("NFE", "nfe", "count"),
        Column("RMS error", "rms", "error"),
        Column("Seconds", "seconds", "seconds"),
    )
    return Table(
        "work-precision-runs", "Every run of the work-precision study", "RMS error and time as measured.", frame, columns
    )


def budget_table(records: Iterable[Record], budgets: tuple[int, ...] = BUDGETS) -> Table:
    """The error of the longest run within each NFE budget, and beyond the budget before it; nothing is interpolated."""
    frame, columns = within_budgets(runs_table(records).frame, budgets, "RMS error")
    caption = "RMS error of the longest measured run within each budget and beyond the one before it; nothing is interpolated."
    return Table("work-precision", "Error within a budget of network evaluations", caption, frame, columns)
