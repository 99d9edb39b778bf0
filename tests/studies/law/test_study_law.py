"""The law study: distances against independent recursions, the same by both ways of computing them, and what has no law."""

from itertools import pairwise
from math import hypot, isnan, sqrt

import numpy as np
import pytest
import torch
from measured import cases_of

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.fit import fit_order
from sdebench.laws.chain import pushforward
from sdebench.laws.coupling import coupled_distances
from sdebench.laws.distances import kl, wasserstein2
from sdebench.laws.feasible import kind_of
from sdebench.problems import GaussianMixture, Problem
from sdebench.studies.law import LawCase
from sdebench.studies.law import measure as law


def case(solver, problem="gaussian", budgets=(8, 12, 16, 24, 32, 48, 64)):
    """A case as `cases` makes it."""
    kind = kind_of(sb.get_problem(problem))
    return LawCase(kind, solver, problem, "uniform_lam", "float64", 0, tuple(budgets))


def test_the_distance_of_a_linear_map_is_that_of_the_map_found_by_two_runs():
    """W2^2 = |mean - mean'|^2 + sum_k (sd_k - sd'_k)^2 where the covariances share their axes."""
    data = law.measure(case("ddim", budgets=(8,))).data
    pb = sb.get_problem("gaussian")
    ns, (s, t) = pb.schedule, pb.span
    values, axes = torch.linalg.eigh(pb.law.cov())
    start, exact = pb.law.marginal(ns, s), pb.law.marginal(ns, t)
    points = torch.cat([start.mean()[None], start.mean() + axes.T])
    runs = sb.integrate(sb.get_solver("ddim"), pb.model, points, sb.grids.uniform_lam(ns, s, t, 8))
    gain = (runs[1:] - runs[0]).norm(dim=1)
    before, wanted = ((ns.alpha(u) ** 2 * values + ns.sigma(u) ** 2).sqrt() for u in (s, t))
    sd = gain * before
    expected = hypot(float((runs[0] - exact.mean()).norm()), float((sd - wanted).norm()))
    assert data["w2"][0] == pytest.approx(expected, rel=1e-9)
    assert data["rms"] == data["w2"]
    assert expected > 0.1


def test_the_law_of_euler_maruyama_follows_its_moment_recursion():
    """x' = A x + b + c z, scalar by scalar along the axes: m' = A m + b, v' = A^2 v + c^2."""
    pb, n = sb.get_problem("gaussian"), 12
    ns, (s, t) = pb.schedule, pb.span
    values, axes = np.linalg.eigh(pb.law.cov().numpy())
    mu, total = axes.T @ pb.law.mean().numpy(), 0.0
    grid = sb.grids.uniform_lam(ns, s, t, n)
    for v0, m0 in zip(values, mu):

        def moments(time, v0=v0, m0=m0):
            return ns.alpha(time) * m0, ns.alpha(time) ** 2 * v0 + ns.sigma(time) ** 2

        m, v = moments(s)
        for a, b in pairwise(grid):
            f, g2, h, (m_a, v_a) = ns.f(a), ns.g2(a), a - b, moments(a)
            slope = 1 - h * (f + g2 / v_a)  # dx = [f x - g^2 score] dt, score = -(x - m_a)/v_a
            m, v = slope * m + h * g2 * m_a / v_a, slope * slope * v + g2 * h
        m_t, v_t = moments(t)
        total += (m - m_t) ** 2 + (sqrt(v) - sqrt(v_t)) ** 2
    assert law.measure(case("euler-maruyama", budgets=(n,))).data["w2"][0] == pytest.approx(sqrt(total), rel=1e-9)


@pytest.mark.parametrize(
    ("solver", "order"), [("euler-maruyama", 1), ("srk-additive", 2), ("dpm-solver++-2m", 2), ("unipc-3", 3)]
)
def test_the_law_converges_with_the_weak_order(solver, order):
    budgets = [b * sb.get_solver(solver).nfe_per_step for b in (24, 32, 48, 64, 96, 128)]
    data = law.measure(case(solver, budgets=budgets)).data
    assert fit_order(data["h"], data["w2"], data["floor"]).order == pytest.approx(order, abs=0.1)
    assert data["kl"][-1] < data["kl"][0] < data["w2"][0]


def test_every_kind_of_method_spends_its_budget_as_counted():
    for solver, nfe in (("ddim", [4, 7]), ("srk-additive", [4, 6]), ("euler-maruyama", [4, 7])):
        assert law.measure(case(solver, budgets=(4, 7))).data["nfe"] == nfe


@pytest.mark.parametrize("solver", ["ddim", "dpm-solver++-2m", "euler-maruyama", "srk-additive"])
def test_the_quadrature_has_the_distance_that_the_formula_has(solver):
    """A Gaussian as a mixture of itself with itself goes the other way and ends at the same place."""
    ns = sb.get_problem("mixture-1d").schedule
    span = ns.t(-1.0), ns.t(1.5)
    one, twice = (
        Problem("g", GaussianMixture(w, m, v), ns, span)
        for w, m, v in (([1.0], [[0.3]], [0.25]), ([0.5, 0.5], [[0.3], [0.3]], [0.25, 0.25]))
    )
    grid, method = sb.grids.uniform_lam(ns, *span, 6), sb.get_solver(solver)
    assert (kind_of(one), kind_of(twice)) == ("gaussian", "quadrature")
    exact, found = law._gaussian(method, one, grid), law._quadrature(method, twice, grid)
    assert exact.w2 > 1e-3
    assert found.w2 == pytest.approx(exact.w2, abs=1e-9)
    assert found.kl == pytest.approx(exact.kl, abs=1e-9)


def test_the_coupling_of_two_maps_has_the_distances_of_their_densities():
    pb = sb.get_problem("mixture-1d")
    grid, method = sb.grids.uniform_lam(pb.schedule, *pb.span, 6), sb.get_solver("dpm-solver++-2m")
    found, law_of_run = coupled_distances(method, pb, grid), pushforward(method, pb, grid)
    exact = pb.law.marginal(pb.schedule, grid[-1])
    assert found.w2 > 1e-3
    assert found.w2 == pytest.approx(wasserstein2(law_of_run, exact), abs=1e-9)
    assert found.kl == pytest.approx(kl(law_of_run, exact), rel=1e-6)


def test_a_run_that_folds_the_line_has_no_distance():
    pb = sb.get_problem("mixture-1d")

    class Turned(sb.Solver):
        order, nfe_per_step = 1, 1

        def step(self, model, x, s, t, past=(), noise=None):
            return sb.Step(-x)

    with pytest.raises(RuntimeError, match="folds"):
        coupled_distances(Turned(), pb, pb.span)


def test_cases_are_those_that_have_a_law():
    asked = ["ddim", "scipy-rk45", "euler-maruyama", "sde-dpm-solver-2m"]
    with pytest.warns(UserWarning, match="left out") as told:
        kept = {(c.solver, c.problem) for c in cases_of("law", solvers=asked)}
    assert [str(warning.message) for warning in told] == [
        "study law: 1 solver has no exact law on 'gaussian', left out: scipy-rk45 (it chooses its own steps)",
        "study law: 2 solvers have no exact law on 'mixture-1d', left out: scipy-rk45 (it chooses its own steps); "
        "sde-dpm-solver-2m (it has a memory of 1)",
    ]
    both = {(s, p) for s in ("ddim", "euler-maruyama") for p in ("gaussian", "mixture-1d")}
    assert kept == both | {("sde-dpm-solver-2m", "gaussian")}
    with pytest.raises(UsageError, match="'sde-dpm-solver-2m' has no law on 'mixture-1d'"):
        cases_of("law", problems=["mixture-1d"], solvers=["sde-dpm-solver-2m"])
    with pytest.raises(UsageError, match="mixture-1d"):
        cases_of("law", problems=["mixture-2d"], solvers=["ddim"])
    with pytest.raises(UsageError, match="grid"):
        cases_of("law", grids=["uniform_lamb"], solvers=["ddim"])


def test_studies_of_states_leave_stochastic_methods_to_this_one():
    asked = ["ddim", "euler-maruyama"]
    for study in ("floor", "work-precision"):
        assert {c.solver for c in cases_of(study, solvers=asked)} == {"ddim"}
    assert {c.solver for c in cases_of("law", solvers=asked)} == {"ddim", "euler-maruyama"}


def test_a_run_whose_law_is_not_resolved_is_a_gap_and_not_a_failure(monkeypatch):
    def folded(*_):
        raise RuntimeError("the map folds the law")

    monkeypatch.setattr(law, "coupled_distances", folded)
    found = law._quadrature(sb.get_solver("ddim"), sb.get_problem("mixture-1d"), (0.5, 0.4))
    assert isnan(found.w2)
    assert isnan(found.kl)
