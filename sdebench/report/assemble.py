"""Everything a report consists of, written so that a reader never sees half a file."""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from sdebench._support.files import write_atomic
from sdebench.records import latest
from sdebench.report import (
    cost_figures,
    costs,
    emit,
    heatmap,
    law_figure,
    matching,
    matching_figures,
    noise_figures,
    noise_tables,
    profile,
    profile_figures,
    quality,
    quality_figures,
    seed_page,
    tables,
)
from sdebench.report.facts import Record, of_orders, only_profile, prepare_records
from sdebench.report.figures import convergence, strong, weak
from sdebench.report.page import Journey, Picture, html, problems_of, stem
from sdebench.report.quality_cells import Group, groups
from sdebench.report.style import render
from sdebench.report.tables import Table, grid_names, headline

_LONG = 400  # rows of costs


def make_tables(records: list[Record], found: list[Group] | None = None) -> dict[str, Table]:
    """All tables of a report, by name; `found` are the groups of the quality study, if they were read already."""
    makers = (
        tables.order_table,
        tables.grid_table,
        tables.failure_table,
        costs.budget_table,
        costs.runs_table,
        costs.law_table,
        costs.law_runs_table,
        costs.floor_table,
        *noise_tables.MAKERS,
        *matching.MAKERS,
        *profile.MAKERS,
    )
    found = groups(records) if found is None else found
    return {table.name: table for table in (*(make(records) for make in makers), *quality.tables(found))}


class Drawing(NamedTuple):
    """A figure to draw: file stem, section of the page, caption, and what draws it."""

    name: str
    section: str
    caption: str
    draw: Callable[[], Figure]


def _smooth_first(names: list[str], full: bool) -> list[str]:
    """One smooth grid, and the irregular one where there is room for it."""
    if not names:
        return []
    smooth = "uniform_lam" if "uniform_lam" in names else names[0]
    return list(dict.fromkeys([smooth, "irregular"] if full and "irregular" in names else [smooth]))


def _order_plans(records: list[Record], grids: Table, problem: str, full: bool) -> Iterator[Drawing]:
    here = [r for r in records if r["study"] == "order" and r["case"]["problem"] == problem]
    of = {kind: [r for r in here if r["case"].get("kind") == kind] for kind in ("global", "weak", "strong")}
    names, name = grid_names(here), stem(problem)
    if names:
        caption = f"{problem}: measured minus claimed order on each grid, weak of ~ stochastic ones; claims in brackets."
        yield Drawing(f"orders-{name}", "grids", caption, partial(heatmap.heat_map, grids, problem, names))
    for grid in _smooth_first(grid_names(of["global"]), full):
        caption = f"{problem}, grid {grid}: dots are measured, full lines fitted slopes, dashes claimed ones."
        yield Drawing(f"convergence-{name}-{stem(grid)}", "convergence", caption, partial(convergence, records, problem, grid))
    for grid in _smooth_first(grid_names(of["weak"]), True):
        caption = f"{problem}, grid {grid}: weak error of the stochastic methods, that of their law."
        yield Drawing(f"weak-{name}-{stem(grid)}", "weak", caption, partial(weak, records, problem, grid))
    if of["strong"]:
        caption = (
            f"{problem}: strong error, of paths that follow one Brownian motion; full lines fit its RMS, thin lines are "
            "its median. On well separated mixtures a few paths end in another mode: the RMS counts little else, and "
            "its slope is noise."
        )
        yield Drawing(f"strong-{name}", "strong", caption, partial(strong, records, problem))


def plans(records: list[Record], made: dict[str, Table], found: list[Group]) -> Iterator[Drawing]:
    """The figures of a report.  The first problem has all; of the others the page would be too heavy with them."""
    names = ("grids", "work-precision-runs", "work-precision", "law-runs", "law", "floor")
    grids, runs, budgets, laws, law_budgets, floors = (made[name] for name in names)
    for i, problem in enumerate(p["name"] for p in problems_of(records)):
        has = {t.name: "problem" in t.frame and problem in set(t.frame["problem"]) for t in (runs, laws, floors)}
        yield from _order_plans(records, grids, problem, i == 0)
        for against, what in (("nfe", "network evaluations"), ("seconds", "time"))[: 2 if i == 0 else 1]:
            if has["work-precision-runs"]:
                yield Drawing(
                    f"work-precision-{stem(problem)}-{against}",
                    "work",
                    f"{problem}: error against {what}.",
                    partial(cost_figures.work_precision, runs, budgets, problem, against),
                )
        if has["law-runs"]:
            caption = (
                f"{problem}: Wasserstein-2 distance of a run's law from the exact one, against network evaluations. "
                "Named: the best of either kind within 32 evaluations; pale: all others."
            )
            yield Drawing(f"law-{stem(problem)}", "law", caption, partial(law_figure.law, laws, law_budgets, problem))
        if has["floor"]:
            yield Drawing(
                f"floor-{stem(problem)}",
                "floor",
                f"{problem}: error against steps in three number formats.",
                partial(cost_figures.floor, records, floors, problem),
            )
        yield from _family_plans(records, made, problem)
        yield from _matching_plans(made, problem)
    yield from _quality_plans(made, found)
    yield from _profile_plans(made["profile"])


def _family_plans(records: list[Record], made: dict[str, Table], problem: str) -> Iterator[Drawing]:
    normal = "a normal start is N(0, α² + σ²) in the place of the marginal"
    back, over, name = noise_tables.of_kind(records, "paths"), made["family-distance-runs"], stem(problem)
    if any(r["case"]["problem"] == problem for r in back):
        caption = f"{problem}: paths to noise and back, over the exact density; coloured by their place in the data."
        yield Drawing(f"paths-{name}", "family", caption, partial(noise_figures.paths, back, problem))
    if "problem" in over.frame and problem in set(over.frame["problem"]):
        caption = f"{problem}: distance of Euler-Maruyama's law from the exact marginal over time, by noise; {normal}."
        yield Drawing(f"family-distance-{name}", "family", caption, partial(noise_figures.over_time, over, problem))
    amounts = made["family-amount"]
    if "problem" in amounts.frame and problem in set(amounts.frame["problem"]):
        caption = f"{problem}: distance of laws at the end of the span against noise, at equal NFE; {normal}."
        yield Drawing(f"family-amount-{name}", "family", caption, partial(noise_figures.amount, amounts, problem))


def _matching_plans(made: dict[str, Table], problem: str) -> Iterator[Drawing]:
    for name, shown, draw, caption in matching_figures.DRAWN:
        table = made[shown]
        if "problem" in table.frame and problem in set(table.frame["problem"]):
            yield Drawing(f"{name}-{stem(problem)}", "matching", f"{problem}: {caption}.", partial(draw, table, problem))


def _quality_plans(made: dict[str, Table], found: list[Group]) -> Iterator[Drawing]:
    curves = (
        (
            "quality-error",
            quality_figures.error_curves,
            "RMS error to the exact trajectory of the network against NFE; full dots are those that the order was read from",
        ),
        (
            "quality",
            quality_figures.quality_curves,
            "distance of the samples from the data, at the same NFE; bars are "
            "95 % intervals, dashes what the data itself shows",
        ),
    )
    shown = [made[name] for name in ("quality", "quality-error-runs", "quality-rank")]
    for group in found:
        name, of = stem(group.label), {"quality-error": [*group.errors], "quality": [c.run for c in group.cells]}
        grids = dict.fromkeys(run.grid for runs in of.values() for run in runs)
        for grid in grids:
            where = f"{group.label}, grid {grid}" if len(grids) > 1 else group.label
            for kind, draw, caption in (c for c in curves if any(run.grid == grid for run in of[c[0]])):
                caption += "; black marks are distilled networks" if kind == "quality" and group.students else ""
                yield Drawing(
                    f"{kind}-{name}-{stem(grid)}", f"quality {name}", f"{where}: {caption}.", partial(draw, *shown, group, grid)
                )
        for title, rows in quality_figures.sample_figures(group):
            caption = f"{group.label}, {title}: every column starts from one noise; nothing is selected."
            yield Drawing(f"samples-{name}-{stem(title)}", f"samples {name}", caption, partial(quality_figures.samples, rows))


def _profile_plans(table: Table) -> Iterator[Drawing]:
    for label in profile_figures.places(table):
        for name, key, draw, caption in profile_figures.DRAWN:
            shown, others = profile_figures.chosen(table, label, key)
            if shown:
                yield Drawing(
                    f"profile-{name}-{stem(label)}",
                    f"profile {stem(label)}",
                    f"{label}: {caption}.{profile_figures.left_out(others)}",
                    partial(draw, table, label),
                )


def _journey(group: Group) -> Journey:
    own = {table.name: table for table in quality.tables([group])}
    return Journey(group.label, stem(group.label), quality.about(group, own["quality-rank"].frame), own)


def readme(records: list[Record], made: dict[str, Table], pictures: list[Picture], pages: Iterable[str] = ()) -> str:
    """The report as GitHub shows it: counts, main table, figures; and links to the other `pages`."""
    counts = ", ".join(f"{n} {v}" for v, n in headline(made["orders"].frame).items()) or "no orders measured"
    solvers = {r["case"]["solver"] for r in of_orders(records) if "solver" in r["case"]}
    without = len(solvers) - (0 if made["orders"].frame.empty else made["orders"].frame["solver"].nunique())
    counts += f", {without} without an order" if without and not made["orders"].frame.empty else ""
    where = ("{name} ({schedule}, t from {span[0]:g} to {span[1]:g})".format(**p) for p in problems_of(records))
    orders = ["# The order of every sampler, measured", f"{len(solvers)} solvers: {counts}.", f"Problems: {'; '.join(where)}."]
    other = "# What a step costs" if only_profile(records) else "# Sample quality against network evaluations"
    parts = [
        *(orders if of_orders(records) else [other]),
        "Made by `sdebench report`. `index.html` is the same, with tables to sort; `tables/` has CSV and LaTeX too.",
    ]
    if "seed.md" in pages:
        parts.append("[The seed, statement by statement](seed.md): every formula of the survey behind this suite, measured.")
    if not made["orders"].frame.empty:
        parts += ["## Orders", made["orders"].caption, emit.markdown(made["orders"])]
    quality_tables = [made[f"quality{name}"] for name in ("-error", "", "-distilled", "-yardsticks", "-rank")]
    for table in (table for table in quality_tables if len(table.frame)):
        parts += [f"## {table.title}", table.caption, emit.markdown(table)]
    parts += _costs(made["profile"])
    parts += ["## Figures", *(f"![{p.caption}](figures/{p.name}.svg)\n\n{p.caption}" for p in pictures)]
    if not made["floor"].frame.empty:
        parts += [f"## {made['floor'].title}", made["floor"].caption, emit.markdown(made["floor"])]
    if not made["matching-training"].frame.empty:
        parts += [
            f"## {made['matching-training'].title}",
            made["matching-training"].caption,
            emit.markdown(made["matching-training"]),
        ]
    if not made["failures"].frame.empty:
        parts += [f"## {made['failures'].title}", emit.markdown(made["failures"])]
    return "\n\n".join(p.strip() for p in parts) + "\n"


def _costs(table: Table) -> list[str]:
    """The table of costs, where it is not too long for a page that nobody can sort."""
    if table.frame.empty:
        return []
    body = emit.markdown(table) if len(table.frame) <= _LONG else "The table is in [tables/profile.md](tables/profile.md)."
    return [f"## {table.title}", table.caption, body]


def build(records: Iterable[Record], out_dir: str | Path) -> list[Path]:
    """Write index.html, README.md, tables/ (.md, .csv, .tex), figures/ (.svg, .png) and, where there are records of the seed's
    statements, seed.md under `out_dir`; returns the paths.  From such records alone it writes seed.md alone.

    Raises UsageError where there are no records.
    """
    records, out = list(records), Path(out_dir)
    seed, rest = ([r for r in records if (r["study"] == "seed") is wanted] for wanted in (True, False))
    files: dict[str, str | bytes] = {"seed.md": seed_page.markdown(latest(seed))} if seed else {}
    if rest or not seed:
        files |= _order_files(rest, files)
    return [write_atomic(out / name, content) for name, content in files.items()]


def _order_files(records: list[Record], pages: Iterable[str]) -> dict[str, str | bytes]:
    """Every file of the report on solvers."""
    kept = prepare_records(records)
    found = groups(kept)
    made = make_tables(kept, found)
    pictures = [Picture(p.name, p.section, p.caption, render(p.draw(), p.name)) for p in plans(kept, made, found)]
    files = {f"figures/{p.name}.{kind}": data for p in pictures for kind, data in p.data.items()}
    for table in (t for t in made.values() if not t.frame.empty):
        files[f"tables/{table.name}.csv"] = emit.csv(table)
        if not table.name.endswith("-runs"):  # thousands of rows: for programs only
            files |= {f"tables/{table.name}.md": emit.markdown(table), f"tables/{table.name}.tex": emit.latex(table)}
    shown = [_journey(group) for group in found]
    return files | {"README.md": readme(kept, made, pictures, pages), "index.html": html(kept, made, pictures, shown, pages)}
