"""The tables of the law study."""

from collections.abc import Iterable

from sdebench.records import Record
from sdebench.report.budgets import BUDGETS, run_frame, within_budgets
from sdebench.report.table import Column, Table, case_columns


def law_runs_table(records: Iterable[Record]) -> Table:
    """Distances of laws as measured: one row a run, with its NFE, W2 (which is `rms` too), KL and seconds."""
    frame = run_frame(records, ("n", "nfe", "rms", "w2", "kl", "seconds", "floor"))
    columns = (*case_columns(frame), Column("NFE", "nfe", "count"), Column("W2", "w2", "error"), Column("KL", "kl", "error"))
    return Table("law-runs", "Every run of the law study", "Distances of laws as measured.", frame, columns)


def law_table(records: Iterable[Record], budgets: tuple[int, ...] = BUDGETS) -> Table:
    """The distance of the law from the exact one, Wasserstein-2, within each budget; nothing is interpolated."""
    frame, columns = within_budgets(law_runs_table(records).frame, budgets, "W2")
    caption = (
        "Wasserstein-2 distance of a method's law from the exact marginal, of the longest measured run within each "
        "budget and beyond the one before it; nothing is sampled, nothing is interpolated."
    )
    return Table("law", "Distance of the law within a budget of network evaluations", caption, frame, columns)
