"""What a Frechet distance means: how far from the data real images are that were damaged a little."""

from collections.abc import Iterable
from math import nan

import pandas as pd

from sdebench.report import style
from sdebench.report.table import Column, Table
from sdebench.studies.quality.cells import Group

ROOM = 1.12  # inches at the right of a plot for the names
_LINE = 0.125  # inches of one of them
_CAPTION = (
    "The distance of test images that were damaged on purpose from the training images, in the same features, ± half of "
    "the 95 % interval: white noise, its deviation in percent of the range of a pixel; a Gaussian blur of that standard "
    "deviation; every 2 × 2 pixels their mean; none of class 0. Of few images a distance is larger, by a part "
    "that falls as one over their number, also of those as they are. "
)
_REACHED = (
    "Reached by: the fewest evaluations within which as many samples of some solver are as near, and the nearest solver there."
)


def _told(group: Group) -> list[dict]:
    """The damages of a group, the least distance first."""
    return sorted(group.data.data.get("damaged", ()) if group.data else (), key=lambda one: one["fd"])


def _reached(group: Group, n: int, fd: float) -> dict:
    """The fewest evaluations within which n samples, no more and no fewer, are as near, and whose they are."""
    near = [cell for cell in group.cells if cell.n == n and cell.fd <= fd]
    if not near:
        many = any(cell.n == n for cell in group.cells)
        why = "no samples are as near" if many else f"the samples are not {n}"
        return {"reached": nan, "reached_by": "", "reached_why": why}
    best = min(near, key=lambda cell: (cell.budget, cell.fd))
    return {"reached": best.nfe, "reached_by": best.run.solver, "reached_why": f"distance {best.fd:.3g}"}


def _differ(group: Group) -> str:
    """That the samples are not as many as the damaged images; empty where they are."""
    counts, its = ({one.n for one in group.cells}, {one["n"] for one in _told(group)})
    if not (counts and its) or counts & its:
        return ""
    many, few = (", ".join(map(str, sorted(some))) for some in (counts, its))
    return f"Of {group.label} there are {many} samples and {few} such images: the two are not to be compared. "


def table(found: Iterable[Group]) -> Table:
    """One row a damage: its distance, and which of as many samples are as near to the data."""
    found = list(found)
    rows = [
        {
            "damage": one["damage"],
            "model": group.label,
            "metric": group.context["metric"],
            "n": one["n"],
            "fd": one["fd"],
            "hw": one["half_width"],
        }
        | _reached(group, one["n"], one["fd"])
        for group in found
        for one in _told(group)
    ]
    frame = pd.DataFrame(rows)
    model = (Column("Model", "model"),) if len(frame) and frame["model"].nunique() > 1 else ()
    columns = (
        Column("Test images", "damage"),
        *model,
        Column("Images", "n", "count"),
        Column("Distance", "fd", "distance", "hw"),
    )
    caption = _CAPTION + "".join(map(_differ, found))
    if any(cell.n == one["n"] for group in found for one in _told(group) for cell in group.cells):
        columns += (Column("Reached by NFE", "reached", "count", why="reached_why"), Column("of solver", "reached_by"))
        caption += _REACHED
    return Table("quality-yardsticks", "What a distance means", caption.strip(), frame, columns)


def room(group: Group) -> float:
    """Inches for the names at the right of a plot; 0 for none."""
    return ROOM if _told(group) else 0.0


def ticks(ax, group: Group) -> None:
    """Names at the right edge of a plot, each at its distance, of the damages whose distance lies in it."""
    low, high = ax.get_ylim()
    told = [one for one in _told(group) if low < one["fd"] < high]
    places = [float(ax.transAxes.inverted().transform(ax.transData.transform((1, one["fd"])))[1]) for one in told]
    tall = ax.figure.get_figheight() * ax.get_position().height
    if told:
        many = max(one["n"] for one in told)
        ax.text(1.045, 1, f"{many} test images:", transform=ax.transAxes, fontsize=7, color=style.GREY, va="bottom")
    for one, at, y in zip(told, places, style.apart(places, _LINE / tall)):
        ax.annotate(
            one["damage"],
            (1, at),
            (1.045, y),
            "axes fraction",
            "axes fraction",
            fontsize=7,
            color=style.INK,
            va="center",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "lw": 0.6, "color": style.GREY, "shrinkA": 1, "shrinkB": 0},
        )
