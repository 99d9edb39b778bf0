"""`sdebench tune`: the best grid of a method at a number of evaluations."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sdebench._support.errors import UsageError
from sdebench._support.files import check_own, write_own
from sdebench.cli.output import Csv, Json, emit, say, table, write_csv

if TYPE_CHECKING:
    from sdebench.studies.spacing.tune import Target, Tuned

_HEAD = "# sigmas"


def _is_list(content: bytes) -> bool:
    return content.startswith(_HEAD.encode())


def tune(
    solver: Annotated[str, typer.Option(help="A deterministic method.")] = "dpm-solver++-2m",
    nfe: Annotated[int, typer.Option(help="Network evaluations of a run.")] = 8,
    problem: Annotated[str, typer.Option(help="An exact problem; mixture-2d unless a model is given.")] = "",
    model: Annotated[str, typer.Option(help="A network, against its converged trajectory.")] = "",
    points: Annotated[int, typer.Option(help="Points of the search, and as many unseen ones.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the points.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Write the list to this file, which --grid FILE reads.")] = None,
    as_json: Json = False,
    csv: Csv = None,
) -> int:
    """Find the steps that minimise the exact error of a method, and judge them on points that the search has not seen.

    Prints the noise levels sigma/alpha, which any library takes, and the error on them beside that on known grids.
    """
    from sdebench.catalogue import get_solver
    from sdebench.studies.spacing import tune as spacing

    if out:
        check_own(out, _is_list, "a list of sigmas")
    made, where = get_solver(solver), model or problem or "mixture-2d"
    spacing.steps_within(made, nfe)
    tuned = spacing.tune(made, _target(made, problem, model, points, seed), nfe)
    sigmas = tuned.sigmas()
    rows = [{"grid": row.grid, "searched": row.searched, "unseen": row.unseen} for row in tuned.rows]
    if as_json:
        found = {"grid": tuned.best.grid, "gain": tuned.gain, "sigmas": sigmas, "times": list(tuned.best.times)}
        emit({"solver": solver, "problem": where, "nfe": nfe, **found, "floor": tuned.floor, "rows": rows})
    else:
        cells = [(row.grid, f"{row.searched:.2e}", f"{row.unseen:.2e}") for row in tuned.rows]
        title = f"{solver} on {where}, {nfe} evaluations, {len(sigmas) - 1} steps"
        table(("grid", "error", "on unseen points"), cells, title, ("error", "on unseen points"))
        print(_told(tuned))
        print("sigmas:", ",".join(f"{sigma:.6g}" for sigma in sigmas))
    write_csv(csv, rows)
    if out:
        write_own(out, "\n".join([_HEAD, *map(repr, sigmas)]) + "\n", _is_list, "a list of sigmas")
        say(f"the list: {out}")
    return 0


def _target(solver: Any, problem: str, model: str, points: int, seed: int) -> "Target":
    """What the options name.  Raises UsageError where they name both a problem and a model."""
    from sdebench.catalogue import get_problem
    from sdebench.networks import get_network
    from sdebench.studies.base import check_size
    from sdebench.studies.spacing import tune as spacing

    if problem and model:
        raise UsageError(f"--problem {problem} and --model {model}: give one of them")
    if model:
        check_size(2 * points, get_network(model).dim, "points")
        return spacing.on_network(solver, model, points, seed)
    at = get_problem(problem or "mixture-2d")
    check_size(points, at.dim, "points")
    return spacing.on_problem(solver, at, points, seed)


def _told(tuned: "Tuned") -> str:
    if tuned.best.grid != "tuned":
        return f"No better grid was found than {tuned.best.grid}: that is the one to take."
    return f"The tuned grid has {1 / tuned.gain:.2g} of the error of the best known one, {tuned.known.grid}."
