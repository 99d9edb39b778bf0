"""What the commands print: tables that fit a terminal, JSON, and messages on stderr."""

import json
import sys
from collections.abc import Sequence
from typing import Any


def say(message: str) -> None:
    """One line for the person, on stderr, so that it never mixes with what a program reads."""
    print(f"sdebench: {message}", file=sys.stderr, flush=True)


def emit(value: Any) -> None:
    """The value as JSON on stdout; nan and inf as null."""
    from ..records import clean

    print(json.dumps(clean(value), indent=2, allow_nan=False))


Rows = Sequence[Sequence[object]]


def table(columns: Sequence[str], rows: Rows, title: str = "", numbers: Sequence[str] = ()) -> None:
    """Print a table as wide as the terminal at most (80 columns in a pipe); columns in `numbers` align right.

    The first column never folds: it holds the names that one types.  A row of one cell is a heading.
    """
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    grid = Table(title=title or None, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for i, column in enumerate(columns):
        grid.add_column(column, justify="right" if column in numbers else "left", no_wrap=i == 0 or column in numbers,
                        overflow="fold")  # fmt: skip
    for row in rows:
        cells = ["" if cell is None else escape(str(cell)) for cell in row]
        grid.add_row(*cells, style="bold" if len(row) == 1 else "")
    Console(highlight=False).print(grid)


def report_broken() -> None:
    """Name on stderr each plugin that could not be loaded."""
    from ..registry import PROBLEMS, SOLVERS

    for registry in (SOLVERS, PROBLEMS):
        for name, message in registry.broken.items():
            say(f"{registry.kind} plugin {name!r} is broken and left out ({' '.join(message.split())})")
