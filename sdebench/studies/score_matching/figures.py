"""The figures of the score-matching study.  They take tables and compute nothing but means over seeds."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from sdebench.report import style
from sdebench.report.table import Table

_COLOURS = {
    "fisher": style.INK,
    "implicit": "#0072b2",
    "sliced": "#e69f00",
    "sliced-vr": "#56b4e9",
    "denoising-eps": "#c24e00",
    "denoising-score": "#009e73",
    "denoising-x0": "#7a4fa3",
    "denoising-v": "#cc79a7",
    "denoising-velocity": "#6b6b6b",
}
_DASHED = ("sliced-vr", "denoising-velocity")  # they lie on others
_SUPPORTS = {"full": "full support", "segments": "segments in the plane", "points": "points"}


def _groups(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """(title, rows) of the two panels that show a training: what a loss is, and how it is weighted."""
    denoising = frame["loss"].str.startswith("denoising-")
    parts = [("losses under one weight, σ²", frame["weight"] == "eps"), ("denoising, each form plain", denoising)]
    return [(title, frame[chosen]) for title, chosen in parts if chosen.any()]


def _curves(ax, frame: pd.DataFrame, x: str, y: str) -> None:
    """A line a loss, the mean over the seeds, in a band from the least to the greatest."""
    for loss, run in frame.groupby("loss", sort=False):
        at = run.groupby(x)[y].agg(["mean", "min", "max"])
        at = at[at["mean"] > 0]
        where, colour = at.index.to_numpy(), _COLOURS.get(loss, style.GREY)
        ax.plot(
            where,
            at["mean"].to_numpy(),
            color=colour,
            lw=1.2,
            ls="--" if loss in _DASHED else "-",
            marker="o",
            ms=2.4,
            mew=0,
            label=loss,
            zorder=3,
        )
        if run["seed"].nunique() > 1:
            low = np.maximum(at["min"].to_numpy(), 1e-3 * at["mean"].to_numpy())
            ax.fill_between(where, low, at["max"].to_numpy(), color=colour, alpha=0.15, lw=0, zorder=1)


def _figure(panels: list[tuple[str, pd.DataFrame]], x: str, y: str, x_label: str, y_label: str) -> Figure:
    figure, axes = style.panels(len(panels), x_label, y_label, columns=min(3, max(2, len(panels))), tall=2.9)
    found = {}
    for ax, (title, frame) in zip(axes, panels):
        ax.set_title(title)
        _curves(ax, frame, x, y)
        found |= dict(zip(*reversed(ax.get_legend_handles_labels())))
    if x == "lam":
        for ax in figure.axes:
            ax.set_xscale("linear")
    elif axes:
        style.label_steps(axes)
    order = [name for name in _COLOURS if name in found] + [name for name in found if name not in _COLOURS]
    figure.legend(  # type: ignore[call-overload]  # numbers are sizes
        [found[name] for name in order],
        order,
        loc="upper center",
        ncols=min(5, max(len(order), 1)),
        frameon=False,
        handlelength=1.8,
    )
    return figure


def _of(table: Table, problem: str) -> pd.DataFrame:
    return table.frame[table.frame["problem"] == problem]


@style.styled
def over_levels(levels: Table, problem: str) -> Figure:
    """The Fisher divergence against lam at the end of the training."""
    return _figure(_groups(_of(levels, problem)), "lam", "divergence", "λ, from noise to data", "E σ²|s - score|²")


@style.styled
def over_steps(runs: Table, problem: str) -> Figure:
    """The Fisher divergence, averaged over lam, against steps of training; the start is left out."""
    frame = _of(runs, problem)
    return _figure(_groups(frame[frame["step"] > 0]), "step", "divergence", "steps of training", "E σ²|s - score|²")


@style.styled
def gradient_noise(runs: Table, problem: str) -> Figure:
    """The variance of the gradient over mini-batches against steps of training."""
    frame = _of(runs, problem)
    label = "variance of the gradient / |mean at the start|²"
    return _figure(_groups(frame[frame["step"] > 0]), "step", "noise", "steps of training", label)


@style.styled
def small_noise(runs: Table, problem: str) -> Figure:
    """Noise of the gradients at the exact score against lam, a panel a support."""
    frame = _of(runs, problem)
    panels = [(title, frame[frame["support"] == name]) for name, title in _SUPPORTS.items() if (frame["support"] == name).any()]
    return _figure(panels, "lam", "noise", "λ, from noise to data", "σ² noise of one sample's gradient")


@style.styled
def finite_sample(runs: Table, problem: str) -> Figure:
    """The true Fisher divergence against steps of training on a fixed set, a panel a size."""
    frame = _of(runs, problem)
    panels = [(f"{size} samples", frame[(frame["size"] == size) & (frame["step"] > 0)]) for size in sorted(set(frame["size"]))]
    return _figure(panels, "step", "divergence", "steps of training", "E σ²|s - score|²")


# name of the figure, the table that it shows, the drawing, the caption
DRAWN = (
    ("matching-levels", "matching-levels-runs", over_levels, "the true Fisher divergence over λ at the end of the training"),
    ("matching-steps", "matching-training-runs", over_steps, "the true Fisher divergence, averaged over λ, in the training"),
    ("matching-gradient", "matching-training-runs", gradient_noise, "the noise of the gradient at equal batch"),
    (
        "matching-small-noise",
        "matching-small-noise-runs",
        small_noise,
        "what one sample's gradient varies by at the exact score: implicit matching wins where the data fill the space at the "
        "scale of the noise, denoising where they do not (points and segments are 1e-6 thick, which shows at the right)",
    ),
    (
        "matching-finite",
        "matching-finite-runs",
        finite_sample,
        "the true Fisher divergence of networks trained on a fixed set of samples",
    ),
)
