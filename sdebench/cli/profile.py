"""`sdebench profile`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sdebench._support.errors import UsageError
from sdebench._support.files import check_own
from sdebench.cli.output import Csv, Json, emit, report_broken, say, table, write_csv
from sdebench.cli.places import Workplace
from sdebench.cli.quality import listed, numbers
from sdebench.cli.run import measure_tasks

_SOLVERS = "ddim,dpm-solver++-2m,dpm-solver++-3m,unipc-3,heun-edm"
_AXES = {
    "solver": "--solvers",
    "model": "--models",
    "batch": "--batch",
    "executor": "--executor",
    "dtype": "--dtype",
    "device": "--device",
}
_WORDS = ("Solver", "Executor", "Bound by")  # the other columns are numbers


def profile(
    solvers: Annotated[str, typer.Option(help="Spec strings with commas.")] = _SOLVERS,
    models: Annotated[str, typer.Option(help="null, problems and networks, with commas.")] = "null",
    batch: Annotated[str, typer.Option(help="Numbers of samples, with commas.")] = "1,16,256",
    executor: Annotated[str, typer.Option(help="eager, fused and graph, with commas.")] = "eager,fused",
    dtype: Annotated[str, typer.Option(help="float32, float64, bfloat16, float16, with commas.")] = "float32",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, with commas.")] = "cpu",
    compiled: Annotated[bool, typer.Option("--compiled", help="Networks by torch.compile, too.")] = False,
    threads: Annotated[int, typer.Option(help="Threads of torch.")] = 1,
    grid: Annotated[str, typer.Option(help="The grid family.")] = "uniform_lam",
    steps: Annotated[int, typer.Option(help="Steps of a run.")] = 20,
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    seconds: Annotated[float, typer.Option(help="How long to take samples of a case; six rounds at least.")] = 1.0,
    repeats: Annotated[int, typer.Option(help="Times that all is measured; more later add to these.")] = 1,
    trace: Annotated[
        Path | None,
        typer.Option(
            help="Write a trace of one run, for Perfetto or chrome://tracing; with one solver, model, batch, executor, dtype."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The results file.")] = Path("results/profile.jsonl"),
    as_json: Json = False,
    csv: Csv = None,
) -> int:
    """What a step costs: time in network, update and the rest; operations, bytes and memory; beside what the machine can.

    Cases are measured one at a time, and those that are held already are not measured again.  'sdebench report' draws them.
    Exit status 1 if a case failed.
    """
    from sdebench.engine.suite import expand

    _check_trace(trace)
    cases = expand(
        {
            "study": "profile",
            "solvers": listed(solvers, "--solvers"),
            "models": listed(models, "--models"),
            "batches": numbers(batch, "--batch"),
            "executors": listed(executor, "--executor"),
            "dtypes": listed(dtype, "--dtype"),
            "devices": listed(device, "--device"),
            "compiled": [False, True] if compiled else [False],
            "threads": threads,
            "grid": grid,
            "steps": steps,
            "seed": seed,
            "seconds": seconds,
            "repeats": repeats,
        }
    )
    report_broken()
    if trace is not None:
        _trace(cases, trace)
    summary, found = measure_tasks(cases, out, Workplace(1, "", None))
    if summary.interrupted:
        return 130
    if as_json:
        emit({"results": str(out), "failed": summary.failed, "cells": _cells(found)})
    else:
        _show(found)
    if csv:
        write_csv(csv, _cells(found))
    return int(any(not record.is_ok for record in found))


def _check_trace(path: Path | None) -> None:
    """Raise UsageError where the file cannot be: before it is made, not after."""
    if path is not None and path.is_dir():
        raise UsageError(f"--trace is {str(path)!r}, a folder: give a file, as {path / 'trace.json'}")
    if path is not None:
        check_own(path, lambda content: content.startswith(b"{") and b'"schemaVersion"' in content[:200], "a trace")
    if path is not None and not path.parent.is_dir():
        raise UsageError(f"--trace is {str(path)!r}, and there is no folder {path.parent}: make it, or give another file")


def _trace(tasks: list[Any], path: Path) -> None:
    """Write the trace of the one case, times that it is repeated apart."""
    from sdebench.studies.profile.measure import write_trace

    cases = [task.case for task in tasks if task.case.compiled == tasks[-1].case.compiled]  # --compiled adds to what is not
    kinds = {option: list(dict.fromkeys(getattr(case, name) for case in cases)) for name, option in _AXES.items()}
    several = {option: its for option, its in kinds.items() if len(its) > 1}
    if several:
        found = ", ".join(f"{option} has {len(its)}" for option, its in several.items())
        one = " ".join(f"{option} {its[-1]}" for option, its in several.items())
        raise UsageError(f"--trace shows one run, and {found}: give one of each, as {one}")
    write_trace(cases[0], path)
    say(f"the trace of one run: {path}; open it at ui.perfetto.dev or chrome://tracing")


def _show(found: list[Any]) -> None:
    from sdebench.studies.profile.tables import profile_rows

    for title, headings, rows in profile_rows(found):
        table(headings, rows, title, [name for name in headings if name not in _WORDS], least=len(headings[-1]))


def _cells(found: list[Any]) -> list[dict[str, Any]]:
    """One entry a case, repeats pooled."""
    from sdebench.studies.profile.tables import profile_table

    return profile_table(found).frame.to_dict("records")
