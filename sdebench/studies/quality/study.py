"""Sample quality of trained networks against network evaluations, with the error to the exact trajectory beside it.

    data        the yardstick: the statistics of the images themselves, and the distance of their test part
    error       deterministic solvers: RMS error to the converged trajectory from the same noise, over a ladder of budgets;
                of a student (`quality_student`), to its teacher's, within the budgets alone
    samples     a chunk of the samples of (solver, grid, budget): statistics of their features; samples are not kept
    pictures    the first samples of every budget, as pixels; without a solver, those of the converged trajectory

A budget is a number of network evaluations (NFE): a run takes as many steps as fit into it, and its record says what was
counted.  More samples are more chunks: those that are held stay.
"""

from collections.abc import Iterable, Iterator

from sdebench import grids
from sdebench._support.errors import UsageError, near_miss
from sdebench.catalogue import get_solver
from sdebench.networks.problem import DTYPES
from sdebench.studies.base import claims, tell_left_out
from sdebench.studies.quality.error import of_error, of_pictures
from sdebench.studies.quality.metrics import context, described, of_data, of_samples
from sdebench.studies.quality.run import Sampling, steps_for
from sdebench.studies.quality.student import about, is_student, why_no_error, why_unpaired

KEYS = frozenset(
    {
        "models",
        "solvers",
        "grids",
        "budgets",
        "ladder",
        "samples",
        "chunk",
        "features",
        "data",
        "dtypes",
        "reference",
        "device",
        "seed",
        "points",
        "kinds",
    }
)
KINDS = {"pictures": of_pictures, "data": of_data, "samples": of_samples, "error": of_error}
SOLVERS = ("ddim", "dpm-solver++-2m", "unipc-3", "heun-edm")
BUDGETS = (5, 10, 20, 50)
BEYOND = (64, 96, 128, 192)  # further budgets of the error study, for its order
CHUNK = 500  # samples of a case
_FEWEST = 10  # samples of a case, for neighbours and covariances


def _known(values: Iterable[str], allowed: Iterable[str], what: str) -> list[str]:
    for value in values:
        if value not in allowed:
            raise UsageError(f"unknown {what} {value!r}{near_miss(value, allowed)} (there are: {', '.join(allowed)})")
    return list(values)


def _checked(settings: dict) -> dict:
    """All settings, those that are not given by their defaults.  Raises UsageError for names that are none."""
    for grid in settings.get("grids", ()):
        grids.get(grid)
    budgets = settings.get("budgets", list(BUDGETS))
    samples, chunk = settings.get("samples", 1000), settings.get("chunk", CHUNK)
    if 0 < samples % chunk < _FEWEST:
        raise UsageError(f"{samples} samples in chunks of {chunk} leave {samples % chunk} over: give a multiple of {chunk}")
    return {
        "models": settings.get("models", ["digits"]),
        "solvers": settings.get("solvers", list(SOLVERS)),
        "grids": settings.get("grids", ["uniform_lam"]),
        "budgets": budgets,
        "ladder": sorted({*budgets, *settings.get("ladder", BEYOND)}),
        "samples": samples,
        "chunk": chunk,
        "features": settings.get("features", ""),
        "data": settings.get("data", ""),
        "dtypes": _known(settings.get("dtypes", ["float32"]), DTYPES, "dtype"),
        "reference": _known([settings.get("reference", "float64")], ("float64", "float32"), "reference")[0],
        "device": settings.get("device", "cpu"),
        "seed": settings.get("seed", 0),
        "points": settings.get("points", 32),
        "kinds": _known(settings.get("kinds", KINDS), KINDS, "kind"),
    }


def why_not(spec: str, at: Sampling, grid: str, budget: int) -> str:
    """Why the solver cannot cross the grid within the budget on this network; empty where it can."""
    solver = get_solver(spec)
    if solver.adaptive:
        return f"solver {spec!r} chooses its own steps: give one that takes a grid"
    try:
        fits = steps_for(solver, at.problem, grid, budget)
    except UsageError as error:
        return f"solver {spec!r} cannot be run on a network ({error})"
    return "" if fits else f"solver {spec!r} makes more than {budget} network calls in its shortest run: give a larger budget"


def _runs(at: Sampling, settings: dict, budgets: list[int]) -> Iterator[tuple[dict, list[int]]]:
    """(solver, grid and dtype of a case, the budgets that it can keep) of every run that can be made."""
    for solver in settings["solvers"]:
        for grid in settings["grids"]:
            kept = [budget for budget in budgets if not why_not(solver, at, grid, budget)]
            if kept:
                yield from (({"solver": solver, "grid": grid, "dtype": dtype}, kept) for dtype in settings["dtypes"])


def _chunks(settings: dict) -> Iterator[dict]:
    """The chunks that make up the samples; the last may be a smaller one."""
    samples, chunk = settings["samples"], settings["chunk"]
    for first in range(0, samples, chunk):
        yield {"chunk": first // chunk, "first": first, "size": min(chunk, samples - first)}


def _cases(kind: str, at: Sampling, settings: dict) -> Iterator[dict]:
    """The cases of one kind, without what all have in common."""
    exact = {"points": settings["points"], "reference": settings["reference"]}
    if kind == "data":
        yield {}
    elif kind == "error":
        if why_no_error(at):
            return
        for run, budgets in _runs(at, settings, settings["budgets" if is_student(at) else "ladder"]):
            paired = [budget for budget in budgets if not why_unpaired(run["solver"], at, run["grid"], budget)]
            if paired:
                yield run | {"ladder": paired} | exact
    elif kind == "samples":
        for run, budgets in _runs(at, settings, settings["budgets"]):
            yield from (run | {"budget": budget} | chunk for budget in budgets for chunk in _chunks(settings))
    else:
        if not is_student(at):
            yield exact
        for run, budgets in _runs(at, settings, settings["budgets"]):
            yield run | {"budgets": budgets}


def _left_out(at: Sampling, settings: dict) -> Iterator[str]:
    """Why a solver and a budget have no case, or no error of a student, for each; empty where they have one."""
    wanted = is_student(at) and "error" in settings["kinds"]
    if wanted and (why := why_no_error(at)):
        yield f"the error of {at.model}: {why}"
        wanted = False
    yield from (
        why_not(*run) or (why_unpaired(*run) if wanted else "")
        for run in (
            (solver, at, grid, budget)
            for solver in settings["solvers"]
            for grid in settings["grids"]
            for budget in settings["budgets"]
        )
    )


def cases(settings: dict) -> list[dict]:
    """The cases of a `[[study]]` table, the long ones first; what cannot be run is left out, with a warning.

    Raises UsageError where nothing can be run, for a network whose images are not of the data's shape, for a device that is
    not there, and for names that are none.  A student whose teacher is not here, or had none, has no errors.
    """
    settings, out = _checked(settings), []
    for model in settings["models"]:
        at = Sampling(model, settings["dtypes"][0], settings["device"], settings["seed"])
        head = {
            "study": "quality",
            "model": model,
            "model_sha256": at.problem.sha256[:16],
            "device": at.device,
            "seed": at.seed,
        } | described(at.problem, settings["features"], settings["data"], at.device)
        out += [head | {"kind": kind} | case for kind in settings["kinds"] for case in _cases(kind, at, settings)]
        tell_left_out(_left_out(at, settings), any("solver" in case for case in out))
    return sorted(out, key=_early)


def _early(case: dict) -> tuple:
    """The key of the order: first what makes the converged trajectory, which others then find; of the rest long ones first."""
    return "solver" in case, list(KINDS).index(case["kind"]), -case.get("budget", 0)


def measure(case: dict) -> dict:
    """Run one case; returns its `context`, `claims`, `data` and `arrays` for the record."""
    at = Sampling(case["model"], case.get("dtype", "float32"), case["device"], case["seed"])
    if not at.problem.sha256.startswith(case["model_sha256"]):
        raise RuntimeError(f"the weights of {case['model']} have changed since the run began")
    data, arrays = KINDS[case["kind"]](case, at)
    claimed = claims(get_solver(case["solver"])) if "solver" in case else {}
    return {"context": context(case, at.problem) | about(at), "claims": claimed, "data": data, "arrays": arrays}
