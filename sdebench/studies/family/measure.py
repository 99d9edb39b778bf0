"""How the family study measures."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from sdebench import grids
from sdebench.catalogue import get_problem, get_solver
from sdebench.laws.chain import chain_law, chain_laws, pushforward
from sdebench.laws.density import Density, Exact
from sdebench.laws.distances import distances
from sdebench.noise import WhiteNoise
from sdebench.problems import GaussianMixture, Problem
from sdebench.process import forward
from sdebench.process.family import Dynamics, fokker_planck
from sdebench.records import Claims
from sdebench.schedules import SCHEDULES
from sdebench.studies.base import Found
from sdebench.studies.family import KEPT, TIMES, FamilyCase, spec_of
from sdebench.studies.setting import context

CHAIN_STEPS = (32, 64, 128, 256, 512, 1024)
_CHAIN_SPAN = (0.01, 0.9)
_NODES, _DENSITIES, _LAMS = 97, 32, (3.0, -4.0)


def printed_drift(ns: Any) -> Callable:
    """The reverse drift as the survey prints it, `-1/2 sigma^2 (x - score)`; right is `-1/2 beta (x + 2 score)`."""
    return lambda model, x, t: -0.5 * ns.sigma(t) ** 2 * (x - model(x, t).score)


def _fokker_planck(case: FamilyCase, problem: Problem) -> dict:
    """Maximum over the points, of both directions of time, and median over the points; at times over the span."""
    ns, (s, t) = problem.schedule, problem.span
    dynamics, printed = Dynamics(ns, case.eta), case.drift == "printed"
    data: dict[str, list] = {"t": [], "lam": [], "max": [], "median": []}
    for k in range(TIMES + 1):
        u = s + (t - s) * k / TIMES
        x = 1.3 * problem.law.marginal(ns, u).sample(case.points, case.seed)  # into the tails, too
        if printed:
            found = fokker_planck(problem.law, dynamics, x, u, printed_drift(ns))  # type: ignore[arg-type]  # the problem is a mixture
        else:
            found = torch.maximum(*(fokker_planck(problem.law, dynamics, x, u, backward=b) for b in (True, False)))  # type: ignore[arg-type]  # the problem is a mixture
        for key, value in {"t": u, "lam": ns.lam(u), "max": float(found.max()), "median": float(found.median())}.items():
            data[key].append(value)
    return data


def _rows(laws: list[Density], problem: Problem, times: list[float]) -> dict[str, list]:
    """The four distances from the exact marginals, a list each."""
    found = [distances(law, Exact(problem.law.marginal(problem.schedule, t))) for law, t in zip(laws, times)]
    return {name: [getattr(d, name) for d in found] for name in ("w1", "w2", "tv", "kl")}


def _distance(case: FamilyCase, problem: Problem) -> dict:
    ns, n = problem.schedule, case.steps
    grid, solver = grids.get(case.grid)(ns, *problem.span, n), get_solver(spec_of(case))
    at, start = range(n // TIMES, n + 1, n // TIMES), _start(case, problem)
    if case.eta == 0:
        laws = [pushforward(solver, problem, grid[: i + 1], start) for i in at]
    else:
        found = chain_laws(solver, problem, grid, start)
        laws = [found[i] for i in at]
    times = [grid[i] for i in at]
    return {"n": list(at), "t": times, "lam": [ns.lam(t) for t in times]} | _rows(laws, problem, times)


def normal_start(problem: Problem) -> GaussianMixture:
    """What sampling begins with where the marginal is not known: `N(0, alpha^2 + sigma^2)`, as if x_0 were standard normal."""
    ns, s = problem.schedule, problem.span[0]
    return GaussianMixture([1.0], [[0.0]], [ns.alpha(s) ** 2 + ns.sigma(s) ** 2])


def _start(case: FamilyCase, problem: Problem) -> GaussianMixture | None:
    return normal_start(problem) if case.start == "normal" else None


def _amount(case: FamilyCase, problem: Problem) -> dict:
    solver, start = get_solver(spec_of(case)), _start(case, problem)
    budgets, law_of = case.budgets, pushforward if case.eta == 0 else chain_law
    made = [grids.get(case.grid)(problem.schedule, *problem.span, n) for n in budgets]
    laws = [law_of(solver, problem, grid, start) for grid in made]
    return {"n": budgets, "nfe": budgets} | _rows(laws, problem, [problem.span[1]] * len(laws))


def _forward(case: FamilyCase) -> dict:
    ns, (low, high) = SCHEDULES[case.schedule](), _CHAIN_SPAN
    data: dict[str, list] = {"n": [], "h": [], "alpha": [], "sigma": [], "error": [], "floor": []}
    for n in CHAIN_STEPS:
        times = [low + (high - low) * i / n for i in range(n + 1)]
        alpha, sigma = forward.distance(forward.CHAINS[case.chain](ns, times), ns)
        floor = 1e-15 * n * max(1.0, ns.sigma(high))
        row = {"n": n, "h": (high - low) / n, "alpha": alpha, "sigma": sigma, "error": max(alpha, sigma), "floor": floor}
        for key, value in row.items():
            data[key].append(value)
    return data


def _paths(case: FamilyCase, problem: Problem) -> dict:
    """Forward from exact draws at the data's end, then back from where these arrived; every so many steps are kept."""
    ns, n, size = problem.schedule, case.steps, (case.points, problem.dim)
    low, high = ns.t(_LAMS[0]), ns.t(max(_LAMS[1], ns.lam_min))
    times = [low + (high - low) * i / n for i in range(n + 1)]
    there = forward.euler_maruyama(ns, times).paths(
        problem.law.marginal(ns, low).sample(size[0], case.seed), WhiteNoise(ns, size, case.seed)
    )
    back, noise = [there[-1]], WhiteNoise(ns, size, case.seed + 1)
    solver = get_solver(f"{case.solver}[eta={case.eta!r}]")
    for s, t in zip(times[:0:-1], times[-2::-1]):
        back.append(solver.step(problem.model, back[-1], s, t, (), noise).x)
    keep = n // KEPT
    data = {"t": times[::keep], "there": there[::keep, :, 0].T, "back": torch.stack(back)[::keep, :, 0].T}
    return {k: np.round(np.asarray(v), 4).tolist() for k, v in (data | _density(problem, low, high)).items()}


def _density(problem: Problem, low: float, high: float) -> dict:
    """The exact densities, (times, nodes), over a range that holds all of them."""
    times = np.linspace(low, high, _DENSITIES + 1)
    laws = [Exact(problem.law.marginal(problem.schedule, t)) for t in times]
    ends = [law.quantile(np.array([1e-4, 1 - 1e-4])) for law in laws]
    x = np.linspace(min(e[0] for e in ends), max(e[1] for e in ends), _NODES)
    return {"density_t": times, "x": x, "density": np.array([law.pdf(x) for law in laws])}


_MEASURES: dict[str, Callable[[FamilyCase, Problem], dict]] = {
    "fokker-planck": _fokker_planck,
    "distance": _distance,
    "amount": _amount,
    "paths": _paths,
}


def measure(case: FamilyCase) -> Found:
    """Run one case."""
    if case.kind == "forward":
        return Found(data=_forward(case))
    problem = get_problem(case.problem)
    with torch.inference_mode(case.kind != "fokker-planck"):
        data = _MEASURES[case.kind](case, problem)
    return Found(context(problem), Claims.of(get_solver(case.solver)) if case.solver else None, data)
