"""The figures of the work-precision and floor studies."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sdebench.report import style
from sdebench.report.facts import series
from sdebench.report.figures import grouped
from sdebench.report.tables import Table

_BEST = 3
_MARKERS = {"float64": ("o", style.INK), "float32": ("s", "#0072b2"), "bfloat16": ("^", "#e69f00")}


def best_solvers(budgets: pd.DataFrame, count: int) -> list[str]:
    """The solvers with the lowest error within 32 evaluations, or within the next budget that was measured."""
    for column in ("nfe_32", "nfe_64", "nfe_16", "nfe_128", "nfe_8"):
        if column in budgets and budgets[column].notna().any():
            return list(budgets.nsmallest(count, column)["solver"])
    return []


def _curve(ax, run: pd.DataFrame, against: str, **look) -> None:
    ordered = run.sort_values(against)
    ax.plot(ordered[against].to_numpy(), ordered["rms"].to_numpy(), **look)


@style.styled
def work_precision(runs: Table, budgets: Table, problem: str, against: str = "nfe") -> Figure:
    """RMS error against NFE or seconds, a panel a family; in grey the three best of all within 32 evaluations."""
    frame = runs.frame[runs.frame["problem"] == problem]
    best = best_solvers(budgets.frame[budgets.frame["problem"] == problem], _BEST)
    solvers = dict(list(frame.groupby("solver", sort=False)))
    families = grouped(solvers, lambda name: solvers[name]["family"].iloc[0])
    label = {"nfe": "network evaluations (NFE)", "seconds": "seconds"}[against]
    figure, axes = style.panels(len(families), label, "RMS error", tall=2.2)
    for ax, (family, names) in zip(axes, families.items()):
        ax.set_title(family)
        for name in (b for b in best if b not in names):
            _curve(ax, solvers[name], against, color=style.PALE, lw=2, zorder=1)
        for name in names:
            colour = style.order_colour(solvers[name]["claimed"].iloc[0])
            _curve(ax, solvers[name], against, color=colour, lw=0.9, marker="o", ms=2.2, mew=0, zorder=2)
        for name in (b for b in best if b in names):
            rank = best.index(name)
            at = (0.98, 0.96 - 0.09 * rank)
            ax.text(*at, f"{rank + 1}. {name}", transform=ax.transAxes, ha="right", va="top", fontsize=7.5)
    errors = frame.loc[frame["rms"] > 0, "rms"]
    if len(errors):
        axes[0].set_ylim(max(errors.min(), 1e-18) / 4, min(errors.max(), 1e3) * 5)
    grey = Line2D([], [], color=style.PALE, lw=2, label="best three of all families")
    style.order_legend(figure, set(frame["claimed"]), [grey])
    return figure


@style.styled
def floor(records: list[dict], floors: Table, problem: str) -> Figure:
    """RMS error against the number of steps in each dtype, a panel a solver; a ring marks where rounding overtakes."""
    frame = floors.frame[floors.frame["problem"] == problem].set_index("solver")
    chosen = [r for r in records if r["study"] == "floor" and r["case"]["problem"] == problem and r["status"] == "ok"]
    solvers = grouped(chosen, lambda r: r["case"]["solver"])
    figure, axes = style.panels(len(solvers), "steps", "RMS error", tall=2.0)
    for ax, (name, runs) in zip(axes, solvers.items()):
        ax.set_title(name)
        for record in runs:
            dtype, n, error = record["case"]["dtype"], series(record, "n"), series(record, "rms")
            marker, colour = _MARKERS.get(dtype, ("d", style.GREY))
            ax.plot(n, error, color=colour, marker=marker, ms=3, lw=1, mew=0)
            row = frame.loc[[name]].iloc[0]
            at = np.flatnonzero(n == row[f"n_{dtype}"]) if row[f"bound_{dtype}"] in ("=", "<=") else []
            ax.plot(n[at], error[at], "o", ms=9, mfc="none", mec=style.REFUTED, mew=1.3)
    handles = [Line2D([], [], color=c, marker=m, ms=4, lw=1, label=d) for d, (m, c) in _MARKERS.items()]
    ring = Line2D([], [], ls="", marker="o", ms=8, mfc="none", mec=style.REFUTED, label="rounding overtakes truncation")
    style.order_legend(figure, (), [*handles, ring])
    return figure
