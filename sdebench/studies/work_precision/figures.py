"""The figures of the work-precision study."""

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sdebench.report import style
from sdebench.report.budgets import best_solvers
from sdebench.report.facts import group_by
from sdebench.report.table import Table

_BEST = 3


def _curve(ax, run: pd.DataFrame, against: str, **look) -> None:
    ordered = run.sort_values(against)
    ax.plot(ordered[against].to_numpy(), ordered["rms"].to_numpy(), **look)


@style.styled
def work_precision(runs: Table, budgets: Table, problem: str, against: str = "nfe") -> Figure:
    """RMS error against NFE or seconds, a panel a family; in grey the three best of all within 32 evaluations."""
    frame = runs.frame[runs.frame["problem"] == problem]
    best = best_solvers(budgets.frame[budgets.frame["problem"] == problem], _BEST)
    solvers = dict(list(frame.groupby("solver", sort=False)))
    families = group_by(solvers, lambda name: solvers[name]["family"].iloc[0])
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
