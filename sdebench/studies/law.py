"""Distance of laws against network evaluations: methods of the ODE and of the SDE on one scale, with no sampling.

    gaussian     the law of a method on one Gaussian, exactly, against the exact marginal at the end of the span
    quadrature   in one dimension: one-step stochastic methods by their transition kernels, deterministic ones by the map
                 that they are, coupled with the exact flow

The distance is Wasserstein-2, with the Kullback-Leibler divergence beside it.  A state's error says nothing of a stochastic
method, and a law's error says less than a state's of a deterministic one: it is the common scale, and no measure of paths.
"""

from collections.abc import Callable
from math import nan
from time import perf_counter
from typing import NamedTuple

from .. import grids
from ..catalogue import get_problem, get_solver
from ..errors import UsageError
from ..laws.chain import run_distances
from ..laws.coupling import coupled_distances
from ..laws.distances import gaussian_kl, gaussian_wasserstein2
from ..laws.gaussian import gaussian_law
from ..laws.kernel import kernels
from ..noise import WhiteNoise
from ..prediction import Counted
from ..problems import GaussianMixture, Problem
from ..registry import SOLVERS
from ..solver import Sampler, Solver, integrate
from ..tableau import tableau
from .base import claims
from .setting import Setting, context, setting
from .work_precision import BUDGETS, steps_for

KEYS = frozenset({"problems", "solvers", "grids", "budgets", "seed"})
_KEPT = ("n", "h", "nfe", "w2", "kl", "seconds", "floor")
_QUADRATURE = 1e-9  # what the quadrature of a chain's law may be off by
_INSIDE = 1  # noises in the stages of a step, each a dimension of the quadrature
_PROBE = 6  # steps of the run that shows whether a method has a law here: more than any method remembers


class Distance(NamedTuple):
    """Of the method's law from the exact marginal: Wasserstein-2 and KL; nan where the law is not resolved."""

    w2: float
    kl: float


def kind_of(problem: Problem) -> str:
    """How laws are computed on a problem.  Raises UsageError where they are not."""
    if isinstance(problem.law, GaussianMixture):
        if len(problem.law.weights) == 1:
            return "gaussian"
        if problem.dim == 1:
            return "quadrature"
    raise UsageError(f"problem {problem.name!r} has no law in closed form: give one Gaussian, as 'gaussian', or a mixture "
                     "in one dimension, as 'mixture-1d'")  # fmt: skip


def why_not(solver: Solver | Sampler, problem: Problem) -> str:
    """Why the method has no law on this problem that can be computed; empty where it has."""
    grid = grids.get("uniform_lam")(problem.schedule, *problem.span, _PROBE)
    if isinstance(solver, Sampler) and solver.adaptive:
        return "chooses its own steps: two samples of one law take the same ones only in one batch"
    try:
        if kind_of(problem) == "gaussian":
            tableau(solver, problem.schedule, grid, gamma=problem.model.gamma)
        elif solver.stochastic and max(k.inside for step in kernels(solver, problem.model, grid) for k in step) > _INSIDE:
            return f"more than {_INSIDE} noise enters its stages: minutes of quadrature a run"
    except UsageError as error:
        return str(error)
    return ""


def cases(settings: dict) -> list[dict]:
    """The cases of a `[[study]]` table: every solver on every problem and grid where its law can be computed."""
    common = {"dtype": "float64", "seed": settings.get("seed", 0), "budgets": list(settings.get("budgets", BUDGETS))}
    families = settings.get("grids", ["uniform_lam"])
    for grid in families:
        grids.get(grid)  # says so where there is none
    out = []
    for name in settings.get("problems", ["gaussian", "mixture-1d"]):
        problem = get_problem(name)
        kind = kind_of(problem)
        for spec in settings.get("solvers") or SOLVERS.names():
            if not why_not(get_solver(spec), problem):
                head = {"study": "law", "kind": kind, "solver": spec, "problem": name}
                out += [head | {"grid": grid} | common for grid in families]
    return out


def _gaussian(solver: Solver | Sampler, problem: Problem, grid: grids.Grid) -> Distance:
    exact = problem.law.marginal(problem.schedule, grid[-1])
    found, wanted = gaussian_law(solver, problem.law, problem.schedule, grid), (exact.mean(), exact.cov())
    return Distance(gaussian_wasserstein2(found, wanted), gaussian_kl(found, wanted))


def _quadrature(solver: Solver | Sampler, problem: Problem, grid: grids.Grid) -> Distance:
    try:
        found = (run_distances if solver.stochastic else coupled_distances)(solver, problem, grid)
    except RuntimeError:  # a coarse run folds the line, or has a kernel too narrow to resolve
        return Distance(nan, nan)
    return Distance(found.w2, found.kl)


_DISTANCES = {"gaussian": _gaussian, "quadrature": _quadrature}


def _calls(solver: Solver | Sampler, at: Setting, grid: grids.Grid) -> int:
    """Network evaluations of one run, as the model's counter sees them."""
    counted, ns = Counted(at.model), at.problem.schedule
    noise = WhiteNoise(ns, tuple(at.x.shape)) if solver.stochastic else None
    integrate(solver, counted, at.x, grid, noise)
    return counted.nfe


def _over_budgets(solver: Solver | Sampler, at: Setting, case: dict, distance: Callable[..., Distance]) -> dict:
    rough = case["kind"] == "quadrature" and solver.stochastic
    rows = []
    for n in steps_for(solver, tuple(case["budgets"])):
        grid, h = at.grid(case["grid"], n)
        begun = perf_counter()
        found = distance(solver, at.problem, grid)
        seconds = perf_counter() - begun
        rows.append((n, h, _calls(solver, at, grid), found.w2, found.kl, seconds, max(at.rounding(n), _QUADRATURE * rough)))
    data = {key: [row[i] for row in rows] for i, key in enumerate(_KEPT)}
    return data | {"rms": data["w2"]}  # under the name that every reader of errors knows


def measure(case: dict) -> dict:
    """Run one case; returns its `context`, `claims` and `data` for the record."""
    at, solver = setting(case["problem"], 1, case["seed"]), get_solver(case["solver"])
    data = _over_budgets(solver, at, case, _DISTANCES[case["kind"]])
    return {"context": context(at.problem), "claims": claims(solver), "data": data}
