"""Students in the section of their teacher: a table, points in its figure of quality, and a figure of samples."""

from collections.abc import Iterable, Iterator
from math import nan
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from sdebench.records import Record
from sdebench.report import style
from sdebench.report.table import Column, Table
from sdebench.studies.quality.cells import Group, QualityCell, run_of
from sdebench.studies.quality.ladders import laddered

_MARKERS = ("*", "P", "X", "v")
_CAPTION = (
    "Networks that were distilled from the one above, each sampled as its card says, within few evaluations: the distance of "
    "their samples from the training images, and the RMS error to where their teacher's exact trajectory ends from the same "
    "noise. They have no trajectory of their own, so no order. Those of the package were taught by DDIM in 32 steps of "
    "their teacher, whose own error, among those of DDIM on uniform_t, is in theirs; of few points, errors that differ by a "
    "tenth do not rank networks. Beside them what its best solver, by the distance, makes of the teacher itself in at most "
    "as many evaluations; it is chosen after the fact, by the distance that is shown, which favours the teacher."
)


def students(group: Group) -> list[Group]:
    """The students of a group; of one that is a student whose teacher was not measured, itself."""
    return list(group.students) or ([group] if "teacher" in group.context else [])


def _taught(student: Group, cell: QualityCell) -> bool:
    """Whether the run is one that the card says the network is made for."""
    card = student.context.get("sampled") or {}
    steps = card.get("steps", [])
    its = {"solver": cell.run.solver, "grid": cell.run.grid}
    return all(card.get(key, value) == value for key, value in its.items()) and (
        not steps or cell.records[0].data["steps"] in (steps if isinstance(steps, list) else [steps])
    )


def _error(cell: QualityCell, errors: dict) -> float:
    found = errors.get(cell.run)
    return found.after(cell.records[0].data["steps"]) if found else nan


def best(group: Group, cell: QualityCell) -> QualityCell | None:
    """The teacher's cell of least distance in at most as many evaluations, in the same number format."""
    near = [c for c in group.cells if c.fd == c.fd and c.nfe <= cell.nfe and c.run[2:] == cell.run[2:]]
    return min(near, key=lambda c: c.fd, default=None) if group.students else None


def _row(group: Group, student: Group, cell: QualityCell, errors: dict, its: dict) -> dict:
    other, error, claims = best(group, cell), _error(cell, errors), cell.records[0].claims
    noisy = claims.stochastic and cell.records[0].data["steps"] > 1
    none = f"no samples of the teacher within {cell.nfe:g} NFE"
    row = {
        "model": group.label,
        "network": student.label,
        "solver": cell.run.solver,
        "grid": cell.run.grid,
        "sampled": f"{cell.run.solver}, {cell.run.grid}" + ("" if _taught(student, cell) else "; not as taught"),
        "nfe": cell.nfe,
        "n": cell.n,
        "fd": cell.fd,
        "hw": cell.half_width,
        "why": cell.why or f"{cell.n} samples",
        "error": error,
        "error_why": "draws noise in its later steps" if noisy else "not measured",
    }
    if other is None:
        return row | {"best": "", "best_fd": nan, "best_hw": nan, "best_why": none, "best_error": nan, "best_error_why": none}
    fewer = f", {other.nfe:g} NFE" if other.nfe < cell.nfe else ""
    what = {
        "best": f"{other.run.solver}, {other.run.grid}{fewer}",
        "best_why": f"{other.n} samples",
        "best_error_why": "not measured",
    }
    return row | what | {"best_fd": other.fd, "best_hw": other.half_width, "best_error": _error(other, its)}


def _rows(group: Group) -> Iterator[dict]:
    its = laddered(group.errors)
    for student in students(group):
        errors = laddered(student.paired)
        yield from (_row(group, student, cell, errors, its) for cell in student.cells)


def table(found: Iterable[Group]) -> Table:
    """One row a student and budget, the fewest evaluations first."""
    rows = [row for group in found for row in sorted(_rows(group), key=lambda row: (row["nfe"], row["network"]))]
    frame = pd.DataFrame(rows)
    model = (Column("Teacher", "model"),) if len(frame) and frame["model"].nunique() > 1 else ()
    columns = (
        Column("Network", "network"),
        *model,
        Column("NFE", "nfe", "count"),
        Column("Distance", "fd", "distance", "hw", "why"),
        Column("RMS error", "error", "error", why="error_why", tip="to the end of the teacher's exact trajectory"),
        Column("Sampled by", "sampled", tip="solver and grid"),
        Column("Teacher's best", "best", tip="its solver and grid of least distance in at most as many evaluations"),
        Column("Its distance", "best_fd", "distance", "best_hw", "best_why"),
        Column("Its error", "best_error", "error", why="best_error_why"),
    )
    return Table("quality-distilled", "Distilled networks", _CAPTION, frame, columns)


def looks(group: Group) -> dict[str, dict[str, Any]]:
    """Marker of each student in the figure of its teacher; all in ink, for colours are solvers."""
    return {
        student.label: {"color": style.INK, "marker": _MARKERS[i % len(_MARKERS)], "ms": 6.0, "mew": 0}
        for i, student in enumerate(group.students)
    }


def handles(group: Group) -> list[Line2D]:
    """Their entries in a legend."""
    return [Line2D([], [], ls="", label=name, **look) for name, look in looks(group).items()]


def points(ax, group: Group) -> list[float]:
    """Draw the distances of the students against evaluations; returns them."""
    drawn = []
    for student, look in zip(group.students, looks(group).values()):
        cells = sorted((c for c in student.cells if c.fd > 0), key=lambda c: c.nfe)
        y, half = (np.array([getattr(c, key) for c in cells], float) for key in ("fd", "half_width"))
        half = np.nan_to_num(half)
        ax.errorbar(
            [c.nfe for c in cells],
            y,
            np.stack([np.minimum(half, 0.99 * y), half]),
            lw=0.8,
            ls=":",
            elinewidth=0.8,
            zorder=4,
            **look,
        )
        drawn += y.tolist()
    return drawn


def shown(group: Group) -> list[tuple[str, Record, int]]:
    """(name, record of pictures, budget) of each row of samples: by evaluations, and the teacher's best before its students."""
    rows, pictures = [], {run_of(r): r for r in group.pictures if "solver" in r.case}
    for nfe in sorted({c.nfe for student in group.students for c in student.cells}):
        its = next((best(group, c) for student in group.students for c in student.cells if c.nfe == nfe), None)
        record = pictures.get(its.run) if its else None
        if record and its.budget in record.data["budget"]:
            rows.append((f"{group.label}: {its.run.solver}, {its.run.grid}, {its.nfe:g} NFE", record, its.budget))
        for student in group.students:
            for r in (r for r in student.pictures if "solver" in r.case):
                rows += [
                    (f"{student.label}: {r.case['solver']}, {nfe:g} NFE", r, budget)
                    for budget, used in zip(r.data["budget"], r.data["nfe"])
                    if used == nfe
                ]
    return rows
