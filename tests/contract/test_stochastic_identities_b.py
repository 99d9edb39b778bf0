"""SDE-DPM-Solver, SA-Solver, SEEDS and ER-SDE-Solver: methods that are one map, and parts that are exact on a Brownian path."""

from math import expm1, log

import mpmath as mp
import numpy as np
import pytest
import torch
from contract.checks import difference, irregular, unequal_past

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.integration.integrate import integrate
from sdebench.integration.tableau import tableau
from sdebench.noise import WhiteNoise
from sdebench.noise.brownian import BrownianPath
from sdebench.schedules import VPLinear
from sdebench.solvers.er_sde import SCALES, taylor_weights
from sdebench.solvers.shared.weights import adams
from sdebench.studies.setting import setting

ROUNDING = 1e-13  # over 16 steps, relative to the largest entry
ON_A_PATH = 1e-10  # found 1e-12: a weight given as a function is projected on the path's basis, a known one integrated exactly

SAME = [
    ("sde-dpm-solver++-1", "ddpm"),
    ("sde-dpm-solver++-1", "ddim-eta"),
    ("sde-dpm-solver++-1", "sa-solver-p1"),
    ("sde-dpm-solver++-1", "er-sde-1[scale=sde]"),
    ("sde-dpm-solver++-2m-heun", "sa-solver-p2"),
    ("sde-dpm-solver-1", "seeds-1"),
    ("sa-solver-p2[tau=0.5]", "sa-solver-p2[tau=0.5,low=0.0,high=100]"),
]
WITHOUT_NOISE = [
    ("sa-solver-p1[tau=0]", "ddim"),
    ("er-sde-1[scale=ode]", "ddim"),
    ("sa-solver-p2[high=0]", "sa-solver-p2[tau=0]"),
]


def run(spec, at, grid, noise):
    return integrate(sb.get_solver(spec), at.model, at.x, grid, noise)


@pytest.mark.parametrize(("one", "other"), SAME + WITHOUT_NOISE)
def test_one_map_with_the_same_normals(one, other):
    at = setting("mixture-1d", 64, 0)
    grid, noise = irregular(at.problem, 16), WhiteNoise(at.problem.schedule, at.x.shape, 5)
    assert difference(run(one, at, grid, noise), run(other, at, grid, noise)) < ROUNDING


@pytest.mark.parametrize(("one", "other"), SAME)
def test_one_map_on_a_path(one, other):
    """Now the weights of the noise count, too: a white noise hands out one normal whatever the weight."""
    at = setting("mixture-1d", 16, 0)
    grid = irregular(at.problem, 6)
    path = BrownianPath(at.problem.schedule, grid, at.x.shape, 5)
    assert difference(run(one, at, grid, path), run(other, at, grid, path)) < ON_A_PATH


MAIN = [
    ("sa-solver-p3[tau=0]", "dpm-solver++-3m"),
    ("sa-solver-p3[tau=0]", "unip-3"),
    ("sa-solver-p4[tau=0]", "unip-4"),
    ("sa-solver-p3c4[tau=0]", "unipc-3"),
    ("sa-solver-p3", "sde-dpm-solver++-3m"),
]


@pytest.mark.parametrize(("one", "other"), MAIN)
def test_one_main_scheme(one, other):
    """One step from an unequal past."""
    at = setting("mixture-1d", 64, 0)
    s, t = irregular(at.problem, 16)[5:7]
    a, b = (sb.get_solver(spec) for spec in (one, other))
    noise, past = WhiteNoise(at.problem.schedule, at.x.shape, 5), unequal_past(at.model, at.x, s, 0.07, a.memory)
    step = lambda m: m.step(at.model, at.x, s, t, past, noise).x  # noqa: E731
    assert difference(step(a), step(b)) < ROUNDING


@pytest.mark.parametrize("corrector", [False, True])
@pytest.mark.parametrize("k", [3, 4])
def test_no_adams_method_is_of_weak_order_3(k, corrector):
    """On dx = K x + dB the variance of each falls short by the same multiple of h^2 (`sde_dpm_solver`)."""
    rate, span, n = 0.7, 1.3, 400
    h, nodes = span / n, [-float(j) for j in range(k)]
    b, c = adams(nodes), adams([1.0, *nodes[:-1]])
    x, u = [], []  # the responses of the state and of the predicted one, one to k steps back
    for _ in range(n):
        before = x[-1] if x else 1.0  # the first step's noise comes in with its end
        u.append(before + rate * h * sum(w * v for w, v in zip(b, reversed(u))))
        x.append(before + rate * h * sum(w * v for w, v in zip(c, reversed(u))) if corrector else u[-1])
    missing = expm1(2 * rate * span) / (2 * rate) - h * sum(v * v for v in x)
    assert missing / h**2 == pytest.approx(rate / 2 * (expm1(2 * rate * span) / 4 + 1 / 3), rel=0.03)


@pytest.mark.parametrize("name", ["sde-dpm-solver++-3m-shipped", "sde-dpm-solver++-3m-diffusers-shipped"])
def test_as_shipped_is_another_method(name):
    """FINDING: elsewhere they have the name of the first, and differ by far more than rounding."""
    at = setting("mixture-1d", 64, 0)
    grid, noise = irregular(at.problem, 16), WhiteNoise(at.problem.schedule, at.x.shape, 5)
    assert difference(run(name, at, grid, noise), run("sde-dpm-solver++-3m", at, grid, noise)) > 1e-4


EXACT_IN_X0 = (
    "sde-dpm-solver++-1",
    "sde-dpm-solver++-2m",
    "sde-dpm-solver++-2m-heun",
    "sde-dpm-solver++-3m",
    "sde-dpm-solver++-3m-shipped",
    "sa-solver-p4",
    "sa-solver-p3[tau=0.5]",
    "sa-solver-p2c2",
    "sa-solver-p3c4[tau=1.7]",
    "sa-solver-p2c2-shipped",
    *(f"er-sde-3[scale={scale}]" for scale in SCALES if scale != "ode"),
)
EXACT_IN_EPS = (
    "sde-dpm-solver-1",
    "sde-dpm-solver-2m",
    "sde-dpm-solver-2m-heun",
    "seeds-1",
    "seeds-2",
    "seeds-2[r=0.3]",
    "seeds-3",
)


class Constant:
    """A model that says the same everywhere, and remembers what it was asked."""

    def __init__(self, ns, kind, value=0.7):
        self.schedule, self.kind, self.value, self.asked = ns, kind, value, {}

    def __call__(self, x, t):
        self.asked[t] = x
        return sb.Prediction(self.kind, torch.full_like(x, self.value), x, t, self.schedule)


def path_and_grids():
    ns = VPLinear()
    fine = sb.grids.irregular(ns, 0.8, 0.1, 12)
    return ns, fine, fine[::2], BrownianPath(ns, fine, (8, 1), 3), torch.linspace(-2, 2, 8, dtype=torch.float64)[:, None]


@pytest.mark.parametrize(("spec", "kind"), [*((n, "x0") for n in EXACT_IN_X0), *((n, "eps") for n in EXACT_IN_EPS)])
def test_what_is_integrated_exactly_is_exact_on_a_path(spec, kind):
    """Under a constant prediction 12 steps and 6 on one path end at one state: linear part, weights and noise are exact."""
    ns, fine, coarse, path, x = path_and_grids()
    a, b = (integrate(sb.get_solver(spec), Constant(ns, kind), x, grid, path) for grid in (fine, coarse))
    assert difference(a, b) < ON_A_PATH


@pytest.mark.parametrize("spec", ["seeds-2", "seeds-2[r=0.3]", "seeds-3"])
def test_stages_of_seeds_are_on_the_path(spec):
    """Under a constant eps the states at which the stages are asked are those of SEEDS-1 through the same times."""
    ns, _, coarse, path, x = path_and_grids()
    model, other = Constant(ns, "eps"), Constant(ns, "eps")
    end = integrate(sb.get_solver(spec), model, x, coarse, path)
    times = (*model.asked, coarse[-1])
    assert difference(integrate(sb.get_solver("seeds-1"), other, x, times, path), end) < ON_A_PATH
    assert all(difference(model.asked[t], other.asked[t]) < ON_A_PATH for t in model.asked)


@pytest.mark.parametrize("h", [1e-4, 1e-2, 0.3])
@pytest.mark.parametrize("tau", [0.0, 0.6, 1.0])
@pytest.mark.parametrize(("p", "c"), [(1, 0), (2, 0), (3, 0), (4, 0), (3, 4), (2, 2)])
def test_coefficients_of_sa_solver(p, c, tau, h):
    """Against its integrals in 40 digits: the closed forms in use lose 12 digits at h = 1e-4 and p = 4."""
    ns = VPLinear()
    lams = np.cumsum([0.2, *(h * np.array([1.0, 1.6, 0.7, 1.3, 1.0]))])
    grid = tuple(ns.t(float(v)) for v in lams)[: max(p, c - 1) + 1]
    table = tableau(sb.get_solver(f"sa-solver-p{p}" + f"c{c}" * bool(c) + f"[tau={tau}]"), ns, grid, "x0")
    s, t = grid[-2:]
    nodes = [grid[-1], *grid[-2 : -c - 1 : -1]] if c else list(grid[-2 : -p - 2 : -1])
    last = len(table.evaluations) - 1
    got = [table.rows[-1].state["m", last - j] for j in range(len(nodes))]
    lam = [mp.mpf(ns.lam(u)) for u in nodes]
    for j, value in enumerate(got):
        exact = sa_coefficient(ns, mp.mpf(tau) ** 2, s, t, lam, j)
        assert abs(mp.mpf(value) / exact - 1) < 1e-12 + 4e-16 / h  # of the lams themselves


def sa_coefficient(ns, q, s, t, lam, j):
    """(1 + tau^2) sigma_t int e^{-tau^2 lam_t} e^{(1 + tau^2) lam} l_j(lam) dlam."""
    with mp.workdps(40):
        end = mp.mpf(ns.lam(t))
        basis = lambda u: mp.fprod((u - b) / (lam[j] - b) for i, b in enumerate(lam) if i != j)  # noqa: E731
        integral = mp.quad(lambda u: mp.exp((1 + q) * (u - end)) * basis(u), [mp.mpf(ns.lam(s)), end])
        return (1 + q) * mp.mpf(ns.alpha(t)) * integral


PAPERS = {
    "ode": lambda x: x,
    "sde": lambda x: x**2,
    "sde-2": lambda x: x**1.5,
    "sde-3": lambda x: x**2.5,
    "sde-4": lambda x: x**0.9 * mp.log10(1 + 100 * x**1.5),
    "sde-5": lambda x: x * (mp.exp(x**0.3) + 10),
}


@pytest.mark.parametrize("rho", [0.02, 0.3, 5.0])
@pytest.mark.parametrize("scale", SCALES)
def test_scales_of_er_sde(scale, rho):
    """kappa is the logarithmic derivative of the paper's phi."""
    exact = mp.diff(lambda u: mp.log(PAPERS[scale](mp.exp(u))), mp.log(rho))
    assert SCALES[scale].kappa(rho) == pytest.approx(float(exact), rel=1e-12)


@pytest.mark.parametrize("rho", [1e-12, 1e-6, 1e-3, 5.0])
@pytest.mark.parametrize("scale", SCALES)
def test_scales_of_er_sde_at_small_noise(scale, rho):
    """Their ratios to the value at 1 are the paper's, with no digit lost: 1 + 100 rho^1.5 rounds to 1."""
    with mp.workdps(40):
        exact = mp.log(PAPERS[scale](mp.mpf(rho)) / PAPERS[scale](mp.mpf(1)))
    log_phi = lambda u: SCALES[scale].log_over_rho(u) + log(u)  # noqa: E731
    assert log_phi(rho) - log_phi(1.0) == pytest.approx(float(exact), rel=1e-13)


@pytest.mark.parametrize(("s", "t"), [(0.6, 0.5), (0.3, 0.2999)])
@pytest.mark.parametrize("scale", SCALES)
def test_integrals_of_er_sde(scale, s, t):
    """As the paper has them, integrated by parts, in 40 digits."""
    phi, ns = PAPERS[scale], VPLinear()
    r, sd, c = sb.get_solver(f"er-sde-3[scale={scale}]")._coefficients(ns.lam(s), ns.lam(t), 3)
    with mp.workdps(40):
        rho_s, rho_t = (mp.exp(-mp.mpf(ns.lam(u))) for u in (s, t))
        ratio, step = phi(rho_t) / phi(rho_s), rho_t - rho_s
        integral = lambda j: phi(rho_t) * mp.quad(lambda u: (u - rho_s) ** j / phi(u), [rho_t, rho_s])  # noqa: E731
        exact = [1 - ratio, step + integral(0), step**2 / 2 + integral(1)]
        assert r == pytest.approx(float(ratio), rel=1e-13)
        assert sd**2 == pytest.approx(float(rho_t**2 - rho_s**2 * ratio**2), rel=1e-11, abs=1e-18)
        assert [float(a / b) for a, b in zip(c, exact)] == pytest.approx([1, 1, 1], rel=1e-11)


def test_taylor_weights_of_er_sde_3_are_not_interpolatory():
    """FINDING: for x0 = rho^2 the D_s of the paper is rho_s + rho_1, the derivative 2 rho_s: it is exact up to rho^1 only."""
    rho, c = [0.5, 0.7, 1.0], [0.3, -0.2, 0.1]
    integrated = lambda power: sum(w * r**power for w, r in zip(taylor_weights(rho, c), rho))  # noqa: E731
    assert [integrated(0), integrated(1)] == pytest.approx([c[0], c[0] * rho[0] + c[1]], rel=1e-13)
    theirs, exact = (c[0] * rho[0] ** 2 + c[1] * derivative + 2 * c[2] for derivative in (rho[0] + rho[1], 2 * rho[0]))
    assert integrated(2) == pytest.approx(theirs, rel=1e-13)
    assert abs(theirs - exact) > 0.01


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("sa-solver-p2[tau=-1]", "tau >= 0"),
        ("sa-solver-p2[low=2,high=1]", "0 <= low <= high"),
        ("seeds-2[r=1]", "0 < r < 1"),
        ("er-sde-2[scale=sde-9]", "sde-5"),
    ],
)
def test_settings_that_are_none(spec, message):
    with pytest.raises(UsageError, match=message):
        sb.get_solver(spec)
