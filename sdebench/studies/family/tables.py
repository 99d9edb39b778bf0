"""The tables of the family study: pure functions from records to a frame of plain values and how to show it."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from sdebench.fit import fit_order
from sdebench.records import Record
from sdebench.report.facts import series
from sdebench.report.table import Column, Table

DRIFTS = {"family": "f x - (g² ± η²)/2 score", "printed": "as the survey prints it: -σ²/2 (x - score)"}
STARTS = {"exact": "exact", "normal": "normal"}
_DUE = {"ddpm-exact": 0, "ncsn": 0}  # chains whose marginals are those of the SDE; of all others they tend to it at order 1


def of_kind(records: Iterable[Record], kind: str) -> list[Record]:
    """The records of one kind of the family study that were measured."""
    return [r for r in records if r.is_ok and r.case["kind"] == kind]


def _problem(frame: pd.DataFrame) -> tuple[Column, ...]:
    return (Column("Problem", "problem"),) if len(frame) and frame["problem"].nunique() > 1 else ()


def _sorted(rows: list[dict], keys: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    return frame.sort_values(keys, ignore_index=True) if len(frame) else frame


def fokker_planck_table(records: Iterable[Record]) -> Table:
    """One row a problem, drift and eta: the largest residual over points and times, and the least median over times."""
    rows = [
        {
            "problem": r.case["problem"],
            "drift": r.case["drift"],
            "shown": DRIFTS[r.case["drift"]],
            "eta": r.case["eta"],
            "max": series(r, "max").max(),
            "median": series(r, "median").min(),
        }
        for r in of_kind(records, "fokker-planck")
    ]
    frame = _sorted(rows, ["problem", "drift", "eta"])
    columns = (
        Column("Drift", "shown"),
        *_problem(frame),
        Column("η/g", "eta", "count"),
        Column("Largest", "max", "error", tip="over all points and times, both directions of time"),
        Column("Median", "median", "error", tip="over the points, at the time where it is least"),
    )
    caption = (
        "Residual of the Fokker-Planck equation for the exact density, over the sum of its terms' sizes: zero to "
        "rounding for every η, so every η has the same marginals; of order 1 for a drift that is not of the family."
    )
    return Table("family-fokker-planck", "Fokker-Planck residuals", caption, frame, columns)


def distance_runs(records: Iterable[Record]) -> Table:
    """Distances as measured over time: one row a problem, start, eta and time."""
    rows = []
    for r in of_kind(records, "distance"):
        case, keys = r.case, ("n", "t", "lam", "w1", "w2", "tv", "kl")
        head = {k: case.get(k, "") for k in ("problem", "start", "eta", "steps")}
        rows += [head | dict(zip(keys, row)) for row in zip(*(series(r, k) for k in keys))]
    frame = _sorted(rows, ["problem", "start", "eta", "n"])
    columns = (
        *_problem(frame),
        Column("Start", "start"),
        Column("η/g", "eta", "count"),
        Column("Steps", "n", "count"),
        *(Column(heading, heading.lower(), "error") for heading in ("W1", "W2", "TV", "KL")),
    )
    caption = "Wasserstein-1 and -2, total variation and KL as measured."
    return Table("family-distance-runs", "Distance of laws over time, as measured", caption, frame, columns)


def distance_table(records: Iterable[Record]) -> Table:
    """One row a problem, start and eta, one column a time: W2 of Euler-Maruyama's law from the exact marginal."""
    runs, rows, times = distance_runs(records).frame, [], {}
    for case, group in runs.groupby(["problem", "start", "eta"], sort=False) if len(runs) else ():
        row = dict(zip(("problem", "start", "eta"), case)) | {"tv": group["tv"].iloc[-1], "kl": group["kl"].iloc[-1]}
        for lam, w2 in zip(group["lam"], group["w2"]):
            times[key := f"lam_{lam:.3f}"] = lam
            row[key] = w2
        rows.append(row)
    frame = pd.DataFrame(rows)
    shown = (
        Column(f"λ = {lam:.2f}".replace("-", "−"), key, "error", tip="Wasserstein-2 at that time")
        for key, lam in sorted(times.items(), key=lambda item: item[1])
    )
    columns = (
        Column("Start", "start"),
        *_problem(frame),
        Column("η/g", "eta", "count"),
        *shown,
        Column("TV at the end", "tv", "error"),
        Column("KL at the end", "kl", "error"),
    )
    steps = f" with {int(runs['steps'].iloc[0])} steps" if len(runs) else ""
    caption = (
        f"Wasserstein-2 of the law of Euler-Maruyama{steps} from the exact marginal, over time, with noise η g; begun "
        "with the exact marginal, or with the normal law that stands for it."
    )
    return Table("family-distance", "Distance of laws over time, by the amount of noise", caption, frame, columns)


def amount_table(records: Iterable[Record]) -> Table:
    """One row a solver, start, problem and eta, one column an NFE: W2 at the end of the span."""
    rows, budgets = [], set()
    for r in of_kind(records, "amount"):
        nfe = series(r, "nfe").astype(int).tolist()
        budgets.update(nfe)
        rows.append(
            {k: r.case[k] for k in ("solver", "start", "problem", "eta")}
            | {f"nfe_{n}": w2 for n, w2 in zip(nfe, series(r, "w2"))}
        )
    frame = _sorted(rows, ["problem", "solver", "start", "eta"])
    columns = (
        Column("Solver", "solver"),
        *_problem(frame),
        Column("Start", "start"),
        Column("η/g", "eta", "count"),
        *(Column(f"{n} NFE", f"nfe_{n}", "error", tip="Wasserstein-2 at the end of the span") for n in sorted(budgets)),
    )
    caption = (
        "Wasserstein-2 of a method's law at the end of the span from the exact marginal, by the amount of noise η g. "
        "From an exact start noise only costs; from the normal law it forgets the error of the start."
    )
    return Table("family-amount", "Error against the amount of noise", caption, frame, columns)


def forward_table(records: Iterable[Record]) -> Table:
    """One row a chain and schedule: the order at which its marginals tend to those of the SDE."""
    rows = []
    for r in of_kind(records, "forward"):
        case, error = r.case, series(r, "error")
        fit, due = fit_order(series(r, "h"), error, series(r, "floor")), _DUE.get(case["chain"], 1)
        exact = fit.exact and due == 0
        rows.append(
            {
                "chain": case["chain"],
                "schedule": case["schedule"],
                "due": "exact" if due == 0 else "order 1",
                "order": fit.order if fit.resolved else np.nan,
                "hw": fit.half_width,
                "why": "exact: at rounding at every step" if exact else fit.reason,
                "error": error[-1],
                "n": series(r, "n")[-1],
            }
        )
    frame = _sorted(rows, ["schedule", "chain"])
    columns = (
        Column("Chain", "chain"),
        Column("Schedule", "schedule"),
        Column("Due", "due"),
        Column("Order", "order", "order", "hw", "why"),
        Column("Error", "error", "error", tip="with the most steps"),
        Column("Steps", "n", "count"),
    )
    caption = (
        "How the marginals of the forward chains tend to those of the SDE: the largest error of α and σ over the times. "
        "DDPM with β = 1 - exp(-∫β) and NCSN are the SDE itself, seen at their times."
    )
    return Table("family-forward", "Forward chains", caption, frame, columns)
