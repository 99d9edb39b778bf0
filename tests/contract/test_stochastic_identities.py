"""Stochastic methods: one map under several names, their papers' printed formulas, exact moments, known limits."""

from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import isqrt, log, prod, sqrt

import pytest
import torch
from contract.checks import difference

import sdebench as sb
from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.integration.integrate import integrate
from sdebench.integration.solver import Step
from sdebench.integration.tableau import tableau
from sdebench.noise import DATA, EPS, TIME
from sdebench.problems import GaussianMixture, exact_model
from sdebench.schedules import EDM, VE, NoiseSchedule, VPLinear

ROUNDING = 1e-13  # over a run, relative to the largest entry
EXACT = 1e-12  # of means and covariances
LAW = GaussianMixture([0.4, 0.6], [[-1.0, 0.3], [0.9, -0.4]], [0.4**2, 0.5**2])


@cache
def _alphas(n: int) -> tuple[float, ...]:
    betas = [1e-4 + (0.02 - 1e-4) * i / (n - 1) for i in range(n)]
    return (1.0, *(sqrt(prod(1 - b for b in betas[: i + 1])) for i in range(n)))


@dataclass(frozen=True)
class Discrete(NoiseSchedule):
    """Ho et al. 2020, section 4: beta from 1e-4 to 0.02 in n steps; time is the index."""

    n: int = 200

    def alpha(self, t):
        return _alphas(self.n)[int(t)]

    def sigma(self, t):
        return sqrt(1 - self.alpha(t) ** 2)

    def lam(self, t):
        return log(self.alpha(t) / self.sigma(t))


VP_GRIDS = {
    "discrete": (Discrete(), tuple(float(i) for i in range(200, 9, -5))),
    "every": (Discrete(60), tuple(float(i) for i in range(60, 4, -1))),
    "linear": (VPLinear(), grids.uniform_t(VPLinear(), 1.0, 0.02, 40)),
    "irregular": (VPLinear(), grids.irregular(VPLinear(), 1.0, 0.02, 30)),
}
VE_GRIDS = {
    "ve": (VE(), grids.uniform_t(VE(), 1.0, 0.1, 30)),
    "edm": (EDM(), grids.karras(EDM(), 20.0, 0.05, 20)),
    "irregular": (EDM(), grids.irregular(EDM(), 20.0, 0.05, 20)),
}
ALL_GRIDS = {f"{family}-{k}": v for family, g in (("vp", VP_GRIDS), ("ve", VE_GRIDS)) for k, v in g.items()}
on_vp = pytest.mark.parametrize(("ns", "grid"), VP_GRIDS.values(), ids=VP_GRIDS)
on_ve = pytest.mark.parametrize(("ns", "grid"), VE_GRIDS.values(), ids=VE_GRIDS)
on_all = pytest.mark.parametrize(("ns", "grid"), ALL_GRIDS.values(), ids=ALL_GRIDS)


def run(solver, ns, grid, seed=5):
    """The solver (or its name, or a function of a step) over the grid, from 16 fixed states and one white noise."""
    model, x = exact_model(LAW, ns), LAW.marginal(ns, grid[0]).sample(16, seed=1)
    noise = sb.WhiteNoise(ns, x.shape, seed)
    if callable(solver):
        for s, t in pairwise(grid):
            x = solver(model, x, s, t, noise)
        return x
    return integrate(sb.get_solver(solver) if isinstance(solver, str) else solver, model, x, grid, noise)


# ------------------------------------------------------------------------------------------------------------- one map


@on_all
@pytest.mark.parametrize("other", ["ddpm", "euler-ancestral"])
def test_ddim_at_eta_1_is_ancestral_sampling(ns, grid, other):
    assert difference(run("ddim-eta[eta=1.0]", ns, grid), run(other, ns, grid)) < ROUNDING


@on_all
def test_ddim_at_eta_0_is_ddim_is_dpm_solver_1(ns, grid):
    wanted = run("ddim", ns, grid)
    assert difference(run("ddim-eta[eta=0.0]", ns, grid), wanted) < ROUNDING
    assert difference(run("dpm-solver-1", ns, grid), wanted) < ROUNDING


@on_all
def test_ddim_in_between_is_euler_ancestral_with_less_noise(ns, grid):
    half = run("ddim-eta[eta=0.5]", ns, grid)
    assert difference(half, run("euler-ancestral[eta=0.5]", ns, grid)) < ROUNDING
    assert difference(half, run("ddpm", ns, grid)) > 1e-3


@on_ve
def test_ddim_at_eta_0_is_euler_in_sigma(ns, grid):
    """dx/dsigma = eps where alpha = 1."""

    def euler(model, x, s, t, noise):
        return x + (ns.sigma(t) - ns.sigma(s)) * model(x, s).eps

    assert difference(run("ddim-eta[eta=0.0]", ns, grid), run(euler, ns, grid)) < ROUNDING


def test_without_churn_or_restarts_edm_is_heun():
    ns, grid = VE_GRIDS["irregular"]
    heun = run("heun-edm", ns, grid)
    for none in ("[s_churn=0.0]", "-gamma[gamma=0.0]", "-rate[churn=0.0]"):
        assert torch.equal(run("edm-stochastic" + none, ns, grid), heun)
    assert torch.equal(run("restart[k=0]", ns, grid), heun)
    assert difference(run("edm-stochastic[s_min=1e4,s_max=1e5]", ns, grid), heun) == 0.0


@pytest.mark.parametrize("ns", [EDM(), VPLinear()], ids=str)
def test_churn_by_step_and_by_run_agree_on_equal_steps_of_lam(ns):
    """And not on others: S_churn/N is the same for a short step and a long one."""
    s, t = ns.t(-1.5), ns.t(2.5)
    equal, unequal = grids.uniform_lam(ns, s, t, 16), grids.irregular(ns, s, t, 16)
    of_run, of_step = "edm-stochastic[s_churn=2.0]", "edm-stochastic-rate[churn=0.5]"
    assert difference(run(of_run, ns, equal), run(of_step, ns, equal)) < ROUNDING
    assert difference(run(of_run, ns, unequal), run(of_step, ns, unequal)) > 1e-3


def test_restarts_cost_what_they_say():
    ns, grid = VE_GRIDS["edm"]
    model, x = sb.Counted(exact_model(LAW, ns)), LAW.marginal(ns, grid[0]).sample(4, seed=1)
    restart = sb.get_solver("restart[begin=0.2,end=0.6,k=3]")
    integrate(restart, model, x, grid, sb.WhiteNoise(ns, x.shape))
    assert restart.interval(20) == (4, 12)
    assert model.nfe == 2 * (20 + 3 * 8) == restart.evaluations(20)
    assert restart.interval(1) == (0, 1)


# -------------------------------------------------------------------------------------------------- the printed formulas


def discrete(ns, s, t):
    """The paper's beta_i and alpha-bar_i, alpha-bar_{i-1}."""
    return 1 - (ns.alpha(s) / ns.alpha(t)) ** 2, ns.alpha(s) ** 2, ns.alpha(t) ** 2


@on_vp
@pytest.mark.parametrize("name", ["ddpm", "ddpm-large"])
def test_ddpm_is_algorithm_2_of_the_paper(ns, grid, name):
    """`x_{t-1} = (x_t - beta_t/sqrt(1 - alpha-bar_t) eps)/sqrt(alpha_t) + sigma_t z` (Ho et al. 2020)."""

    def step(model, x, s, t, noise):
        beta, bar_s, bar_t = discrete(ns, s, t)
        variance, weight = ((1 - bar_t) / (1 - bar_s) * beta, DATA) if name == "ddpm" else (beta, EPS)
        mean = (x - beta / sqrt(1 - bar_s) * model(x, s).eps) / sqrt(1 - beta)
        return mean + sqrt(variance) * noise.normal(s, t, weight)

    assert difference(run(name, ns, grid), run(step, ns, grid)) < ROUNDING


@on_vp
def test_ddim_is_equation_12_of_the_paper(ns, grid):
    """With eq. 16, `sigma = eta sqrt((1 - a_{t-1})/(1 - a_t)) sqrt(1 - a_t/a_{t-1})` (Song et al. 2020), at eta = 0.6."""

    def step(model, x, s, t, noise):
        _, a_s, a_t = discrete(ns, s, t)
        sigma, eps = 0.6 * sqrt((1 - a_t) / (1 - a_s)) * sqrt(1 - a_s / a_t), model(x, s).eps
        x0 = (x - sqrt(1 - a_s) * eps) / sqrt(a_s)
        return sqrt(a_t) * x0 + sqrt(1 - a_t - sigma**2) * eps + sigma * noise.normal(s, t, DATA)

    assert difference(run("ddim-eta[eta=0.6]", ns, grid), run(step, ns, grid)) < ROUNDING


@on_vp
def test_reverse_diffusion_is_the_printed_vp_form(ns, grid):
    def step(model, x, s, t, noise):
        beta, _, _ = discrete(ns, s, t)
        return (2 - sqrt(1 - beta)) * x + beta * model(x, s).score + sqrt(beta) * noise.normal(s, t, EPS)

    assert difference(run("reverse-diffusion", ns, grid), run(step, ns, grid)) < ROUNDING


@on_ve
def test_reverse_diffusion_is_the_printed_ve_form(ns, grid):
    def step(model, x, s, t, noise):
        gap = ns.sigma(s) ** 2 - ns.sigma(t) ** 2
        return x + gap * model(x, s).score + sqrt(gap) * noise.normal(s, t, EPS)

    assert difference(run("reverse-diffusion", ns, grid), run(step, ns, grid)) < ROUNDING


@on_ve
def test_predictor_corrector_is_algorithms_2_and_4(ns, grid):
    """Two corrector steps; norms are means over the batch."""

    def step(model, x, s, t, noise):
        gap = ns.sigma(s) ** 2 - ns.sigma(t) ** 2
        x = x + gap * model(x, s).score + sqrt(gap) * noise.normal(s, t, EPS)
        for j in range(2):
            g, z = model(x, t).score, noise.fresh(t, j)
            e = 2 * (0.16 * float(z.norm(dim=1).mean()) / float(g.norm(dim=1).mean())) ** 2
            x = x + e * g + sqrt(2 * e) * z
        return x

    assert difference(run("predictor-corrector[k=2]", ns, grid), run(step, ns, grid)) < ROUNDING


@on_ve
def test_annealed_langevin_is_algorithm_1(ns, grid):
    """`alpha_i = eps sigma_i^2/sigma_L^2`, T steps a level."""

    def step(model, x, s, t, noise):
        eps, last, big_t = 0.2 * ns.sigma(grid[-1]) ** 2, ns.sigma(grid[-1]), 3
        a = eps * ns.sigma(t) ** 2 / last**2
        for j in range(big_t):
            x = x + a / 2 * model(x, t).score + sqrt(a) * noise.fresh(t, j)
        return x

    assert difference(run("annealed-langevin[k=3]", ns, grid), run(step, ns, grid)) < ROUNDING


@on_ve
def test_edm_is_algorithm_2_of_the_paper(ns, grid):
    """With S_churn = 4, S_tmin = 0.3, S_tmax = 8, S_noise = 1.003 (Karras et al. 2022)."""
    n = len(grid) - 1

    def step(model, x, s, t, noise):
        t_i, t_next = ns.sigma(s), ns.sigma(t)
        gamma = min(4 / n, sqrt(2) - 1) if 0.3 <= t_i <= 8 else 0.0
        t_hat = t_i + gamma * t_i
        x_hat = x + sqrt(t_hat**2 - t_i**2) * 1.003 * noise.fresh(s)
        hat = ns.t(-log(t_hat)) if gamma else s
        d = (x_hat - model(x_hat, hat).x0) / t_hat
        u = x_hat + (t_next - t_hat) * d
        return x_hat + (t_next - t_hat) * (d + (u - model(u, t).x0) / t_next) / 2

    found = run("edm-stochastic[s_churn=4.0,s_min=0.3,s_max=8.0,s_noise=1.003]", ns, grid)
    assert difference(found, run(step, ns, grid)) < ROUNDING


@on_ve
def test_restart_is_the_paper_s_algorithm(ns, grid):
    """Down to t_min; K times noise of variance t_max^2 - t_min^2 and down again; then the rest (Xu et al. 2023)."""
    n, heun = len(grid) - 1, sb.get_solver("heun-edm")
    i, j = n // 5, 3 * n // 5
    model, x = exact_model(LAW, ns), LAW.marginal(ns, grid[0]).sample(16, seed=1)
    noise = sb.WhiteNoise(ns, x.shape, 5)
    x = integrate(heun, model, x, grid[: j + 1])
    for k in range(3):
        x = x + sqrt(ns.sigma(grid[i]) ** 2 - ns.sigma(grid[j]) ** 2) * noise.fresh(grid[j], k)
        x = integrate(heun, model, x, grid[i : j + 1])
    x = integrate(heun, model, x, grid[j:])
    assert difference(run("restart[begin=0.2,end=0.6,k=3]", ns, grid), x) < ROUNDING


def ancestral_step(sigma_from, sigma_to):
    """(sigma_down, sigma_up) as k-diffusion writes them."""
    up = sqrt(sigma_to**2 * (sigma_from**2 - sigma_to**2) / sigma_from**2)
    return sqrt(sigma_to**2 - up**2), up


@on_ve
@pytest.mark.parametrize(("name", "ode"), [("dpm2-ancestral", "midpoint-log-sigma"), ("dpm++-2s-ancestral", "dpm-solver++-2s")])
def test_ancestral_is_an_ode_step_to_sigma_down_and_noise(ns, grid, name, ode):
    def step(model, x, s, t, noise):
        down, up = ancestral_step(ns.sigma(s), ns.sigma(t))
        low = EDM() if ns == EDM() else VE(ns.sigma_min / 1e3, ns.sigma_max)  # whose levels go far enough down
        there = sb.get_solver(ode).step(exact_model(LAW, low), x, low.t(ns.lam(s)), low.t(-log(down))).x
        return there + up * noise.normal(s, t, DATA)

    assert difference(run(name, ns, grid), run(step, ns, grid)) < 10 * ROUNDING  # sigma_down is a difference here


@pytest.mark.parametrize(
    ("name", "exponent"),
    [
        *((name, 1) for name in ("dpm2-ancestral", "dpm++-2s-ancestral", "edm-stochastic-rate")),
        *((name, 2) for name in ("dpm++-sde", "seeds-2", "sde-dpm-solver++-2m", "sa-solver-p2", "srk-additive")),
    ],
)
def test_from_another_law_what_only_keeps_the_marginals_is_of_order_1(name, exponent):
    """Begun with a wider law that is off its mean; the reference is Euler-Maruyama, extrapolated."""
    law, ns = GaussianMixture([1.0], [[0.5, -0.3]], [[[0.3, 0.1], [0.1, 0.2]]]), VPLinear()
    start = law.marginal(ns, 0.7)
    start = (start.mean() + 1.0, 0.3 * start.cov())

    def moments(name, n):
        mean, cov = sb.gaussian_law(sb.get_solver(name), law, ns, grids.uniform_lam(ns, 0.7, 0.1, n), start)
        return torch.cat([mean, cov.flatten()])

    exact = _extrapolated([moments("euler-maruyama", n) for n in (512, 1024, 2048)])
    errors = [float((moments(name, n) - exact).norm()) for n in (128, 256)]
    assert log(errors[0] / errors[1], 2) == pytest.approx(exponent, abs=0.15)


def _extrapolated(values):
    """Richardson's table of values at steps h, h/2, h/4, of an error in all powers of h."""
    for k in range(1, len(values)):
        values = [(2**k * fine - coarse) / (2**k - 1) for coarse, fine in pairwise(values)]
    return values[0]


def test_off_alpha_1_langevin_acts_on_x_over_alpha():
    ns, grid = VP_GRIDS["irregular"]
    edm = tuple(ns.rho(t) for t in grid)
    law = LAW.marginal(ns, grid[0])
    x = law.sample(16, seed=1)
    one = integrate(sb.get_solver("annealed-langevin"), exact_model(LAW, ns), x, grid, Replayed(ns, dict(zip(grid, range(99)))))
    y = integrate(
        sb.get_solver("annealed-langevin"),
        exact_model(LAW, EDM()),
        x / ns.alpha(grid[0]),
        edm,
        Replayed(EDM(), dict(zip(edm, range(99)))),
    )
    assert difference(one, ns.alpha(grid[-1]) * y) < ROUNDING


@dataclass
class Replayed:
    """Fresh noise that depends on the place of a time in the grid only."""

    schedule: NoiseSchedule
    places: dict

    def normal(self, s, t, weight, tag=0):
        raise AssertionError("Langevin's noise belongs to no interval")

    def fresh(self, t, tag=0):
        return torch.randn(16, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(100 * self.places[t] + tag))


# ------------------------------------------------------------------------------------------- exact moments (issue, item 1)


def moments(gm, ns, grid, step):
    """(mean, covariance) after the chain `x' = A x + b + c z`, from the exact marginal: `step(s, t, eye)` is (A, b, c)."""
    start = gm.marginal(ns, grid[0])
    mean, cov, eye = start.mean(), start.cov(), torch.eye(gm.dim, dtype=torch.float64)
    for s, t in pairwise(grid):
        a, b, c = step(s, t, eye)
        mean, cov = a @ mean + b, a @ cov @ a.T + c * c * eye
    return mean, cov


def affine_eps(gm, ns, t, eye):
    """(K, k): eps = K x + k, from the inverse of the marginal's covariance."""
    precision = torch.linalg.inv(ns.alpha(t) ** 2 * gm.cov() + ns.sigma(t) ** 2 * eye)
    return ns.sigma(t) * precision, -ns.sigma(t) * precision @ (ns.alpha(t) * gm.mean())


def euler_maruyama(gm, ns, eta=1.0):
    def step(s, t, eye):
        slope, shift = affine_eps(gm, ns, s, eye)
        h, rate = s - t, (1 + eta**2) * ns.g2(s) / (2 * ns.sigma(s))
        return eye - h * (ns.f(s) * eye + rate * slope), -h * rate * shift, eta * sqrt(ns.g2(s) * h)

    return step


def ddpm(gm, ns, large=False):
    def step(s, t, eye):
        slope, shift = affine_eps(gm, ns, s, eye)
        ratio = ns.alpha(s) / ns.alpha(t)
        forward = ns.sigma(s) ** 2 - ratio**2 * ns.sigma(t) ** 2
        a = (eye - forward / ns.sigma(s) * slope) / ratio
        return a, -forward / ns.sigma(s) * shift / ratio, sqrt(forward) * (1.0 if large else ns.sigma(t) / ns.sigma(s))

    return step


def full_covariance():
    q = torch.linalg.qr(torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(8)))[0]
    cov = (q * torch.tensor([0.05, 0.5, 2.0], dtype=torch.float64)) @ q.T
    return GaussianMixture([1.0], [[0.7, -1.2, 0.4]], ((cov + cov.T) / 2).unsqueeze(0))


GAUSSIANS = {"1-D": GaussianMixture([1.0], [[0.6]], [0.3]), "3-D": full_covariance()}
CHAINS = {
    "euler-maruyama": euler_maruyama,
    "euler-maruyama[eta=0.4]": lambda gm, ns: euler_maruyama(gm, ns, 0.4),
    "ddpm": ddpm,
    "ddpm-large": lambda gm, ns: ddpm(gm, ns, large=True),
}


@pytest.mark.parametrize("gm", GAUSSIANS.values(), ids=GAUSSIANS)
@pytest.mark.parametrize("name", CHAINS)
@pytest.mark.parametrize("ns", [VPLinear(), EDM()], ids=str)
def test_chains_on_gaussian_data_have_the_moments_of_an_independent_recursion(gm, name, ns):
    grid = grids.irregular(ns, ns.t(-2.0), ns.t(2.0), 40)
    mean, cov = sb.gaussian_law(sb.get_solver(name), gm, ns, grid)
    wanted_mean, wanted_cov = moments(gm, ns, grid, CHAINS[name](gm, ns))
    assert float((mean - wanted_mean).abs().max()) < EXACT
    assert float((cov - wanted_cov).abs().max()) < EXACT
    exact = gm.marginal(ns, grid[-1])
    assert float((cov - exact.cov()).abs().max()) > 1e-4  # the chain's, not the marginal's


# --------------------------------------------------------------------------------------------------------- Analytic-DPM


def test_analytic_variance_is_exact_for_isotropic_gaussians_only():
    ns = VPLinear()
    grid = grids.irregular(ns, 0.9, 0.05, 5)
    for d, off in ((GaussianMixture([1.0], [[0.6, -0.4]], [0.3]), False), (full_covariance(), True)):
        mean, cov = sb.gaussian_law(sb.get_solver("analytic-dpm"), d, ns, grid)
        exact = d.marginal(ns, grid[-1])
        assert float((mean - exact.mean()).abs().max()) < 1e-13
        assert (float((cov - exact.cov()).abs().max()) > 1e-3) is off
        assert float((cov - exact.cov()).abs().max()) < 1e-13 or off


def test_analytic_variance_is_theorem_1_of_the_paper():
    """`lambda^2 + (sqrt(b_n/a_n) - sqrt(b_{n-1} - lambda^2))^2 (1 - b_n E|score|^2/d)`, b = 1 - alpha-bar (Bao et al. 2022)."""
    ns, (s, t) = VPLinear(), (0.6, 0.5)
    gamma = exact_model(LAW, ns).gamma(s)
    beta, bar_s, bar_t = discrete(ns, s, t)
    small = (1 - bar_t) / (1 - bar_s) * beta
    n2 = small + (sqrt((1 - bar_s) / (1 - beta)) - sqrt(1 - bar_t - small)) ** 2 * (1 - gamma)
    found = tableau(sb.get_solver("analytic-dpm"), ns, (s, t), gamma=lambda u: gamma).rows[0].state["z", 0]
    assert found == pytest.approx(sqrt(n2), rel=1e-13)


def test_the_mean_square_of_eps():
    """Closed form, quadrature and draws agree; and a model that does not know it says so."""
    ns, t = VPLinear(), 0.4
    one = GaussianMixture([1.0], [[0.5]], [0.2])
    halves = GaussianMixture([0.5, 0.5], [[0.5], [0.5]], [0.2, 0.2])  # the same law, by quadrature
    assert exact_model(halves, ns).gamma(t) == pytest.approx(exact_model(one, ns).gamma(t), rel=1e-13)
    pb = sb.get_problem("mixture-1d")
    x = pb.law.marginal(pb.schedule, t).sample(1 << 18, seed=2)
    drawn = pb.model(x, t).eps.square()
    error = float(drawn.std()) / isqrt(len(x))
    assert abs(float(drawn.mean()) - pb.model.gamma(t)) < 4 * error
    bare = sb.Model(lambda x, t: x, ns, "eps")
    with pytest.raises(UsageError, match="gamma=g"):
        sb.get_solver("analytic-dpm").step(bare, x, 0.5, 0.4, noise=sb.WhiteNoise(ns, x.shape))
    knowing = sb.Model(lambda x, t: x, ns, "eps", gamma=lambda t: 0.5)
    step = sb.get_solver("analytic-dpm").step(sb.Counted(knowing), x, 0.5, 0.4, noise=sb.WhiteNoise(ns, x.shape))
    assert isinstance(step, Step)


# ------------------------------------------------------------------------------------------------- noises of DPM++ SDE


@pytest.mark.parametrize("r", [0.3, 0.5, 0.8])
def test_the_two_noises_of_dpmpp_sde_are_increments_of_one_path_in_sigma(r):
    ns, (s, t) = VPLinear(), (0.6, 0.4)
    table = tableau(sb.get_solver(f"dpm++-sde[r={r}]"), ns, (s, t), "x0")
    first, second = table.evaluations[1].state, table.rows[0].state
    overlap = first["z", 0] * second["z", 0] / (abs(first["z", 0]) * sqrt(second["z", 0] ** 2 + second["z", 1] ** 2))
    m = ns.t(ns.lam(s) + r * (ns.lam(t) - ns.lam(s)))
    assert overlap == pytest.approx(sqrt((ns.rho(s) - ns.rho(m)) / (ns.rho(s) - ns.rho(t))), rel=1e-12)
    independent = tableau(sb.get_solver(f"dpm++-sde-independent-shipped[r={r}]"), ns, (s, t), "x0")
    assert not {k for k in independent.evaluations[1].state if k[0] == "z"} & set(independent.rows[0].state)


# --------------------------------------------------------------------------------- methods of weak order 0: their limits

NARROW = GaussianMixture([1.0], [[0.0]], [0.02])


def variance(spec, n):
    """Of the chain at sigma = e^{-2}, where the data's variance 0.02 is near sigma^2 and relaxation is fast."""
    grid = grids.uniform_lam(EDM(), EDM().t(-1.0), EDM().t(2.0), n)
    return float(sb.gaussian_law(sb.get_solver(spec), NARROW, EDM(), grid)[1])


def settles(spec, limit):
    """The distance from `limit` falls as 1/n, and the limit is not the marginal's variance."""
    exact = NARROW.cov().item() + EDM().sigma(EDM().t(2.0)) ** 2
    gaps = [variance(spec, n) - limit for n in (100, 200, 400)]
    assert gaps[0] / gaps[1] == pytest.approx(2, abs=0.2)
    assert gaps[1] / gaps[2] == pytest.approx(2, abs=0.1)
    assert abs(gaps[2]) < 0.1 * abs(limit - exact)
    assert sb.get_solver(spec).weak_order == 0


def test_annealed_langevin_settles_at_the_invariant_law_of_its_langevin_chain():
    """`v/(1 - a/(4 v))` of `x' = (1 - a/(2 v)) x + sqrt(a) z`."""
    sigma2 = EDM().t(2.0) ** 2
    v, a = 0.02 + sigma2, 1.0 * sigma2
    settles("annealed-langevin[ratio=1.0]", v / (1 - a / (4 * v)))


def test_a_fixed_churn_settles_at_the_invariant_law_of_noise_and_one_heun_step():
    """`v = m^2 (v + up^2 - rho^2)`, m Heun's factor from up = (1 + gamma) rho to rho."""
    rho = EDM().t(2.0)
    up, slope = 1.4 * rho, lambda r: r / (0.02 + r * r)
    k = rho - up
    m = 1 + k / 2 * (slope(up) + slope(rho) * (1 + k * slope(up)))
    settles("edm-stochastic-gamma[gamma=0.4]", m * m * (up * up - rho * rho) / (1 - m * m))


def test_predictor_corrector_settles_at_the_invariant_law_of_its_corrector():
    """On N(0, v I_d) the norms are sqrt(d) and sqrt(d/v) but for O(1/d): `e = 2 r^2 v`, invariant variance `v/(1 - r^2)`."""
    d, ns = 400, EDM()
    law = GaussianMixture([1.0], [[0.0] * d], [0.02])
    grid = grids.uniform_lam(ns, ns.t(1.9), ns.t(2.0), 200)
    x = law.marginal(ns, grid[0]).sample(100, seed=1)
    out = integrate(sb.get_solver("predictor-corrector[r=0.3]"), exact_model(law, ns), x, grid, sb.WhiteNoise(ns, x.shape))
    v = 0.02 + ns.sigma(grid[-1]) ** 2
    error = v * sqrt(2 / x.numel())
    assert abs(float(out.square().mean()) - v / (1 - 0.3**2)) < 5 * error
    assert abs(float(out.square().mean()) - v) > 10 * error


def test_predictor_corrector_is_no_tableau():
    with pytest.raises(UsageError, match="not linear"):
        tableau(sb.get_solver("predictor-corrector"), EDM(), (1.0, 0.5))


def test_plain_increments_are_euler_maruyamas():
    ns, grid = VP_GRIDS["irregular"]

    def step(model, x, s, t, noise):
        beta, h = ns.g2(s), s - t
        return x + h * beta * (x / 2 + model(x, s).score) + sqrt(beta * h) * noise.normal(s, t, TIME)

    assert difference(run("euler-maruyama", ns, grid), run(step, ns, grid)) < ROUNDING


@pytest.mark.parametrize(
    "spec",
    [
        "ddim-eta[eta=1.5]",
        "euler-ancestral[eta=-0.1]",
        "dpm++-sde[r=0.0]",
        "edm-stochastic[s_churn=-1.0]",
        "edm-stochastic-gamma[gamma=0.5]",
        "edm-stochastic-rate[s_noise=0.0]",
        "restart[begin=0.5,end=0.5]",
        "annealed-langevin[ratio=5.0]",
        "predictor-corrector[r=0.0]",
    ],
)
def test_parameters_that_make_no_method_are_refused(spec):
    with pytest.raises(UsageError, match="give"):
        sb.get_solver(spec)
