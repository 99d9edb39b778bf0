"""What a verdict must hold up to: `test_verdicts` calls each function, `test_rejected_harness` some with a harness broken."""

from dataclasses import dataclass, fields
from functools import cache
from math import hypot, sqrt

import numpy as np
import torch

import sdebench as sb
from sdebench import fit, schedules
from sdebench.fit import pack_angles, verdict
from sdebench.laws.density import Exact
from sdebench.problems import GaussianMixture, Problem
from sdebench.studies import ladders


def climb(error, first, stated=np.inf, lost=0) -> dict:
    """The ladder of errors `error(h)` on the rungs that `rungs` asks for; `lost` points are lost at each."""
    data: dict = {"n": [], "h": [], "rms": [], "floor": [], "lost": []}
    for n in ladders.rungs(data, first, stated=stated):
        for name, value in (("n", n), ("h", 2.5 / n), ("rms", error(2.5 / n)), ("floor", 0.0), ("lost", lost)):
            data[name].append(value)
    return data


def terms_in_squares():
    """`h^2 sqrt(1 + (k h)^2)`, its lower term a quarter of the other at the finest first rung, is not of order 3."""
    for first in (ladders.ladder(3, 3, 2), ladders.ladder(3, 4, 2), ladders.ladder(3, 3, 0)):
        k = 4 / (2.5 / first[-1])
        data = climb(lambda h, k=k: h**2 * hypot(1, k * h), first)
        found = fit.fit_order(data["h"], data["rms"])
        assert verdict(found, 3) != "confirmed", f"{found}"


def goes_on_below_a_stated_order():
    """A ladder that shows order 3 of a method that states 2 does not end at its first rungs."""
    first = (64, 96, 144, 216, 324)
    assert len(climb(lambda h: h**3, first, stated=2)["n"]) > len(first)
    assert len(climb(lambda h: h**3, first, stated=3)["n"]) == len(first)


def goes_on_while_points_are_lost():
    """A sharp order 0 of errors comparable to the state ends no ladder."""
    first = (64, 96, 144, 216, 324)
    assert len(climb(lambda h: 0.3 + 1e-3 * h, first, lost=1)["n"]) == ladders.MOST_RUNGS
    assert len(climb(lambda h: 0.3, first)["n"]) == len(first)


def coverage(draws: int = 200) -> float:
    """The share of ladders, of four terms that point anywhere and the first often small, whose interval holds their order."""
    held = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        p, h = int(rng.integers(1, 5)), 0.1 / np.cumprod([1, *[1.5] * 5])
        length = 10 ** rng.uniform(-1.5, 0.5)
        terms = [rng.normal(size=12) * length**-j for j in range(4)]
        terms[0] *= 10 ** rng.uniform(-2, 0)  # as the constant of a start-up is
        vectors = [x**p * sum(c * x**j for j, c in enumerate(terms)) for x in h]
        rms = [sqrt(np.mean(v**2)) for v in vectors]
        found = fit.fit_order(h, rms, angles=pack_angles(vectors))
        if found.resolved:
            held.append(abs(found.order - p) <= found.half_width + 1e-9)
    assert len(held) > draws / 2
    return float(np.mean(held))


def intervals_cover():
    """At least 92 % of 200 intervals of 95 % hold the truth: what is less is not chance (one in 25)."""
    assert coverage() >= 0.92


@cache
def _far() -> Problem:
    ns = schedules.EDM()
    return Problem("far", sb.get_problem("mixture-1d").law, ns, (ns.t(-4.0), ns.t(1.5)))


def hidden_start_up(solver: str = "dpm-solver++-3m", claim: int = 3):
    """From lam = -4 the start-up's constant is tiny: the order of the main scheme is not confirmed of the run."""
    found = sb.measure_order(solver, _far(), "global", "uniform_lam", points=16, claim=claim)
    assert found.verdict != "confirmed", f"{found}"


def hidden_start_up_of_a_method_that_states_nothing():
    """The same of a method that does not know of its start-up: the start-up's own ladder vetoes."""
    original = sb.get_solver("unipc-3")

    class Unaware(type(original)):
        order = order_irregular = 4

    unaware = Unaware(**{field.name: getattr(original, field.name) for field in fields(original)})
    found = sb.measure_order(unaware, _far(), "global", "uniform_lam", points=16, claim=4)
    assert found.verdict == "not asymptotic"
    assert "its start-up" in found.reason


@cache
def _on_the_boundary() -> Problem:
    """Two modes, and a point that lies within 1e-4 of the boundary between them."""
    ns, best = schedules.EDM(), (9.0, None)
    span = ns.t(-2.0), ns.t(2.2)
    for w in np.linspace(0.25, 0.45, 401):
        problem = Problem("boundary", GaussianMixture([w, 1 - w], [[-1.0], [1.0]], [0.1**2] * 2), ns, span)
        share = Exact(problem.law.marginal(ns, span[0])).cdf(problem.initial(64, 0).numpy()[:, 0])
        best = min(best, (float(np.abs(share - w).min()), problem), key=lambda found: found[0])
    return best[1]


def point_on_a_boundary():
    """One of 64 points ends in the other mode at every rung: DDIM is not refuted for it, and the reason counts the points."""
    found = sb.measure_order("ddim", _on_the_boundary(), "global", "uniform_lam")
    assert found.verdict == "not asymptotic", f"{found}"
    assert "1 of 64 points" in found.reason


@dataclass(frozen=True)
class InPlace(sb.Solver):
    """DDIM that writes into its input."""

    order, nfe_per_step = 1, 1

    def step(self, model, x, s, t, past=(), noise=None):
        ns, m = model.schedule, model(x, s)
        return sb.Step(x.copy_(ns.alpha(t) * m.x0 + ns.sigma(t) * m.eps))


def writer_is_named():
    """A solver that writes into its input is told so, and those after it are measured as if it had never been."""
    try:
        sb.measure_order(InPlace(), kind="local", points=8, seed=77)
        said = ""
    except sb.UsageError as error:
        said = str(error)
    assert "writes into its input" in said
    assert sb.measure_order("ddim", kind="local", points=8, seed=77).verdict == "confirmed"


class Drifts(schedules.Rectified):
    """A schedule whose f belongs to another one."""

    def f(self, t):
        return 1.01 * super().f(t)


def schedule_is_checked():
    """Readings that do not fit together are a fault of the schedule, never a solver refuted."""
    ns = Drifts()
    try:
        sb.measure_order("euler-t", Problem("own", sb.get_problem("mixture-1d").law, ns, (ns.t(-1.0), ns.t(2.0))), points=8)
        said = ""
    except sb.UsageError as error:
        said = str(error)
    assert "f = " in said
    assert "does not fit together" in said


class Wrapped(sb.Sampler):
    """A two-step method behind a Sampler: it starts with Euler's step, as a wrapped scheduler does."""

    order, nfe_per_step = 2, 1

    def sample(self, model, x, grid, noise=None):
        return sb.integrate(sb.get_solver("dpm-solver++-2m"), model, x, grid)


def no_local_order_without_a_past():
    """What cannot be given a past is not judged locally: it is right, and its Euler start is not what it claims."""
    try:
        said = sb.measure_order(Wrapped(), kind="local", points=8).verdict
    except sb.UsageError as error:
        said = str(error)
    assert said != "refuted"
    assert sb.measure_order(Wrapped(), kind="global", points=8).verdict == "confirmed"


CHECKS = [
    terms_in_squares,
    goes_on_below_a_stated_order,
    goes_on_while_points_are_lost,
    intervals_cover,
    hidden_start_up,
    hidden_start_up_of_a_method_that_states_nothing,
    point_on_a_boundary,
    writer_is_named,
    schedule_is_checked,
    no_local_order_without_a_past,
]
torch.set_num_threads(1)
