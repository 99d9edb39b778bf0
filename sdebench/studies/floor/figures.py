"""The figure of the floor study."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sdebench.records import Record
from sdebench.report import style
from sdebench.report.facts import group_by, series
from sdebench.report.table import Table

_MARKERS = {"float64": ("o", style.INK), "float32": ("s", "#0072b2"), "bfloat16": ("^", "#e69f00")}


@style.styled
def floor(records: list[Record], floors: Table, problem: str) -> Figure:
    """RMS error against the number of steps in each dtype, a panel a solver; a ring marks where rounding overtakes."""
    frame = floors.frame[floors.frame["problem"] == problem].set_index("solver")
    chosen = [r for r in records if r.case["problem"] == problem and r.is_ok]
    solvers = group_by(chosen, lambda r: r.case["solver"])
    figure, axes = style.panels(len(solvers), "steps", "RMS error", tall=2.0)
    for ax, (name, runs) in zip(axes, solvers.items()):
        ax.set_title(name)
        for record in runs:
            dtype, n, error = record.case["dtype"], series(record, "n"), series(record, "rms")
            marker, colour = _MARKERS.get(dtype, ("d", style.GREY))
            ax.plot(n, error, color=colour, marker=marker, ms=3, lw=1, mew=0)
            row = frame.loc[[name]].iloc[0]
            at = np.flatnonzero(n == row[f"n_{dtype}"]) if row[f"bound_{dtype}"] in ("=", "<=") else []
            ax.plot(n[at], error[at], "o", ms=9, mfc="none", mec=style.REFUTED, mew=1.3)
    handles = [Line2D([], [], color=c, marker=m, ms=4, lw=1, label=d) for d, (m, c) in _MARKERS.items()]
    ring = Line2D([], [], ls="", marker="o", ms=8, mfc="none", mec=style.REFUTED, label="rounding overtakes truncation")
    style.order_legend(figure, (), [*handles, ring])
    return figure
