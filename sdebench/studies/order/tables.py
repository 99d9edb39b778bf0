"""The tables of the order study: pure functions from records to a frame of plain values and how to show it."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from sdebench.grids import is_irregular
from sdebench.grids import names as all_grids
from sdebench.records import WHOLE_RUNS, Claims, Record
from sdebench.report.facts import STOCHASTIC, series, sort_of
from sdebench.report.table import Column, Table, case_columns
from sdebench.studies.order.judged import CONFIRMED, FAILED, Measured, measured, overall

_CASE = ("solver", "problem", "dtype")
_MULTISTEP_ONLY = ("startup", "main", "endpoint")
_STATED = (*WHOLE_RUNS, "local", "main", "tolerance")
_PARTS = ("smooth", "irregular", "strong", "local", "startup", "main", "endpoint", "tolerance")


def _grouped(cases: Iterable[Measured]) -> dict[tuple, list[Measured]]:
    """The cases of each (solver, problem, dtype)."""
    groups: dict[tuple, list[Measured]] = {}
    for m in cases:
        groups.setdefault(m[: len(_CASE)], []).append(m)
    return groups


def _part(name: str, cases: list[Measured]) -> list[Measured]:
    """The cases that one column of the order table speaks of."""
    if name in ("smooth", "irregular"):
        return [m for m in cases if m.kind in WHOLE_RUNS and is_irregular(m.grid) == (name == "irregular")]
    return [m for m in cases if m.kind == {"startup": "start-up", "endpoint": "end-point"}.get(name, name)]


def _worst(cases: list[Measured]) -> tuple[float, float, str]:
    """(lowest resolved order, its half-width, why there is none or which grids it leaves out)."""
    why = "; ".join(f"{m.where}: {m.verdict}, {m.reason}" for m in cases if np.isnan(m.order))
    held = [m for m in cases if not np.isnan(m.order)]
    if not held:
        return np.nan, np.nan, why
    low = min(held, key=lambda m: m.order)
    return low.order, low.half_width, f"not resolved on {why}" if why else ""


def _absent(part: str, claims: Claims) -> str:
    """Why a column has no case at all."""
    if part in _MULTISTEP_ONLY and not claims.memory:
        return "not a multistep method: it has no past"
    if part == "tolerance":
        return "crosses a given grid: it has no tolerance"
    if part == "strong":
        return "its noise has no path" if claims.stochastic else "deterministic: it has no noise"
    return "chooses its own steps: no grids" if claims.adaptive else "not measured"


def _counted_nfe(cases: list[Measured]) -> float:
    """Evaluations a step as the model's counter saw them, between the shortest and the longest run on one grid."""
    for m in (m for m in cases if m.kind in WHOLE_RUNS and m.verdict != FAILED):
        n, nfe = series(m.record, "n"), series(m.record, "nfe")
        if n.size > 1 and n.size == nfe.size and n.max() > n.min():
            low, high = n.argmin(), n.argmax()
            return float((nfe[high] - nfe[low]) / (n[high] - n[low]))
    return np.nan


def _scope(claims: Claims, on_grids: bool) -> str:
    """What the verdict speaks of: all grids, or less than that."""
    if not on_grids:
        return "tolerance"
    return "smooth grids only" if claims.order_irregular < claims.order else "all grids"


def _order_row(case: tuple, cases: list[Measured]) -> dict:
    claims, runs = cases[-1].claims, [m for m in cases if m.kind in WHOLE_RUNS]
    judged = runs or [m for m in cases if m.kind == "tolerance"]
    row = dict(zip(_CASE, case)) | {
        "family": claims.family,
        "sort": sort_of(claims),
        "claimed": claims.claimed_order,
        "stated": claims.order,
        "stated_irregular": claims.order_irregular,
        "stated_strong": np.nan if claims.strong_order is None else claims.strong_order,
        "verdict": overall(m.verdict for m in judged),
        "verdict_why": "; ".join(
            f"{m.where}: {m.verdict}" + (f" ({m.reason})" if m.reason else "") for m in judged if m.verdict != CONFIRMED
        ),
        "scope": _scope(claims, bool(runs)) if judged else "",
        "confirmed_on": sum(m.verdict == CONFIRMED for m in judged),
        "measured_on": len(judged),
        "as_stated": overall(m.verdict_stated for m in cases if m.kind in _STATED),
        "strong_verdict": overall(m.verdict for m in cases if m.kind == "strong"),
        "nfe_per_step": claims.nfe_per_step,
        "nfe_counted": _counted_nfe(cases),
        "reference": claims.reference,
    }
    for name in _PARTS:
        part = _part(name, cases)
        found = _worst(part) if part else (np.nan, np.nan, _absent(name, claims))
        row |= dict(zip((name, f"{name}_hw", f"{name}_why"), found))
    return row


def _slope(heading: str, key: str, tip: str) -> Column:
    return Column(heading, key, "order", key + "_hw", key + "_why", tip)


_ORDER_COLUMNS = (
    Column("Verdict", "verdict", "verdict", "scope", "verdict_why", tip="measured orders against the claim"),
    Column("Claimed", "claimed", "count", tip="order that the literature claims: global, or weak of a stochastic method"),
    _slope("Smooth grids", "smooth", "lowest order (global, or weak) measured on a smooth grid, with its 95 % half-width"),
    _slope("Irregular grids", "irregular", "lowest global order measured on an irregular grid, likewise"),
    Column(
        "Strong",
        "strong",
        "order",
        "strong_hw",
        "strong_why",
        "order of the RMS error over paths of one Brownian motion",
        "strong_verdict",
    ),
    Column("Stated", "stated", "count", tip="order on smooth grids (global, or weak) that the catalogue of this suite states"),
    Column("Stated, irregular", "stated_irregular", "count", tip="the same on irregular grids"),
    Column("Stated, strong", "stated_strong", "count", tip="strong order that the catalogue states, where there is one"),
    _slope("Local", "local", "slope of the error of one step, exact and unequally spaced past; main order + 1 is due"),
    _slope("Start-up", "startup", "slope of the error that the start-up phase makes"),
    _slope("Main", "main", "global order of the main scheme, from an exact start"),
    _slope("End point", "endpoint", "slope of the error of the last step alone, from an exact past"),
    _slope("Tolerance", "tolerance", "slope of error against tolerance, for adaptive methods; 1 is due"),
    Column("NFE/step", "nfe_per_step", "count", tip="network evaluations a step, once started"),
    Column("Kind", "sort", tip="whether a step asks for noise: the orders of a stochastic method are weak ones"),
    Column("Family", "family"),
    Column("Reference", "reference", "paper"),
)
_ONLY_STOCHASTIC = ("sort", "stated_strong")


def order_table(records: Iterable[Record]) -> Table:
    """One row a solver and problem: claims, worst measured orders, the parts of a multistep method, and the verdict."""
    frame = pd.DataFrame([_order_row(case, cases) for case, cases in _grouped(measured(records)).items()])
    noisy = len(frame) and (frame["sort"] == STOCHASTIC).any()
    shown = tuple(
        c
        for c in _ORDER_COLUMNS
        if len(frame) and (c.kind != "order" or frame[c.key].notna().any()) and (noisy or c.key not in _ONLY_STOCHASTIC)
    )
    caption = (
        "Claimed and measured orders. A measured order is the lowest over its grids, with its 95 % half-width. "
        "A dash: not measured, or not resolved."
    )
    if noisy:
        caption += (
            " Of a stochastic method it is the weak order, of the error of its law; the strong order, of single paths, "
            "is judged by itself: a cross beside it."
        )
    return Table("orders", "Orders", caption, frame, case_columns(frame) + shown)


def _grid_row(case: tuple, cases: list[Measured]) -> dict:
    claims = cases[-1].claims
    row = dict(zip(_CASE, case)) | {"family": claims.family, "sort": sort_of(claims), "claimed": claims.claimed_order}
    for m in cases:
        row |= {
            m.grid: m.order,
            f"{m.grid}_hw": m.half_width,
            f"{m.grid}_excess": m.order - claims.claimed_order,
            f"{m.grid}_claim": m.claim,
            f"{m.grid}_verdict": m.verdict,
            f"{m.grid}_why": m.reason,
        }
    return row


def grid_names(records: Iterable[Record]) -> list[str]:
    """The grids of whole runs, smooth ones first."""
    seen = {r.case["grid"] for r in records if r.case["kind"] in WHOLE_RUNS}
    return [g for g in all_grids() if g in seen] + sorted(seen - set(all_grids()))


def grid_table(records: list[Record]) -> Table:
    """One row a solver and problem, one column a grid: measured order; also its excess over the claim, and verdict."""
    groups = _grouped(m for m in measured(records) if m.kind in WHOLE_RUNS)
    frame = pd.DataFrame([_grid_row(case, cases) for case, cases in groups.items()])
    orders = (Column(g, g, "order", f"{g}_hw", f"{g}_why", f"order on {g} grids") for g in grid_names(records))
    shown = (*case_columns(frame), Column("Claimed", "claimed", "count"), *orders, Column("Family", "family"))
    caption = "Measured order of whole runs, global or weak, with its 95 % half-width."
    return Table("grids", "Order on each grid", caption, frame, shown)


def headline(orders: pd.DataFrame) -> dict[str, int]:
    """How many solvers have each verdict, each counted once, with its worst over the problems."""
    if orders.empty:
        return {}
    return orders.groupby("solver", sort=False)["verdict"].agg(overall).value_counts().to_dict()


def confirmed_with(orders: pd.DataFrame, scope: str) -> int:
    """How many of the solvers that the headline counts as confirmed are so within no more than `scope`."""
    if orders.empty:
        return 0
    cases = orders.groupby("solver").agg({"verdict": overall, "scope": set})
    return int(sum(v == CONFIRMED and scope in s for v, s in zip(cases["verdict"], cases["scope"])))
