"""Error constants: the RMS error of every solver in one fixed run.  A wrong method that keeps its order moves its constant."""

import json
from pathlib import Path

import sdebench as sb
from sdebench import grids
from sdebench.solver import integrate

FILE = Path(__file__).with_name("error_constants.json")
PROBLEM, GRID, STEPS, POINTS, SEED = "mixture-1d", "irregular", 16, 16, 0


def solvers() -> list[str]:
    """The names of all solvers that cross a given grid."""
    return [name for name in sb.list_solvers() if not getattr(sb.get_solver(name), "adaptive", False)]


def measured(solver) -> float:
    """RMS error of the run that the file is about; of a stochastic method, with one fixed noise."""
    problem = sb.get_problem(PROBLEM)
    x, (s, t) = problem.initial(POINTS, SEED), problem.span
    noise = sb.WhiteNoise(problem.schedule, x.shape, SEED)
    run = integrate(solver, problem.model, x, grids.get(GRID)(problem.schedule, s, t, STEPS), noise)
    return float((run - problem.solution(x, s, t)).square().mean().sqrt())


def committed() -> dict[str, float]:
    """What the file says."""
    return json.loads(FILE.read_text(encoding="utf-8"))["rms"]
