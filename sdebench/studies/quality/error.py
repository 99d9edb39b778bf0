"""Paired errors: where a solver ends, against where the exact trajectory of the same network ends from the same noise.

"Exact" is what two methods that share nothing, on two grids that share nothing, agree on; their difference is the error bar.
Two grids, and fine ones: the usual embedding tells a network cos(1000 t), which grids of fewer than a thousand steps do not
resolve.  On one grid of 100 steps two methods agree to 2e-7 on what is wrong by 7e-4.

What the number format of a network alone does to a trajectory is measured on such a grid too: it is the floor of every error
in that format.
"""

import hashlib
from contextlib import suppress
from functools import lru_cache
from itertools import pairwise
from math import sqrt

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from sdebench._support.files import cache, own_folder, private, write_atomic
from sdebench.catalogue import get_solver
from sdebench.data import to_uint8
from sdebench.grids import Grid
from sdebench.integration.prediction import Counted, ModelLike
from sdebench.records.code import code_of
from sdebench.studies.quality import QualityCase
from sdebench.studies.quality.run import Sampling, grid_of, sample, steps_for
from sdebench.studies.quality.student import is_student, teacher_of
from sdebench.studies.setting import Ladder

FINE = (("unipc-3-rk-start", "irregular", 2400), ("lms-4-rk-start", "uniform_lam", 2000))
PICTURES = 8


class Converged:
    """The ends, over alpha, of the exact trajectories of the samples 0 to `points - 1`: float64 (points, dim), to `error`."""

    def __init__(self, at: Sampling, points: int):
        self.at, self.points = at, points
        self.ends, other = (self._fine(at, *fine) for fine in FINE)
        self.error, self.scale = _rms(self.ends - other), _rms(self.ends)
        self._rounding = {at.dtype: 0.0}

    def _fine(self, at: Sampling, solver: str, grid: str, steps: int) -> Tensor:
        """Where a fine run ends: thousands of network calls, so what one process has made the others and later ones find."""
        about = (
            code_of([sample, get_solver(solver)]).hash,
            at.problem.sha256,
            *at,
            self.points,
            solver,
            grid,
            steps,
            torch.__version__,
        )
        path = cache() / "converged" / f"{hashlib.sha256(repr(about).encode()).hexdigest()[:32]}.safetensors"
        with suppress(OSError, SafetensorError, KeyError):
            ends = load_file(path)["ends"] if private(path) and path.is_file() else None
            if ends is not None and ends.shape == (self.points, at.problem.dim) and ends.dtype == torch.float64:
                return ends
        ends = self.run(solver, at.problem.model, grid_of(at.problem, grid, steps), at)
        with suppress(OSError):  # no room, or a home that cannot be written: then everybody makes it
            own_folder(path.parent)
            write_atomic(path, save({"ends": ends}))
        return ends

    def run(self, solver: str, model: ModelLike, grid: Grid, at: Sampling) -> Tensor:
        """Where a solver ends, (points, dim) in float64 on the host."""
        return sample(get_solver(solver), model, grid, at, 0, self.points).flatten(1).double().cpu()

    def rounding(self, dtype: str) -> float:
        """RMS of what a network in that format changes on a fine grid."""
        if dtype not in self._rounding:
            self._rounding[dtype] = _rms(self._fine(self.at._replace(dtype=dtype), *FINE[0]) - self.ends)
        return self._rounding[dtype]


def _rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


@lru_cache(maxsize=4)
def converged(at: Sampling, points: int) -> Converged:
    """Kept, because every solver of a study comes back to it."""
    return Converged(at, points)


def of_error(case: QualityCase, at: Sampling) -> tuple[dict, dict]:
    """(data, arrays) of a case of kind "error": a rung for each number of steps that the budgets of the ladder allow.

    Of a student the trajectory is its teacher's, which `reference_of` names.  A run that draws noise is of one step, and
    has sqrt(2) rho_t as part of its floor: its own noise at the grid's end, and what is left of noise there in the reference.
    """
    teacher, problem = teacher_of(at), at.problem
    exact = converged(teacher._replace(dtype=case.reference), case.points)
    rounding, solver, ns = exact.rounding(case.dtype), get_solver(case.solver), problem.schedule
    drawn = sqrt(2) * ns.rho(problem.span[1]) if solver.stochastic else 0.0
    budgets: dict[int, int] = {}
    for budget in sorted(case.ladder):
        budgets.setdefault(steps_for(solver, problem, case.grid, budget), budget)
    out, errors = Ladder(problem.model), []  # type: ignore[arg-type]  # a network's model is one too

    def run(model: ModelLike, grid: Grid) -> Tensor:
        ends = exact.run(case.solver, model, grid, at)
        errors.append((ends - exact.ends).square().mean(1).sqrt().numpy())
        return ends

    for n in sorted(budgets):
        grid = grid_of(problem, case.grid, n)
        h = max(ns.lam(t) - ns.lam(s) for s, t in pairwise(grid))
        out.rung(n, h, max(exact.error, rounding, drawn), exact.ends, lambda model, grid=grid: run(model, grid))  # type: ignore[misc]  # a lambda that binds a loop variable
    asked = [budgets[n] for n in out.data["n"]]
    name = {"reference_of": {"name": teacher.problem.name, "sha256": teacher.problem.sha256}} if is_student(at) else {}
    return out.data | name | {
        "budget": asked,
        "exact": [a == b for a, b in zip(out.data["nfe"], asked)],
        "scale": exact.scale,
        "reference_error": exact.error,
        "rounding": rounding,
    }, {"error": np.stack(errors)}


def _pixels(x: Tensor, shape: tuple[int, ...]) -> np.ndarray:
    return to_uint8(x.reshape(-1, *shape)[:PICTURES]).cpu().numpy()


def of_pictures(case: QualityCase, at: Sampling) -> tuple[dict, dict]:
    """(data, arrays) of a case of kind "pictures": (budgets, 8, C, H, W) of a solver, or (1, 8, C, H, W) of what is exact."""
    problem = at.problem
    if case.solver is None:
        exact = converged(at._replace(dtype=case.reference), case.points)
        return {"budget": [], "nfe": [], "steps": []}, {"images": _pixels(exact.ends, problem.shape)[None]}
    solver, data, images = get_solver(case.solver), {"budget": case.budgets, "nfe": [], "steps": []}, []
    for budget in case.budgets:
        n = steps_for(solver, problem, case.grid, budget)
        counted = Counted(problem.model)
        images.append(_pixels(sample(solver, counted, grid_of(problem, case.grid, n), at, 0, PICTURES), problem.shape))
        data["nfe"].append(counted.nfe)  # type: ignore[attr-defined]  # a list
        data["steps"].append(n)  # type: ignore[attr-defined]  # a list
    return data, {"images": np.stack(images)}
