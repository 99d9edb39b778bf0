"""The convergence figures.  Like all figures, they take records and compute nothing that a table does not show."""

from collections.abc import Sequence
from textwrap import fill
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from sdebench._support.errors import UsageError
from sdebench.records import Record
from sdebench.report import style
from sdebench.report.facts import group_by, series
from sdebench.studies.order.judged import EXACT, FAILED, OPEN, REFUTED, Measured, measured

_NAMED = 6  # solvers named in a panel; the order table names all


def _draw_run(ax, m: Measured) -> None:
    """One solver: its errors as dots, its fitted slope as a line over the window; in grey where nothing resolved."""
    h, error, n = (series(m.record, k) for k in ("h", "rms", "n"))
    if m.verdict == OPEN:
        ax.plot(h, error, ":", color=style.GREY, marker="o", ms=2.6, mfc="white", mew=0.7, lw=0.8, zorder=2)
        return
    colour, refuted = style.order_colour(m.claim), m.verdict == REFUTED
    marker = {"marker": "x", "ms": 4, "mew": 1} if refuted else {"marker": "o", "ms": 2.6, "mew": 0}
    ax.plot(h, error, ls="", color=colour, zorder=3, **marker)
    if np.isnan(m.order):  # it diverges: there is no slope to draw
        return
    inside = np.flatnonzero((n >= m.n_window[0]) & (n <= m.n_window[1]))
    last, ends = inside[h[inside].argmin()], np.array([h[inside].min(), h[inside].max()])
    ax.plot(ends, error[last] * (ends / h[last]) ** m.order, color=colour, lw=1, alpha=0.85, zorder=2)
    if m.kind == "strong":
        ax.plot(h, series(m.record, "median"), color=colour, lw=0.5, alpha=0.8, zorder=1.5)


def _guide(ax, runs: list[Measured], claimed: float) -> None:
    """A dashed line of the claimed slope, under the lowest run that claims it."""
    data = [(series(m.record, "h"), series(m.record, "rms")) for m in runs]
    starts = [(error[h.argmax()], h.max(), h.min()) for h, error in data if h.size and error[h.argmax()] > 0]
    if not starts:
        return
    error, high, low = min(starts)
    line, colour = 0.4 * error * np.array([(low / high) ** claimed, 1.0]), style.order_colour(claimed)
    ax.plot([low, high], line, "--", color=colour, lw=0.9, zorder=1)
    ax.annotate(
        f"{claimed:g}",
        (low, line[0]),
        xytext=(-4, -3),
        textcoords="offset points",
        ha="right",
        va="center",
        color=colour,
        fontsize=7.5,
        fontweight="bold",
    )


def _name_exceptions(ax, runs: list[Measured]) -> None:
    """The solvers of a panel that do not do as claimed, by name."""
    refuted = sorted((m for m in runs if m.verdict == REFUTED), key=lambda m: m.solver)
    orders = ("diverges" if np.isnan(m.order) else f"{m.order:.2f}".replace("-0.00", "0.00") for m in refuted)
    lines = [f"{m.solver}  {order}, claims {m.claim:g}" for m, order in zip(refuted, orders)]
    lines += [f"{m.solver}  {m.verdict}" for m in runs if m.verdict in (FAILED, EXACT)]
    if len(lines) > _NAMED:
        lines = [*lines[: _NAMED - 1], f"and {len(lines) - _NAMED + 1} more"]
    box = {"facecolor": "white", "alpha": 0.8, "edgecolor": "none", "pad": 1}
    if lines:
        ax.text(
            0.985,
            0.03,
            "\n".join(lines),
            transform=ax.transAxes,
            ha="right",
            va="bottom",
            fontsize=6.8,
            color=style.REFUTED,
            linespacing=1.25,
            bbox=box,
            zorder=5,
        )


def _limits(runs: list[Measured], floor: float) -> tuple[float, float]:
    """Of the error axis: all finite errors, and the floor unless it lies far below; what diverged past 1000 is cut."""
    errors = np.concatenate([series(m.record, "rms") for m in runs if m.verdict != FAILED] or [np.ones(1)])
    errors = errors[np.isfinite(errors) & (errors > 0)]
    high = min(errors.max(initial=1e-300), 1e3) if errors.size else 1.0
    lowest = errors.min(initial=high)
    low = min(lowest, floor) if floor > lowest / 1e3 else lowest / 10  # with room for names
    return max(low, 1e-18) / 4, high * 5


_LEGEND = (
    Line2D([], [], color=style.INK, ls="--", lw=0.9, label="claimed slope"),
    Line2D([], [], color=style.INK, ls="", marker="x", ms=4, label="claim refuted"),
    Line2D([], [], color=style.GREY, ls=":", marker="o", mfc="white", ms=3, label="not asymptotic"),
    Rectangle((0, 0), 1, 1, color=style.BAND, label="floor: not resolved"),
)


def _figure(runs: list[Measured], y_label: str, legend: tuple, what: str) -> Figure:
    """A panel a family: dots are measured, lines fitted, dashes the claimed slopes.  The band is the floor, the reference's
    error bar and rounding, below which nothing is read."""
    families = group_by(runs, lambda m: m.claims.family)
    figure, axes = style.panels(len(families), "mean step in λ", y_label)
    floor = max((np.nanmax(series(m.record, "floor"), initial=0.0) for m in runs), default=0.0)
    limits = _limits(runs, floor)
    for ax, (family, group) in zip(axes, families.items()):
        ax.set_title(family)
        drawn = [m for m in group if m.verdict not in (FAILED, EXACT)]
        for m in drawn:
            _draw_run(ax, m)
        for claimed, same in group_by((m for m in drawn if not np.isnan(m.claim)), lambda m: m.claim).items():
            _guide(ax, same, claimed)
        _name_exceptions(ax, group)
        if floor > 0:
            ax.axhspan(limits[0] * 1e-3, floor, color=style.BAND, lw=0, zorder=0)
        ax.set_ylim(*limits)
    style.label_steps(axes)
    style.order_legend(figure, {m.claim for m in runs}, legend, what)
    return figure


@style.styled
def convergence(records: list[Record], problem: str, grid: str) -> Figure:
    """Global RMS error of deterministic methods against the mean step in lam."""
    runs = [m for m in measured(records) if (m.problem, m.kind, m.grid) == (problem, "global", grid)]
    return _figure(runs, "RMS error", _LEGEND, "order")


def _what_is_wrong(runs: list[Measured]) -> str:
    """The label of the error of a law: of both moments where they are exact, of a test function elsewhere."""
    of_moments = all(m.record.data.get("cov") for m in runs)
    return "error of mean and covariance" if runs and of_moments else "error of E[φ(x)]"


@style.styled
def weak(records: list[Record], problem: str, grid: str) -> Figure:
    """Weak error of stochastic methods, that of their law, against the mean step in lam."""
    runs = [m for m in measured(records) if (m.problem, m.kind, m.grid) == (problem, "weak", grid)]
    return _figure(runs, _what_is_wrong(runs), _LEGEND, "weak order")


@style.styled
def strong(records: list[Record], problem: str) -> Figure:
    """Strong error, RMS over paths of one Brownian motion, against the mean step in lam; thin lines are its median."""
    runs = [m for m in measured(records) if (m.problem, m.kind) == (problem, "strong")]
    median = Line2D([], [], color=style.INK, lw=0.5, label="median over paths")
    return _figure(runs, "RMS error over paths", (*_LEGEND, median), "strong order")


def _guides(ax: Any, m: Any) -> None:
    """The fitted slope as a full line over its window, the claimed one as dashes below the errors."""
    frame = m.frame()
    used = frame[frame["used"]]
    if m.fit.resolved and len(used):
        last = used.loc[used["h"].idxmin()]
        ax.plot(used["h"], last["error"] * (used["h"] / last["h"]) ** m.order, color=style.INK, lw=1, label=f"{m.order:.2f}")
    if m.claim is not None:
        low = frame.loc[frame["h"].idxmin()]
        ax.plot(
            frame["h"],
            0.5 * low["error"] * (frame["h"] / low["h"]) ** m.claim,
            "--",
            color=style.GREY,
            lw=1,
            label=f"claimed {m.claim:g}",
        )


@style.styled
def draw_measurement(m: Any, ax: Any = None) -> Any:
    """The errors of one measurement against h, with slopes; on the given axes, or on new ones, which are returned."""
    if ax is None:
        ax = Figure(figsize=(4.6, 3.4), layout="constrained").subplots()
    sns.scatterplot(data=m.frame(), x="h", y="error", style="used", markers={True: "o", False: "X"}, legend=False, ax=ax)
    _guides(ax, m)
    style.plain_log(ax)
    ax.set(xlabel=_STEP.get(m.kind, "mean step in λ"), ylabel="RMS error", title=fill(str(m), 60))
    ax.legend(frameon=False)
    return ax


_STEP = {"local": "step h in λ", "tolerance": "tolerance"}


@style.styled
def draw_measurements(found: Sequence[tuple[str, Any]]) -> Figure:
    """The errors of several (name, measurement), a panel a kind: RMS error against h, claimed slopes as dashes below."""
    if not found:
        raise UsageError("nothing was measured that could be drawn: leave --plot out, or mend what failed")
    kinds = list(dict.fromkeys(m.kind for _, m in found))
    columns = min(len(kinds), 2)
    rows = -(-len(kinds) // columns)
    figure = Figure(figsize=(3.8 * columns, 3.2 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[len(kinds) :]:
        ax.set_visible(False)
    for ax, kind in zip(axes, kinds):
        here = [(name, m) for name, m in found if m.kind == kind]
        colours = dict(zip(dict.fromkeys(name for name, _ in here), sns.color_palette("colorblind", len(here))))
        frame = pd.concat([m.frame().assign(method=name) for name, m in here])
        sns.lineplot(data=frame[frame["error"] > 0], x="h", y="error", hue="method", palette=colours, marker="o", ax=ax)
        for name, m in here:
            _claimed_slope(ax, m, colours[name])
        style.plain_log(ax)
        ax.set(xlabel=_STEP.get(kind, "mean step in λ"), ylabel="RMS error", title=kind)
        sns.move_legend(ax, "upper left", fontsize=7, labelspacing=0.2, frameon=False, title=None)
    return figure


def _claimed_slope(ax: Any, m: Any, colour: Any) -> None:
    frame = m.frame()
    frame = frame[frame["error"] > 0]
    if m.claim is not None and len(frame):
        low = frame.loc[frame["h"].idxmin()]
        ax.plot(frame["h"], 0.5 * low["error"] * (frame["h"] / low["h"]) ** m.claim, "--", color=colour, lw=0.8)
