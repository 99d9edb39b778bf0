"""`sdebench run`."""

import warnings
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sdebench._support.errors import UsageError
from sdebench.cli.output import emit, report_broken, say, table
from sdebench.cli.places import Backend, Patience, Scheduler, Workplace, place

if TYPE_CHECKING:
    from sdebench.engine.rekey import Voided
    from sdebench.engine.runner import Summary
    from sdebench.engine.suite import Task
    from sdebench.records import Record
    from sdebench.report.section import Section

BASELINE = Path("results/baseline.json")
_ROWS = 12  # of a table that is shown after a run


def _tell(summary: "Summary", out: Path) -> None:
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
    measured = f"{summary.measured} case{'s' * (summary.measured != 1)}"
    say(f"{measured} measured in {summary.seconds:.1f} s, {summary.skipped} held already; see {out}")
    if summary.interrupted:
        say(f"stopped with {summary.cases - summary.skipped - summary.measured} cases left: the same command goes on")


def measure_tasks(
    tasks: Sequence["Task"], out: Path, where: Workplace, retry_failed: bool = False
) -> tuple["Summary", list["Record"]]:
    """(summary of the run, latest records of the cases); with a progress bar, and what was done on stderr."""
    from sdebench.cli.progress import Bar
    from sdebench.engine import runner
    from sdebench.records import latest, read
    from sdebench.report import sort_out

    bar = Bar()
    try:
        summary = runner.run(tasks, out, where.jobs, bar, retry_failed, where.scheduler, where.patience)
    finally:
        bar.close()
    _tell(summary, out)
    wanted = set(summary.keys)
    kept, odd = sort_out(latest(record for record in read(out) if record.key in wanted))
    for one in odd:
        say(f"a record in {out} cannot be shown ({one.record.key}: {one.why}): remove its line to have it measured again")
    return summary, kept


def _show_sections(sections: Sequence["Section"], rest: str) -> None:
    """The first rows of each section's main table, a line each, under their problems; `rest` says where the others are."""
    from sdebench.report.section import TableBlock

    for section in sections:
        for block in section.blocks:
            if isinstance(block, TableBlock) and block.terminal and len(block.table.frame):
                _show_table(block.table, block.terminal, rest)


def _show_table(shown: Any, keys: Sequence[str], rest: str) -> None:
    from sdebench.report import emit as written

    columns = [column for column in shown.columns if column.key in keys]
    all_rows = shown.frame.to_dict("records")
    problems = list(dict.fromkeys(row.get("problem", "") for row in all_rows))
    kept = sorted(all_rows, key=lambda row: problems.index(row.get("problem", "")))[:_ROWS]
    lines: list[Sequence[str]] = []
    for problem, its in groupby(kept, key=lambda row: row.get("problem", "")):
        if problem:
            lines.append((problem,))
        for row in its:
            texts = {column.key: written.cell(row, column).text for column in columns}
            short = {key: text.partition(" ")[0] for key, text in texts.items() if key == "verdict"}
            lines.append(list((texts | short).values()))
    marks = ", ".join(
        f"{mark} {word}" for word, mark in written.SYMBOLS.items() if word in {row.get("verdict") for row in kept}
    )
    more = f" of {len(all_rows)}; the others {rest}" if len(all_rows) > _ROWS else ""
    heads = ["" if column.key == "verdict" else column.heading for column in columns]
    title = f"{shown.title}, {len(kept)} row{'s' * (len(kept) != 1)}{more}\n{marks}".rstrip()
    table(heads, lines, title, [column.heading for column in columns if column.kind in written.NUMERIC])


def _explain(found: Sequence["Voided"], as_json: bool) -> int:
    """Say of the cases that would be measured why; cases with one reason are told together."""
    if as_json:
        emit([{"case": v.planned.task.json, "why": v.why} for v in found])
        return 0
    reasons: dict[str, list[str]] = {}
    for one in found:
        reasons.setdefault(one.why, []).append(one.planned.task.label)
    for why, labels in reasons.items():
        shown = ", ".join(labels[:3]) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")
        print(f"{len(labels)} case{'s' * (len(labels) > 1)} ({shown}): {why}")
    print(f"{len(found)} case{'s' * (len(found) != 1)} would be measured")
    return 0


def _accept(tasks: Sequence["Task"], out: Path, reason: str) -> int:
    """Keep the records of cases whose code changed, where the gate finds nothing moved; exit status 1 where it does."""
    from sdebench.cli.gate import find_moved
    from sdebench.engine.rekey import accept

    done = accept(tasks, out, reason, lambda names: find_moved(names, BASELINE))
    for solver, why in done.refused.items():
        say(f"the records of {solver} are not kept: {why}")
    kept = f"1 record of {out} has" if done.kept == 1 else f"{done.kept} records of {out} have"
    say(f"{kept} the key of the code as it is; the numbers are what they were")
    if done.left:
        left = "1 case has" if done.left == 1 else f"{done.left} cases have"
        say(f"{left} no record to keep: 'sdebench run' measures what is missing")
    return int(bool(done.refused))


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
    why: Annotated[bool, typer.Option("--why", help="Say which cases would be measured and which functions changed.")] = False,
    accept_code: Annotated[
        str | None, typer.Option(help="Keep records whose code changed, with this reason, if the gate finds nothing moved.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was done as JSON.")] = False,
) -> int:
    """Measure a suite, skipping what its results file already holds for this code, and build the report.

    It may be stopped, or killed, at any moment: the same command goes on where it stopped.
    """
    from sdebench.engine.rekey import voided
    from sdebench.engine.suite import load_suite, measured_alone

    where = place(jobs, backend, scheduler, patience)
    with warnings.catch_warnings(record=True) as notes:
        name, tasks = load_suite(suite)
    report_broken()
    out = out or Path("results") / f"{name}.jsonl"
    if why:
        return _explain(voided(tasks, out), as_json)
    if accept_code is not None:
        return _accept(tasks, out, accept_code)
    alone = measured_alone(tasks)
    if alone and (scheduler or jobs not in (None, 1)):
        raise UsageError(f"study {alone!r} times its cases, one at a time: leave --jobs and --backend out, or give it a suite")
    where = where._replace(jobs=1) if alone else where
    summary, found = measure_tasks(tasks, out, where, retry_failed)
    if summary.interrupted:
        return 130
    folder = report or Path("reports") / name
    pages = [] if no_report else _build(found, folder)
    if as_json:
        done = {name: value for name, value in asdict(summary).items() if name != "keys"}
        emit(done | {"results": str(out), "report": pages})
    elif found:
        from sdebench.report import make_sections

        page = next((page for page in pages if page.endswith("index.html")), "")
        _show_sections(make_sections(found), f"on {page}" if page else f"by 'sdebench report {out}'")
        if page:
            print(f"The page: {page}")
    for note in notes:
        say(str(note.message), dim=True)
    return 0


def _build(found: Sequence["Record"], folder: Path) -> list[str]:
    from sdebench import report

    return [str(path) for path in report.build(found, folder)]
