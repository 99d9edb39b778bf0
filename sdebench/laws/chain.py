r"""The law of a one-step chain in one dimension, by quadrature of its transition kernel; and of a deterministic method.

    p_{i+1}(y) = int int p_i(x) N(y; M(x, zeta), c^2) phi(zeta) dzeta dx

The trapezoidal rule in x and in zeta, the noises of the stages, at half of the kernel's width: Gauss-Hermite nodes would be
spaced by the weight phi, while it is the kernel that has to be resolved.

Two checks.  The mass on the new nodes is that of the atoms, to `TOLERANCE`.  And the half rules of even and of odd atoms
differ by the last harmonic that the whole rule integrates: the first one that it does not is that one's square at most,
for any analytic integrand (and its fourth power for a normal one).
"""

from collections.abc import Iterator, Sequence
from math import ceil, sqrt

import numpy as np
import torch

from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import ModelLike
from sdebench.integration.solver import Sampler, Solver, check_solver
from sdebench.laws.carrier import NEGLIGIBLE, PER_WIDTH, Atoms, Law, Map, Mapped, Smeared, Start, bulk_gaps
from sdebench.laws.density import Density, Exact, as_law
from sdebench.laws.kernel import Kernel, kernels
from sdebench.problems import GaussianMixture, Problem

TOLERANCE = 1e-10
Given = Density | Exact | GaussianMixture
_A_STEP = 0.01  # the errors of a hundred steps may add up
_REFINEMENTS = 6
_FAR = 8.3  # a standard normal beyond has a mass of 1e-16


def advance(law: Law, kernel: Kernel) -> Law:
    """The law after one transition.  Raises RuntimeError where no affordable grid resolves it."""
    return _smeared(law, kernel) if kernel.width else Mapped(law, kernel.apply)


def _smeared(law: Law, kernel: Kernel) -> Smeared:
    """The law after a step with noise in its last line, refined until both checks hold."""
    spacing, dense = law.spacing, 1.0
    for _ in range(_REFINEMENTS):
        atoms = law.atoms(spacing).kept()
        stretch = float(bulk_gaps(atoms, kernel.apply).max()) / (PER_WIDTH * kernel.width) * dense
        if stretch > 1.001:
            spacing /= 1.02 * stretch
            atoms = law.atoms(spacing).kept()
        found = Smeared(_with_stages(atoms, kernel, dense), kernel.width)
        halves, short = found.disagreement(), abs(found.mass - float(atoms.masses.sum()))
        if halves * halves <= _A_STEP * TOLERANCE and short <= TOLERANCE:
            return found
        spacing, dense = 0.5 * spacing, 2.0 * dense
    raise RuntimeError(
        f"the law of the chain is not resolved with a kernel of width {kernel.width:.3g}: "
        f"its half rules differ by {halves:.2g}, its mass by {short:.2g}"
    )


def _with_stages(atoms: Atoms, kernel: Kernel, dense: float) -> Atoms:
    """The places M(x, zeta), each zeta on a uniform grid that resolves the kernel along it."""
    zeta = np.zeros((len(atoms.places), kernel.inside))
    for k in range(kernel.inside):
        atoms, zeta = _with_stage(atoms, zeta, kernel, k, dense)
    return Atoms(kernel.apply(atoms.places, zeta), atoms.masses, atoms.parity, atoms.classes)


def _with_stage(atoms: Atoms, zeta: np.ndarray, kernel: Kernel, k: int, dense: float) -> tuple[Atoms, np.ndarray]:
    """The atoms once for every node of zeta_k."""
    some = slice(None, None, max(1, len(zeta) // 256))
    probes, unit = np.linspace(-_FAR, _FAR, 33), np.eye(kernel.inside)[k]
    ends = [kernel.apply(atoms.places[some], zeta[some] + z * unit) for z in probes]
    slope = float(np.abs(np.diff(ends, axis=0)).max()) / (probes[1] - probes[0]) / kernel.width
    n = ceil(_FAR * sqrt(1 + slope * slope) * dense / PER_WIDTH)
    nodes = np.linspace(-_FAR, _FAR, 2 * n + 1)
    weights = np.exp(-0.5 * nodes * nodes)
    masses = np.outer(atoms.masses, weights / weights.sum())
    i, j = np.nonzero(masses > NEGLIGIBLE)
    zeta = zeta[i]
    zeta[:, k] = nodes[j]
    parity = atoms.parity[i] + atoms.classes * (j % 2)
    return Atoms(atoms.places[i], masses[i, j], parity, 2 * atoms.classes), zeta


def _laws(
    solver: Solver | Sampler, problem: Problem, grid: Sequence[float], start: Given | None, model: ModelLike | None
) -> Iterator[Law]:
    grid = grids.check(grid)
    law = _start(problem, grid, start)
    steps = kernels(check_solver(solver), problem.model if model is None else model, grid)
    if not any(kernel.width for step in steps for kernel in step):
        raise UsageError(f"{type(solver).__name__} draws no noise: sdebench.laws.chain.pushforward has the law of such methods")
    yield law
    for step in steps:
        for kernel in step:
            law = advance(law, kernel)  # type: ignore[assignment]  # a law of any kind
        yield law


def _start(problem: Problem, grid: grids.Grid, start: Given | None) -> Start:
    """The law at grid[0]: the exact marginal unless another is given."""
    if problem.dim != 1:
        raise UsageError(f"problem {problem.name!r} has dimension {problem.dim}: give one of dimension 1, such as 'mixture-1d'")
    return Start(Exact(problem.law.marginal(problem.schedule, grid[0])) if start is None else as_law(start))


def chain_law(
    solver: Solver | Sampler,
    problem: Problem,
    grid: Sequence[float],
    start: Given | None = None,
    model: ModelLike | None = None,
) -> Density:
    """The law of the chain at grid[-1], when it begins with `start` at grid[0] (the exact marginal unless given).

    Raises UsageError for a problem of more than one dimension, a method with a memory, one that draws no noise, and one that is
    not normal given the noises of its stages (`kernel.py`); RuntimeError where the law is not resolved to `TOLERANCE`.
    """
    for law in _laws(solver, problem, grid, start, model):  # noqa: B007
        pass
    return law.density()


def chain_laws(
    solver: Solver | Sampler,
    problem: Problem,
    grid: Sequence[float],
    start: Given | None = None,
    model: ModelLike | None = None,
) -> tuple[Density, ...]:
    """The laws of the chain at all times of the grid (of a Sampler: at both ends), as `chain_law` has the last."""
    return tuple(law.density() for law in _laws(solver, problem, grid, start, model))


def pushforward(
    method: Solver | Sampler,
    problem: Problem,
    grid: Sequence[float],
    start: Given | None = None,
    model: ModelLike | None = None,
) -> Density:
    """The law of a deterministic method at grid[-1], from `start` at grid[0]: `p(x)/T'(x)` at `T(x)`, T the whole run.

    For methods that treat the samples of a batch each by itself; adaptive ones, which choose steps for all, only nearly do.
    Raises UsageError for a stochastic method, RuntimeError where T is not increasing: coarse runs may fold the line.
    """
    if check_solver(method).stochastic:
        raise UsageError(f"{type(method).__name__} is stochastic: sdebench.laws.chain.chain_law has its law")
    run = _run(method, problem.model if model is None else model, grid)
    return Mapped(_start(problem, grids.check(grid), start), run).density()


def _run(method: Solver | Sampler, model: ModelLike, grid: Sequence[float]) -> Map:
    """The whole run as a map of the line."""
    return lambda x: integrate(method, model, torch.from_numpy(x).unsqueeze(1), grid).squeeze(1).numpy()
