"""The figures of the profile study: how near each executor comes to the roofs, and where the time of a step goes."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, FuncFormatter

from sdebench.report import style
from sdebench.report.table import Table
from sdebench.studies.profile.cells import BOUND, PARTS

_LOOK = {"network": ("#0072b2", "s"), "noise": ("#cc79a7", "D"), "bandwidth": ("#e69f00", "o"), "launches": ("#5a5a5a", "^")}
_WORDS = {"network": "network", "noise": "noise", "update": "update: vectors moved", "rest": "rest: Python, launches, waiting"}
_SHOWN = 6  # solvers of a figure
_NAMED = 12  # of those left out, in a caption
_WIDTH, _LEFT, _RIGHT, _GAP, _BOTTOM = 4.4, 0.58, 0.1, 0.14, 0.46  # inches: as wide as a telephone shows well
_LINE = 0.15  # of the legend
_BOX = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}  # behind a name that a line would cross
_NAME_PT, _NAME = 7.0, 0.12  # of an executor beside its line: size, and inches of a line


def _of(table: Table, label: str, key: str) -> pd.DataFrame:
    """The rows of a place that have that number."""
    frame = table.frame
    return frame[(frame["label"] == label) & frame[key].notna()] if len(frame) else frame


def places(table: Table) -> list[str]:
    """The labels of the places that have figures: those of several batches, all where none has."""
    frame = table.frame
    batches = frame.groupby("label", sort=False)["batch"].nunique() if len(frame) else pd.Series(dtype=int)
    return list(batches.index[batches > 1]) or list(batches.index)


def chosen(table: Table, label: str, key: str) -> tuple[list[str], list[str]]:
    """(the solvers that a figure of the number `key` shows, those that it leaves out): the fastest, the slowest and evenly
    between, by their longest step."""
    here = _of(table, label, key)
    if here.empty:
        return [], []
    ranked = list(here.groupby("solver", sort=False)["us"].max().sort_values(kind="stable").index)
    places = set(np.linspace(0, len(ranked) - 1, min(_SHOWN, len(ranked))).round().astype(int))
    return [name for i, name in enumerate(ranked) if i in places], [n for i, n in enumerate(ranked) if i not in places]


def left_out(names: list[str]) -> str:
    """What a caption says of the solvers that its figure has no room for."""
    if not names:
        return ""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f" Shown are the fastest, the slowest and some between; not shown: {', '.join(names[:_NAMED])}{more}."


def _panels(rows: int, columns: int, tall: float, gap: float, lines: int, label: str) -> tuple[Figure, np.ndarray]:
    """(figure, axes (rows, columns)), with room for so many lines above."""
    top = 0.3 + _LINE * lines
    height = top + rows * tall + (rows - 1) * gap + _BOTTOM
    figure = Figure(figsize=(_WIDTH, height))
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    wide = (_WIDTH - _LEFT - _RIGHT - (columns - 1) * _GAP) / columns
    figure.subplots_adjust(_LEFT / _WIDTH, _BOTTOM / height, 1 - _RIGHT / _WIDTH, 1 - top / height, _GAP / wide, gap / tall)
    figure.text(0.5, 0.08 / height, "batch", ha="center", va="bottom", fontsize=8.5)
    middle = (_BOTTOM + height - top) / 2 / height
    figure.text(0.06 / _WIDTH, middle, label, rotation=90, ha="left", va="center", fontsize=8.5)
    for ax in axes.ravel():
        ax.tick_params(length=2.5, labelsize=7.5)
    return figure, axes


def _legend(figure: Figure, handles: list, columns: int) -> None:
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0.01, 0.998),
        ncols=columns,
        frameon=False,
        fontsize=7.5,
        handlelength=1.5,
        labelspacing=0.25,
        borderpad=0.1,
        columnspacing=1.1,
        handletextpad=0.5,
    )


def _short(batch: float, _position: int = 0) -> str:
    return f"{batch / 1024:g}k" if batch >= 1024 and batch % 1024 == 0 else f"{batch:g}"


def _ticks(batches: list[int], most: int) -> list[int]:
    """So many of the batches at most, evenly."""
    return batches[:: -(-len(batches) // most)]


def _roofs(ax, rows: pd.DataFrame, ends: np.ndarray) -> None:
    """What a step is held against: copies, and the network alone, which no executor can pass."""
    roof = rows.groupby("batch")[["copy_rate", "network_rate"]].median()
    x, copies, network = roof.index.to_numpy(), *roof.to_numpy().T  # type: ignore[misc]  # rows of a table
    if len(x) == 1:  # type: ignore[has-type]  # rows of a table
        x, copies, network = ends, *np.repeat([copies, network], 2, axis=1)  # type: ignore[has-type, misc]  # rows of a table
    ax.plot(ends, [rows["bandwidth"].median()] * 2, color=style.INK, lw=1.1, zorder=1.5)
    ax.plot(x, copies, color=style.INK, lw=0.9, ls=(0, (4, 2)), zorder=1.5)
    ax.plot(x, network, color=_LOOK["network"][0], lw=3.2, alpha=0.35, zorder=1)


def _marks(ax, rows: pd.DataFrame) -> None:
    """Each point in the shape and colour of what bounds it, empty where parts are not told apart."""
    for x, y, bound in zip(rows["batch"], rows["rate"], rows["bound"]):
        first, _, other = bound.partition(" or ")
        colour, marker = _LOOK.get(first, (style.GREY, "."))
        ax.plot([x], [y], ls="", marker=marker, ms=4.2, mfc="white" if other else colour, mec=colour, mew=0.9, zorder=4)


def _executors(ax, rows: pd.DataFrame) -> None:
    """A line an executor, named where it begins."""
    begin = {}
    for name, own in rows.groupby("executor", sort=False):
        ax.plot(own["batch"].to_numpy(), own["rate"].to_numpy(), color=style.GREY, lw=0.9, zorder=3)
        _marks(ax, own)
        begin[name] = own.iloc[0]
    low, high = np.log(ax.get_ylim())
    rising = sorted(begin.items(), key=lambda item: item[1]["rate"])
    tall = ax.figure.get_figheight() * ax.get_position().height
    heights = style.apart([(np.log(row["rate"]) - low) / (high - low) for _, row in rising], _NAME / tall)
    for (name, row), height in zip(rising, heights):
        line = {"arrowstyle": "-", "lw": 0.4, "color": style.GREY, "shrinkA": 0}
        ax.annotate(
            name,
            (row["batch"], row["rate"]),
            xytext=(0.015, height),
            textcoords="axes fraction",
            va="center",
            ha="left",
            fontsize=_NAME_PT,
            arrowprops=line,
            bbox=_BOX,
            zorder=5,
        )


def _handles(rows: pd.DataFrame, top: float) -> list:
    seen = {bound for text in rows["bound"] for bound in text.split(" or ")}
    marks = [
        Line2D([], [], ls="", marker=m, color=c, ms=4.5, label=f"bound by {name}")
        for name, (c, m) in _LOOK.items()
        if name in seen
    ]
    if rows["bound"].str.contains(" or ").any():
        marks.append(Line2D([], [], ls="", marker="o", mfc="white", mec=style.GREY, ms=4.5, label="empty: not told apart"))
    if (rows["bound"] == "").any():
        marks.append(Line2D([], [], ls="", marker=".", color=style.GREY, ms=4.5, label="dot: too few rounds"))
    copies = [
        Line2D([], [], color=style.INK, lw=1.1, label="copies beyond the cache"),
        Line2D([], [], color=style.INK, lw=0.9, ls=(0, (4, 2)), label="a copy of one state"),
    ]
    network = [Line2D([], [], color=_LOOK["network"][0], lw=3.2, alpha=0.35, label="roof: network alone")]
    return [*marks, *copies, *(network if rows["network_rate"].min() < top else [])]


@style.styled
def roofs(table: Table, label: str) -> Figure:
    """Fewest bytes of a step over its time against batch, a panel a solver, a line an executor, and their roofs."""
    names, _ = chosen(table, label, "rate")
    rows = _of(table, label, "rate")
    rows = rows[rows["solver"].isin(names)]
    rates = rows[["rate", "copy_rate", "bandwidth"]].to_numpy()  # a null model's roof may lie far above
    low, top = np.nanmin(rates) / 2, np.nanmax(rates) * 2
    columns, handles = min(2, len(names)), _handles(rows, top)
    down, tall, y_label = -(-len(names) // columns), 1.5 if len(names) > 2 else 2.4, "fewest bytes / time of a step, GB/s"
    figure, axes = _panels(down, columns, tall, 0.3, -(-len(handles) // 2), y_label)
    batches = sorted(set(rows["batch"]))
    room = (batches[-1] / batches[0]) ** 0.3 if len(batches) > 1 else 3.0  # for the names
    ends = np.array([batches[0] / room, batches[-1] * room**0.25])
    style.log_axes(axes[0, 0])
    axes[0, 0].set(xlim=ends, ylim=(low, top))
    axes[0, 0].xaxis.set_major_locator(FixedLocator(_ticks(batches, 6)))
    axes[0, 0].xaxis.set_major_formatter(FuncFormatter(_short))
    for i, ax in enumerate(axes.ravel()):
        ax.set_visible(i < len(names))
        ax.tick_params(labelbottom=i + columns >= len(names))
    for ax, name in zip(axes.ravel(), names):
        own = rows[rows["solver"] == name]
        ax.set_title(name, fontsize=8, pad=3)
        _roofs(ax, own, ends)
        _executors(ax, own)
    _legend(figure, handles, 2)
    return figure


def _bars(ax, rows: pd.DataFrame, batches: list[int]) -> None:
    at = np.array([batches.index(b) for b in rows["batch"]])
    below = np.zeros(len(rows))
    for part in PARTS:
        high = np.maximum(rows[part].to_numpy(), 0.0)  # the clock's noise may make an empty part negative
        ax.bar(at, high, 0.86, below, color=_LOOK[BOUND[part]][0], edgecolor="white", lw=0.3)
        below = below + high


@style.styled
def shares(table: Table, label: str) -> Figure:
    """The parts of a step in percent against batch, a row a solver, a column an executor."""
    names, _ = chosen(table, label, "us")
    rows = _of(table, label, "us")
    executors, batches = list(dict.fromkeys(rows["executor"])), sorted(set(rows["batch"]))
    rows = rows[rows["solver"].isin(names)]
    figure, axes = _panels(len(names), len(executors), max(0.72, 1.4 / len(names)), 0.26, 3, "percent of a step")
    for i, name in enumerate(names):
        for ax, executor in zip(axes[i], executors):
            _bars(ax, rows[(rows["solver"] == name) & (rows["executor"] == executor)], batches)
            ax.grid(visible=False, axis="x")
        axes[i, 0].set_title(name, fontsize=8, pad=3)
    for ax, executor in zip(axes[0], executors):
        ax.annotate(
            executor, (0.5, 1), xytext=(0, 15), xycoords="axes fraction", textcoords="offset points", ha="center", fontsize=8
        )
    axes[0, 0].set(ylim=(0, 100), xlim=(-0.6, len(batches) - 0.4), yticks=(0, 50, 100))
    shown = _ticks(batches, 12 // len(executors))
    axes[0, 0].set_xticks([batches.index(b) for b in shown], [_short(b) for b in shown])
    some = [part for part in PARTS if (rows[part] > 0).any()]
    _legend(figure, [Patch(color=_LOOK[BOUND[part]][0], label=_WORDS[part]) for part in some], 2)
    return figure


# name of the figure, the number that its rows have, the drawing, the caption
DRAWN = (
    (
        "roofs",
        "rate",
        roofs,
        "the fewest bytes that a step needs over the time that it takes; marks say what bounds it. Black: bytes a "
        "second of copies, of vectors far larger than the cache and of one state; blue, where the network is not far faster: "
        "as if there were nothing but the network",
    ),
    ("shares", "us", shares, "where the time of a step goes"),
)
