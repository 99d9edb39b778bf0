"""Where the cases of a study are measured: the options of the commands that measure one, and what they mean together."""

from typing import Annotated, NamedTuple

import typer

from sdebench._support.errors import UsageError, near_miss, shown
from sdebench._support.processes import cores, most_jobs

BACKENDS = ("processes", "dask")
Backend = Annotated[str, typer.Option(help="Where cases are measured: processes, of this machine, or dask, a cluster.")]
Scheduler = Annotated[str, typer.Option(help="The address of the cluster's scheduler, for --backend dask.")]
Patience = Annotated[float | None, typer.Option(help="Seconds before a case is given to another worker; an hour unless given.")]


class Workplace(NamedTuple):
    """Processes of this machine, or a scheduler's cluster; and how long they may take for a case."""

    jobs: int | None
    scheduler: str
    patience: float | None


def place(jobs: int | None, backend: str, scheduler: str, patience: float | None, default: int | None = None) -> Workplace:
    """What was asked for; `default` processes, the number of cores if None.  Raises UsageError for what does not fit."""
    if backend not in BACKENDS:
        raise UsageError(f"unknown backend {shown(backend)}{near_miss(backend, BACKENDS)} (there are: {', '.join(BACKENDS)})")
    if jobs is not None and not 1 <= jobs <= most_jobs():
        raise UsageError(f"--jobs is {shown(jobs)}: give the number of processes, 1 or more, {most_jobs()} at most")
    if backend == "processes":
        if scheduler:
            raise UsageError(f"--scheduler {shown(scheduler)} without its backend: give --backend dask")
        return Workplace(jobs if jobs is not None else default or cores(), "", patience)
    if not scheduler:
        raise UsageError("--backend dask without its scheduler: give --scheduler ADDRESS, such as tcp://10.0.0.1:8786")
    if jobs is not None:
        raise UsageError("--jobs is of --backend processes, and a cluster has its own number of threads: leave it out")
    return Workplace(None, scheduler, patience)
