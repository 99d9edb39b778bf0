"""The tables of the quality study: sample quality against network evaluations, what tells solvers apart, and whether quality
still ranks them as the error does."""

import re
from collections.abc import Iterable, Mapping
from itertools import combinations, permutations
from math import nan
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata, spearmanr

from sdebench.records import Record
from sdebench.report.emit import cells as shown
from sdebench.report.facts import sort_of
from sdebench.report.table import Column, Table
from sdebench.studies.quality import distilled, yardsticks
from sdebench.studies.quality.cells import MEASURES, Group, QualityCell, SampleRun, apart, groups, level_for
from sdebench.studies.quality.ladders import error_runs, error_table, ladders, of, who

BEST, EQUAL = "★", "≈"
RANKS, PART, NOT, FEW = "ranks", "ranks in part", "does not rank", "too few solvers"
_FEW_BUDGETS = 4  # distances with their half-widths that a line of a terminal has room for
_LEAST = 4  # solvers that a rank correlation is worth speaking of: of 3, the best p is 1/6
_EXACT = 7  # up to so many all permutations are counted
_WIDE = ("window", "ends", "floor", "claimed", "verdict", "network")  # that a terminal has no room for, or a title says
_HEADINGS = {
    "kid": "KID",
    "precision": "Precision",
    "recall": "Recall",
    "density": "Density",
    "coverage": "Coverage",
    "swd": "Sliced W",
}


def _by_run(cells: Iterable[QualityCell]) -> dict[SampleRun, list[QualityCell]]:
    runs: dict[SampleRun, list[QualityCell]] = {}
    for cell in sorted(cells, key=lambda c: c.budget):
        runs.setdefault(cell.run, []).append(cell)
    return runs


def _budgets(cells: Iterable[QualityCell]) -> list[int]:
    return sorted({cell.budget for cell in cells})


def marks(group: Group) -> dict[tuple[SampleRun, int], str]:
    """Of each cell: whether it is the best within its budget, or is not told apart from that."""
    found = {}
    for budget in _budgets(group.cells):
        here = [c for c in group.cells if c.budget == budget and c.fd == c.fd]
        if len(here) < 2:
            continue
        best, level = min(here, key=lambda c: c.fd), level_for(len(here))
        for cell in here:
            equal = cell is not best and not apart(cell, best, group.train, level)
            found[cell.run, budget] = BEST if cell is best else EQUAL if equal else ""
    return found


def _quality_rows(group: Group) -> list[dict]:
    budgets, marked = _budgets(group.cells), marks(group)
    rows = [
        {"model": group.label, "metric": group.context["metric"], "solver": level.name}
        | {
            f"{key}_{b}": value
            for b in budgets
            for key, value in {"fd": level.fd, "hw": level.half_width, "n": level.n, "why": f"{level.n} images"}.items()
        }
        for level in group.levels
    ]
    for run, cells in _by_run(group.cells).items():
        claims = cells[0].records[0].claims
        row = {
            "model": group.label,
            "metric": group.context["metric"],
            **run._asdict(),
            "family": claims.family,
            "sort": sort_of(claims),
            "claimed": claims.claimed_order,
        }
        for cell in cells:
            b, mark = cell.budget, marked.get((run, cell.budget), "")
            row |= {
                f"fd_{b}": cell.fd,
                f"hw_{b}": cell.half_width,
                f"mark_{b}": mark,
                f"used_{b}": cell.nfe,
                f"n_{b}": cell.n,
                f"note_{b}": f"{mark} {of(cell.nfe, b)}".strip(),
                f"why_{b}": cell.why or f"{cell.n} samples, {cell.nfe:g} NFE",
            }
        rows.append(row)
    return rows


def quality_table(found: list[Group]) -> Table:
    """One row a run, one column a budget: the Frechet distance; the first rows are what the data itself shows."""
    frame = pd.DataFrame([row for group in found for row in _quality_rows(group)])
    budgets = sorted({b for group in found for b in _budgets(group.cells)})
    metrics = " or ".join(sorted({group.context["metric"] for group in found}))
    columns = (
        *who(frame),
        *(
            Column(
                f"{b} NFE",
                f"fd_{b}",
                "distance",
                f"hw_{b}",
                f"why_{b}",
                note=f"note_{b}",
                tip=f"{metrics} of samples within {b} network evaluations",
            )
            for b in budgets
        ),
    )
    sizes = sorted({cell.n for group in found for cell in group.cells})
    many = f"{sizes[0]} samples" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]} samples" if sizes else "no samples"
    caption = (
        f"{metrics}: the Frechet distance of features, {many} against the training images, ± half of the 95 % interval "
        f"of a bootstrap over their noise. {BEST} is the least within that budget; {EQUAL} is not told apart from it by "
        "a bootstrap of the difference from the same noise (95 % for all pairs together). In brackets: evaluations as "
        "counted, where the budget cannot be met."
    )
    return Table("quality", "Sample quality within a budget of network evaluations", caption, frame, columns)


def measures_table(found: list[Group]) -> Table:
    """One row a run and budget: every measure, and the time."""
    rows = []
    for group in found:
        rows += [
            {"model": group.label, "solver": level.name, "n": level.n, "fd": level.fd, "hw": level.half_width}
            | {name: level.measures.get(name, nan) for name in MEASURES}
            for level in group.levels
        ]
        for run, cells in _by_run(group.cells).items():
            for cell in cells:
                seconds, inside = cell.total("seconds"), cell.total("network_seconds")
                row = {
                    "budget": cell.budget,
                    "nfe": cell.nfe,
                    "n": cell.n,
                    "fd": cell.fd,
                    "hw": cell.half_width,
                    "why": cell.why,
                    "infinite": cell.infinite,
                    "infinite_hw": 1.96 * cell.infinite_error,
                    "ms": 1e3 * seconds / cell.n,
                    "outside": 100 * (1 - inside / seconds),
                }
                rows.append({"model": group.label, **run._asdict()} | row | {name: cell.mean(name) for name in MEASURES})
    frame = pd.DataFrame(rows)
    fixed = (Column(_HEADINGS[name], name, "fixed" if name not in ("kid", "swd") else "error") for name in MEASURES)
    columns = (
        *who(frame),
        Column("NFE", "nfe", "count", tip="as counted"),
        Column("Samples", "n", "count"),
        Column("Distance", "fd", "distance", "hw", "why"),
        Column("n → ∞", "infinite", "distance", "infinite_hw", tip="extrapolated to infinitely many samples"),
        *fixed,
        Column("ms an image", "ms", "seconds"),
        Column("% outside", "outside", "seconds", tip="of the time, what is not spent in the network"),
    )
    caption = (
        "The Frechet distance, also extrapolated to infinitely many samples (Chong and Forsyth 2020); kernel distance "
        "(its unbiased estimate may be negative); precision and recall, density and coverage by nearest neighbours; "
        "sliced Wasserstein distance: all in the same features, all but the first against the test images."
    )
    return Table("quality-measures", "Every measure of quality, and the time of an image", caption, frame, columns)


def spearman(error: np.ndarray, quality: np.ndarray) -> tuple[float, float]:
    """(rank correlation, probability of one as large by chance): exact for few."""
    if len(set(error)) < 2 or len(set(quality)) < 2:
        return nan, nan
    rho, p = spearmanr(error, quality, alternative="greater")
    if len(error) <= _EXACT:
        a, b = rankdata(error), rankdata(quality)
        orders = a[np.array(list(permutations(range(len(a)))))]
        p = np.mean(orders @ b >= a @ b - 1e-9)
    return float(rho), float(p)


def _interval(error: np.ndarray, cells: list[QualityCell]) -> tuple[float, float]:
    """Where 95 % of the rank correlations lie, as the noise of the samples is drawn anew, the same for all."""
    if any(c.places != cells[0].places or not c.draws.size for c in cells):
        return nan, nan
    a, b = rankdata(error), rankdata([c.draws for c in cells], axis=0)
    a, b = a - a.mean(), b - b.mean(0)
    with np.errstate(invalid="ignore"):
        rho = a @ b / np.sqrt((a @ a) * (b * b).sum(0))
    return tuple(float(q) for q in np.quantile(rho[np.isfinite(rho)], (0.025, 0.975))) if np.isfinite(rho).any() else (nan, nan)  # type: ignore[return-value]  # two quantiles


def _rank_row(group: Group, cells: list[QualityCell], error: np.ndarray) -> dict:
    (rho, p), (low, high) = spearman(error, np.array([c.fd for c in cells])), _interval(error, cells)
    level, pairs = level_for(len(cells)), list(combinations(range(len(cells)), 2))
    told = [(i, j) for i, j in pairs if apart(cells[i], cells[j], group.train, level)]
    agree = sum((cells[i].fd > cells[j].fd) == (error[i] > error[j]) for i, j in told)
    few, ranks, partly = len(cells) < _LEAST, p <= 0.05 and low > 0, low > 0 or 2 * agree > len(told)
    verdict = FEW if few else RANKS if ranks else PART if partly else NOT
    return {
        "solvers": len(cells),
        "rho": rho,
        "low": low,
        "high": high,
        "p": p,
        "ranks": verdict,
        "interval": f"{low:.2f} to {high:.2f}".replace("-", "−") if low == low else "",
        "pairs": len(pairs),
        "told": len(told),
        "agree": agree,
        "told_of": f"{len(told)} of {len(pairs)}",
    }


def rank_table(found: list[Group]) -> Table:
    """One row a budget: the rank correlation of error and quality over the runs that have both."""
    rows = []
    for group in found:
        errors = ladders(group)
        of_cell = {id(c): errors[c.run].after(c.records[0].data["steps"]) for c in group.cells if c.run in errors}
        both = [c for c in group.cells if of_cell.get(id(c), nan) == of_cell.get(id(c), nan) and c.fd == c.fd]
        for place in sorted({(c.run.device, c.run.dtype, c.budget) for c in both}):
            cells = [c for c in both if (c.run.device, c.run.dtype, c.budget) == place]
            if len(cells) > 1:
                head = dict(zip(("device", "dtype", "budget"), place)) | {"model": group.label}
                rows.append(head | _rank_row(group, cells, np.array([of_cell[id(c)] for c in cells])))
    frame = pd.DataFrame(rows)
    columns = (
        Column("NFE", "budget"),
        *who(frame)[1:],
        Column("Runs", "solvers", "count"),
        Column("ρ", "rho", "order", tip="Spearman's rank correlation of error and distance"),
        Column("95 %", "interval", tip="as the noise of the samples is drawn anew"),
        Column("p", "p", "seconds", tip="probability of a correlation as large by chance"),
        Column("told apart", "told_of", tip="pairs whose distances differ"),
        Column("as by error", "agree", "count", tip="of these, how many are in the order of their errors"),
        Column(
            "Quality",
            "ranks",
            tip="ranks: p is at most 0.05 and the interval above 0; in part: the "
            "interval is, or most that is told apart stands in the order of the errors",
        ),
    )
    caption = (
        "Spearman's rank correlation of the error to the exact trajectory and of the distance from the data, over the "
        "deterministic solvers, at equal NFE. Where it is not told from 0, the network's own error swamps that of the "
        "solvers, and quality says nothing about them."
    )
    return Table("quality-rank", "Does quality rank solvers as their error does?", caption, frame, columns)


def limit(ranks: pd.DataFrame) -> tuple[float, float]:
    """(the last budget at which quality ranks, the first after it at which it does not); nan for none."""
    if not len(ranks):
        return nan, nan
    ranking, other = (ranks.loc[ranks["ranks"].isin(v), "budget"] for v in ((RANKS,), (PART, NOT)))
    last = float(ranking.max()) if len(ranking) else nan
    after = other[other > last] if len(ranking) else other
    return last, float(after.min()) if len(after) else nan


def _about_metric(context: Mapping[str, Any]) -> list[str]:
    """What the distance is; nothing where none was measured."""
    if not context["metric"]:
        return []
    measure = f"{context['metric']} is a Frechet distance in {context['features']['dim']} features"
    if context["metric"] == "fid":
        return [f"{measure} of the Inception network of 2015."]
    return [f"{measure} of a classifier that comes with this suite: it is not FID, and compares only with itself."]


def about(group: Group, ranks: pd.DataFrame) -> list[str]:
    """What is said of a group before its tables: the network, the measure, and where quality stops to rank solvers."""
    c = group.context
    size = f" of {c['parameters'] / 1e6:.2g} million parameters" if c.get("parameters") else ""
    of_what = f"trained on {c['data']} images" if c["data"] else "for states"
    kind = f"The exact posterior mean of {c['data']}, images" if c.get("exact") else f"A network{size} {of_what}"
    what = (
        f"{kind} of {' × '.join(map(str, c['shape']))}; {c['schedule']}, λ from {c['lams'][0]:.3g} to {c['lams'][1]:.3g}; "
        f"{'images' if c.get('exact') else 'weights'} {c['model_sha256'][:12]}."
    )
    if c.get("exact"):
        what += " Samples are compared with exact draws of the law, so their distance is the solver's error and nothing else."
    texts = [what, *_about_metric(c)]
    last, after = limit(ranks)
    if last == last:
        rest = f"; from {after:g} NFE on only in part, or not at all." if after == after else ", the most that was measured."
        texts.append(f"Quality ranks the solvers as their error does up to {last:g} NFE{rest}")
    elif after == after:
        texts.append("At no budget does quality rank the solvers as their error does.")
    floors = {run.dtype: r.data.get("rounding") or 0.0 for run, r in group.errors.items()}
    return texts + [
        f"In {dtype} the network alone moves the exact end by {floor:.1e}.".replace("e-", "e\u2011")
        for dtype, floor in sorted(floors.items())
        if floor > 0
    ]


def make_tables(found: list[Group]) -> dict[str, Table]:
    """All tables of the study by name, what is printed first."""
    makers = (error_table, quality_table, distilled.table, yardsticks.table, rank_table, measures_table, error_runs)
    return {table.name: table for table in (maker(found) for maker in makers)}


def _empty(table: Table, column: Column) -> bool:
    """Whether a column of a student's has nothing to say: its teacher was not measured beside it."""
    cells = [row[0].text.strip("—") for row in shown(table._replace(columns=(column,)))]
    return table.name == "quality-distilled" and not any(cells)


def fid_rows(records: Iterable[Record]) -> list[tuple[str, list[str], list[list[str]]]]:
    """(title, headings, rows of text) of what `sdebench fid` prints: for each group its errors, its quality and its ranking,
    in columns that fit a terminal: (4) for "(4 of 5)", and half-widths only where there are few budgets."""
    out = []
    for group in groups(records):
        says = {
            "quality-error": "RMS error to the exact trajectory of the network",
            "quality-distilled": "a student, and its error to the exact trajectory of its teacher",
            "quality-rank": "does quality rank solvers as their error does?",
            "quality": f"{group.context['metric']}; {BEST} the best, {EQUAL} not told apart from it",
        }
        for table in (t for t in make_tables([group]).values() if t.name in says and len(t.frame)):
            kept = tuple(c for c in table.columns if c.key not in _WIDE and not _empty(table, c))
            spread = "" if sum(c.kind == "distance" for c in kept) <= _FEW_BUDGETS else r" ± [\d.]+"
            texts = [[re.sub(r"\((\d+) of \d+\)", r"(\1)", c.text) for c in row] for row in shown(table._replace(columns=kept))]
            rows = [[re.sub(spread, "", text) for text in row] for row in texts] if spread else texts
            out.append((f"{group.label}: {says[table.name]}", [c.heading for c in kept], rows))
    return out
