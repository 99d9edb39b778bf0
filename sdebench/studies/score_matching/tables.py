"""The tables of the score-matching study: pure functions from records to a frame of plain values and how to show it."""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from sdebench.records import Record
from sdebench.report.facts import series
from sdebench.report.table import Column, Table

_CONSTANTS = {"fisher": "0", "denoising": "d/σ² - E|score|²"}  # of all others: that of integration by parts
_PARTS = "-E|score|²"
_SHOWN = 5  # levels of lam that a table shows


def of_kind(records: Iterable[Record], kind: str) -> list[Record]:
    """The records of one kind of the score-matching study that were measured."""
    return [r for r in records if r.is_ok and r.case["kind"] == kind]


def _sorted(rows: list[dict], keys: list[str]) -> pd.DataFrame:
    frame = pd.DataFrame(rows)
    return frame.sort_values(keys, ignore_index=True, kind="stable") if len(frame) else frame


def _problem(frame: pd.DataFrame) -> tuple[Column, ...]:
    return (Column("Problem", "problem"),) if len(frame) and frame["problem"].nunique() > 1 else ()


def _over_levels(record: Record) -> tuple[np.ndarray, np.ndarray]:
    """(divergence, standard error) at each mark, (marks,): the mean over the levels of sigma^2 times that of the score."""
    weight, value, error = (series(record, k) for k in ("weight", "fisher", "error"))
    return (value * weight).mean(1), np.sqrt(((error * weight) ** 2).sum(1)) / len(weight)


def training_runs(records: Iterable[Record]) -> Table:
    """One row a problem, loss, weight, seed and mark of the training."""
    rows = []
    for r in of_kind(records, "training"):
        divergence, error = _over_levels(r)
        marks = {k: series(r, k) for k in ("step", "seconds", "variance", "signal")}
        head = {k: r.case[k] for k in ("problem", "loss", "weight", "seed")}
        noise = marks["variance"] / marks["signal"][0]  # all losses begin with one network: this is what they have in common
        for i, step in enumerate(marks["step"]):
            row = {"divergence": divergence[i], "error": error[i], "noise": noise[i]}
            rows.append(head | {k: v[i] for k, v in marks.items()} | row | {"step": int(step)})
    frame = _sorted(rows, ["problem", "loss", "weight", "seed", "step"])
    columns = (
        *_problem(frame),
        Column("Loss", "loss"),
        Column("w(t)", "weight"),
        Column("Seed", "seed", "count"),
        Column("Step", "step", "count"),
        Column("Divergence", "divergence", "error"),
        Column("Noise", "noise", "error"),
    )
    return Table("matching-training-runs", "Training, as measured", "Fisher divergence and gradient noise.", frame, columns)


def level_runs(records: Iterable[Record]) -> Table:
    """One row a problem, loss, weight, seed and level at the end of the training."""
    rows = []
    for r in of_kind(records, "training"):
        weight, value, error = (series(r, k) for k in ("weight", "fisher", "error"))
        for i, lam in enumerate(series(r, "lam")):
            row = {
                "lam": lam,
                "t": series(r, "t")[i],
                "divergence": weight[i] * value[-1, i],
                "error": weight[i] * error[-1, i],
                "relative": value[-1, i] / series(r, "energy")[i],
            }
            rows.append({k: r.case[k] for k in ("problem", "loss", "weight", "seed", "steps")} | row)
    frame = _sorted(rows, ["problem", "loss", "weight", "seed", "lam"])
    columns = (
        *_problem(frame),
        Column("Loss", "loss"),
        Column("w(t)", "weight"),
        Column("λ", "lam", "count"),
        Column("Divergence", "divergence", "error"),
        Column("Error", "error", "error"),
    )
    return Table("matching-levels-runs", "The Fisher divergence over t", "At the end of the training.", frame, columns)


def training_table(records: Iterable[Record]) -> Table:
    """One row a problem, loss and weight: means over the seeds."""
    records = list(records)
    runs, levels, rows = training_runs(records).frame, level_runs(records).frame, []
    keys = ["problem", "loss", "weight"]
    relative = levels.set_index([*keys, "lam"])["relative"].sort_index() if len(levels) else levels
    for case, group in runs.groupby(keys, sort=False) if len(runs) else ():
        first, last = (group[group["step"] == step] for step in (group["step"].min(), group["step"].max()))
        at = relative[case].groupby("lam").mean()
        rows.append(
            dict(zip(keys, case))
            | {
                "seeds": len(last),
                "steps": last["step"].iloc[0],
                "begun": first["divergence"].mean(),
                "divergence": last["divergence"].mean(),
                "error": last["error"].mean(),
                "spread": last["divergence"].std() if len(last) > 1 else np.nan,
                "cleanest": at.iloc[-1],
                "noisiest": at.iloc[0],
                "noise_first": first["noise"].mean(),
                "noise": last["noise"].mean(),
                "ms": 1e3 * (last["seconds"] / last["step"]).median(),
            }
        )
    frame = pd.DataFrame(rows)
    steps = f" after {int(frame['steps'].max())} steps" if len(frame) else ""
    columns = (
        Column("Loss", "loss"),
        *_problem(frame),
        Column("w(t)", "weight", tip="the plain squared error of that kind"),
        Column("Divergence", "divergence", "error", tip="E σ²|s - score|², mean over λ and seeds"),
        Column("std", "spread", "error", tip="over the seeds"),
        Column("S.e.", "error", "error", tip="of one seed's divergence, by the draws that it is measured with"),
        Column("Noisy end", "noisiest", "error", tip="|s - score|² over |score|², noisiest level"),
        Column("Clean end", "cleanest", "error", tip="|s - score|² over |score|², cleanest level"),
        Column("Noise, first", "noise_first", "error", tip="trace of the gradient's covariance over its squared mean"),
        Column("Noise, last", "noise", "error", tip="the same trace at the end, over the squared mean at the start"),
        Column("ms a step", "ms", "seconds", tip="processor time, with the making of the batch"),
    )
    caption = (
        f"What each loss has taught one small network{steps}: the true Fisher divergence σ²|s - score|², averaged over "
        "λ. The weight w(t) is named by the kind in which the loss is a plain squared error. Noise is the trace of the "
        "covariance of the gradient over mini-batches of one size, over the squared length of the mean gradient at "
        "the start."
    )
    return Table("matching-training", "What each loss teaches", caption, frame, columns)


def equivalence_table(records: Iterable[Record]) -> Table:
    """One row a problem and loss: the worst over levels and over the kinds of output."""
    rows: dict[tuple, dict] = {}
    for r in of_kind(records, "equivalence"):
        case, data = r.case, {k: series(r, k) for k in ("fisher", "constant", "gap", "error")}
        drawn = data["error"] > 0
        relative = np.abs(data["gap"]) / (data["fisher"] + np.abs(data["constant"]))
        new = {
            "relative": relative.max(),
            "outputs": 1,
            "levels": len(relative),
            "deviations": (np.abs(data["gap"][drawn]) / data["error"][drawn]).max() if drawn.any() else np.nan,
            "gradient": r.data.get("gradient", np.nan),
        }
        row = rows.setdefault((case["problem"], case["loss"]), {})
        for key, value in new.items():
            row[key] = row.get(key, 0) + value if key in ("outputs", "levels") else np.fmax(row.get(key, np.nan), value)
    made = [
        {"problem": problem, "loss": loss, "constant": _CONSTANTS.get(loss.partition("-")[0], _PARTS), **row}
        for (problem, loss), row in rows.items()
    ]
    frame = _sorted([row | {"quadrature": bool(np.isnan(row["deviations"]))} for row in made], ["problem", "loss"])
    if len(frame):
        frame["deviations_why"] = np.where(frame["quadrature"], "by quadrature: no sampling error", "")
        frame["gradient_why"] = np.where(frame["gradient"].isna(), "not a denoising form", "")
    columns = (
        Column("Loss", "loss"),
        *_problem(frame),
        Column("Constant", "constant"),
        Column("Gap", "relative", "error", tip="of mean loss - Fisher divergence - constant, over their sizes"),
        Column("Gap / s.e.", "deviations", "seconds", why="deviations_why", tip="the largest of all, where it is by draws"),
        Column("of", "levels", "count", tip="levels and networks over which the largest is taken"),
        Column("Gradient", "gradient", "error", why="gradient_why", tip="difference from that of denoising-eps at one w(t)"),
    )
    caption = (
        "Each loss is the Fisher divergence plus a constant: the largest gap at fixed networks with every kind of "
        "output. In one dimension by quadrature, to rounding; in two by draws, within their standard error. All "
        "denoising forms have one gradient under one w(t)."
    )
    return Table("matching-equivalence", "The losses are one, up to a constant", caption, frame, columns)


def trace_table(records: Iterable[Record]) -> Table:
    """One row a problem, probe and seed."""
    rows = []
    for r in of_kind(records, "trace"):
        d = r.data
        deviations = d["gap"] / d["error"] if d["error"] else np.nan
        rows.append(
            {k: r.case[k] for k in ("problem", "probe", "seed")}  # type: ignore[operator]  # a case is a dict
            | d
            | {"deviations": deviations, "why": "" if d["error"] else "exact: it has no variance in one dimension"}
        )
    frame = _sorted(rows, ["problem", "probe", "seed"])
    columns = (
        Column("Probe", "probe"),
        *_problem(frame),
        Column("Mean error", "gap", "error"),
        Column("Over s.e.", "deviations", "order", why="why"),
        Column("Variance", "variance", "error"),
        Column("Due", "variance_due", "error", tip="twice the sum of J_ij², J symmetric; for signs without i = j"),
    )
    caption = "Hutchinson's estimate v'Jv of the divergence: unbiased within its standard error, with the variance that is due."
    return Table("matching-trace", "Estimates of the trace", caption, frame, columns)


def small_noise_runs(records: Iterable[Record]) -> Table:
    """One row a problem, support, loss, seed and level."""
    rows = []
    for r in of_kind(records, "small-noise"):
        weight, noise, error, lam, energy = (series(r, k) for k in ("weight", "noise", "error", "lam", "energy"))
        head = {k: r.case[k] for k in ("problem", "support", "loss", "seed")}
        rows += [
            head | {"lam": lam[i], "noise": weight[i] * noise[i], "error": weight[i] * error[i], "least": -energy[i]}
            for i in range(len(lam))
        ]
    frame = _sorted(rows, ["problem", "support", "loss", "seed", "lam"])
    columns = (
        *_problem(frame),
        Column("Support", "support"),
        Column("Loss", "loss"),
        Column("λ", "lam", "count"),
        Column("Noise", "noise", "error"),
    )
    return Table("matching-small-noise-runs", "Noise of the gradients, as measured", "At the exact score.", frame, columns)


def small_noise_table(records: Iterable[Record]) -> Table:
    """One row a problem, support and loss, and one of the least value of the implicit losses; columns are levels."""
    runs, rows, chosen = small_noise_runs(records).frame, [], []
    if len(runs):
        lams = sorted(set(runs["lam"]))
        chosen = [lams[round(i * (len(lams) - 1) / (_SHOWN - 1))] for i in range(_SHOWN)]
    for (problem, support), group in runs.groupby(["problem", "support"], sort=False) if len(runs) else ():
        kept, head = group[group["lam"].isin(chosen)], {"problem": problem, "support": support}
        for loss, some in kept.groupby("loss"):
            rows.append(head | {"loss": loss} | {f"lam_{lam:g}": v for lam, v in some.groupby("lam")["noise"].mean().items()})
        least = {f"lam_{lam:g}": v for lam, v in kept.groupby("lam")["least"].mean().items()}
        rows.append(head | {"loss": "least implicit loss"} | least)
    frame = pd.DataFrame(rows)
    columns = (
        Column("Support", "support"),
        *_problem(frame),
        Column("Loss", "loss"),
        *(Column(f"λ = {lam:g}".replace("-", "−"), f"lam_{lam:g}", "error") for lam in chosen),
    )
    caption = (
        "σ² times the variance of one sample's gradient at the exact score, in units of the Fisher divergence. On full "
        "support implicit matching is the better the smaller the noise; on points denoising is, and the least value of "
        "the implicit losses, -E|score|², falls without bound."
    )
    return Table("matching-small-noise", "Small noise: which loss breaks down", caption, frame, columns)


def finite_runs(records: Iterable[Record]) -> Table:
    """One row a problem, loss, size, seed and mark: the loss on the fixed set, and the true divergence."""
    rows = []
    for r in of_kind(records, "finite-sample"):
        (divergence, error), step, loss = _over_levels(r), series(r, "step"), series(r, "loss")
        loss_of, least = r.case["loss"], -(series(r, "weight") * series(r, "energy")).mean()
        least = 0.0 if loss_of == "fisher" else least + r.context["dim"] * loss_of.startswith("denoising-")
        head = {k: r.case[k] for k in ("problem", "loss", "size", "seed")}
        rows += [
            head | {"step": int(step[i]), "on_set": loss[i], "divergence": divergence[i], "error": error[i], "least": least}
            for i in range(len(step))
        ]
    frame = _sorted(rows, ["problem", "loss", "size", "seed", "step"])
    columns = (
        *_problem(frame),
        Column("Loss", "loss"),
        Column("Size", "size", "count"),
        Column("Step", "step", "count"),
        Column("On the set", "on_set", "error"),
        Column("Divergence", "divergence", "error"),
    )
    return Table("matching-finite-runs", "Trained on a fixed set, as measured", "w(t) = σ².", frame, columns)


def finite_table(records: Iterable[Record]) -> Table:
    """One row a problem, size and loss: means over the seeds."""
    runs, rows = finite_runs(records).frame, []
    for (problem, size, loss), group in runs.groupby(["problem", "size", "loss"]) if len(runs) else ():
        by_step = group.groupby("step")[["on_set", "divergence", "least"]].mean()
        rows.append(
            {
                "problem": problem,
                "size": size,
                "loss": loss,
                "least": by_step["least"].iloc[-1],
                "on_set": by_step["on_set"].iloc[-1],
                "best": by_step["divergence"].min(),
                "best_step": by_step["divergence"].idxmin(),
                "divergence": by_step["divergence"].iloc[-1],
                "steps": by_step.index[-1],
            }
        )
    frame = pd.DataFrame(rows)
    columns = (
        Column("Loss", "loss"),
        *_problem(frame),
        Column("Samples", "size", "count"),
        Column("Loss on them", "on_set", "error", tip="at the end"),
        Column("Least in the mean", "least", "error", tip="what the exact score's loss is, in the mean over the law"),
        Column("Best divergence", "best", "error"),
        Column("at step", "best_step", "count"),
        Column("At the end", "divergence", "error"),
    )
    steps = f", for {int(frame['steps'].max())} steps" if len(frame) else ""
    caption = (
        f"Trained on one fixed set of noised samples{steps}. The implicit losses have no lower bound on finitely many "
        "points: they fall far below the least value that they have in the mean over the law, and the true divergence "
        "grows without end; denoising overfits too, but its loss is a square and stays above zero."
    )
    return Table("matching-finite", "Finitely many samples", caption, frame, columns)
