"""The figure of the law study: methods of the ODE and of the SDE on one plot."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, StrMethodFormatter

from sdebench.report import style
from sdebench.report.budgets import best_solvers
from sdebench.report.facts import DETERMINISTIC, STOCHASTIC
from sdebench.report.table import Table

_NAMED = 4  # of each kind
_LOOK = {DETERMINISTIC: ("#0072b2", "#c3dcec"), STOCHASTIC: ("#c24e00", "#f3d6c2")}  # named, and pale
_LEFT, _PLOT, _BOTTOM, _TOP, _TALL = 0.6, 2.6, 0.5, 0.42, 4.6  # inches: the whole as wide as a telephone shows well
_NAME_PT, _GLYPH, _LINE = 7.5, 0.063, 0.145  # of the names: size, and inches a letter and a line
_TICKS = [4, 8, 16, 32, 64, 128, 256, 512]


def _curve(runs: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    kept = runs[(runs["w2"] > 0) & np.isfinite(runs["w2"])].sort_values("nfe")
    return kept["nfe"].to_numpy(), kept["w2"].to_numpy()


def _write_names(ax, ends: dict[str, tuple[float, float, str]], least: float) -> None:
    """Each curve's name beside the plot, at the height of its last point or as near as there is room."""
    low, high = np.log(ax.get_ylim())
    rising = sorted(ends.items(), key=lambda item: item[1][1])
    heights = style.apart([(np.log(y) - low) / (high - low) for _, (_, y, _) in rising], least)
    for (name, (x, y, colour)), height in zip(rising, heights):
        line = {"arrowstyle": "-", "lw": 0.5, "color": colour, "shrinkA": 0, "shrinkB": 1}
        ax.annotate(
            name,
            (x, y),
            xytext=(1.09, height),
            textcoords="axes fraction",
            va="center",
            ha="left",
            color=colour,
            fontsize=_NAME_PT,
            annotation_clip=False,
            arrowprops=line,
        )


def _axes(longest: int) -> tuple[Figure, Axes]:
    width = max(_LEFT + _PLOT + 0.3 + _GLYPH * longest, 4.4)
    figure = Figure(figsize=(width, _TALL))
    ax = figure.add_axes((_LEFT / width, _BOTTOM / _TALL, _PLOT / width, 1 - (_BOTTOM + _TOP) / _TALL))
    style.log_axes(ax)
    ax.xaxis.set_major_locator(FixedLocator(_TICKS))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.set(xlabel="network evaluations (NFE)", ylabel="W₂ to the exact law")
    ax.tick_params(length=2.5)
    return figure, ax


@style.styled
def law(runs: Table, budgets: Table, problem: str) -> Figure:
    """Wasserstein-2 against NFE.  Named are the best four of either kind within 32 evaluations; the others are pale."""
    frame = runs.frame[runs.frame["problem"] == problem]
    table = budgets.frame[budgets.frame["problem"] == problem]
    best = {name for _, group in table.groupby("sort") for name in best_solvers(group, _NAMED)}
    figure, ax = _axes(max(map(len, best), default=0))
    ends: dict[str, tuple[float, float, str]] = {}
    for (solver, sort, _), group in frame.groupby(["solver", "sort", "grid"], sort=False):
        colour, pale = _LOOK[sort]
        nfe, w2 = _curve(group)
        if solver in best and len(nfe):
            ax.plot(nfe, w2, color=colour, lw=1.2, marker="o", ms=2.6, mew=0, zorder=3)
            ends[solver] = (nfe[-1], w2[-1], colour)
        else:
            ax.plot(nfe, w2, color=pale, lw=0.7, zorder=1)
    ax.margins(x=0.02)
    _write_names(ax, ends, _LINE / (_TALL - _BOTTOM - _TOP))
    kinds = {DETERMINISTIC: "ODE", STOCHASTIC: "SDE"}
    handles = [Line2D([], [], color=_LOOK[s][0], lw=1.6, label=f"{kinds[s]}, {s}") for s in kinds if (frame["sort"] == s).any()]
    figure.legend(handles=handles, loc="upper left", ncols=2, frameon=False, handlelength=1.2)
    return figure
