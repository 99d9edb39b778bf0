"""What the commands print: tables that fit a terminal, JSON, and messages on stderr."""

import csv
import io
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sdebench._support import escape
from sdebench._support.errors import UsageError, shorten
from sdebench._support.files import write_own


def say(message: str, dim: bool = False) -> None:
    """One line for the person, on stderr, so that it never mixes with what a program reads; `dim` in a terminal only."""
    line = f"sdebench: {shorten(escape.xml(message))}"
    print(f"\x1b[2m{line}\x1b[0m" if dim and sys.stderr.isatty() else line, file=sys.stderr, flush=True)


def emit(value: Any) -> None:
    """The value as JSON on stdout; nan and inf as null."""
    from sdebench.records import clean

    print(json.dumps(clean(value), indent=2, allow_nan=False))


Rows = Sequence[Sequence[object]]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Csv = Annotated[Path | None, typer.Option("--csv", help="Write the rows as CSV to this file, too.")]
Plot = Annotated[Path | None, typer.Option("--plot", help="Draw the figure into this file, too: .svg, .png or .pdf.")]


def write_csv(path: Path | None, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as CSV, where a path is given: one column a key, in the order of the first appearance."""
    if path is None:
        return
    from sdebench.records import clean

    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if value is None else escape.csv(value) for k, value in clean(row).items()} for row in rows)
    head = text.getvalue().partition("\n")[0].encode() + b"\n"
    write_own(path, text.getvalue(), lambda content: content.startswith(head), "a table with these columns")
    say(f"rows: {path}")


def write_plot(path: Path | None, draw: Callable[[], Any]) -> None:
    """Draw a figure into a file, where a path is given.  Raises UsageError for a format that is not known."""
    if path is None:
        return
    kind = path.suffix.removeprefix(".")
    if kind not in _FORMATS:
        raise UsageError(f"--plot is {str(path)!r}: give a file that ends in {', '.join(f'.{name}' for name in _FORMATS)}")
    write_own(path, _drawn(draw(), kind, path.stem), lambda content: any(mark in content for mark in _MARKS), "a figure")
    say(f"figure: {path}")


def _drawn(figure: Any, kind: str, name: str) -> bytes:
    """A figure as the content of a file, which says that it is ours."""
    if kind == "svg":
        from sdebench.report.style import render

        return render(figure, name).encode() + _MARKS[0]
    buffer = io.BytesIO()
    figure.savefig(buffer, format=kind, metadata=_FORMATS[kind])
    return buffer.getvalue()


_MAKER = "sdebench"
_FORMATS: dict[str, dict[str, str | None]] = {
    "svg": {},
    "png": {"Software": _MAKER},
    "pdf": {"CreationDate": None, "Creator": _MAKER},
}  # format -> what the file says of itself
_MARKS = (b"<!-- made by sdebench -->\n", b"Software\0sdebench", b"/Creator (sdebench)")


def table(
    columns: Sequence[str], rows: Rows, title: str = "", numbers: Sequence[str] = (), least: int = 0, spare: Sequence[str] = ()
) -> None:
    """Print a table as wide as the terminal at most (80 columns in a pipe); columns in `numbers` align right.

    The first column never folds: it holds the names that one types.  A row of one cell is a heading.  Where `least` is given
    the last column does not fold either: its cells lose what is behind their last commas until they fit in what a line has
    left, and where that is less than `least` characters the column is left out.  Columns in `spare` are left out, the first
    of them first, until the others have room.
    """
    from rich.console import Console

    console = Console(highlight=False)
    if title:
        console.print("\n".join(map(_clean, title.splitlines())), style="italic", markup=False)
    console.print()
    grid = _grid(columns, rows, numbers)
    for name in spare:
        if Console(width=1000).measure(grid).maximum <= console.width:
            break
        columns, rows = without(columns, rows, name)
        grid = _grid(columns, rows, numbers)
    if least:
        last = len(columns) - 1
        grid = _grid(columns[:-1], [row[:last] for row in rows], numbers)
        room = console.width - console.measure(grid).maximum - _SPACE
        if room >= least:
            grid = _grid(columns, [(*row[:last], *(_within(str(cell), room) for cell in row[last:])) for row in rows], numbers)
    console.print(grid)
    console.print()


_SPACE = 2  # between two columns


def without(columns: Sequence[str], rows: Rows, *names: str) -> tuple[list[str], Rows]:
    """The table without the columns of those names."""
    kept = [i for i, column in enumerate(columns) if column not in names]
    return [columns[i] for i in kept], [tuple(row[i] for i in kept) for row in rows]


def _within(text: str, room: int) -> str:
    """The text without its last parts, between commas, until it has `room` characters at most."""
    while len(text) > room and ", " in text:
        text = text.rpartition(", ")[0]
    return text


def _grid(columns: Sequence[str], rows: Rows, numbers: Sequence[str]) -> Any:
    """The table as rich has it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    grid = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for i, column in enumerate(columns):
        grid.add_column(
            column, justify="right" if column in numbers else "left", no_wrap=i == 0 or column in numbers, overflow="fold"
        )
    for row in rows:
        cells = ["" if cell is None else _clean(str(cell)) for cell in row]
        grid.add_row(*map(Text, cells), style="bold" if len(row) == 1 else "")
    return grid


def _clean(text: str) -> str:
    """Text that does nothing to a terminal, and is no command of a CI host, which begins a line by `::` or `##[`."""
    text = re.sub(r"[\t\r\n]", " ", escape.xml(text))
    return f"'{text}" if text.lstrip().startswith(("::", "##[")) else text


def report_broken() -> None:
    """Name on stderr each plugin that could not be loaded."""
    from sdebench._support.registry import GRIDS, METRICS, PROBLEMS, SOLVERS, STUDIES

    for registry in (SOLVERS, PROBLEMS, GRIDS, STUDIES, METRICS):
        for name, message in registry.broken.items():
            say(f"{registry.kind} plugin {name!r} is broken and left out ({' '.join(message.split())})")
