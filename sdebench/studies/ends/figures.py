"""The figures of the ends study."""

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from sdebench.records import Record
from sdebench.report import style
from sdebench.report.facts import group_by, series

_LABELS = {"noise": "alpha/sigma after the first step", "data": "sigma/alpha before the last step"}


@style.styled
def ends(records: list[Record], problem: str, end: str) -> Figure:
    """RMS error of one step against the level next to the end, a panel a family; in grey DDIM's step."""
    chosen = [r for r in records if r.is_ok and r.case["problem"] == problem and r.case["end"] == end]
    families = group_by(chosen, lambda r: r.claims.family)
    usual = [r for r in chosen if r.case["solver"] == "ddim"]
    figure, axes = style.panels(len(families), _LABELS[end], "RMS error", tall=2.0)
    for ax, (family, runs) in zip(axes, families.items()):
        ax.set_title(family)
        for record in usual:
            ax.plot(series(record, "h"), series(record, "rms"), color=style.PALE, lw=3, zorder=1)
        for record in runs:
            colour = style.order_colour(record.claims.claimed_order)
            ax.plot(series(record, "h"), series(record, "rms"), color=colour, lw=0.9, marker="o", ms=2.2, mew=0, zorder=2)
    grey = Line2D([], [], color=style.PALE, lw=3, label="DDIM's step")
    style.order_legend(figure, {r.claims.claimed_order for r in chosen}, [grey])
    return figure
