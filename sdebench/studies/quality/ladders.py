"""The paired errors of the quality study: where a solver ends against where the exact trajectory of the same network ends."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pandas as pd

from sdebench.fit import MARGIN, verdict
from sdebench.records import Record
from sdebench.records.claims import held_to
from sdebench.report.facts import series, slope, sort_of
from sdebench.report.table import Column, Table
from sdebench.studies.quality.cells import Group, SampleRun

_RUNGS = ("n", "budget", "nfe", "h", "rms", "median", "max", "seconds", "floor")


class ErrorLadder(NamedTuple):
    """The errors of one run, one entry a rung, rising in steps."""

    run: SampleRun
    record: Record
    n: np.ndarray
    nfe: np.ndarray
    rms: np.ndarray
    floor: np.ndarray

    def within(self, budget: int) -> int | None:
        """The rung of the longest run within a budget that was measured; None for others."""
        fitting = np.flatnonzero(self.nfe <= budget) if budget in self.record.case["ladder"] else ()
        return int(fitting[-1]) if len(fitting) else None  # type: ignore[misc]  # a tuple is empty

    def after(self, steps: float) -> float:
        """The error after that many steps; nan where they were not made."""
        at = np.flatnonzero(self.n == steps)
        return float(self.rms[at[0]]) if len(at) else np.nan


def ladders(group: Group) -> dict[SampleRun, ErrorLadder]:
    """Those of a group."""
    return laddered(group.errors)


def laddered(errors: dict[SampleRun, Record]) -> dict[SampleRun, ErrorLadder]:
    """The ladder of each record."""
    return {run: ErrorLadder(run, r, *(series(r, key) for key in ("n", "nfe", "rms", "floor"))) for run, r in errors.items()}


def _head(group: Group, ladder: ErrorLadder) -> dict:
    claims = ladder.record.claims
    return {
        "model": group.label,
        **ladder.run._asdict(),
        "family": claims.family,
        "sort": sort_of(claims),
        "claimed": claims.claimed_order,
    }


def error_runs(found: Iterable[Group]) -> Table:
    """One row a rung: what was measured, and whether the order was read there."""
    rows = []
    for group, ladder in ((g, ladder) for g in found for ladder in ladders(g).values()):
        fit, data = slope(ladder.record), {key: series(ladder.record, key) for key in _RUNGS}
        rows += [
            _head(group, ladder) | {key: v[i] for key, v in data.items()} | {"used": fit.resolved and i in fit.window}
            for i in range(ladder.n.size)
        ]
    columns = (Column("Solver", "solver"), Column("NFE", "nfe", "count"), Column("RMS error", "rms", "error"))
    return Table("quality-error-runs", "Every error to the exact trajectory", "As measured.", pd.DataFrame(rows), columns)


def _end(ladder: ErrorLadder) -> dict:
    """Where the floor ends an order: the evaluations of the first rung that is not well above it, and what the floor is."""
    low, data = np.flatnonzero(ladder.rms <= MARGIN * ladder.floor), ladder.record.data
    if not len(low):
        return {"ends": max(ladder.nfe, default=np.nan), "ends_bound": ">", "ends_why": "not within the ladder"}
    rounds = (data.get("rounding") or 0) >= (data.get("reference_error") or 0)
    reference = ladder.record.case.get("reference", "")
    what = f"rounding of a {ladder.run.dtype} network" if rounds else f"error bar of the {reference} reference"
    return {"ends": ladder.nfe[low[0]], "ends_bound": "=" if low[0] else "<=", "ends_why": what}


def _row(group: Group, ladder: ErrorLadder, budgets: list[int]) -> dict:
    fit, claims = slope(ladder.record), ladder.record.claims
    claim = held_to(claims, "global", ladder.run.grid)[0]
    claim = np.nan if claim is None else claim
    window = ladder.nfe[list(fit.window)] if fit.resolved else np.empty(0)
    row = _head(group, ladder) | {
        "order": fit.order if fit.resolved else np.nan,
        "order_hw": fit.half_width,
        "order_why": fit.reason.replace("exact: ", ""),
        "floor": max(ladder.floor, default=np.nan),
        "window": f"{window.min():g} to {window.max():g}" if window.size else "",
        "verdict": verdict(fit, claim) if claim == claim else "",
        **_end(ladder),
    }
    for budget in budgets:
        i = ladder.within(budget)
        nfe, error = (ladder.nfe[i], ladder.rms[i]) if i is not None else (np.nan, np.nan)
        row |= {f"nfe_{budget}": error, f"note_{budget}": of(nfe, budget)}
        row |= {f"why_{budget}": f"{nfe:g} NFE" if nfe == nfe else "no run within this budget"}
    return row


def of(nfe: float, budget: int) -> str:
    """What is written behind a number whose budget could not be met exactly."""
    return "" if nfe == budget or nfe != nfe else f"({nfe:g} of {budget})"


def _levels(group: Group, budgets: list[int]) -> list[dict]:
    """The floors of all errors: the error bar of the exact trajectory, and what each number format alone makes."""
    floors: dict[str, float] = {}
    for run, record in group.errors.items():
        bar = f"floor: {record.case.get('reference', '')} reference"
        names = {bar: "reference_error", f"floor: {run.dtype} network": "rounding"}
        for name, key in names.items():
            floors[name] = max(floors.get(name, 0.0), record.data.get(key) or 0.0)
    return [
        {"model": group.label, "solver": name, "floor": value} | {f"nfe_{budget}": value for budget in budgets}
        for name, value in sorted(floors.items())
        if value > 0
    ]


def who(frame: pd.DataFrame) -> tuple[Column, ...]:
    """Solver, and of model, grid, dtype and device those that differ between rows."""
    named = {"model": "Model", "grid": "Grid", "dtype": "dtype", "device": "Device"}
    several = (key for key in named if len(frame) and key in frame and frame[key].replace("", np.nan).nunique() > 1)
    return (Column("Solver", "solver"), *(Column(named[key], key) for key in several))


def error_table(found: list[Group]) -> Table:
    """One row a run: its error within each budget, the order that it shows, over which evaluations, and what ends it.

    The budgets are those of the samples, where there are any.
    """
    rows = []
    for group in found:
        every = {budget for r in group.errors.values() for budget in r.case["ladder"]}
        mine = sorted(every & {cell.budget for cell in group.cells} or every)  # the further ones are for the order
        rows += [_row(group, ladder, mine) for ladder in ladders(group).values()] + _levels(group, mine)
    frame = pd.DataFrame(rows)
    budgets = sorted({int(key.removeprefix("note_")) for key in frame if key.startswith("note_")})
    columns = (
        *who(frame),
        *(Column(f"{b} NFE", f"nfe_{b}", "error", why=f"why_{b}", note=f"note_{b}") for b in budgets),
        Column("Order", "order", "order", "order_hw", "order_why", tip="global order of the RMS error against the step in λ"),
        Column("over NFE", "window", tip="network evaluations of the runs that the order was read from"),
        Column("Ends at NFE", "ends", "bound", "ends_bound", "ends_why", tip=f"first run whose error is not {MARGIN:g} floors"),
        Column("Floor", "floor", "error"),
        Column("Claimed", "claimed", "count"),
        Column("Verdict", "verdict", "verdict"),
    )
    caption = (
        "RMS over coordinates of the difference between where a solver ends and where the exact trajectory of the same "
        "network ends, from the same noise. An order is read only from errors well above their floor, the larger of the "
        "exact end's own error bar and of what the network's number format makes of it; where none can be read, it "
        "is not asymptotic."
    )
    return Table("quality-error", "Error to the exact trajectory of the network", caption, frame, columns)
