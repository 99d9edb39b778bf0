"""`sdebench report`."""

from pathlib import Path
from typing import Annotated

import typer

from sdebench._support.errors import UsageError


def report(
    results: Annotated[list[Path] | None, typer.Argument(help="Results files; results/*.jsonl unless given.")] = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("reports"),
    single_file: Annotated[bool, typer.Option("--single-file", help="One page with all figures in it, to be mailed.")] = False,
) -> None:
    """Build tables, figures and the page from results, without measuring."""
    from sdebench import records

    paths = results or sorted(Path("results").glob("*.jsonl"))
    if not paths:
        raise UsageError("there is nothing in results/*.jsonl: give a results file, or make one by 'sdebench run'")
    found = records.latest(record for path in paths for record in records.read(path))
    if not found:
        raise UsageError(f"no record in {', '.join(map(str, paths))}: make some by 'sdebench run'")
    from sdebench import report as pages

    written = pages.build(found, out, single_file)
    page = next((path for path in written if path.name == "index.html"), written[0])
    print(f"{len(written)} files from {len(found)} records.  The page: {page}")
