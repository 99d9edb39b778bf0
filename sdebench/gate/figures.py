"""The gate: figures of a solver that are the same on every run and machine, to notice that its accuracy changed.

    claims         what the solver states, and whether it is a frozen dataclass
    errors         "error constants": RMS errors at fixed numbers of steps on an irregular grid (of an adaptive solver: at fixed
                   tolerances).  Of a stochastic one the error of the law on one Gaussian, exact, and of the state on one
                   Brownian path
    orders         between the two errors
    calls          of the model, counted
    ends           errors of a run from noise alone, alpha = 0, to data, sigma = 0, against the exact flow, and its calls; of a
                   stochastic solver its distance from that flow, on fixed noise
    float32        what a run in float32 loses, in roundings: eps sqrt(n) |x|
    coefficients   the tableau on a fixed grid: of every evaluation, step and noise
    failures       of each part that raises, how

Figures have ten digits.  Steps are so few that rounding is far below the errors (8 and 16: 1e-8 of the smallest); times are
rounded to nine digits, for a noise belongs to its times to the last bit, and another processor's `exp` would draw another one.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass, replace
from functools import lru_cache
from itertools import pairwise
from math import log, sqrt
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sdebench import grids
from sdebench._support.clock import threads
from sdebench._support.errors import STRANGERS, describe
from sdebench.catalogue import get_problem, get_solver
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Counted
from sdebench.integration.tableau import Tableau, tableau
from sdebench.laws.gaussian import law_of
from sdebench.laws.oracle import Reference
from sdebench.laws.pathwise import Tau, on_path
from sdebench.noise.brownian import BrownianPath
from sdebench.noise.white import WhiteNoise
from sdebench.problems import Problem
from sdebench.records import Claims
from sdebench.studies.setting import error_norms

SETTING: dict[str, Any] = {
    "version": 3,
    "problem": "mixture-1d",
    "grid": "irregular",
    "points": 64,
    "seed": 0,
    "steps": [8, 16],
    "tolerances": [1e-4, 1e-6],
    "law": "gaussian",
    "law_steps": [32, 64],
    "path_steps": 16,
    "fine_steps": 96,
    "coefficient_steps": 6,
    "ends": {
        "mixture-1d[schedule=Rectified]": [1.0, 0.8, 0.6, 0.3, 0.0],
        "mixture-1d[schedule=EDM]": [80.0, 20.0, 2.0, 0.2, 0.0],
    },
}
GROUPS = ("failures", "claims", "orders", "errors", "calls", "ends", "float32", "coefficients")
_STAGES = (1 / 3, 1 / 2, 2 / 3)  # of a step in lam: a path that knows the times of stages is cheap to ask

Figures = dict[str, dict[str, Any]]  # group -> figure -> value; of coefficients: row -> {symbol: value}


class GateProblem(NamedTuple):
    """Where solvers are run: the problem, its states at the noisy end, and the exact ones at the clean end."""

    problem: Problem
    x: Tensor
    exact: Tensor


def _rounded(t: float) -> float:
    return round(float(t), 9)


class _Path:
    """A path in the dtype of the state, asked at rounded times."""

    def __init__(self, path: BrownianPath, dtype: torch.dtype):
        self.schedule, self.shape, self._path, self._dtype = path.schedule, path.shape, path, dtype

    def normal(self, s: float, t: float, weight: Any, tag: int = 0) -> Tensor:
        return self._path.normal(_rounded(s), _rounded(t), weight, tag).to(self._dtype)

    def integral(self, s: float, t: float, *weights: Any, tag: int = 0) -> tuple[Tensor, ...]:
        return tuple(z.to(self._dtype) for z in self._path.integral(_rounded(s), _rounded(t), *weights, tag=tag))

    def fresh(self, t: float, tag: int = 0) -> Tensor:
        return self._path.fresh(_rounded(t), tag).to(self._dtype)


@lru_cache(maxsize=1)
def _place() -> GateProblem:
    shipped = get_problem(SETTING["problem"])
    problem = replace(shipped, span=tuple(map(_rounded, shipped.span)))
    x = problem.initial(SETTING["points"], SETTING["seed"])
    return GateProblem(problem, x, problem.solution(x, *problem.span))


@lru_cache(maxsize=16)
def _grid(family: str, n: int) -> grids.Grid:
    problem = _place().problem
    return tuple(map(_rounded, grids.get(family)(problem.schedule, *problem.span, n)))


@lru_cache(maxsize=1)
def _path() -> BrownianPath:
    ns, grid = _place().problem.schedule, _grid(SETTING["grid"], SETTING["path_steps"])
    steps = [(ns.lam(s), ns.lam(t)) for s, t in pairwise(grid)]
    stages = [_rounded(ns.t(a + r * (b - a))) for a, b in steps for r in _STAGES]
    times = {*grid, *stages, *_grid("uniform_lam", SETTING["fine_steps"])}
    return BrownianPath(ns, tuple(times), tuple(_place().x.shape), SETTING["seed"])


@lru_cache(maxsize=8)
def _on_path(tau: Tau | float) -> Reference:
    """The solution on the path of the process with eta = tau g."""
    fine = _grid("uniform_lam", SETTING["fine_steps"])
    return on_path(_place().problem, _place().x, fine, _path(), tau if callable(tau) else (lambda t: tau))


def _end(solver: Any, x: Tensor, grid: grids.Grid) -> tuple[Tensor, int]:
    """(the state at the end of a run, model calls) on the path that all share."""
    return _run(solver, _place().problem, x, grid, _path() if solver.stochastic else None)


def _run(solver: Any, problem: Problem, x: Tensor, grid: grids.Grid, noise: Any) -> tuple[Tensor, int]:
    """(the state at the end of a run, model calls); raises where the run does what no run may."""
    model, given = Counted(problem.model), x.clone()
    out = integrate(solver, model, given, grid, noise and _Path(noise, x.dtype))
    if not torch.equal(given, x):
        raise RuntimeError("the state that was given is changed")
    if out.dtype != x.dtype:
        raise RuntimeError(f"a state of {x.dtype} became one of {out.dtype}")
    return out, model.nfe


def _same(out: Tensor, again: Tensor) -> None:
    """Raise unless the two runs gave the same bits; NaN is like NaN."""
    if not torch.allclose(out, again, rtol=0, atol=0, equal_nan=True):
        raise RuntimeError("a second run gave other bits")


def _order(errors: list[float], work: list[float]) -> float | None:
    (coarse, fine), (few, many) = errors, work
    return log(coarse / fine) / log(many / few) if coarse > 0 and fine > 0 else None


def _runs(solver: Any) -> Figures:
    """Errors against the exact flow at two numbers of steps, or two tolerances."""
    adaptive, place = solver.adaptive, _place()
    if adaptive:
        span = place.problem.span
        settings = {f"tolerance {tol:g}": (solver.at_tolerance(tol), span) for tol in SETTING["tolerances"]}
    else:
        settings = {f"{n} steps": (solver, _grid(SETTING["grid"], n)) for n in SETTING["steps"]}  # type: ignore[misc]  # a grid is as good as a span
    errors, calls = {}, {}
    for name, (made, grid) in settings.items():
        out, calls[name] = _end(made, place.x, grid)
        errors[name] = error_norms(out, place.exact)["rms"]
    _same(out, _end(made, place.x, grid)[0])
    work = [1 / tol for tol in SETTING["tolerances"]] if adaptive else SETTING["steps"]
    return {"errors": errors, "calls": calls, "orders": {"order": _order(list(errors.values()), work)}}


def _strong(solver: Any) -> Figures:
    """The error of a stochastic solver on one path; of one that no path belongs to, its distance."""
    n, place = SETTING["path_steps"], _place()
    grid = _grid(SETTING["grid"], n)
    (out, calls), (again, _) = _end(solver, place.x, grid), _end(solver, place.x, grid)
    _same(out, again)
    reference = _on_path(solver.noise_scale(place.problem.schedule))
    return {"errors": {f"one path, {n} steps": error_norms(out, reference.states[0])["rms"]}, "calls": {f"{n} steps": calls}}


def _table(solver: Any, problem: Problem, grid: grids.Grid) -> Tableau | None:
    """The solver as numbers; None for one that is not linear in its vectors."""
    try:
        return tableau(solver, problem.schedule, grid, gamma=problem.model.gamma)
    except STRANGERS:  # a step may do anything to a symbol; its runs tell of what is wrong
        return None


def _weak(solver: Any) -> Figures:
    """The error of a stochastic solver's law on one Gaussian: mean and covariance, exact."""
    problem, errors = get_problem(SETTING["law"]), {}
    exact = problem.law.marginal(problem.schedule, problem.span[1])
    for n in SETTING["law_steps"]:
        table = _table(solver, problem, grids.get(SETTING["grid"])(problem.schedule, *problem.span, n))
        if table is None:
            return {}
        mean, cov = law_of(table, problem.law)
        square = (mean - exact.mean()).square().sum() + (cov - exact.cov()).square().sum()
        errors[f"law, {n} steps"] = sqrt(float(square))
    return {"errors": errors, "orders": {"weak order": _order(list(errors.values()), SETTING["law_steps"])}}


@lru_cache(maxsize=4)
def _whole(name: str) -> GateProblem:
    """A problem from the first of its times, alpha = 0 where its schedule has that, to sigma = 0."""
    problem, start = get_problem(name), SETTING["ends"][name][0]
    x = problem.law.marginal(problem.schedule, start).sample(SETTING["points"], SETTING["seed"])
    return GateProblem(problem, x, problem.solution(x, start, 0.0))


def _ends(solver: Any) -> Figures:
    """Errors, or distances, and calls of runs that reach both ends."""
    found: dict[str, Any] = {}
    for name, times in SETTING["ends"].items():
        problem, x, exact = _whole(name)
        noise = WhiteNoise(problem.schedule, tuple(x.shape), SETTING["seed"]) if solver.stochastic else None
        made = solver.at_tolerance(SETTING["tolerances"][0]) if solver.adaptive else solver
        grid = (times[0], times[-1]) if solver.adaptive else tuple(times)
        out, found[f"calls on {name}"] = _run(made, problem, x, grid, noise)
        found[f"error on {name}"] = error_norms(out, exact)["rms"]
    return {"ends": found}


def _float32(solver: Any) -> Figures:
    if solver.adaptive:
        return {}
    place, n = _place(), SETTING["steps"][-1]
    grid = _grid(SETTING["grid"], n)
    lost = error_norms(_end(solver, place.x.float(), grid)[0], _end(solver, place.x, grid)[0])["rms"]
    unit = torch.finfo(torch.float32).eps * sqrt(n) * float(place.x.square().mean().sqrt())
    return {"float32": {"roundings lost": lost / unit}}


def _coefficients(solver: Any) -> Figures:
    """The rows of the tableau: {"step 2": {"x1": 0.9, "m1": -0.1}, ...}."""
    table = _table(solver, _place().problem, _grid(SETTING["grid"], SETTING["coefficient_steps"]))
    return {"coefficients": dict(_rows(table)) if table else {}}


def _rows(table: Tableau) -> Iterator[tuple[str, dict[str, float]]]:
    def named(terms: dict) -> dict[str, float]:
        return {f"{kind}{k}": float(c) for (kind, k), c in terms.items()}

    for j, call in enumerate(table.evaluations):
        yield f"evaluation {j}", {"t": call.t, **named(call.state)}
    for i, row in enumerate(table.rows):
        yield f"step {i}", named(row.state)
    for first, block in table.covariances:
        pairs = ((k, j) for k in range(len(block)) for j in range(k + 1))
        yield f"noise {first}", {f"z{first + k} z{first + j}": float(block[k, j]) for k, j in pairs}


def _claims(solver: Any) -> Figures:
    frozen = is_dataclass(solver) and solver.__dataclass_params__.frozen  # type: ignore[union-attr]  # a frozen dataclass
    stated = Claims.of(solver).to_json() | {"embedded": solver.embedded, "frozen": frozen}
    return {"claims": {name: value for name, value in stated.items() if name not in ("family", "reference")}}


def figures(solver: Any) -> Figures:
    """All figures of a solver, by group; None for a figure that is not finite."""
    out: Figures = {group: {} for group in GROUPS}
    measured: tuple[Callable, ...] = (_strong, _weak) if solver.stochastic else (_runs,)
    for part in (_claims, *measured, _ends, _float32, _coefficients):
        try:
            for group, found in part(solver).items():
                out[group] |= found
        except STRANGERS as error:  # a solver that begins to raise has moved too
            out["failures"][part.__name__.strip("_")] = describe(error)
    return _digits(out)


def _digits(value: Any) -> Any:
    """The value as JSON has it, its floats to ten digits; None where they are not finite."""
    if isinstance(value, dict):
        return {k: _digits(v) for k, v in value.items()}
    if isinstance(value, float):
        return float(f"{value:.10g}") if abs(value) < float("inf") else None
    return value


def measure(names: Iterable[str]) -> dict[str, Figures]:
    """The figures of each named solver; the same on every run."""
    with threads(1):
        return {name: figures(get_solver(name)) for name in names}
