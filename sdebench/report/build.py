"""Everything a report consists of, written so that a reader never sees half a file."""

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from . import cost_figures, costs, emit, heatmap, tables
from .facts import Record, checked
from .figures import convergence
from .page import Picture, html, problems_of
from .style import render
from .tables import Table, grid_names, headline

_ROWS_IN_README = 400


def write_atomic(path: Path, content: str | bytes) -> Path:
    """Write to a file beside it, then put that in its place."""
    path.parent.mkdir(parents=True, exist_ok=True)
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path


def make_tables(records: list[Record]) -> dict[str, Table]:
    """All tables of a report, by name."""
    made = (tables.order_table(records), tables.grid_table(records), costs.budget_table(records), costs.floor_table(records),
            tables.failure_table(records), costs.runs_table(records))
    return {t.name: t for t in made}


def _pictures(records: list[Record], made: dict[str, Table]) -> Iterable[tuple[str, str, str, object, bool]]:
    """(name, section, caption, figure, inline), the first problem in full, the others with the most telling figures."""
    grids, runs, floors = made["grids"], made["work-precision-runs"], made["floor"]
    names = grid_names(records)
    for i, problem in enumerate(p["name"] for p in problems_of(records)):
        if not grids.frame.empty and problem in set(grids.frame["problem"]):
            yield (f"orders-{problem}", "grids", f"{problem}: measured minus claimed order (the claim in brackets) on each grid.",
                   heatmap.heat_map(grids, problem, names), True)
            smooth = "uniform_lam" if "uniform_lam" in names else names[0]
            for grid in [smooth] + [g for g in ("irregular",) if g in names and i == 0 and g != smooth]:
                yield (f"convergence-{problem}-{grid}", "convergence", f"{problem}, grid {grid}: dots are measured, full lines the fitted "
                       "slopes, dashes the claimed ones.", convergence(records, problem, grid), True)
        if not runs.frame.empty and problem in set(runs.frame["problem"]):
            for against, what in (("nfe", "network evaluations"), ("seconds", "time"))[: 2 if i == 0 else 1]:
                yield (f"work-precision-{problem}-{against}", "work", f"{problem}: error against {what}.",
                       cost_figures.work_precision(runs, made["work-precision"], problem, against), True)
        if not floors.frame.empty and problem in set(floors.frame["problem"]):
            yield (f"floor-{problem}", "floor", f"{problem}: error in three formats.", cost_figures.floor(records, floors, problem), True)


def readme(records: list[Record], made: dict[str, Table], pictures: list[Picture]) -> str:
    """The report as GitHub shows it: counts, main table, figures."""
    counts = ", ".join(f"{n} {v}" for v, n in headline(made["orders"].frame).items())
    parts = ["# The order of every sampler, measured", f"{len({r['case']['solver'] for r in records})} solvers: {counts}.",
             "Problems: " + "; ".join(f"{p['name']} ({p['schedule']}, t from {p['span'][0]:g} to {p['span'][1]:g})"
                                      for p in problems_of(records)) + ".",
             "`index.html` is the same with tables to sort; `tables/` has CSV and LaTeX. Made by `sdebench report`; not edited."]
    if not made["orders"].frame.empty:
        parts += ["## Orders", made["orders"].caption, emit.markdown(made["orders"], _ROWS_IN_README)]
    parts += ["## Figures", *(f"![{p.caption}](figures/{p.name}.svg)\n\n{p.caption}" for p in pictures)]
    if not made["floor"].frame.empty:
        parts += [f"## {made['floor'].title}", made["floor"].caption, emit.markdown(made["floor"])]
    if not made["failures"].frame.empty:
        parts += [f"## {made['failures'].title}", emit.markdown(made["failures"])]
    return "\n\n".join(p.strip() for p in parts) + "\n"


def build(records: Iterable[Record], out_dir: str | Path) -> list[Path]:
    """Write index.html, README.md, tables/*.md, .csv, .tex and figures/*.svg, .png under `out_dir`; returns their paths.

    Raises UsageError where there are no records.
    """
    kept, out = checked(records), Path(out_dir)
    made = make_tables(kept)
    pictures = [Picture(name, section, caption, render(figure, name), inline)
                for name, section, caption, figure, inline in _pictures(kept, made)]
    written = [write_atomic(out / "figures" / f"{p.name}.{kind}", data) for p in pictures for kind, data in p.data.items()]
    for table in (t for t in made.values() if not t.frame.empty):
        written.append(write_atomic(out / "tables" / f"{table.name}.csv", emit.csv(table)))
        if table.name != "work-precision-runs":     # thousands of rows: for programs only
            written += [write_atomic(out / "tables" / f"{table.name}.md", emit.markdown(table)),
                        write_atomic(out / "tables" / f"{table.name}.tex", emit.latex(table))]
    written.append(write_atomic(out / "README.md", readme(kept, made, pictures)))
    return [*written, write_atomic(out / "index.html", html(kept, made, pictures))]
