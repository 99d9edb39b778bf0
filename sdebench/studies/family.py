"""The family of processes with equal marginals: one law for every amount of noise `eta`, until it is discretised.

    fokker-planck  residual of the exact density under the drift of each eta, and under the drift that the seed prints
    distance       distance of Euler-Maruyama's law from the exact marginal, over time, for each eta at equal NFE
    amount         the same at the end of the span, against eta
    forward        how far the marginals of the forward chains (DDPM, NCSN, Euler-Maruyama) are from those of the SDE
    paths          data to noise by the forward SDE, and back from there by the member of the family with noise eta

`eta` is a multiple of g: 0 is the probability flow, 1 the reverse SDE.  Laws are those of quadrature (`sdebench.laws.chain`),
begun with the exact marginal, which leaves the error of the steps alone, and with the normal law that one begins with where
the marginal is not known, which shows what noise is for: it forgets the error of the start, and the flow keeps it.
"""

from collections.abc import Callable
from math import inf
from typing import Any

import numpy as np
import torch

from sdebench import grids
from sdebench._support.errors import UsageError, near_miss
from sdebench.catalogue import get_problem, get_solver
from sdebench.laws.chain import chain_law, chain_laws, pushforward
from sdebench.laws.density import Density, Exact
from sdebench.laws.distances import distances
from sdebench.noise import WhiteNoise
from sdebench.problems import GaussianMixture, Problem
from sdebench.process import forward
from sdebench.process.family import Dynamics, fokker_planck
from sdebench.schedules import SCHEDULES
from sdebench.studies.base import claims
from sdebench.studies.setting import context

KEYS = frozenset({"kinds", "problems", "solvers", "etas", "grid", "budgets", "steps", "points", "seed"})
ETAS = (0.0, 0.25, 0.5, 1.0, 1.5, 2.0)
AMOUNTS = {
    "euler-maruyama": (0.0, 0.125, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
    "ddim-eta": (0.0, 0.125, 0.25, 0.5, 0.75, 1.0),
}
WITHOUT_NOISE = {"euler-maruyama": "euler-t", "ddim-eta": "ddim"}  # what each is at eta = 0, as a deterministic method
STARTS = ("exact", "normal")
CHAINS = {
    "VPLinear": ("ddpm-exact", "ddpm-integral", "ddpm-left", "ddpm-right", "euler-maruyama"),
    "VPCosine": ("ddpm-exact", "ddpm-integral", "ddpm-left", "ddpm-right", "euler-maruyama"),
    "VE": ("ncsn", "euler-maruyama"),
    "Rectified": ("euler-maruyama",),
}
CHAIN_STEPS = (32, 64, 128, 256, 512, 1024)
_CHAIN_SPAN = (0.01, 0.9)
_TIMES, _KEPT = 8, 64  # times at which distances are taken, and steps of a path that are kept
_NODES, _DENSITIES, _LAMS = 97, 32, (3.0, -4.0)


def _etas(value: Any) -> list[float]:
    etas = value if isinstance(value, list | tuple) else [value]
    if not etas or not all(isinstance(e, int | float) and not isinstance(e, bool) and 0 <= e < inf for e in etas):
        raise UsageError(f"etas is {value!r}: give numbers, 0 or more, multiples of g")
    return [float(e) for e in etas]


def _steps(value: Any, of: int) -> int:
    if type(value) is not int or value < of or value % of:
        raise UsageError(f"steps is {value!r}: give a multiple of {of}")
    return value


def _one_dimensional(settings: dict) -> list[str]:
    for name in (names := settings.get("problems", ["mixture-1d"])):
        problem = get_problem(name)
        if problem.dim != 1 or not isinstance(problem.law, GaussianMixture):
            raise UsageError(f"problem {name!r} is no mixture in one dimension: give one, as 'mixture-1d'")
    return names


def _fokker_planck_cases(settings: dict) -> list[dict]:
    common = {"points": settings.get("points", 200), "seed": settings.get("seed", 0)}
    names = settings.get("problems", ["mixture-1d", "mixture-2d"])
    members = [("family", eta) for eta in _etas(settings.get("etas", ETAS))] + [("printed", 1.0)]
    return [{"problem": name, "drift": drift, "eta": eta} | common for name in names for drift, eta in members]


def _distance_cases(settings: dict) -> list[dict]:
    common = {
        "solver": "euler-maruyama",
        "grid": settings.get("grid", "uniform_lam"),
        "steps": _steps(settings.get("steps", 32), _TIMES),
    }
    grids.get(common["grid"])
    etas = _etas(settings.get("etas", ETAS))
    names = _one_dimensional(settings)
    return [common | {"problem": name, "start": start, "eta": eta} for name in names for start in STARTS for eta in etas]


def _amount_cases(settings: dict) -> list[dict]:
    common = {"grid": settings.get("grid", "uniform_lam"), "budgets": settings.get("budgets", [8, 16, 32, 64])}
    grids.get(common["grid"])
    solvers = settings.get("solvers", list(AMOUNTS))
    for spec in solvers:
        if spec not in AMOUNTS:
            raise UsageError(f"{spec!r} has no noise to vary{near_miss(spec, AMOUNTS)}: give some of {', '.join(AMOUNTS)}")
    return [
        {"solver": spec, "problem": name, "eta": eta, "start": start} | common
        for name in _one_dimensional(settings)
        for spec in solvers
        for start in STARTS
        for eta in _etas(settings.get("etas", AMOUNTS[spec]))
        if eta <= max(AMOUNTS[spec])
    ]


def _forward_cases(settings: dict) -> list[dict]:
    return [{"chain": chain, "schedule": schedule} for schedule, chains in CHAINS.items() for chain in chains]


def _paths_cases(settings: dict) -> list[dict]:
    common = {
        "solver": "euler-maruyama",
        "points": settings.get("points", 40),
        "seed": settings.get("seed", 0),
        "steps": _steps(settings.get("steps", 256), _KEPT),
    }
    etas = _etas(settings.get("etas", [0.0, 1.0]))
    return [common | {"problem": name, "eta": eta} for name in _one_dimensional(settings) for eta in etas]


_CASES: dict[str, Callable[[dict], list[dict]]] = {
    "fokker-planck": _fokker_planck_cases,
    "distance": _distance_cases,
    "amount": _amount_cases,
    "forward": _forward_cases,
    "paths": _paths_cases,
}
KINDS = tuple(_CASES)


def cases(settings: dict) -> list[dict]:
    """The cases of a `[[study]]` table: those of every kind asked for."""
    out = []
    for kind in settings.get("kinds", KINDS):
        if kind not in _CASES:
            raise UsageError(f"unknown kind {kind!r} of study 'family'{near_miss(kind, KINDS)} (it has: {', '.join(KINDS)})")
        out += [{"study": "family", "kind": kind} | case for case in _CASES[kind](settings)]
    return out


def printed_drift(ns: Any) -> Callable:
    """The reverse drift as the seed prints it, `-1/2 sigma^2 (x - score)`; right is `-1/2 beta (x + 2 score)`."""
    return lambda model, x, t: -0.5 * ns.sigma(t) ** 2 * (x - model(x, t).score)


def _fokker_planck(case: dict, problem: Problem) -> dict:
    """Maximum over the points, of both directions of time, and median over the points; at times over the span."""
    ns, (s, t) = problem.schedule, problem.span
    dynamics, printed = Dynamics(ns, case["eta"]), case["drift"] == "printed"
    data: dict[str, list] = {"t": [], "lam": [], "max": [], "median": []}
    for k in range(_TIMES + 1):
        u = s + (t - s) * k / _TIMES
        x = 1.3 * problem.law.marginal(ns, u).sample(case["points"], case["seed"])  # into the tails, too
        if printed:
            found = fokker_planck(problem.law, dynamics, x, u, printed_drift(ns))
        else:
            found = torch.maximum(*(fokker_planck(problem.law, dynamics, x, u, backward=b) for b in (True, False)))
        for key, value in {"t": u, "lam": ns.lam(u), "max": float(found.max()), "median": float(found.median())}.items():
            data[key].append(value)
    return data


def _spec(case: dict) -> str:
    return WITHOUT_NOISE[case["solver"]] if case["eta"] == 0 else f"{case['solver']}[eta={case['eta']!r}]"


def _rows(laws: list[Density], problem: Problem, times: list[float]) -> dict[str, list]:
    """The four distances from the exact marginals, a list each."""
    found = [distances(law, Exact(problem.law.marginal(problem.schedule, t))) for law, t in zip(laws, times)]
    return {name: [getattr(d, name) for d in found] for name in ("w1", "w2", "tv", "kl")}


def _distance(case: dict, problem: Problem) -> dict:
    ns, n = problem.schedule, case["steps"]
    grid, solver = grids.get(case["grid"])(ns, *problem.span, n), get_solver(_spec(case))
    at, start = range(n // _TIMES, n + 1, n // _TIMES), _start(case, problem)
    if case["eta"] == 0:
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


def _start(case: dict, problem: Problem) -> GaussianMixture | None:
    return normal_start(problem) if case["start"] == "normal" else None


def _amount(case: dict, problem: Problem) -> dict:
    solver, start = get_solver(_spec(case)), _start(case, problem)
    budgets, law_of = case["budgets"], pushforward if case["eta"] == 0 else chain_law
    made = [grids.get(case["grid"])(problem.schedule, *problem.span, n) for n in budgets]
    laws = [law_of(solver, problem, grid, start) for grid in made]
    return {"n": budgets, "nfe": budgets} | _rows(laws, problem, [problem.span[1]] * len(laws))


def _forward(case: dict) -> dict:
    ns, (low, high) = SCHEDULES[case["schedule"]](), _CHAIN_SPAN
    data: dict[str, list] = {"n": [], "h": [], "alpha": [], "sigma": [], "error": [], "floor": []}
    for n in CHAIN_STEPS:
        times = [low + (high - low) * i / n for i in range(n + 1)]
        alpha, sigma = forward.distance(forward.CHAINS[case["chain"]](ns, times), ns)
        floor = 1e-15 * n * max(1.0, ns.sigma(high))
        row = {"n": n, "h": (high - low) / n, "alpha": alpha, "sigma": sigma, "error": max(alpha, sigma), "floor": floor}
        for key, value in row.items():
            data[key].append(value)
    return data


def _paths(case: dict, problem: Problem) -> dict:
    """Forward from exact draws at the data's end, then back from where these arrived; every so many steps are kept."""
    ns, n, size = problem.schedule, case["steps"], (case["points"], problem.dim)
    low, high = ns.t(_LAMS[0]), ns.t(max(_LAMS[1], ns.lam_min))
    times = [low + (high - low) * i / n for i in range(n + 1)]
    there = forward.euler_maruyama(ns, times).paths(
        problem.law.marginal(ns, low).sample(size[0], case["seed"]), WhiteNoise(ns, size, case["seed"])
    )
    back, noise = [there[-1]], WhiteNoise(ns, size, case["seed"] + 1)
    solver = get_solver(f"{case['solver']}[eta={case['eta']!r}]")
    for s, t in zip(times[:0:-1], times[-2::-1]):
        back.append(solver.step(problem.model, back[-1], s, t, (), noise).x)
    keep = n // _KEPT
    data = {"t": times[::keep], "there": there[::keep, :, 0].T, "back": torch.stack(back)[::keep, :, 0].T}
    return {k: np.round(np.asarray(v), 4).tolist() for k, v in (data | _density(problem, low, high)).items()}


def _density(problem: Problem, low: float, high: float) -> dict:
    """The exact densities, (times, nodes), over a range that holds all of them."""
    times = np.linspace(low, high, _DENSITIES + 1)
    laws = [Exact(problem.law.marginal(problem.schedule, t)) for t in times]
    ends = [law.quantile(np.array([1e-4, 1 - 1e-4])) for law in laws]
    x = np.linspace(min(e[0] for e in ends), max(e[1] for e in ends), _NODES)
    return {"density_t": times, "x": x, "density": np.array([law.pdf(x) for law in laws])}


_MEASURES: dict[str, Callable[[dict, Problem], dict]] = {
    "fokker-planck": _fokker_planck,
    "distance": _distance,
    "amount": _amount,
    "paths": _paths,
}


def measure(case: dict) -> dict:
    """Run one case; returns its `context`, `claims` and `data` for the record."""
    if case["kind"] == "forward":
        return {"context": {}, "claims": {}, "data": _forward(case)}
    problem = get_problem(case["problem"])
    with torch.inference_mode(case["kind"] != "fokker-planck"):
        data = _MEASURES[case["kind"]](case, problem)
    said = claims(get_solver(case["solver"])) if "solver" in case else {}
    return {"context": context(problem), "claims": said, "data": data}
