"""`sdebench tune`: the best grid of a method at a number of evaluations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdebench._support.files import check_own, write_own
from sdebench.cli.output import Csv, Json, emit, say, table, write_csv

if TYPE_CHECKING:
    from sdebench.studies.spacing.tune import Tuned

_HEAD = "# sigmas"


def _is_list(content: bytes) -> bool:
    return content.startswith(_HEAD.encode())


def tune(
    solver: Annotated[str, typer.Option(help="A deterministic method.")] = "dpm-solver++-2m",
    nfe: Annotated[int, typer.Option(help="Network evaluations of a run.")] = 8,
    problem: Annotated[str, typer.Option(help="An exact problem.")] = "mixture-2d",
    points: Annotated[int, typer.Option(help="Points of the search, and as many unseen ones.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the points.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the list to this file, which --grid FILE reads.")] = None,
    as_json: Json = False,
    csv: Csv = None,
) -> int:
    """Find the steps that minimise the exact error of a method, and judge them on points that the search has not seen.

    Prints the noise levels sigma/alpha, which any library takes, and the error on them beside that on known grids.
    """
    from sdebench.catalogue import get_problem, get_solver
    from sdebench.studies.base import check_size
    from sdebench.studies.spacing import tune as search

    if out:
        check_own(out, _is_list, "a list of sigmas")
    made, at = get_solver(solver), get_problem(problem)
    check_size(points, at.dim, "points")
    tuned = search.tune(made, at, nfe, points, seed)
    sigmas = tuned.sigmas()
    rows = [{"grid": row.grid, "searched": row.searched, "unseen": row.unseen} for row in tuned.rows]
    if as_json:
        found = {"grid": tuned.best.grid, "gain": tuned.gain, "sigmas": sigmas, "times": list(tuned.best.times)}
        emit({"solver": solver, "problem": problem, "nfe": nfe, **found, "floor": tuned.floor, "rows": rows})
    else:
        cells = [(row.grid, f"{row.searched:.2e}", f"{row.unseen:.2e}") for row in tuned.rows]
        title = f"{solver} on {problem}, {nfe} evaluations, {len(sigmas) - 1} steps"
        table(("grid", "error", "on unseen points"), cells, title, ("error", "on unseen points"))
        print(_told(tuned))
        print("sigmas:", ",".join(f"{sigma:.6g}" for sigma in sigmas))
    write_csv(csv, rows)
    if out:
        write_own(out, "\n".join([_HEAD, *map(repr, sigmas)]) + "\n", _is_list, "a list of sigmas")
        say(f"the list: {out}")
    return 0


def _told(tuned: "Tuned") -> str:
    if tuned.best.grid != "tuned":
        return f"No better grid was found than {tuned.best.grid}: that is the one to take."
    return f"The tuned grid has {1 / tuned.gain:.2g} of the error of the best known one, {tuned.known.grid}."
