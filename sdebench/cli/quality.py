"""`sdebench fid`."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sdebench._support.errors import UsageError, shown
from sdebench.cli.output import Csv, Json, emit, report_broken, table, write_csv
from sdebench.cli.places import Backend, Patience, Scheduler, place
from sdebench.cli.run import measure_tasks

if TYPE_CHECKING:
    from sdebench.engine.suite import Task

_DIGITS = 9  # of a whole number, at most


def _parts(text: str) -> list[str]:
    """The parts between commas; those inside of brackets belong to a spec."""
    return [part.strip() for part in re.split(r",(?![^\[]*\])", text) if part.strip()]


def listed(text: str, option: str) -> list[str]:
    """The parts between commas.  Raises UsageError, naming the option, for none."""
    parts = _parts(text)
    if not parts:
        raise UsageError(f"{option} is {shown(text)}: give a name, or several with commas")
    return parts


def numbers(text: str, option: str) -> list[int]:
    """The whole numbers between commas.  Raises UsageError, naming the option, for anything else."""
    parts = _parts(text)
    if not parts or not all(part.isdecimal() and len(part) <= _DIGITS and int(part) for part in parts):
        raise UsageError(f"{option} is {shown(text)}: give whole numbers with commas, 1 or more, as 5,10,20")
    return [int(part) for part in parts]


def _fetch(model: str, data: str, features: str, device: str) -> None:
    """Bring what is asked for into the caches, checksummed, where it is not there."""
    from sdebench.data import load
    from sdebench.networks import get_network
    from sdebench.networks.features import get_features

    get_network(model, "float32", device, download=True)
    if data == "cifar10":
        load(data, download=True)
    if features == "inception":
        get_features(features, device, download=True)


def fid(
    model: Annotated[str, typer.Option(help="A shipped network, a folder, owner/name of the hub, module:factory.")] = "digits",
    solvers: Annotated[str, typer.Option(help="Spec strings with commas.")] = "ddim,dpm-solver++-2m,unipc-3",
    nfe: Annotated[str, typer.Option(help="Budgets of network evaluations, with commas.")] = "5,10,20",
    samples: Annotated[int, typer.Option(help="Samples a solver and budget; more later go on from these.")] = 1000,
    grid: Annotated[
        str, typer.Option(help="Grid families, with commas; or one list of sigmas: 14.6,6.5,0.3 or a .txt file.")
    ] = "uniform_lam",
    features: Annotated[str, typer.Option(help="digits, cifar, inception, or a classifier's folder; else by the data.")] = "",
    inception: Annotated[Path | None, typer.Option(help="The TorchScript file of FID's network.")] = None,
    data: Annotated[str, typer.Option(help="Name or path of images to compare with; else what comes with the features.")] = "",
    dtype: Annotated[str, typer.Option(help="Of the network: float32, float64, bfloat16, float16, with commas.")] = "float32",
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of the noise.")] = 0,
    points: Annotated[int, typer.Option(help="Samples of the error to the converged trajectory.")] = 32,
    reference: Annotated[str, typer.Option(help="Number format of the converged trajectory: float32 or float64.")] = "float32",
    jobs: Annotated[int | None, typer.Option(help="Processes at a time; the number of cores unless given, 1 on a GPU.")] = None,
    backend: Backend = "processes",
    scheduler: Scheduler = "",
    patience: Patience = None,
    out: Annotated[Path | None, typer.Option(help="The results file; results/fid-MODEL.jsonl unless given.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Load what is missing from its home, checksummed.")] = False,
    as_json: Json = False,
    csv: Csv = None,
) -> int:
    """Sample quality against network evaluations, with the error to the converged trajectory beside it.

    May be stopped, or killed, at any moment: the same command goes on where it stopped.  'sdebench report' draws the results.
    Exit status 1 if a case failed.
    """
    where = place(jobs, backend, scheduler, patience, default=None if device == "cpu" else 1)
    features = _feature_space(features, inception)
    if download:
        _fetch(model, data, features, device)
    cases = _cases(
        model,
        solvers,
        nfe,
        grid,
        dtype,
        samples=samples,
        features=features,
        data=data,
        device=device,
        seed=seed,
        points=points,
        reference=reference,
    )
    report_broken()
    out = out or Path("results") / f"fid-{re.sub(r'[^A-Za-z0-9.-]+', '-', model).strip('-.')[:80]}.jsonl"
    return _told(*measure_tasks(cases, out, where), out, as_json, csv)


def _feature_space(features: str, inception: Path | None) -> str:
    """The feature space that the options name, "" for none.  Raises UsageError where two of them do."""
    if inception is None:
        return features
    if features:
        raise UsageError("--inception names a feature space, as --features does: give one of them")
    return f"inception:{inception}"


def _cases(model: str, solvers: str, nfe: str, grid: str, dtype: str, **settings: Any) -> list["Task"]:
    """The cases of the study, from its settings and from the options that have commas in them."""
    from sdebench.engine.suite import expand

    budgets = numbers(nfe, "--nfe")
    return expand(
        {
            "study": "quality",
            "models": [model],
            "solvers": listed(solvers, "--solvers"),
            "grids": _grids(grid),
            "budgets": budgets,
            "ladder": budgets,
            "dtypes": listed(dtype, "--dtype"),
            **settings,
        }
    )


def _grids(text: str) -> list[str]:
    """The grids between commas; where one is a bare number, all of it is one list of levels."""
    parts = listed(text, "--grid")
    return [text] if any(re.fullmatch(r"[-+]?\.?\d.*", part) for part in parts) else parts


def _told(summary: Any, found: list[Any], out: Path, as_json: bool, csv: Path | None) -> int:
    """Print what was measured; the exit status."""
    if summary.interrupted:
        return 130
    if as_json:
        emit({"results": str(out), "failed": summary.failed, "cells": _cells(found)})
    else:
        _show(found)
    if csv:
        write_csv(csv, _cells(found))
    return int(any(not record.is_ok for record in found))


def _show(found: list[Any]) -> None:
    from sdebench.studies.quality.tables import fid_rows

    for title, headings, rows in fid_rows(found):
        table(headings, rows, title, headings[1:])


def _cells(found: list[Any]) -> list[dict[str, Any]]:
    """One entry a solver, grid, number format and budget."""
    from sdebench.studies.quality.cells import MEASURES, groups
    from sdebench.studies.quality.ladders import laddered

    out = []
    for group in groups(found):
        errors = laddered(group.errors | group.paired)
        for cell in group.cells:
            data = cell.records[0].data
            out.append(
                {
                    "model": group.label,
                    **cell.run._asdict(),
                    "budget": cell.budget,
                    "nfe": cell.nfe,
                    "exact": data["exact"],
                    "samples": cell.n,
                    "metric": group.context["metric"],
                    "distance": cell.fd,
                    "half_width": cell.half_width,
                    "why": cell.why,
                    **{name: cell.mean(name) for name in MEASURES},
                    "rms_error": errors[cell.run].after(data["steps"]) if cell.run in errors else None,
                    "images_per_second": cell.n / cell.total("seconds"),
                }
            )
    return out
