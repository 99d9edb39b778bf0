"""`sdebench run` and `sdebench order`."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from itertools import groupby
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

from sdebench._support.errors import UsageError
from sdebench.cli.output import emit, report_broken, say, table
from sdebench.cli.places import Backend, Patience, Scheduler, Workplace, place

_SHOWN = ("solver", "verdict", "claimed", "smooth", "irregular")
_MEASURED = ("order", "half_width", "constant", "verdict", "reason", "points")


def _tell(summary: Any, out: Path) -> None:
    """The run in a few lines on stderr."""
    if summary.repaired:
        say(summary.repaired)
    if summary.failed:
        say(f"{len(summary.failed)} of {summary.measured} cases failed and are recorded as such:")
        for label, message in summary.failed[:5]:
            say(f"  {label}: {message}")
        if len(summary.failed) > 5:
            say(f"  and {len(summary.failed) - 5} more, in {out}")
    if summary.retried:
        (label, fault), n = summary.retried[0], len(summary.retried)
        say(f"{n} case{'s' * (n > 1)} got a second try, for what happened to a worker ({label}: {fault})")
    say(f"{summary.measured} cases measured in {summary.seconds:.1f} s, {summary.skipped} held already; see {out}")
    if summary.interrupted:
        say(f"stopped with {summary.cases - summary.skipped - summary.measured} cases left: the same command goes on")


def measured(cases: list[dict], out: Path, where: Workplace, retry_failed: bool = False) -> tuple[Any, list[dict]]:
    """(summary of the run, latest records of the cases); with a progress bar, and what was done on stderr."""
    from sdebench import records
    from sdebench.cli.progress import Bar
    from sdebench.engine import runner

    bar = Bar()
    try:
        summary = runner.run(cases, out, where.jobs, bar, retry_failed, where.scheduler, where.patience)
    finally:
        bar.close()
    _tell(summary, out)
    wanted = set(summary.keys)
    return summary, records.latest(record for record in records.read(out) if record["key"] in wanted)


def _show_orders(found: list[dict], rest: str, rows: int = 12) -> None:
    """The first rows of the order table, a line each, under their problems; `rest` says where the others are."""
    from sdebench.report import emit as written
    from sdebench.report import tables

    if not any(record["study"] == "order" for record in found):
        return
    orders = tables.order_table(found)
    columns = [column for column in orders.columns if column.key in _SHOWN]
    all_rows = orders.frame.to_dict("records")
    problems = list(dict.fromkeys(row["problem"] for row in all_rows))
    kept = sorted(all_rows, key=lambda row: problems.index(row["problem"]))[:rows]
    lines: list[Sequence[str]] = []
    for problem, its in groupby(kept, key=lambda row: row["problem"]):
        lines.append((problem,))
        for row in its:
            texts = {column.key: written.cell(row, column).text for column in columns}
            lines.append(list((texts | {"verdict": texts["verdict"].partition(" ")[0]}).values()))
    found_here = {row["verdict"] for row in kept}
    marks = ", ".join(f"{mark} {verdict}" for verdict, mark in written.SYMBOLS.items() if verdict in found_here)
    more = f" of {len(all_rows)}; the others {rest}" if len(all_rows) > rows else ""
    heads = ["" if column.key == "verdict" else column.heading for column in columns]
    title = f"{orders.title}, {len(kept)} rows{more}\n{marks}"
    table(heads, lines, title, [column.heading for column in columns if column.kind in written.NUMERIC])


def run(
    suite: Annotated[str, typer.Argument(help="A name of 'sdebench list suites', or a TOML file.")] = "quick",
    out: Annotated[Path | None, typer.Option(help="The results file; results/SUITE.jsonl unless given.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Processes at a time; the number of cores unless given.")] = None,
    backend: Backend = "processes",
    scheduler: Scheduler = "",
    patience: Patience = None,
    report: Annotated[Path | None, typer.Option(help="Folder of the report; reports/SUITE unless given.")] = None,
    no_report: Annotated[bool, typer.Option("--no-report", help="Measure only.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Measure failed cases again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> int:
    """Measure a suite, skipping what its results file already holds for this code, and build the report.

    It may be stopped, or killed, at any moment: the same command goes on where it stopped.
    """
    from sdebench.studies import base

    where = place(jobs, backend, scheduler, patience)
    with warnings.catch_warnings(record=True) as notes:
        name, cases = base.load_suite(suite)
    alone = base.alone(cases)
    if alone and (scheduler or jobs not in (None, 1)):
        raise UsageError(f"study {alone!r} times its cases, one at a time: leave --jobs and --backend out, or give it a suite")
    where = where._replace(jobs=1) if alone else where
    report_broken()
    out = out or Path("results") / f"{name}.jsonl"
    summary, found = measured(cases, out, where, retry_failed)
    if summary.interrupted:
        return 130
    pages = [] if no_report else _build(found, report or Path("reports") / name)
    if as_json:
        done = {name: value for name, value in asdict(summary).items() if name != "keys"}
        emit(done | {"results": str(out), "report": pages})
    else:
        page = next((page for page in pages if page.endswith("index.html")), "")
        _show_orders(found, f"on {page}" if page else f"by 'sdebench report {out}'")
        if page:
            print(f"The page: {page}")
    for note in notes:
        say(str(note.message), dim=True)
    return 0


def _build(found: list[dict], folder: Path) -> list[str]:
    from sdebench import report

    return [str(path) for path in report.build(found, folder)]


def order(
    solvers: Annotated[list[str], typer.Argument(help="Spec strings, name[key=value,...], or package.module:Class.")],
    problem: Annotated[str | None, typer.Option(help="The problem; mixture-1d unless given, gaussian for weak orders.")] = None,
    grid: Annotated[list[str] | None, typer.Option(help="A grid family; may be given again; all unless given.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Measure the order of solvers, one's own too, against what is claimed; exit status 1 if a claim is refuted.

    The claim is the literature's (claimed_order); beside it stands the order that the method itself states.
    Network evaluations are counted, and held against nfe_per_step.
    """
    from rich.console import Console
    from rich.markup import escape

    from sdebench import grids
    from sdebench.studies import base

    families = [name for name in grid or grids.names() if grids.get(name)]  # get refuses a name that is none
    specs = base.solver_specs(solvers)
    if problem:
        base.problem(problem)
    report_broken()
    found, counts = [], {spec: counted(spec, problem or "mixture-1d") for spec in specs}
    with Console(stderr=True).status("") as status:
        for spec in specs:
            found += _measured(spec, problem, families, lambda what: status.update(escape(what)))
    if as_json:
        emit([row | _nfe(counts[row["solver"]]) for row in found])
    else:
        _show_measured(counts, found)
    wrong = any(count is not None and not count.agree for count in counts.values())
    return int(wrong or any(row["verdict"] in ("refuted", "failed") for row in found))


def counted(spec: str, problem: str) -> Any:
    """The evaluations of a step, stated and counted: None for a method that chooses its steps, or cannot be run."""
    from sdebench.studies import base
    from sdebench.studies.nfe import evaluations

    try:
        return evaluations(base.solver(spec), base.problem(problem))
    except Exception:  # whatever a stranger's solver does wrong
        return None


def _nfe(count: Any) -> dict[str, float | None]:
    """What a row says of them."""
    return {"nfe_stated": count and count.stated, "nfe_counted": count and count.counted}


def _measured(spec: str, problem: str | None, families: list[str], note: Callable[[str], None]) -> Iterator[dict]:
    """One row a measurement, as it is made; a solver that raises gives a row that says so."""
    from sdebench.records.claims import WHOLE_RUNS, held_to
    from sdebench.studies import base
    from sdebench.studies.order.measure import default_problem, kinds_of, measure_order

    solver = base.solver(spec)
    claims = base.claims(solver)
    for kind in kinds_of(solver):
        for grid in families if kind in WHOLE_RUNS else [""]:
            note(f"{spec} {kind} {grid}")
            where = problem or default_problem(kind)
            row = {"solver": spec, "problem": where, "kind": kind, "grid": grid}
            row["claim"], row["stated"] = held_to(claims, kind, grid)
            try:
                got = measure_order(solver, where, kind=kind, grid=grid, claim=row["claim"])
            except Exception as error:  # whatever a stranger's solver does wrong
                lines = f"{type(error).__name__}: {error}".splitlines()
                yield row | dict.fromkeys(_MEASURED) | {"verdict": "failed", "reason": lines[0]}
            else:
                yield row | {name: getattr(got, name) for name in _MEASURED}


def _show_measured(counts: dict[str, Any], found: list[dict]) -> None:
    """A table for each solver; `counts` are its evaluations a step."""
    for spec, count in counts.items():
        rows = [row for row in found if row["solver"] == spec]
        if not rows:
            print(f"{spec} states that its law does not tend to the exact one: no order to measure (the study 'law' has it)")
        else:
            _show_rows(spec, rows)
        if count is not None:
            print(f"NFE a step: {count}")


def _show_rows(spec: str, rows: list[dict]) -> None:
    """The table of one solver, and why there is no order where there is none."""
    from sdebench.studies import base

    cells = [(row["kind"], row["grid"], row["claim"], row["stated"], *_figures(row), row["verdict"]) for row in rows]
    heads = ("kind", "grid", "claim", "stated", "measured", "constant", "verdict")
    solver = base.solver(spec)
    where = " and ".join(dict.fromkeys(row["problem"] for row in rows))
    title = f"{spec} on {where}; claimed: {'weak ' * solver.stochastic}order {solver.claimed_order}"
    table(heads, cells, title, ("claim", "stated", "measured", "constant"))
    for row in rows:
        if row["reason"]:
            print(f"{row['kind']} {row['grid']}: {row['reason']}".replace(" :", ":"))


def _figures(row: dict) -> tuple[str, str]:
    """Measured order with its half-width, and the error constant, as text."""
    order, half_width, constant = (row[name] for name in ("order", "half_width", "constant"))
    shown = f"{order:.2f} ± {half_width:.2f}" if order is not None and isfinite(order) else ""
    return shown, f"{constant:.2e}" if constant is not None and isfinite(constant) else ""
