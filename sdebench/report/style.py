"""How figures look, and how they are saved: the same records give the same bytes."""

import io
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogFormatter, LogLocator, NullLocator

from sdebench._support import escape
from sdebench.report.compact import compact

INK, GREY, PALE, BAND = "#1a1a1a", "#808080", "#c9c9c9", "#dedede"
# Okabe and Ito's colours, which stay apart for every common kind of colour blindness; one for each claimed order.  Half
# orders are strong ones, which never meet those above 2.
_BY_ORDER = {0: "#6b6b6b", 0.5: "#e69f00", 1: "#56b4e9", 1.5: "#009e73", 2: "#0072b2", 3: "#009e73", 4: "#e69f00", 5: "#cc79a7"}
_HIGHER = "#7a4fa3"
REFUTED = "#c24e00"
RC: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.usetex": False,
    "text.parse_math": False,  # a dollar sign in a name is one
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.fontsize": 8.5,
    "axes.edgecolor": GREY,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "hatch.linewidth": 0.6,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#ececec",
    "grid.linewidth": 0.6,
}
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LEFT, _RIGHT, _TOP, _BOTTOM, _WIDE, _GAP = 0.75, 0.2, 0.85, 0.6, 3.1, 0.42  # inches


def order_colour(claimed: float) -> str:
    """The colour of a claimed order; grey for none."""
    return GREY if claimed != claimed else _BY_ORDER.get(claimed, _HIGHER)


def order_legend(figure: Figure, claimed: Iterable[float], more: Iterable, what: str = "order") -> None:
    """A legend above all panels: the colours of the claimed orders, then `more` handles."""
    orders = [
        Line2D([], [], color=order_colour(c), marker="o", ms=3, lw=1.2, label=f"claims {what} {c:g}")
        for c in sorted({c for c in claimed if c == c})
    ]
    columns = 5 if figure.get_figwidth() > 8 else 3
    figure.legend(handles=[*orders, *more], loc="upper center", ncols=columns, frameon=False)


def power_of_ten(value: float, _position: int) -> str:
    """The label of a tick of a logarithmic axis, 10⁻³: text, as matplotlib's formatters ask for it."""
    exponent = f"{value:.0e}".partition("e")[2]
    return "10" + str(int(exponent)).translate(_SUPERSCRIPT)


def plain_log(ax) -> None:
    """Both axes logarithmic, their labels text and no formulas: those are off, for the dollar signs of names."""
    ax.set(xscale="log", yscale="log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(power_of_ten))
        axis.set_minor_formatter(LogFormatter(minor_thresholds=(2, 0.4)))


def log_axes(ax) -> None:
    """Both axes logarithmic, decades only: minor ticks cost more time than all data and say less."""
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis, most in ((ax.xaxis, 6), (ax.yaxis, 9)):
        axis.set_minor_locator(NullLocator())
        axis.set_major_locator(LogLocator(numticks=most))
        axis.set_major_formatter(FuncFormatter(power_of_ten))


def label_steps(axes: list) -> None:
    """More labels on an x axis, shared by all panels, that has hardly a decade."""
    for ax in axes[:1]:
        low, high = ax.get_xlim()
        if high < 30 * low:
            ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))


def panels(count: int, x_label: str, y_label: str, columns: int = 3, tall: float = 2.45) -> tuple[Figure, list]:
    """(figure, axes): `count` log-log panels in rows of `columns`, sharing both axes.

    Margins are fixed in inches: an automatic layout would take half of the drawing time.
    """
    columns = min(columns, max(count, 1))
    rows = -(-max(count, 1) // columns)
    width = _LEFT + _RIGHT + columns * _WIDE + (columns - 1) * _GAP / 2
    height = _TOP + _BOTTOM + rows * tall + (rows - 1) * _GAP
    figure = Figure(figsize=(max(width, 5.2), height))
    axes = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel())
    box = (_LEFT / width, _BOTTOM / height, 1 - _RIGHT / width, 1 - _TOP / height)
    figure.subplots_adjust(*box, _GAP / 2 / _WIDE, _GAP / tall)
    for i, ax in enumerate(axes):
        log_axes(ax)
        ax.tick_params(labelbottom=i + columns >= count, length=2.5)
        ax.set_visible(i < count)
    figure.text(0.5, 0.12 / height, x_label, ha="center", va="bottom", fontsize=9)
    figure.text(0.1 / width, 0.5, y_label, rotation=90, ha="left", va="center", fontsize=9)
    return figure, axes[:count]


def apart(wanted: list[float], least: float) -> list[float]:
    """Heights in [0, 1] as near to the wanted, rising ones as names that must not overlap can be: those that would are
    pooled about their middle."""
    pools: list[list[float]] = []  # of heights with the room for the names below taken off
    for i, y in enumerate(wanted):
        pools.append([y - i * least])
        while len(pools) > 1 and np.mean(pools[-2]) > np.mean(pools[-1]):
            last = pools.pop()
            pools[-1] += last
    room = 1.0 - (len(wanted) - 1) * least
    level = [min(max(float(np.mean(pool)), 0.0), room) for pool in pools for _ in pool]
    return [y + i * least for i, y in enumerate(level)]


def styled(draw: Callable[..., Figure]) -> Callable[..., Figure]:
    """Decorator: draw in the style of this report, whatever the caller's matplotlib settings."""

    def inside(*args, **kwargs):
        with rc_context(RC):
            return draw(*args, **kwargs)

    inside.__doc__, inside.__name__ = draw.__doc__, draw.__name__
    return inside


def render(figure: Figure | Callable[[], Figure], name: str) -> str:
    """A figure, or the one that a function draws, as SVG; no dates are written, so equal figures are equal files.

    `name` makes the ids inside the SVG unlike those of any other figure on the same page.
    """
    with rc_context(RC | {"svg.hashsalt": f"sdebench {name}"}):
        buffer = io.BytesIO()
        drawn = figure() if callable(figure) else figure
        drawn.savefig(buffer, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    return compact(escape.xml(buffer.getvalue().decode(errors="replace")).encode(), name)
