"""The figure of the spacing study."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import ScalarFormatter

from sdebench.records import Record
from sdebench.report import style
from sdebench.report.facts import group_by
from sdebench.studies.spacing.tables import TUNED

_SHOWN = {"uniform_lam": "#0072b2", "karras": "#e69f00", "ays[model=sd15]": "#cc79a7", TUNED: style.REFUTED}


@style.styled
def steps(records: list[Record], problem: str) -> Figure:
    """Where the steps lie in lam, a line a budget and grid, with the error on unseen points behind it; a panel a solver."""
    chosen = [r for r in records if r.case["problem"] == problem and r.is_ok]
    solvers = group_by(chosen, lambda r: r.case["solver"])
    figure, axes = style.panels(len(solvers), "λ = log(α/σ)", "NFE", tall=2.6)
    for ax, (name, runs) in zip(axes, solvers.items()):
        ax.set_title(name)
        ax.set(xscale="linear", yscale="linear")
        ax.xaxis.set_major_formatter(ScalarFormatter())
        runs = sorted(runs, key=lambda r: r.case["budget"])
        for row, record in enumerate(runs):
            for k, (grid, colour) in enumerate(_SHOWN.items()):
                if grid in record.data["grid"]:
                    i = record.data["grid"].index(grid)
                    lams = -np.log(record.data["sigmas"][i])
                    y = row + 0.2 * (1.5 - k)
                    ax.plot(lams, np.full(len(lams), y), "-", color=colour, lw=0.6)
                    ax.plot(lams, np.full(len(lams), y), "|", color=colour, ms=6, mew=1.4)
                    ax.annotate(
                        f"{record.data['unseen'][i]:.0e}",
                        (lams[-1], y),
                        (4, 0),
                        textcoords="offset points",
                        va="center",
                        fontsize=6,
                    )
        ax.set_yticks(range(len(runs)), [str(r.case["budget"]) for r in runs])
        ax.minorticks_off()
        ax.set_ylim(-0.6, len(runs) - 0.4)
        ax.margins(x=0.14)
    names = {TUNED: "tuned", "ays[model=sd15]": "AYS", "uniform_lam": "uniform in λ", "karras": "Karras"}
    handles = [
        Line2D([], [], color=colour, marker="|", ms=8, mew=1.4, lw=0.6, label=names[grid]) for grid, colour in _SHOWN.items()
    ]
    style.order_legend(figure, (), handles)
    return figure
