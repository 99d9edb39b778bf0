"""The figures of the family study.  They take tables, or the records of paths, and compute nothing."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from sdebench.records import Record
from sdebench.report import style
from sdebench.report.table import Table

_START = {"exact": "exact start", "normal": "normal start"}
_MOST = 24  # paths drawn, of those kept


def _shade(i: int, of: int) -> tuple:
    """The i-th of so many colours, dark for little noise or few evaluations."""
    return colormaps["viridis"](0.05 + 0.85 * i / max(of - 1, 1))


def _linear_x(figure: Figure, axes: list) -> None:
    """Panels with a linear x axis; y stays logarithmic."""
    for ax in figure.axes:
        ax.set_xscale("linear")
        ax.xaxis.set_minor_formatter(NullFormatter())
    errors = np.concatenate([np.asarray(line.get_ydata(), float) for ax in axes for line in ax.lines])
    errors = errors[np.isfinite(errors) & (errors > 0)]
    if errors.size:
        axes[0].set_ylim(errors.min() / 1.6, errors.max() * 1.6)


def _lines(ax, groups: list[tuple[float, pd.DataFrame]], x: str, y: str, name: str) -> None:
    """One line a group, coloured by its rank."""
    for i, (value, run) in enumerate(groups):
        ax.plot(
            run[x].to_numpy(),
            run[y].to_numpy(),
            color=_shade(i, len(groups)),
            marker="o",
            ms=2.6,
            mew=0,
            lw=1.1,
            label=f"{name} {value:g}",
        )


def _legend(figure: Figure, ax) -> None:
    figure.legend(*ax.get_legend_handles_labels(), loc="upper center", ncols=6, frameon=False, handlelength=1.6)


@style.styled
def over_time(runs: Table, problem: str) -> Figure:
    """W2 of Euler-Maruyama's law from the exact marginal against lam, a line an eta, a panel a start."""
    frame = runs.frame[runs.frame["problem"] == problem]
    starts = list(dict.fromkeys(frame["start"]))
    figure, axes = style.panels(len(starts), "λ, from noise to data", "Wasserstein-2 distance", columns=2)
    for ax, start in zip(axes, starts):
        ax.set_title(_START.get(start, start))
        _lines(ax, list(frame[frame["start"] == start].groupby("eta")), "lam", "w2", "η/g =")
    _linear_x(figure, axes)
    _legend(figure, axes[0])
    return figure


@style.styled
def amount(table: Table, problem: str) -> Figure:
    """W2 at the end of the span against eta, a line an NFE, a row a solver, a column a start."""
    frame = table.frame[table.frame["problem"] == problem]
    panels = list(frame.groupby(["solver", "start"]))
    figure, axes = style.panels(len(panels), "amount of noise η/g", "Wasserstein-2 distance", columns=2)
    budgets = [c for c in table.columns if c.key.startswith("nfe_")]
    for ax, ((solver, start), run) in zip(axes, panels):
        ax.set_title(f"{solver}, {_START.get(start, start)}")
        for i, column in enumerate(budgets):
            values, colour = run[column.key].to_numpy(), _shade(len(budgets) - 1 - i, len(budgets))
            ax.plot(run["eta"].to_numpy(), values, color=colour, marker="o", ms=2.6, mew=0, lw=1.1, label=column.heading)
    _linear_x(figure, axes)
    _legend(figure, axes[0])
    return figure


def _half(ax, record: Record, name: str, limits: tuple[float, float]) -> None:
    """One direction: the density of the marginals as shading, the paths over it."""
    data, forwards = record.data, name == "there"
    t = np.array(data["t"])
    low, high = t[0], t[-1]
    shades = np.array(data["density"], float).T
    ax.imshow(
        shades,
        extent=(low, high, *limits),
        origin="lower",
        aspect="auto",
        cmap="Greys",
        interpolation="bilinear",
        norm=PowerNorm(0.8, 0, 2.2 * shades.max()),
        zorder=0,
    )
    paths = np.array(data[name], float)[:_MOST]
    order = paths[:, 0 if forwards else -1].argsort()  # by the place among the data
    for rank, i in enumerate(order):
        colour = colormaps["plasma"](0.05 + 0.75 * rank / len(order))
        ax.plot(t if forwards else t[::-1], paths[i], color=colour, lw=0.6, alpha=0.9, zorder=2)
    ax.set_xlim((low, high) if forwards else (high, low))
    ax.set_ylim(*limits)
    ax.set_xlabel("t, to noise" if forwards else "t, to data")
    ax.grid(visible=False)


@style.styled
def paths(records: list[Record], problem: str) -> Figure:
    """Data to noise and back: forward paths left, then backward ones from where these arrive, a panel an eta.

    The shading is the exact density at each time; a path's colour is its place among the data.
    """
    chosen = sorted((r for r in records if r.case["problem"] == problem), key=lambda r: r.case["eta"])
    count, tall, wide = len(chosen) + 1, 2.6, 3.1
    width, height = 0.6 + count * wide + (count - 1) * 0.12 + 0.15, 0.35 + tall + 0.5
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(1, count, sharey=True)
    box = (0.6 / width, 0.5 / height, 1 - 0.15 / width, 1 - 0.35 / height)
    figure.subplots_adjust(*box, 0.12 / wide)
    limits = chosen[0].data["x"][0], chosen[0].data["x"][-1]
    _half(axes[0], chosen[0], "there", limits)
    axes[0].set_title("data to noise: forward SDE")
    axes[0].set_ylabel("x")
    for ax, record in zip(axes[1:], chosen):
        eta = record.case["eta"]
        _half(ax, record, "back", limits)
        ax.set_title(f"and back: η/g = {eta:g}" + {0.0: ", probability flow", 1.0: ", reverse SDE"}.get(eta, ""))
        ax.tick_params(left=False)
    return figure
