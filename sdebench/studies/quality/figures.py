"""The figures of the quality study: quality and error against network evaluations, and the samples themselves."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, StrMethodFormatter

from sdebench._support.errors import UsageError
from sdebench.records import Record, load_arrays
from sdebench.report import style
from sdebench.report.table import Table
from sdebench.studies.quality import distilled, yardsticks
from sdebench.studies.quality.cells import Group, run_of
from sdebench.studies.quality.tables import limit

_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#c24e00", "#cc79a7", "#56b4e9", "#7a4fa3", "#6b6b6b")
_MARKERS = ("o", "s", "^", "D")  # one for each round of the colours
_LINES = {"float64": "-", "float32": "-", "bfloat16": ":", "float16": "--"}
_TICKS = [1, 2, 4, 5, 10, 20, 50, 100, 200, 500]
_LEFT, _PLOT, _RIGHT, _BOTTOM, _TALL, _LEGEND = 0.62, 3.6, 0.14, 0.5, 3.0, 0.145  # inches, the last of one line of the legend
_DPI, _ACROSS, _SHOWN = 120, 8, 4  # pixels an inch, samples a row, budgets with a figure of samples
_FAR = 10  # times below all samples: a level that would take half of a plot
_LABEL = 0.19  # inches of a line of text above a row of samples


def _looks(names: list[str]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each solver."""
    return {
        name: {"color": _COLOURS[i % len(_COLOURS)], "marker": _MARKERS[i // len(_COLOURS) % len(_MARKERS)]}
        for i, name in enumerate(names)
    }


def _axes(handles: list[Line2D], y_label: str, right: float = _RIGHT) -> tuple[Figure, Any]:
    """A plot with a legend of all solvers above, two of them a line."""
    lines = -(-len(handles) // 2)
    width, top = _LEFT + _PLOT + right, 0.1 + _LEGEND * lines
    height = _BOTTOM + _TALL + top
    figure = Figure(figsize=(width, height))
    ax = figure.add_axes((_LEFT / width, _BOTTOM / height, _PLOT / width, _TALL / height))
    style.log_axes(ax)
    ax.xaxis.set_major_locator(FixedLocator(_TICKS))
    ax.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.set(xlabel="network evaluations (NFE)", ylabel=y_label)
    ax.tick_params(length=2.5)
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(_LEFT / width, 1),
        ncols=2,
        frameon=False,
        fontsize=7.5,
        handlelength=1.6,
        labelspacing=0.25,
        borderpad=0.1,
        columnspacing=1.2,
    )
    return figure, ax


def _handles(looks: dict[str, dict], drawn: pd.DataFrame) -> list[Line2D]:
    dotted = [d for d in sorted(set(drawn["dtype"])) if _LINES.get(d) == ":"]
    solvers = [Line2D([], [], lw=1.2, ms=3.5, mew=0, label=name, **looks[name]) for name in drawn["solver"].unique()]
    return [*solvers, *(Line2D([], [], color=style.INK, ls=":", lw=1.2, label=f"{d} network") for d in dotted)]


def _shade(ax, ranks: pd.DataFrame) -> None:
    """Grey from where quality no longer ranks."""
    last, after = limit(ranks)
    if after == after:
        low, high = ax.get_xlim()
        begin = np.sqrt(last * after) if last == last else low
        ax.axvspan(begin, high, color=style.BAND, alpha=0.6, lw=0, zorder=0)
        ax.text(
            high,
            0.985,
            "quality no longer ranks them ",
            transform=ax.get_xaxis_transform(),
            ha="right",
            va="top",
            fontsize=7,
            color=style.GREY,
        )
        ax.set_xlim(low, high)


def _named(ax, value: float, name: str, at: int) -> None:
    """A dashed line; of several, every second one is named at the right, below it."""
    ax.axhline(value, color=style.INK, ls="--", lw=0.7, zorder=1)
    x, across, down = ((0.01, "left", "bottom"), (0.99, "right", "top"))[at % 2]
    ax.text(x, value, name, transform=ax.get_yaxis_transform(), ha=across, va=down, fontsize=7, color=style.INK)


def _of(frame: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    for key, value in wanted.items():
        frame = frame[frame[key] == value] if len(frame) else frame
    return frame


def solvers_of(quality: Table, runs: Table, label: str, grid: str) -> list[str]:
    """The solvers of a group and grid, in the order of the tables."""
    frames = [_of(table.frame, model=label, grid=grid) for table in (quality, runs)]
    return list(dict.fromkeys(name for frame in frames if len(frame) for name in frame["solver"]))


def _levels(ax, group: Group, low: float, high: float) -> None:
    """The limits of distances from `low` to `high`, and the levels of the data; those far below are named, not drawn."""
    levels = sorted(group.levels, key=lambda level: -level.fd)
    near = [level for level in levels if level.fd > low / _FAR]
    ends = (low, high, *(level.fd for level in near))
    ax.set_ylim(min(ends) / 1.5, 1.5 * max(ends))  # bars may reach down to nothing
    for i, level in enumerate(near):
        _named(ax, level.fd, f"{level.name.removeprefix('data: ')}, {level.n}", i)
    text = ", ".join(f"{level.name.removeprefix('data: ')} {level.fd:.2g}" for level in levels if level not in near)
    if text:
        ax.text(0.01, 0.01, f"below: {text}", transform=ax.transAxes, ha="left", va="bottom", fontsize=7, color=style.INK)


@style.styled
def quality_curves(quality: Table, runs: Table, ranks: Table, group: Group, grid: str) -> Figure:
    """The Frechet distance against NFE, with its 95 % intervals; dashes are the distances of the data from itself."""
    frame, looks = _of(quality.frame, model=group.label), _looks(solvers_of(quality, runs, group.label, grid))
    here = _of(frame, grid=grid)
    handles = [*_handles(looks, here), *distilled.handles(group)]
    figure, ax = _axes(handles, group.context["metric"], yardsticks.room(group) or _RIGHT)
    budgets = sorted(int(key.removeprefix("fd_")) for key in frame if key.startswith("fd_"))
    for row in here.to_dict("records"):
        kept = [b for b in budgets if row.get(f"fd_{b}") == row.get(f"fd_{b}") and row.get(f"fd_{b}", 0) > 0]
        x, y, half = (np.array([row[f"{key}_{b}"] for b in kept], float) for key in ("used", "fd", "hw"))
        half = np.nan_to_num(half)
        low = np.minimum(half, 0.99 * y)  # a logarithmic axis has no zero
        ax.errorbar(
            x,
            y,
            np.stack([low, half]),
            ls=_LINES.get(row["dtype"], "-"),
            lw=1.2,
            ms=3.2,
            mew=0,
            elinewidth=0.8,
            zorder=3,
            **looks[row["solver"]],
        )
    taught = distilled.points(ax, group)
    _x_limits(ax)
    heights = taught + [y for y in here[[f"fd_{b}" for b in budgets]].to_numpy(float).ravel() if y > 0]
    _levels(ax, group, min(heights, default=0.5), max(heights, default=2.0))
    _shade(ax, _of(ranks.frame, model=group.label))
    _few_decades(ax)
    yardsticks.ticks(ax, group)
    return figure


@style.styled
def error_curves(quality: Table, runs: Table, ranks: Table, group: Group, grid: str) -> Figure:
    """RMS error to the exact trajectory against NFE; full dots are those that the order was read from."""
    looks, frame = _looks(solvers_of(quality, runs, group.label, grid)), _of(runs.frame, model=group.label, grid=grid)
    figure, ax = _axes(_handles(looks, frame), "RMS error to the exact trajectory")
    for (solver, dtype), run in frame.groupby(["solver", "dtype"], sort=False):
        x, y, used = (run[key].to_numpy() for key in ("nfe", "rms", "used"))
        look = looks[solver]
        ax.plot(x, y, ls=_LINES.get(dtype, "-"), lw=1.1, color=look["color"], zorder=2)
        for chosen, fill in ((used, look["color"]), (~used, "white")):
            ax.plot(x[chosen], y[chosen], ls="", ms=3.4, mew=0.8, mfc=fill, mec=look["color"], marker=look["marker"], zorder=3)
    _x_limits(ax)
    for i, (dtype, run) in enumerate(frame.groupby("dtype")):
        _named(ax, run["floor"].max(), f"floor in {dtype}", i)
    _shade(ax, _of(ranks.frame, model=group.label))
    _few_decades(ax)
    return figure


def _x_limits(ax) -> None:
    ax.autoscale_view()
    low, high = ax.get_xlim()
    ax.set_xlim(low, high)


def _few_decades(ax) -> None:
    """Labels between the powers of ten where the axis has hardly two of them."""
    low, high = ax.get_ylim()
    low = low * (low / high) ** 0.05  # room for the name of the lowest line
    ax.set_ylim(low, high)
    if high < 30 * low:
        steps = [m * 10.0**e for e in range(-8, 9) for m in (1, 2, 5) if low <= m * 10.0**e <= high]
        ax.yaxis.set_major_locator(FixedLocator(steps))
        ax.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    ax.yaxis.set_minor_locator(NullLocator())
    ax.yaxis.set_minor_formatter(NullFormatter())


def shown_budgets(group: Group) -> list[int]:
    """The budgets whose samples are shown: the least, the largest and two between, but not those of the students' figure."""
    taught = {b for student in group.students for r in student.pictures for b in r.data["budget"]}
    found = sorted({b for r in group.pictures if "solver" in r.case for b in r.data["budget"]} - taught)
    places = np.unique(np.linspace(0, len(found) - 1, _SHOWN).round().astype(int)) if found else ()
    return [found[i] for i in places]


def _images(record: Record) -> np.ndarray | None:
    """The images of a record, (budgets, samples, C, H, W), or None where they are lost or have none."""
    try:
        return load_arrays(record).get("images")
    except UsageError:
        return None


def _rows(group: Group, budget: int) -> list[tuple[str, np.ndarray]]:
    """(what it is, (samples, C, H, W)) of each row of samples: the exact ends first, at any budget the same."""
    rows, several = [], len({r.case.get("grid") for r in group.pictures if "solver" in r.case}) > 1
    for r in sorted(group.pictures, key=lambda r: "solver" in r.case):
        images, (solver, grid, dtype, _) = _images(r), run_of(r)
        if images is None or (solver and budget not in r.data["budget"]):
            continue
        i = r.data["budget"].index(budget) if solver else 0
        more = (f", {grid}" if several else "") + (f", {dtype}" if dtype not in ("", "float32") else "")
        name = f"{solver}{more}, {r.data['nfe'][i]:g} NFE" if solver else "exact trajectory"
        rows.append((name, images[i][:_ACROSS]))
    return rows


def _taught(group: Group) -> list[tuple[str, np.ndarray]]:
    """The rows of the figure of students, under the exact ends; none where there are no students."""
    drawn = ((name, _images(r), r.data["budget"].index(budget)) for name, r, budget in distilled.shown(group))
    rows = [(name, images[i][:_ACROSS]) for name, images, i in drawn if images is not None]
    exact = [
        (f"exact trajectory of {group.label}", images[0][:_ACROSS])
        for r in group.pictures
        if "solver" not in r.case
        for images in [_images(r)]
        if images is not None
    ]
    return exact[:1] + rows if rows else []


def tiled(images: np.ndarray, gap: int = 1) -> np.ndarray:
    """Images (N, C, H, W) in one row, as uint8 (H, N (W + gap) - gap, 3), white between them."""
    colours = np.broadcast_to(images, (len(images), 3, *images.shape[2:])) if images.shape[1] == 1 else images[:, :3]
    padded = np.pad(colours.transpose(0, 2, 3, 1), ((0, 0), (0, 0), (0, gap), (0, 0)), constant_values=255)
    return np.concatenate(list(padded), axis=1)[:, :-gap]


@style.styled
def samples(rows: list[tuple[str, np.ndarray]]) -> Figure:
    """One row a solver, one column a noise; every pixel of an image is a square, and none is changed."""
    strips = [(name, tiled(images)) for name, images in rows]
    across = max(strip.shape[1] for _, strip in strips)
    zoom = max(1, round(500 / across))
    inch = zoom / _DPI
    label = round(_LABEL / inch) or 1  # all lengths in pixels of the images
    height = sum(label + strip.shape[0] for _, strip in strips)
    figure, y = Figure(figsize=(across * inch, height * inch)), height
    ax = figure.add_axes((0, 0, 1, 1))
    for name, strip in strips:
        y -= label
        ax.text(0, y + 0.03 / inch, name, fontsize=8, ha="left", va="bottom")
        ax.imshow(strip, interpolation="none", extent=(0, strip.shape[1], y - strip.shape[0], y))
        y -= strip.shape[0]
    ax.set(xlim=(0, across), ylim=(0, height), aspect="auto")
    ax.set_axis_off()
    return figure


def data_rows(group: Group) -> list[tuple[str, np.ndarray]]:
    """The row of images of the data, where there are any."""
    images = _images(group.data) if group.data is not None else None
    return [("test images of the data", images[:_ACROSS])] if images is not None else []


def sample_figures(group: Group) -> list[tuple[str, list[tuple[str, np.ndarray]]]]:
    """(title, rows) of each figure of samples."""
    parts = [(f"{budget} NFE", _rows(group, budget)) for budget in shown_budgets(group)]
    parts.append(("distilled networks", _taught(group)))
    return [(title, rows + data_rows(group)) for title, rows in parts if rows]
