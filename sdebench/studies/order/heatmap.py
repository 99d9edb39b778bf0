"""The heat map of the order study: solver by grid, measured minus claimed order."""

import numpy as np
import pandas as pd
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from seaborn import diverging_palette

from sdebench.report import style
from sdebench.report.facts import DETERMINISTIC, STOCHASTIC, group_by
from sdebench.report.table import Table
from sdebench.studies.order.judged import CONFIRMED, EXACT, FAILED, OPEN, REFUTED

_ROW, _HEAD, _GAP = 0.165, 1.3, 0.5  # inches a row; rows of a family's heading and of the space after it
_LEAST = 4.6  # inches: the words under the colours have room
_RANGE = 2.0
_MARK = {DETERMINISTIC: "", STOCHASTIC: " ~"}
_UNRESOLVED = {OPEN: "?", FAILED: "!"}
_PALETTE, _NORM = diverging_palette(22, 245, s=85, l=48, center="light", as_cmap=True), Normalize(-_RANGE, _RANGE)


def _columns(sizes: list[float], count: int) -> list[int]:
    """The column of each family: filled in order, about equally tall."""
    target, at, out = sum(sizes) / count, 0.0, []
    for size in sizes:
        out.append(min(int((at + size / 2) / target), count - 1))
        at += size
    return out


def _text(verdict: str, excess: float) -> tuple[str, str]:
    """What a cell says, and in which colour."""
    if verdict in _UNRESOLVED or verdict == EXACT:
        return _UNRESOLVED.get(verdict, "exact"), style.INK
    if verdict not in (CONFIRMED, REFUTED) or np.isnan(excess):
        return "—", style.GREY
    text = f"{excess:+.1f}".replace("+0.0", "0.0").replace("-0.0", "0.0").replace("-", "−")
    return text, "white" if abs(excess) > 0.6 * _RANGE else style.INK


def _rows(ax, rows: list[dict], names: list[str], top: float) -> None:
    """The cells of one family, its first row at height `top`."""
    faces = np.ones((len(rows), len(names), 4))
    for i, row in enumerate(rows):
        for j, grid in enumerate(names):
            verdict, excess = row.get(f"{grid}_verdict"), row.get(f"{grid}_excess", np.nan)
            text, colour = _text(verdict if isinstance(verdict, str) else "", excess)
            ax.text(j + 0.5, top + i + 0.53, text, ha="center", va="center", fontsize=6.8, color=colour)
            if verdict in (CONFIRMED, REFUTED) and not np.isnan(excess):
                faces[i, j] = _PALETTE(_NORM(excess))
            elif verdict in _UNRESOLVED:
                faces[i, j] = to_rgba("#e4e4e4")
                ax.add_patch(Rectangle((j, top + i), 1, 1, fill=False, ec="#b5b5b5", lw=0, hatch="//////", zorder=1.5))
    edges = np.arange(len(names) + 1), top + np.arange(len(rows) + 1)
    ax.pcolormesh(*edges, faces, edgecolors="white", linewidth=0.7, zorder=1)


def _draw_column(ax, families: list[tuple[str, list[dict]]], names: list[str], tall: float) -> None:
    y, at, labels = 0.0, [], []
    for family, rows in families:
        ax.text(-0.15, y + _HEAD - 0.5, family, ha="right", va="center", fontweight="bold", fontsize=8)
        y += _HEAD
        _rows(ax, rows, names, y)
        at += [y + i + 0.5 for i in range(len(rows))]
        labels += [f"{row['solver']}{_MARK[row['sort']]}  ({row['claimed']:g})" for row in rows]
        y += len(rows) + _GAP
    for j, grid in enumerate(names if families else ()):
        ax.text(j + 0.35, _HEAD - 0.25, grid, ha="left", va="bottom", fontsize=6.8, rotation=45, rotation_mode="anchor")
    ax.set(xlim=(0, len(names)), ylim=(tall, 0), xticks=[])
    ax.set_yticks(at, labels, fontsize=7)
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)


def _beyond(frame: pd.DataFrame, names: list[str]) -> str:
    """At which ends of the colours there are cells beyond them: the bar ends there in an arrow."""
    excess = frame.reindex(columns=[f"{grid}_excess" for grid in names]).to_numpy(float)
    low, high = bool((excess < -_RANGE).any()), bool((excess > _RANGE).any())
    return {(False, False): "neither", (True, False): "min", (False, True): "max", (True, True): "both"}[low, high]


@style.styled
def heat_map(grids: Table, problem: str, names: list[str]) -> Figure:
    """Measured minus claimed order (in brackets) on each grid.  Hatched: ? not asymptotic, ! failed; never a pass.  ~ is
    stochastic, by its weak order."""
    frame: pd.DataFrame = grids.frame[grids.frame["problem"] == problem]
    families = list(group_by(frame.to_dict("records"), lambda row: row["family"]).items())
    sizes = [len(rows) + _HEAD + _GAP for _, rows in families]
    count = 1 if len(frame) < 25 else 2 if len(frame) < 50 else 3
    place = _columns(sizes, count)
    tall = max(sum(size for size, p in zip(sizes, place) if p == c) for c in range(count))
    longest = max(len(solver + _MARK[sort]) for solver, sort in zip(frame["solver"], frame["sort"]))
    names_wide = 0.0575 * (longest + 5)  # inches, at this size of type
    cells_wide = 0.35 * len(names)
    drawn = (names_wide + cells_wide) * count + 0.25
    width, height = max(drawn, _LEAST), max(tall * _ROW + 1.15, 2.0)
    left = (width - drawn) / 2
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(1, count, squeeze=False)[0]
    box = ((left + names_wide) / width, 0.7 / height, (left + drawn - 0.25) / width, 1 - 0.45 / height)
    figure.subplots_adjust(*box, wspace=names_wide / cells_wide)
    for c, ax in enumerate(axes):
        _draw_column(ax, [f for f, p in zip(families, place) if p == c], names, tall)
    bar = figure.add_axes((0.5 - 1.5 / width, 0.45 / height, 3 / width, 0.1 / height))
    scale = figure.colorbar(
        ScalarMappable(_NORM, _PALETTE),
        cax=bar,
        orientation="horizontal",
        ticks=[-2, -1, 0, 1, 2],
        extend=_beyond(frame, names),
    )
    scale.outline.set_visible(False)
    bar.set_xlabel("measured minus claimed order;  hatched: ? not asymptotic, ! failed")
    return figure
