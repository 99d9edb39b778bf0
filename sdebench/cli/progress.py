"""The progress bar of `sdebench run`, on stderr: what is running, how much is done, how long it will take."""

from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from sdebench.engine.runner import Watch

if TYPE_CHECKING:
    from sdebench.records import Record


def bar() -> Progress:
    """How much is done, how long it took and will take, and a description; nothing where stderr is a file or a pipe."""
    console = Console(stderr=True)
    console.quiet = not console.is_terminal  # a disabled bar of rich before 14.3 prints an empty line when it stops
    columns = (
        BarColumn(16),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}", markup=False),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


class Bar(Watch):
    """A bar in a terminal; nothing where stderr is a file or a pipe."""

    def __init__(self) -> None:
        self._progress = bar()
        self._task = self._progress.add_task("", total=None)

    def begin(self, total: int) -> None:
        """Show the bar, empty."""
        self._progress.update(self._task, total=total)
        self._progress.start()

    def running(self, cases: list[str]) -> None:
        """Name what is being measured, shortened to what is left of the line."""
        room = max(12, self._progress.console.width - 52)
        text = " | ".join(cases)
        self._progress.update(self._task, description=text if len(text) <= room else text[: room - 3] + "...")

    def done(self, record: "Record") -> None:
        """One case more; a failure is told at once."""
        self._progress.advance(self._task)

    def close(self) -> None:
        """Take the bar away."""
        self._progress.stop()
