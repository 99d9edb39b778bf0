"""The step as coefficients: a tableau's numbers, executed, are `integrate`; and exact laws against samples and the flow."""

from itertools import pairwise
from math import sqrt

import numpy as np
import pytest
import torch

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Counted, Model, lincomb
from sdebench.integration.solver import Step, StochasticSolver
from sdebench.integration.tableau import Vector, tableau
from sdebench.noise import TIME, WhiteNoise

PB = sb.get_problem("mixture-2d")
NS = PB.schedule
GRID = sb.grids.irregular(NS, *PB.span, 7)
X = PB.initial(5, 0)
# The first divides by a norm of the state, the others choose their own steps: no table of numbers says what they do.
NONLINEAR = (
    "predictor-corrector",
    "scipy-rk45",
    "scipy-dop853",
    "torchdiffeq-dopri5",
    "torchdiffeq-dopri8",
    "torchdiffeq-tsit5",
)
LINEAR = tuple(name for name in sb.list_solvers() if name not in NONLINEAR)


class Heard:
    """A noise whose answers are written down, each once, in the order of the questions."""

    def __init__(self, noise):
        self.noise, self.schedule, self.asked = noise, noise.schedule, {}

    def _keep(self, key, answers):
        self.asked.setdefault(key, answers)
        return answers

    def normal(self, s, t, weight, tag=0):
        return self._keep(("normal", s, t, weight, tag), (self.noise.normal(s, t, weight, tag),))[0]

    def integral(self, s, t, *weights, tag=0):
        return self._keep(("integral", s, t, weights, tag), self.noise.integral(s, t, *weights, tag=tag))

    def fresh(self, t, tag=0):
        return self._keep(("fresh", t, tag), (self.noise.fresh(t, tag),))[0]

    def all(self):
        return [z for answers in self.asked.values() for z in answers]


def executed(table, model, x, noises):
    """The last state by the table's numbers alone."""
    known = {("x", 0): x} | {("z", k): z for k, z in enumerate(noises)}

    def total(terms):
        return sum(c * known[symbol] for symbol, c in terms.items())

    done = 0
    for i, row in enumerate(table.rows):
        for j in range(done, row.evaluations):
            known["u", j] = total(table.evaluations[j].state)
            known["m", j] = model(known["u", j], table.evaluations[j].t).read(table.kind)
        done = row.evaluations
        known["x", i + 1] = total(row.state)
    return known["x", len(table.rows)]


def of_kind(kind):
    """The exact model as one that predicts `kind`."""
    return Model(lambda x, t: PB.model(x, t).read(kind), NS, kind, PB.model.gamma)


def run(name, kind="eps", grid=GRID):
    """(integrate's state, the table's, how many calls integrate made, the table)"""
    solver, model, noise = sb.get_solver(name), Counted(of_kind(kind)), Heard(WhiteNoise(NS, X.shape, 4))
    state = integrate(solver, model, X, grid, noise)
    table = tableau(solver, NS, grid, kind, PB.model.gamma)
    noises = noise.all()
    assert len(noises) == table.rows[-1].noises == sum(len(block) for _, block in table.covariances)
    return state, executed(table, of_kind(kind), X, noises), model.nfe, table


def agree(a, b):
    """To the rounding of seven steps whose coefficients (of lms-4, say) reach some hundreds."""
    assert float((a - b).abs().max()) < 1e-12 * float(a.abs().max())


@pytest.mark.parametrize("name", LINEAR)
def test_the_numbers_are_the_method(name):
    state, by_table, nfe, table = run(name)
    agree(state, by_table)
    assert table.nfe == nfe


@pytest.mark.parametrize("name", ["ddim", "dpm-solver++-3m", "unipc-3", "sde-dpm-solver++-3m", "sa-solver-p3c3", "restart"])
@pytest.mark.parametrize("kind", ["x0", "v", "score"])
def test_whatever_the_model_predicts(name, kind):
    state, by_table, nfe, table = run(name, kind)
    agree(state, by_table)
    assert table.nfe == nfe
    assert table.kind == kind


def test_a_row_says_where_it_is():
    table = tableau(sb.get_solver("heun-edm"), NS, GRID)
    assert [(row.s, row.t) for row in table.rows] == list(pairwise(GRID))
    assert [row.evaluations for row in table.rows] == [2 * (i + 1) for i in range(7)]
    assert [call.t for call in table.evaluations[:4]] == [GRID[0], GRID[1], GRID[1], GRID[2]]
    assert {row.noises for row in table.rows} == {0}


def test_rows_of_multistep_methods_stay_short():
    """A corrector's state has a name: its past does not grow with the run."""
    for name in ("unipc-3", "sa-solver-p3c3"):
        table = tableau(sb.get_solver(name), NS, sb.grids.irregular(NS, *PB.span, 30))
        assert max(len(row.state) for row in table.rows) <= 16, name


def test_a_composition_is_one_row():
    table = tableau(sb.get_solver("dpm-solver-fast"), NS, GRID)
    assert len(table.rows) == 1
    assert table.rows[0][:2] == (GRID[0], GRID[-1])


def test_ddim_in_numbers():
    """a = alpha_t/alpha_s, b = sigma_t - alpha_t/alpha_s sigma_s: Song et al. 2020, arXiv:2010.02502, eq. 12."""
    s, t = GRID[:2]
    (row,) = tableau(sb.get_solver("ddim"), NS, (s, t)).rows
    a = NS.alpha(t) / NS.alpha(s)
    assert row.state == pytest.approx({("x", 0): a, ("m", 0): NS.sigma(t) - a * NS.sigma(s)}, rel=1e-13)


def test_noises_asked_for_twice_are_one():
    class Twice(StochasticSolver):
        weak_order, nfe_per_step = 1, 1

        def step(self, model, x, s, t, past=(), noise=None):
            z = [noise.normal(s, t, TIME), noise.normal(s, t, TIME), noise.normal(s, t, TIME, tag=1)]
            return Step(lincomb(1.0, x, 1.0, z[0], 2.0, z[1], 5.0, z[2]))

    table = tableau(Twice(), NS, (0.5, 0.4))
    assert table.rows[0].state == {("x", 0): 1.0, ("z", 0): 3.0, ("z", 1): 5.0}


@pytest.mark.parametrize("name", NONLINEAR)
def test_a_method_that_is_not_linear_is_refused_in_a_line(name):
    with pytest.raises(UsageError, match="not linear in its vectors") as caught:
        tableau(sb.get_solver(name), NS, GRID)
    assert "\n" not in str(caught.value)
    assert type(sb.get_solver(name)).__name__ in str(caught.value)


def test_bad_input_is_refused():
    with pytest.raises(UsageError, match="give one of x0"):
        tableau(sb.get_solver("ddim"), NS, GRID, "data")
    with pytest.raises(UsageError, match="decreasing"):
        tableau(sb.get_solver("ddim"), NS, GRID[::-1])
    with pytest.raises(UsageError, match="not a solver"):
        tableau("ddim", NS, GRID)


def test_vectors():
    x, y = Vector({("x", 0): 2.0}), Vector({("z", 0): 3.0})
    assert (x + y - 2 * x / 4 + 0).terms == {("x", 0): 1.0, ("z", 0): 3.0}
    assert sum([x, -y]).terms == {("x", 0): 2.0, ("z", 0): -3.0}
    assert x.terms == {("x", 0): 2.0}
    for wrong in (lambda: x + 1, lambda: x * y, lambda: x.shape, lambda: x - 1.0):
        with pytest.raises((TypeError, AttributeError)):
            wrong()


# ------------------------------------------------------------------------------------------------------------------ laws

GAUSSIAN = sb.get_problem("gaussian")


def within_error(sample, mean, cov):
    """Mean and covariance of n samples within 4.5 standard errors."""
    n, variances = len(sample), cov.diagonal()
    assert ((sample.mean(0) - mean).abs() < 4.5 * (variances / n).sqrt()).all()
    error = ((torch.outer(variances, variances) + cov.square()) / n).sqrt()
    assert ((torch.cov(sample.T) - cov).abs() < 4.5 * error).all()


@pytest.mark.parametrize("name", ["euler-maruyama", "srk-additive", "sa-solver-p2c2", "restart"])
def test_the_law_is_that_of_samples(name):
    """Of few steps, so that it is far from the exact marginal."""
    ns, solver = GAUSSIAN.schedule, sb.get_solver(name)
    grid, x = sb.grids.irregular(ns, *GAUSSIAN.span, 4), GAUSSIAN.initial(60_000, 1)
    mean, cov = sb.gaussian_law(solver, GAUSSIAN.law, ns, grid)
    within_error(integrate(solver, GAUSSIAN.model, x, grid, WhiteNoise(ns, x.shape, 2)), mean, cov)
    exact = GAUSSIAN.law.marginal(ns, grid[-1])
    assert (cov - exact.cov()).norm() > 1e-3


@pytest.mark.parametrize("name", ["ddim", "dpm-solver++-3m", "unipc-3", "dpm-solver-fast"])
@pytest.mark.parametrize("schedule", ["EDM", "VPLinear"])
def test_a_deterministic_law_is_the_image_of_the_start(name, schedule):
    """x -> A x + b, read off by running the method on the origin and the unit vectors."""
    problem, solver = sb.get_problem(f"gaussian[schedule={schedule}]"), sb.get_solver(name)
    ns = problem.schedule
    grid = sb.grids.irregular(ns, *problem.span, 6)
    at = integrate(solver, problem.model, torch.cat([torch.zeros(1, 3), torch.eye(3)]).double(), grid)
    b, a = at[0], (at[1:] - at[0]).T
    start = GAUSSIAN.law.marginal(ns, grid[0])
    mean, cov = sb.gaussian_law(solver, GAUSSIAN.law, ns, grid)
    assert torch.allclose(mean, a @ start.mean() + b, rtol=0, atol=1e-13)
    assert torch.allclose(cov, a @ start.cov() @ a.T, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("name", "n", "bound"), [("exprk5s8", 128, 1e-9), ("dpm-solver++-3m", 400, 1e-4), ("ddim", 400, 1e-2)])
def test_the_limit_of_deterministic_laws_is_the_exact_marginal(name, n, bound):
    ns = GAUSSIAN.schedule
    exact = GAUSSIAN.law.marginal(ns, GAUSSIAN.span[1])
    mean, cov = sb.gaussian_law(sb.get_solver(name), GAUSSIAN.law, ns, sb.grids.uniform_lam(ns, *GAUSSIAN.span, n))
    assert float((mean - exact.mean()).norm() + (cov - exact.cov()).norm()) < bound


def test_a_start_of_its_own():
    """A point: the covariance is that of the noises alone, and the mean the chain's without them."""
    ns, solver = GAUSSIAN.schedule, sb.get_solver("ddpm")
    grid, point = sb.grids.irregular(ns, *GAUSSIAN.span, 3), torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    mean, cov = sb.gaussian_law(solver, GAUSSIAN.law, ns, grid, (point, torch.zeros(3, 3)))
    x = point.expand(60_000, 3).clone()
    within_error(integrate(solver, GAUSSIAN.model, x, grid, WhiteNoise(ns, x.shape, 3)), mean, cov)


def test_laws_without_a_formula_are_refused():
    with pytest.raises(UsageError, match="one component only"):
        sb.gaussian_law(sb.get_solver("ddim"), PB.law, NS, GRID)
    with pytest.raises(UsageError, match="not linear"):
        sb.gaussian_law(sb.get_solver("predictor-corrector"), GAUSSIAN.law, GAUSSIAN.schedule, GAUSSIAN.span)
    start = torch.zeros(2), torch.zeros(2, 2)
    with pytest.raises(UsageError, match="a covariance"):
        sb.gaussian_law(sb.get_solver("ddim"), GAUSSIAN.law, GAUSSIAN.schedule, GAUSSIAN.span, start)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"gm": "g"}, "'g' is not a law: give a GaussianMixture"),
        ({"gm": GAUSSIAN}, "is not a law: .* a problem's .law"),
        ({"ns": "edm"}, "'edm' is not a schedule"),
        ({"ns": GAUSSIAN}, "is not a schedule: .* a problem's .schedule"),
        ({"grid": 10}, "a grid of 10: give a sequence of times"),
        ({"grid": "a"}, "a grid of 'a'"),
        ({"start": 5}, "the start is 5: give a pair"),
        ({"start": "a"}, "the start is 'a'"),
        ({"start": X}, "the start is tensor"),
        ({"start": (torch.zeros(3), "a")}, "the start's covariance cannot be read as numbers"),
    ],
)
def test_a_law_of_what_is_none_is_refused(changed, says):
    given = {"gm": GAUSSIAN.law, "ns": GAUSSIAN.schedule, "grid": GAUSSIAN.span, "start": None} | changed
    with pytest.raises(UsageError, match=says) as caught:
        sb.gaussian_law(sb.get_solver("ddpm"), **given)
    assert "\n" not in str(caught.value)


def test_weak_order_without_a_sample():
    """Halving the step of Euler-Maruyama halves the error of its law."""
    ns = GAUSSIAN.schedule
    exact = GAUSSIAN.law.marginal(ns, GAUSSIAN.span[1]).cov()
    errors = []
    for n in (64, 128, 256):
        grid = sb.grids.uniform_lam(ns, *GAUSSIAN.span, n)
        errors.append(float((sb.gaussian_law(sb.get_solver("euler-maruyama"), GAUSSIAN.law, ns, grid)[1] - exact).norm()))
    assert np.allclose(np.divide(errors[:-1], errors[1:]), 2, atol=0.1)
    assert errors[0] > 100 * sqrt(3) * 1e-6
