"""How the quality study makes its cases and measures them."""

from collections.abc import Iterable, Iterator
from itertools import product
from typing import Any

from sdebench._support.errors import UsageError
from sdebench.catalogue import get_solver
from sdebench.records import Claims
from sdebench.studies.base import Found, check_size, tell_left_out
from sdebench.studies.quality import FEWEST, KINDS, QualityCase, QualitySettings
from sdebench.studies.quality.error import of_error, of_pictures
from sdebench.studies.quality.metrics import context, described, of_data, of_samples, why_no_features
from sdebench.studies.quality.run import Sampling, steps_for
from sdebench.studies.quality.student import about, is_student, why_no_error, why_unpaired

_MEASURES = {"pictures": of_pictures, "data": of_data, "samples": of_samples, "error": of_error}


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


def _runs(at: Sampling, settings: QualitySettings, budgets: Iterable[int]) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """(solver, grid and dtype of a case, the budgets that it can keep) of every run that can be made."""
    for solver in settings.solvers:
        for grid in settings.grids:
            kept = tuple(budget for budget in budgets if not why_not(solver, at, grid, budget))
            if kept:
                yield from (({"solver": solver, "grid": grid, "dtype": dtype}, kept) for dtype in settings.dtypes)


def _chunks(settings: QualitySettings) -> Iterator[dict[str, int]]:
    """The chunks that make up the samples; the last may be a smaller one."""
    samples, chunk = settings.samples, settings.chunk
    for first in range(0, samples, chunk):
        yield {"chunk": first // chunk, "first": first, "size": min(chunk, samples - first)}


def _cases(kind: str, at: Sampling, settings: QualitySettings) -> Iterator[dict[str, Any]]:
    """The cases of one kind, without what all have in common."""
    exact = {"points": settings.points, "reference": settings.reference}
    if kind == "data":
        yield {}
    elif kind == "error":
        if why_no_error(at):
            return
        ladder = settings.budgets if is_student(at) else sorted({*settings.budgets, *settings.ladder})
        for run, budgets in _runs(at, settings, ladder):
            paired = tuple(budget for budget in budgets if not why_unpaired(run["solver"], at, run["grid"], budget))
            if paired:
                yield run | {"ladder": paired} | exact
    elif kind == "samples":
        for run, budgets in _runs(at, settings, settings.budgets):
            yield from (run | {"budget": budget} | chunk for budget in budgets for chunk in _chunks(settings))  # type: ignore[operator]  # all are fields of a case
    else:
        if not is_student(at):
            yield exact
        for run, budgets in _runs(at, settings, settings.budgets):
            yield run | {"budgets": budgets}


def _left_out(at: Sampling, settings: QualitySettings) -> Iterator[str]:
    """Why a solver and a budget have no case, or no error of a student, for each; empty where they have one."""
    if set(settings.kinds) != {"error"}:
        yield why_no_features(at.problem, settings.features, settings.data)
    wanted = is_student(at) and "error" in settings.kinds
    if wanted and (why := why_no_error(at)):
        yield f"the error of {at.model}: {why}"
        wanted = False
    for run in product(settings.solvers, [at], settings.grids, settings.budgets):
        yield why_not(*run) or (why_unpaired(*run) if wanted else "")


def cases(settings: QualitySettings) -> list[QualityCase]:
    """The long ones first; what cannot be run is left out, with a warning.

    Raises UsageError where nothing can be run, for a network whose images are not of the data's shape, and for a device that
    is not there.  A network whose data no features see has errors alone; a student whose teacher is not here, or had none,
    has no errors.
    """
    rest, out = settings.samples % settings.chunk, []
    if 0 < rest < FEWEST:
        chunks = f"{settings.samples} samples in chunks of {settings.chunk}"
        raise UsageError(f"{chunks} leave {rest} over: give a multiple of {settings.chunk}")
    for model in settings.models:
        at = Sampling(model, settings.dtypes[0], settings.device, settings.seed)
        check_size(settings.points, at.problem.dim, "points")
        check_size(settings.chunk, at.problem.dim, "chunk")
        head: dict[str, Any] = {"model": model, "model_sha256": at.problem.sha256[:16], "device": at.device, "seed": at.seed}
        head |= described(at.problem, settings.features, settings.data, at.device)
        kinds = [kind for kind in settings.kinds if head["features"] or kind == "error"]
        out += [QualityCase(**head, kind=kind, **case) for kind in kinds for case in _cases(kind, at, settings)]
        tell_left_out(_left_out(at, settings), any(case.solver for case in out))
    return sorted(out, key=_early)


def _early(case: QualityCase) -> tuple:
    """The key of the order: first what makes the converged trajectory, which others then find; of the rest long ones first."""
    return case.solver is not None, KINDS.index(case.kind), -(case.budget or 0)


def measure(case: QualityCase) -> Found:
    """Run one case."""
    at = Sampling(case.model, case.dtype or "float32", case.device, case.seed)
    if not at.problem.sha256.startswith(case.model_sha256):
        raise RuntimeError(f"the weights of {case.model} have changed since the run began")
    data, arrays = _MEASURES[case.kind](case, at)
    claims = Claims.of(get_solver(case.solver)) if case.solver else None
    return Found(context(case, at.problem) | about(at), claims, data, arrays)
