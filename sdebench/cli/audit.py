"""`sdebench audit`."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdebench._support.errors import UsageError
from sdebench.cli.output import Csv, Json, emit, say, write_csv

if TYPE_CHECKING:
    from sdebench.records import Record

_PATIENCE = 120.0  # seconds for one sampler: one that takes longer never ends


def audit(
    specs: Annotated[list[str], typer.Argument(help="package.module:Name[key=value,...], or path/to/file.py:Name[...].")],
    interface: Annotated[str, typer.Option("--as", help="Its interface, where the signature does not tell it.")] = "",
    claim: Annotated[int | None, typer.Option(help="The order that is claimed of it.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Make all checks, at more numbers of steps.")] = False,
    check: Annotated[list[str] | None, typer.Option(help="A check to make; may be given again; all unless given.")] = None,
    release: Annotated[str, typer.Option(help="A published release of the package; it is not installed.")] = "",
    patience: Annotated[float, typer.Option(help="Seconds that one sampler may take.")] = _PATIENCE,
    as_json: Json = False,
    csv: Csv = None,
    junit: Annotated[Path | None, typer.Option(help="Write the faults as JUnit XML, too.")] = None,
) -> int:
    """Run other people's samplers as they are, on exact problems, and say what is right and wrong with them.

    A sampler is a scheduler (as of diffusers), a function of sigmas (as of k-diffusion), a paper's class, or a function
    of one's own.  Exit status 1 if a fault is found.  Every fault was found on two problems; the last column of faults is the
    command that finds it again.
    """
    from sdebench.cli import audit_output
    from sdebench.studies.audit.certificate import faults_of, row_of

    audit_output.check_files(junit)
    records = _measured(specs, interface, claim, full, tuple(check or ()), release, patience)
    rows = [row_of(record) for record in records]
    if as_json:
        emit([audit_output.as_json(record) for record in records])
    else:
        audit_output.show(records)
    write_csv(csv, rows)
    audit_output.write_junit(junit, records)
    return int(any(faults_of(record) for record in records))


def _measured(
    specs: list[str], interface: str, claim: int | None, full: bool, checks: tuple[str, ...], release: str, patience: float
) -> "list[Record]":
    """The records of an audit, in the order of the specs.  Raises UsageError for a spec that no sampler can be made of."""
    from sdebench._support.processes import cores
    from sdebench.cli.progress import Bar
    from sdebench.engine import runner
    from sdebench.engine.suite import Task
    from sdebench.records import read
    from sdebench.studies.audit import make_case
    from sdebench.studies.base import get_study

    study = get_study("audit")
    tasks = [Task(study, make_case(spec, full, interface, release, claim, checks)) for spec in dict.fromkeys(specs)]
    bar = Bar()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "audit.jsonl"
        try:
            summary = runner.run(tasks, out, min(cores(), len(tasks)), bar, patience=patience)
        finally:
            bar.close()
        found = {record.case["peer"]: record for record in read(out)}
    if summary.interrupted:
        raise UsageError("stopped before all were measured: 'sdebench run' with a suite of study 'audit' goes on where it was")
    records = [found[task.case.peer] for task in tasks]
    for record in records:
        if record.message.startswith("UsageError: "):
            raise UsageError(record.message.removeprefix("UsageError: "))
        for line in record.data.get("printed", ()):
            say(f"{record.case['peer']} printed: {line}", dim=True)
    return records
