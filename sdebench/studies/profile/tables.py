"""The tables of the profile study: what a step costs, and what bounds it."""

from collections.abc import Iterable
from math import isnan, nan

import pandas as pd

from sdebench.records import Record
from sdebench.report.emit import cells as shown
from sdebench.report.emit import plain
from sdebench.report.facts import prepare_records
from sdebench.report.table import Column, Table
from sdebench.studies.profile.cells import BOUND, PARTS, PLACE, CostCell, Median, cells, labels, median

_MEGA, _GIGA = 1e6, 1e9
_HEADINGS = {
    "model": "Model",
    "dtype": "dtype",
    "device": "Device",
    "compiled": "Compiled",
    "threads": "Threads",
    "grid": "Grid",
    "steps": "Steps",
    "seed": "Seed",
    "machine": "Machine",
}
_OPTIONAL = ("noise", "between", "lost", "compile", "joules_image")  # shown where some row has one, and it is not 0
_TERMINAL = {
    "solver": "Solver",
    "executor": "Executor",
    "batch": "Batch",
    "us": "µs/step",
    "network": "net",
    "noise": "noise",
    "update": "upd",
    "rest": "rest",
    "bound": "Bound by",
    "images": "Images/s",
    "lost": "Lost",
}


def _time(cell: CostCell, total: Median) -> dict:
    """Microseconds a step, the shares of its parts, and what they say it is bound by."""
    rounds = f"{len(cell.seconds['total'])} rounds"
    few = cell.why or (f"{rounds}: too few for an interval" if isnan(total.low) else rounds)
    us = Median(*(1e6 * value for value in total))
    parts = {name: 100 * median(cell.seconds[name]).value / total.value for name in PARTS}
    return {
        "us": us.value,
        "us_low": us.low,
        "us_high": us.high,
        "rounds": len(cell.seconds["total"]),
        "interval": "" if isnan(us.low) else f"{plain(us.low)} to {plain(us.high)}",
        "few": few,
        "why": cell.why,
        "lost": len(cell.lost),
        "messages": "; ".join(dict.fromkeys(cell.lost)),
        "between": 100 * cell.between,
        **parts,
        "bound": " or ".join(BOUND[name] for name in cell.leading),
    }


def _speed(cell: CostCell, total: Median) -> dict:
    """Images, and evaluations of the network on one image, a second; first runs; energy."""
    steps, batch = cell.case["steps"], cell.case["batch"]
    run = total.value * steps
    return {
        "images": batch / run,
        "nfe": cell.number("nfe"),
        "nfe_rate": batch * cell.number("nfe") / run,
        "kernels": cell.number("kernels"),
        "syncs": cell.number("syncs"),
        "first": cell.number("first"),
        "compile": cell.number("compile"),
        "joules_image": cell.number("joules") * steps / batch,
    }


def _traffic(cell: CostCell, total: Median) -> dict:
    """Megabytes moved a step, and GB/s: of the update, of copies, of the whole step and of the network alone, the latter two
    as if no more bytes were moved than the formula needs."""
    vector, moved, fewest = (cell.number("bytes", name) for name in ("vector", "moved", "fewest"))
    update, copy, network = (median(x) for x in (cell.seconds["update"], cell.copy, cell.seconds["network"]))
    unseen = "" if update.value > 0 and not update.low <= 0 else "the update is not told from 0 by the clock"
    copied = 2 * vector / copy.value
    attained = nan if unseen else moved / update.value
    return {
        "vector": vector / _MEGA,
        "moved": moved / _MEGA,
        "fewest": fewest / _MEGA,
        "moved_fewest": moved / fewest,
        "update_rate": attained / _GIGA,
        "attained": 100 * attained / copied,
        "attained_why": cell.why or unseen,
        "rate": fewest / total.value / _GIGA,
        "network_rate": fewest / network.value / _GIGA if network.value > 0 else nan,
        "copy_rate": copied / _GIGA,
        "bandwidth": cell.number("bandwidth") / _GIGA,
    }


def _memory(cell: CostCell) -> dict:
    return {f"memory_{name}": cell.peak(name) / _MEGA for name in ("update", "history", "run", "weights")}


def _rows(found: list[CostCell]) -> list[dict]:
    rows = []
    for cell, label in zip(found, labels(found)):
        head = {name: cell.case.get(name, "") for name in ("solver", "executor", "batch", *PLACE)} | {"label": label}
        total = median(cell.seconds["total"])
        rows.append(head | _time(cell, total) | _speed(cell, total) | _traffic(cell, total) | _memory(cell))
    return rows


_COLUMNS = (
    Column("µs a step", "us", "plain", why="why", tip="median over the rounds"),
    Column("95 %", "interval", why="few", tip="interval of the median, by order statistics"),
    Column("Lost", "lost", "count", why="messages", tip="repeats that failed; the row is of the others"),
    Column("Repeats, %", "between", "percent", tip="greatest less least median of a repeat, of the median of all"),
    Column("Network, %", "network", "percent", why="why", tip="of the step: inside the network"),
    Column("Noise, %", "noise", "percent", why="why", tip="of the step: drawing normals"),
    Column("Update, %", "update", "percent", why="why", tip="of the step: moving and combining vectors"),
    Column("Rest, %", "rest", "percent", why="why", tip="of the step: Python, launches, synchronisations"),
    Column(
        "Bound by",
        "bound",
        why="few",
        tip="the largest part (launches: the rest; bandwidth: the update), and those that are not told apart from it",
    ),
    Column("Images/s", "images", "plain", why="why"),
    Column("NFE/s", "nfe_rate", "plain", why="why", tip="evaluations of one image a second"),
    Column("Kernels", "kernels", "plain", tip="operations a step, outside of the network and the noise"),
    Column("Syncs", "syncs", "plain", tip="numbers that the host reads, and waits for, a step"),
    Column("MB moved", "moved", "plain", tip="read and written a step"),
    Column("Moved/fewest", "moved_fewest", "fixed", tip="over the fewest bytes that the formula needs"),
    Column(
        "Of copy, %",
        "attained",
        "percent",
        why="attained_why",
        tip="bytes a second of the update, of those of copying one state, measured beside it",
    ),
    Column(
        "Update, MB",
        "memory_update",
        "plain",
        tip="peak of memory beyond the start, with the network's answers but not its inside",
    ),
    Column("History, MB", "memory_history", "plain", tip="of it, what is kept from step to step"),
    Column("Run, MB", "memory_run", "plain", tip="peak of memory of a run with its model"),
    Column("First run, s", "first", "plain", tip="in which plans, kernels and captures are made"),
    Column("Compile, s", "compile", "plain", tip="of the network"),
    Column("J an image", "joules_image", "plain"),
)


def _where(frame: pd.DataFrame) -> tuple[Column, ...]:
    """Solver, executor, batch, and of the places what differs."""
    differ = (Column(_HEADINGS[k], k) for k in PLACE if len(frame) and frame[k].nunique() > 1)
    return (Column("Solver", "solver"), Column("Executor", "executor"), Column("Batch", "batch", "count"), *differ)


def _kept(frame: pd.DataFrame, column: Column) -> bool:
    return column.key not in _OPTIONAL or (len(frame) > 0 and bool((frame[column.key].fillna(0) != 0).any()))


def _arithmetic(found: list[CostCell]) -> str:
    """Who combined the vectors of fused and graph: whoever did most, then the others, and where."""
    seen: dict[str, dict] = {}
    for cell in found:
        for r in cell.records:
            seen.setdefault(r.context.get("arithmetic", ""), {})[f"{cell.case['model']} {cell.case['dtype']}"] = None
    most, *others = [*sorted(seen.keys() - {""}, key=lambda by: (-len(seen[by]), by)), ""]
    also = "".join(f"; by {by}: {', '.join(seen[by])}" for by in others if by)
    return f" Vectors of fused and graph are combined by {most}{also}." if most else ""


def profile_table(records: Iterable[Record]) -> Table:
    """One row a case, its repeats pooled: the time of a step and where it goes, bytes, memory, and speed."""
    found = cells(records)
    frame = pd.DataFrame(_rows(found))
    columns = (*_where(frame), *(c for c in _COLUMNS if _kept(frame, c)))
    caption = (
        "One step, without its first run: median and its distribution-free 95 % interval over all rounds, taken as "
        "independent; shares are of that median. Bound by: the largest part, with those that are not told apart from "
        "it by the 95 % interval of their difference in the same rounds; a dash: too few rounds to say. "
        "1 MB is 10⁶ bytes." + _arithmetic(found)
    )
    return Table("profile", "What a step costs", caption, frame, columns)


def profile_runs(records: Iterable[Record]) -> Table:
    """One row a record: medians of its rounds in seconds, bytes, and everything else as measured."""
    rows = []
    for r in (r for r in records if r.is_ok):
        (cell,) = cells([r])
        medians = {f"{k}_s": median(v).value for k, v in (*cell.seconds.items(), ("copy", cell.copy))}
        one = {k: cell.number(k) for k in ("bandwidth", "first", "compile", "kernels", "syncs", "nfe", "joules")}
        sizes = {f"{k}_bytes": cell.number("bytes", k) for k in ("vector", "moved", "fewest")}
        peaks = {f"memory_{k}_bytes": cell.peak(k) for k in ("update", "history", "run", "weights")}
        rounds = {"repeat": r.case.get("repeat", 0), "rounds": len(cell.seconds["total"])}
        rounds["arithmetic"] = r.context.get("arithmetic", "")
        rows.append(cell.case | rounds | medians | one | sizes | peaks)
    frame = pd.DataFrame(rows)
    columns = (*_where(frame), Column("Repeat", "repeat", "count"), Column("Seconds", "total_s", "seconds"))
    return Table("profile-runs", "Every record of the profile study", "Medians of the rounds of each.", frame, columns)


def profile_rows(records: Iterable[Record]) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, headings, rows of text) of what `sdebench profile` prints, one for each place."""
    kept = [r for r in records if r.study == "profile"]
    table = profile_table(prepare_records(kept)) if kept else None
    out = []
    for label, group in table.frame.groupby("label", sort=False) if table else ():
        own = [c._replace(heading=_TERMINAL[c.key]) for c in table.columns if c.key in _TERMINAL]
        rows = [[c.text for c in row] for row in shown(table._replace(frame=group, columns=tuple(own)))]
        out.append((f"{label}: a step, and its parts in %", [c.heading for c in own], rows))
    return out
