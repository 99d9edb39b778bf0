"""`sdebench run` and `sdebench order`."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from .output import emit, report_broken, say, table

_SHOWN = ("solver", "problem", "claimed", "smooth", "irregular", "verdict")
_NUMBERS = ("Claimed", "Smooth", "Irregular")


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tell(summary: Any, out: Path) -> None:
    """The run in a few lines on stderr."""
    if summary.failed:
        say(f"{len(summary.failed)} of {summary.measured} cases failed and are recorded as such:")
        for label, message in summary.failed[:5]:
            say(f"  {label}: {message}")
        if len(summary.failed) > 5:
            say(f"  and {len(summary.failed) - 5} more, in {out}")
    say(f"{summary.measured} cases measured in {summary.seconds:.1f} s, {summary.skipped} held already; see {out}")


def _show_orders(found: list[dict], rows: int = 12) -> None:
    """The first rows of the order table."""
    from ..report import emit as written
    from ..report import tables

    if not any(record["study"] == "order" for record in found):
        return
    orders = tables.order_table(found)
    kept = [i for i, column in enumerate(orders.columns) if column.key in _SHOWN]
    cells = [[row[i].text for i in kept] for row in written.cells(orders)]
    title = f"{orders.title}: {min(rows, len(cells))} of {len(cells)} rows"
    table([orders.columns[i].heading for i in kept], cells[:rows], title, _NUMBERS)


def run(
    suite: Annotated[str, typer.Argument(help="A name of 'sdebench list suites', or a TOML file.")] = "quick",
    out: Annotated[Path | None, typer.Option(help="The results file; results/SUITE.jsonl unless given.")] = None,
    jobs: Annotated[int, typer.Option(help="Processes at a time; the number of cores unless given.")] = 0,
    report: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("reports"),
    no_report: Annotated[bool, typer.Option("--no-report", help="Measure only.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Measure failed cases again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> int:
    """Measure a suite, skipping what its results file already holds for this code, and build the report.

    It may be stopped, or killed, at any moment: the same command goes on where it stopped.
    """
    from .. import records
    from ..studies import base, runner
    from .progress import Bar

    name, cases = base.load_suite(suite)
    report_broken()
    out = out or Path("results") / f"{name}.jsonl"
    bar = Bar()
    try:
        summary = runner.run(cases, out, jobs or _cores(), bar, retry_failed)
    finally:
        bar.close()
    if summary.repaired:
        say(summary.repaired)
    _tell(summary, out)
    if summary.interrupted:
        say(f"stopped with {summary.cases - summary.skipped - summary.measured} cases left: the same command goes on")
        return 130
    wanted = set(summary.keys)
    found = records.latest(record for record in records.read(out) if record["key"] in wanted)
    pages = [] if no_report else _build(found, report)
    if as_json:
        emit({**asdict(summary), "results": str(out), "report": pages})
    else:
        _show_orders(found)
        if pages:
            print(f"The page: {report / 'index.html'}")
    return 0


def _build(found: list[dict], folder: Path) -> list[str]:
    from .. import report

    return [str(path) for path in report.build(found, folder)]


def _claim(solver: Any, kind: str, grid: str) -> int | None:
    """The order that a measurement of this kind is held to."""
    from ..grids import IRREGULAR

    if kind == "global":
        return solver.order_irregular if grid in IRREGULAR else solver.order
    return {"local": solver.main_order + 1, "main": solver.main_order, "tolerance": 1}.get(kind)


def order(
    solvers: Annotated[list[str], typer.Argument(help="Spec strings, name[key=value,...], or package.module:Class.")],
    problem: Annotated[str, typer.Option(help="The problem ('sdebench list problems').")] = "mixture-1d",
    grid: Annotated[list[str] | None, typer.Option(help="A grid family; may be given again; all unless given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Measure the order of solvers, one's own too, against what they claim; exit status 1 if a claim is refuted."""
    from rich.console import Console

    from .. import grids
    from ..studies import base

    families = [g for g in (grid or grids.GRIDS) if grids.get(g)]
    specs = base.solver_specs(solvers)
    made_problem = base.problem(problem)
    report_broken()
    found = []
    with Console(stderr=True).status("") as status:
        for spec in specs:
            for row in _measured(spec, made_problem, families, status.update):
                found.append({"solver": spec, "problem": problem, **row})
    if as_json:
        emit(found)
    else:
        _show_measured(specs, problem, found)
    return int(any(row["verdict"] == "refuted" for row in found))


def _plan(solver: Any, families: list[str]) -> list[tuple[str, str]]:
    """What is measured of a solver: (kind, grid) pairs."""
    from ..solver import Solver

    if getattr(solver, "adaptive", False):
        return [("tolerance", "")]
    runs = [("global", grid) for grid in families]
    if not isinstance(solver, Solver):
        return runs
    parts = ("main", "start-up", "end-point") if solver.memory else ()
    return [("local", ""), *runs, *((part, "") for part in parts)]


def _measured(spec: str, problem: Any, families: list[str], note: Any):
    """One row a measurement, as it is made; a solver that raises gives a row that says so."""
    from rich.markup import escape

    from ..studies import base
    from ..studies.order import measure_order

    solver = base.solver(spec)
    for kind, grid in _plan(solver, families):
        note(escape(f"{spec} {kind} {grid}"))
        row = {"kind": kind, "grid": grid, "claim": _claim(solver, kind, grid)}
        try:
            fit = measure_order(solver, problem, kind=kind, grid=grid)
        except Exception as error:  # whatever a stranger's solver does wrong
            what = f"{type(error).__name__}: {error}".splitlines()[0]
            yield row | {"order": None, "half_width": None, "constant": None, "verdict": "failed", "reason": what}
        else:
            yield row | {"order": fit.order, "half_width": fit.half_width, "constant": fit.constant,
                         "verdict": fit.verdict if row["claim"] is not None else "", "reason": fit.reason}  # fmt: skip


def _show_measured(specs: list[str], problem: str, found: list[dict]) -> None:
    for spec in specs:
        rows = [row for row in found if row["solver"] == spec]
        cells = [(row["kind"], row["grid"], row["claim"], *_numbers(row), row["verdict"]) for row in rows]
        table(("kind", "grid", "claim", "measured", "constant", "verdict"), cells, f"{spec} on {problem}",
              ("claim", "measured", "constant"))  # fmt: skip
        for row in rows:
            if row["reason"]:
                print(f"  {row['kind']} {row['grid']}: {row['reason']}")


def _numbers(row: dict) -> tuple[str, str]:
    """Measured order with its half-width, and the error constant, as text."""
    if row["order"] is None or row["order"] != row["order"]:
        return "", ""
    constant = "" if row["constant"] is None or row["constant"] != row["constant"] else f"{row['constant']:.2e}"
    return f"{row['order']:.2f} ± {row['half_width']:.2f}", constant
