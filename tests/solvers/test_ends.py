"""The ends by independent formulas: what papers and their codes do there; and what is said where nothing can be done."""

from dataclasses import dataclass
from itertools import pairwise
from math import exp, log, sqrt

import pytest
import torch
from contract.checks_ends import LAW, Asked, Bare, Cosine, start, white

import sdebench as sb
from sdebench.integration.ends import ENDS, inner_step, is_data, is_noise
from sdebench.integration.integrate import integrate, integrate_adaptive
from sdebench.integration.prediction import Counted, Model, Untold, conversion
from sdebench.integration.solver import Node, Sampler, Solver, Step, check_solver
from sdebench.laws.gaussian import gaussian_law
from sdebench.noise import BrownianPath, WhiteNoise
from sdebench.problems import GaussianMixture, exact_model
from sdebench.schedules import EDM, VE, Rectified, VPCosine, VPLinear
from sdebench.solvers.euler_maruyama import EulerMaruyama

LEVELS = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029, 0.0)  # of SD 1.5, with the final 0
EXACT = exact_model(LAW, EDM())
FLOW = exact_model(LAW, Rectified())


def gap(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).abs().max())


def along(step, x: torch.Tensor, levels=LEVELS) -> torch.Tensor:
    """A loop of the kind of k-diffusion's samplers: `step(x, s, t, memory)` over neighbouring levels."""
    memory: dict = {}
    for s, t in pairwise(levels):
        x = step(x, s, t, memory)
    return x


def d(x, s):
    return (x - EXACT(x, s).x0) / s


# --------------------------------------------------------------------------------------------- what papers do at sigma = 0


def heun_of_karras(x, s, t, memory):
    """Karras et al. 2022, algorithm 1."""
    slope = d(x, s)
    new = x + (t - s) * slope
    return x + (t - s) * 0.5 * (slope + d(new, t)) if t > 0 else new


def dpm_2_of_k_diffusion(x, s, t, memory):
    """sample_dpm_2: the midpoint in log sigma; Euler's step where the next sigma is 0."""
    if t == 0:
        return x + (t - s) * d(x, s)
    m = exp(0.5 * (log(s) + log(t)))
    return x + (t - s) * d(x + (m - s) * d(x, s), m)


def dpmpp_2m_of_k_diffusion(x, s, t, memory):
    """sample_dpmpp_2m: order 1 where the next sigma is 0."""
    x0 = EXACT(x, s).x0
    old = memory.get("last")
    memory["last"] = (s, x0)
    if old is None or t == 0:
        return t / s * x + (1 - t / s) * x0
    h, before = log(s / t), log(old[0] / s)
    r = before / h
    return t / s * x + (1 - t / s) * ((1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * old[1])


def lms_of_k_diffusion(x, s, t, memory):
    """sample_lms of order 2: its coefficients at every level, 0 among them."""
    slope = d(x, s)
    old = memory.get("last")
    memory["last"] = (s, slope)
    if old is None:
        return x + (t - s) * slope
    q = (t - s) ** 2 / (2 * (s - old[0]))  # int (sigma - s)/(s - s_old)
    return x + (t - s + q) * slope - q * old[1]


def dpmpp_2s_of_lu(x, s, t, memory):
    """DPM-Solver++(2S), and `denoise_to_zero` for the last step."""
    if t == 0:
        return EXACT(x, s).x0
    m = sqrt(s * t)
    u = m / s * x + (1 - m / s) * EXACT(x, s).x0
    return t / s * x + (1 - t / s) * EXACT(u, m).x0


@pytest.mark.parametrize(
    ("name", "reference", "evaluations"),
    [
        ("heun-edm", heun_of_karras, 21),
        ("midpoint-log-sigma", dpm_2_of_k_diffusion, 21),
        ("dpm-solver++-2m", dpmpp_2m_of_k_diffusion, 11),
        ("lms-2", lms_of_k_diffusion, 11),
        ("dpm-solver++-2s", dpmpp_2s_of_lu, 21),
    ],
)
@pytest.mark.parametrize("kind", ["eps", "x0", "v", "score"])
@pytest.mark.parametrize("executor", ["eager", "fused"])
def test_a_run_to_sigma_zero_is_its_papers(name, reference, evaluations, kind, executor):
    x, asked = start(EDM(), LEVELS[0], 32), Asked(EDM(), kind)
    out = integrate(sb.get_solver(name), asked.model, x, LEVELS, executor=executor)
    assert gap(out, along(reference, x)) < 1e-10
    assert len(asked.times) == evaluations
    assert 0.0 not in asked.times


@pytest.mark.parametrize(
    "name", ["ddpm", "ddpm-large", "ddim-eta", "analytic-dpm", "er-sde-3", "sde-dpm-solver++-2m", "dpm++-sde"]
)
def test_the_last_step_of_a_stochastic_method_is_its_denoised_mean(name):
    """Ho et al. 2020, algorithm 2 (z = 0), and all those after it."""
    x, s = start(EDM(), 0.5, 16), 0.5
    step = sb.get_solver(name).step(EXACT, x, s, 0.0, (), WhiteNoise(EDM(), x.shape))
    assert gap(step.x, EXACT(x, s).x0) < 1e-14


@pytest.mark.parametrize("name", ["reverse-diffusion", "predictor-corrector", "euler-maruyama"])
def test_song_leaves_the_last_noise_out(name):
    """`x_mean` of the official sampling.py: on a VE schedule x + sigma^2 score; Euler-Maruyama has twice the drift of that."""
    x, s = start(EDM(), 0.5, 16), 0.5
    mean = x + s * s * EXACT(x, s).score * (2 if name == "euler-maruyama" else 1)
    assert gap(sb.get_solver(name).step(EXACT, x, s, 0.0, (), WhiteNoise(EDM(), x.shape)).x, mean) < 1e-14


# ----------------------------------------------------------------------------------------- what formulas tend to at alpha = 0


@pytest.mark.parametrize("executor", ["eager", "fused"])
def test_ddim_on_a_flow_is_eulers_method(executor):
    grid = (*(1 - i / 7 for i in range(7)), 0.0)
    x = start(Rectified(), 1.0, 16)
    y = x
    for s, t in pairwise(grid):
        y = y + (t - s) * FLOW(y, s).read("velocity")
    for name in ("ddim", "euler-t", "dpm-solver-1", "lms-1", "unip-1"):
        assert gap(integrate(sb.get_solver(name), Asked(Rectified(), "velocity").model, x, grid, executor=executor), y) < 1e-12


@pytest.mark.parametrize("order", [(1, "euler-t"), (2, "midpoint-t"), (2, "heun-t"), (3, "kutta3-t"), (4, "rk4-t")])
def test_a_classic_method_keeps_its_order_from_noise(order):
    """A flow's velocity is smooth at t = 1: halving the steps divides the error by 2^p."""
    p, name = order
    x, end = start(Rectified(), 1.0, 64), 0.3
    exact = LAW.flow(x, Rectified(), 1.0, end)
    errors = []
    for n in (16, 32):
        grid = [1 - (1 - end) * i / n for i in range(n)] + [end]
        errors.append(float((integrate(sb.get_solver(name), FLOW, x, grid) - exact).square().mean().sqrt()))
    assert abs(log(errors[0] / errors[1]) / log(2) - p) < 0.25


@pytest.mark.parametrize("schedule", [Rectified(), VPCosine(), Cosine(), Bare()], ids=lambda ns: type(ns).__name__)
def test_all_deterministic_methods_converge_from_end_to_end(schedule):
    """From pure noise to clean data, as the number of steps grows: of order 2 at the ends."""
    x = start(schedule, 1.0, 64)
    exact, kind = LAW.flow(x, Rectified(), 1.0, 0.0), "v"
    for name in ("heun-edm", "dpm-solver++-2m", "unipc-2", "lms-3", "ipndm-4", "krogstad-4", "deis-tab-3", "dpm-solver-3"):
        errors = []
        for n in (20, 80):
            grid = [1 - i / n for i in range(n)] + [0.0]
            out = integrate(sb.get_solver(name), Asked(schedule, kind).model, x, grid)
            errors.append(float((out - exact).square().mean().sqrt()))
        assert errors[1] < 2e-3, name
        assert errors[1] < errors[0] / 4, name


def test_a_corrected_first_step_is_the_trapezoidal_rule():
    """UniPC with B_2 = 1 - e^{-h}, h = inf: diffusers' own numbers there."""
    ns, x, t = Rectified(), start(Rectified(), 1.0, 8), 0.6
    m_s = FLOW(x, 1.0).x0
    m_t = FLOW(t * x + (1 - t) * m_s, t).x0
    for k in (1, 2, 3, 4):
        step = sb.get_solver(f"unipc-{k}").step(FLOW, x, 1.0, t)
        assert gap(step.x, t * x + (1 - t) * 0.5 * (m_s + m_t)) < 1e-14
        assert [node.t for node in step.past] == [t]
        assert ns.alpha(t) == 1 - t


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
def test_ddim_eta_splits_the_noise_by_eta(eta):
    x, t = start(Rectified(), 1.0, 8), 0.6
    noise = WhiteNoise(Rectified(), x.shape, 3)
    z = noise.normal(1.0, t, sb.noise.DATA)
    for name in ("ddim-eta", "euler-ancestral"):
        out = sb.get_solver(f"{name}[eta={eta}]").step(FLOW, x, 1.0, t, (), noise).x
        assert gap(out, (1 - t) * FLOW(x, 1.0).x0 + t * (sqrt(1 - eta * eta) * x + eta * z)) < 1e-14


def test_the_family_keeps_what_its_process_keeps():
    """eta(t) a function: the old noise that is left is exp(-int eta^2/(2 sigma^2)), here eta = 0.7."""
    x, t = start(Rectified(), 1.0, 8), 0.6
    solver = EulerMaruyama(lambda u: 0.7)
    kept = exp(-0.49 / 2 * (1 / t - 1))  # int_t^1 u^-2 du
    assert solver.kept_noise(Rectified(), 1.0, t) == pytest.approx(kept, rel=1e-12)
    none = type(solver)(0.0)
    assert none.kept_noise(Rectified(), 1.0, t) == 1.0
    assert gap(none.step(FLOW, x, 1.0, t, (), WhiteNoise(Rectified(), x.shape)).x, (1 - t) * FLOW(x, 1.0).x0 + t * x) < 1e-14


def test_churn_at_alpha_zero_stays_there():
    """More noise on noise alone: x/(1 + gamma) and what is missing, whose law is the same."""
    law = GaussianMixture([1.0], [[0.5]], [0.09])
    mean, cov = gaussian_law(sb.get_solver("edm-stochastic-gamma[gamma=0.4]"), law, Rectified(), (1.0, 0.9))
    assert gap(mean, torch.tensor([0.05])) < 1e-7
    assert float(cov) == pytest.approx(0.81, rel=1e-12)


def test_a_jump_back_to_alpha_zero_is_new_noise():
    solver, x = sb.get_solver("restart[begin=0.0,end=0.5,k=1]"), start(Rectified(), 1.0, 8)
    noise, grid = WhiteNoise(Rectified(), x.shape, 1), (1.0, 0.7, 0.4, 0.0)
    z = noise.fresh(0.4, 0)
    assert gap(integrate(solver, FLOW, x, grid, noise), integrate(sb.get_solver("heun-edm"), FLOW, z, grid)) < 1e-12


def test_a_multistep_method_forgets_the_node_at_infinity_and_one_in_t_keeps_it():
    x = start(Rectified(), 1.0, 4)
    for name, kept in (
        ("lms-3", 0),
        ("dpm-solver++-3m", 0),
        ("sa-solver-p3", 0),
        ("deis-tab-3", 1),
        ("ipndm-3", 1),
        ("plms", 1),
    ):
        step = sb.get_solver(name).step(FLOW, x, 1.0, 0.6, (), WhiteNoise(Rectified(), x.shape))
        assert len(step.past) == kept, name


@pytest.mark.parametrize("name", ["lms-3", "dpm-solver-2m", "dpm-solver++-3m", "unipc-3", "res-2m", "sa-solver-p2", "er-sde-3"])
def test_a_node_at_alpha_zero_counts_for_nothing(name):
    """A polynomial in lam or in sigma/alpha has no value to take from infinity."""
    x, solver = start(Rectified(), 0.7, 8), sb.get_solver(name)
    noise, near, far = WhiteNoise(Rectified(), x.shape), Node(0.8, FLOW(x, 0.8)), Node(1.0, FLOW(x, 1.0))
    for nodes in ((near,), ()):
        with_it = solver.step(FLOW, x, 0.7, 0.5, (*nodes, far), noise)
        assert torch.equal(with_it.x, solver.step(FLOW, x, 0.7, 0.5, nodes, noise).x)
        assert all(node.t < 1.0 for node in with_it.past)


# -------------------------------------------------------------------------------------------------------------- black boxes


@pytest.mark.parametrize(
    "name", ["scipy-rk45", "scipy-dop853", "torchdiffeq-dopri5", "torchdiffeq-dopri8", "torchdiffeq-tsit5"]
)
@pytest.mark.parametrize("schedule", [Rectified(), VPCosine(), Cosine()], ids=lambda ns: type(ns).__name__)
def test_a_black_box_goes_from_end_to_end_within_its_tolerance(name, schedule):
    x = start(schedule, 1.0, 16)
    exact = LAW.flow(x, Rectified(), 1.0, 0.0)
    for tol in (1e-4, 1e-7):
        asked = Asked(schedule, "v")
        out = integrate(sb.get_solver(name).at_tolerance(tol), asked.model, x, (1.0, 0.0))
        assert gap(out, exact) < 30 * tol + 1e-8
        assert 0.0 not in asked.times


def test_a_black_box_below_its_last_level_takes_ddims_step():
    x, asked = start(EDM(), 1e-4, 8), Asked(EDM(), "x0")
    out = integrate(sb.get_solver("scipy-rk45"), asked.model, x, (1e-4, 0.0))
    assert asked.times == [1e-4]
    assert gap(out, EXACT(x, 1e-4).x0) < 1e-14


# --------------------------------------------------------------------------------------------------------- models and laws


def test_the_exact_model_knows_the_mean_at_alpha_zero_and_the_data_at_sigma_zero():
    mixture = GaussianMixture([0.3, 0.7], [[-1.0, 0.5], [0.7, -0.3]], [0.02, 0.05])
    x = torch.randn(5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    for ns, s in ((Rectified(), 1.0), (VPCosine(), 1.0), (Cosine(), 1.0)):
        m = exact_model(mixture, ns)(x, s)
        assert gap(m.x0, mixture.mean().expand_as(x)) < 1e-15
        assert gap(m.eps, x / ns.sigma(s)) < 1e-14
        assert gap(m.read("velocity"), x / ns.sigma(s) - mixture.mean()) < 1e-14
        near = exact_model(mixture, Rectified())(x, 1 - 1e-7)
        assert gap(near.x0, m.x0) < 1e-5
    for ns in (Rectified(), EDM(), VPLinear()):
        m = exact_model(mixture, ns)(x, 0.0)
        assert gap(m.x0, x) < 1e-15
        assert float(m.eps.abs().max()) == 0.0


@pytest.mark.parametrize(
    ("source", "alpha", "sigma"), [("eps", 0.0, 1.0), ("score", 0.0, 1.0), ("eps", 6e-17, 1.0), ("x0", 1.0, 0.0)]
)
def test_what_a_prediction_does_not_tell_is_said(source, alpha, sigma):
    with pytest.raises(Untold, match=f"{source} does not tell"):
        conversion(source, "eps" if source == "x0" else "x0", alpha, sigma)


def test_a_score_at_sigma_zero_tells_all_but_itself():
    assert conversion("score", "x0", 0.5, 0.0) == (2.0, 0.0)
    assert conversion("score", "eps", 0.5, 0.0) == (0.0, 0.0)
    with pytest.raises(Untold, match="eps does not tell score"):
        conversion("eps", "score", 1.0, 0.0)


def test_the_law_of_a_run_from_end_to_end():
    """Gaussian data, many steps: the law of DDPM's run from pure noise to sigma = 0 tends to the data's."""
    law = GaussianMixture([1.0], [[0.5, -1.0]], [[[0.9, 0.3], [0.3, 0.4]]])
    off = []
    for n in (50, 200):
        grid = [1 - i / n for i in range(n)] + [0.0]
        mean, cov = gaussian_law(sb.get_solver("ddpm"), law, Rectified(), grid)
        off.append(gap(cov, law.cov()) + gap(mean, law.mean()))
    assert off[1] < 0.03
    assert off[1] < off[0] / 3


# ---------------------------------------------------------------------------------------------------------------- schedules


def test_where_the_ends_are():
    for ns, t in ((Rectified(), 1.0), (VPCosine(), 1.0), (Cosine(), 1.0), (Bare(), 1.0)):
        assert is_noise(ns, t)
        assert not is_noise(ns, 0.999)
    for ns in (Rectified(), EDM(), VPLinear(), VPCosine(), Cosine()):
        assert is_data(ns, 0.0)
        assert not is_data(ns, 1e-3)
    assert not is_data(VE(), 0.0)
    assert not is_noise(VPLinear(), 1.0)


def test_the_levels_move_on_at_the_noisy_end():
    for ns, exact in ((Rectified(), (-1.0, 1.0)), (Bare(), (-1.0, 1.0)), (Cosine(), (-1.5707963267948966, 0.0))):
        assert ns.slopes(1.0) == pytest.approx(exact, abs=1e-12)


def test_the_cosine_schedule_reaches_its_end():
    ns = VPCosine()
    assert ns.levels(1.0) == (0.0, 1.0)
    for reading in ("lam", "f", "g2", "rho"):
        with pytest.raises(sb.UsageError, match="domain"):
            getattr(ns, reading)(1.0)


# ----------------------------------------------------------------------------------------------------------- what is said


@dataclass(frozen=True)
class MyDDIM(Solver):
    """A solver of a user, who did not think of the ends."""

    order, nfe_per_step = 1, 1

    def step(self, model, x, s, t, past=(), noise=None):
        ns, eps = model.schedule, model(x, s).eps
        return Step(ns.alpha(t) * (x / ns.alpha(s) + (ns.sigma(t) / ns.alpha(t) - ns.sigma(s) / ns.alpha(s)) * eps))


@dataclass(frozen=True)
class MyDDIMInLam(MyDDIM):
    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        ratio = exp(ns.lam(s) - ns.lam(t))
        return Step(ns.alpha(t) * model(x, s).x0 + ns.alpha(t) * ratio * model(x, s).eps)


@dataclass(frozen=True)
class MyStatingDDIM(MyDDIM):
    from_noise, to_data = "first-order", "first-order"


class MySampler(Sampler):
    order, nfe_per_step = 1, 1

    def sample(self, model, x, grid, noise=None):
        for s, t in pairwise(grid):
            x = MyDDIM.step.__wrapped__(MyDDIM(), model, x, s, t).x
        return x


MODEL = Model(lambda x, t: x * 0.5, Rectified(), "velocity")
X = torch.ones(2, 1, dtype=torch.float64)


@pytest.mark.parametrize("solver", [MyDDIM(), MySampler(), MyDDIMInLam()], ids=lambda s: type(s).__name__)
def test_a_division_by_zero_of_a_users_method_is_told_with_a_remedy(solver):
    with pytest.raises(sb.UsageError) as caught:
        integrate(solver, MODEL, X, (1.0, 0.6, 0.3))
    message = str(caught.value)
    assert message.startswith(f"{type(solver).__name__} begins at alpha = 0 (t = 1) of Rectified()")
    assert "from_noise = 'first-order'" in message
    assert "\n" not in message
    assert len(message) < 320


def test_a_users_method_that_is_fine_at_an_end_is_left_alone():
    x, model = torch.ones(2, 1, dtype=torch.float64), Model(lambda x, t: x * 0.5, Rectified(), "x0")
    assert gap(integrate(MyDDIM(), model, x, (0.5, 0.0)), 0.5 * x) < 1e-15
    with pytest.raises(ZeroDivisionError):  # elsewhere an error is its own
        integrate(MyBroken(), model, x, (0.5, 0.3))


def test_a_models_own_error_is_its_own():
    def fn(x, t):
        raise ValueError("no image of 3 channels")

    with pytest.raises(ValueError, match="no image") as caught:
        integrate(sb.get_solver("ddim"), Model(fn, Rectified(), "v"), X, (1.0, 0.5, 0.0))
    assert not isinstance(caught.value, sb.UsageError)


@dataclass(frozen=True)
class MyBroken(MyDDIM):
    def step(self, model, x, s, t, past=(), noise=None):
        return Step(x * (1 / (len(past) - 0)))


def test_a_users_method_may_state_ddims_step():
    x, model = start(Rectified(), 1.0, 4), Asked(Rectified(), "v").model
    out = integrate(MyStatingDDIM(), model, x, (1.0, 0.6, 0.0))
    assert gap(out, integrate(sb.get_solver("ddim"), model, x, (1.0, 0.6, 0.0))) < 1e-13


def test_a_word_that_is_none_is_refused():
    @dataclass(frozen=True)
    class Says(MyDDIM):
        to_data = "somehow"

    with pytest.raises(sb.UsageError, match="states to_data = 'somehow': give one of 'paper'"):
        check_solver(Says())
    assert set(ENDS) >= {"paper", "limit", "first-order", "not possible"}


def test_what_is_not_possible_is_said():
    solver = sb.get_solver("er-sde-2[scale=sde-4]")
    assert solver.from_noise == "not possible"
    with pytest.raises(sb.UsageError, match=r"ERSDE begins at alpha = 0 \(t = 1\) of Rectified"):
        integrate(solver, MODEL, X, (1.0, 0.6), WhiteNoise(Rectified(), X.shape))


def test_an_adaptive_run_in_lam_says_that_lam_is_infinite():
    for span in ((1.0, 0.5), (0.5, 0.0)):
        with pytest.raises(sb.UsageError, match=r"DPMSolver23 .* lam is infinite"):
            integrate_adaptive(sb.get_solver("dpm-solver-23"), MODEL, X, *span)


def test_a_brownian_path_says_that_lam_is_infinite():
    with pytest.raises(sb.UsageError, match="lam is infinite"):
        BrownianPath(Rectified(), (1.0, 0.5), (2, 1))


# ------------------------------------------------------------------------------------------------------------------- inside


@pytest.mark.parametrize("name", ["ddim", "heun-edm", "unipc-3", "sa-solver-p3c4", "krogstad-4", "deis-tab-3-rk-start"])
def test_inside_the_formula_is_asked_and_nothing_else(name):
    """The same bits by the step and by the formula alone."""
    solver, ns = sb.get_solver(name), VPLinear()
    model = exact_model(LAW, ns)
    x = start(ns, 0.6)
    past = tuple(Node(u, model(x * u, u)) for u in (0.65, 0.72, 0.8)[: solver.memory])
    a = solver.step(model, x, 0.6, 0.5, past, white(solver, ns, x)).x
    b = inner_step(solver)(model, x, 0.6, 0.5, past, white(solver, ns, x)).x
    assert torch.equal(a, b)


def test_a_node_at_s_is_used_at_the_last_step():
    """UniPC's predicted evaluation serves the last step too: one evaluation a step, and one for the run."""
    x, model = start(Rectified(), 1.0, 4), Counted(FLOW)
    integrate(sb.get_solver("unipc-2"), model, x, (1.0, 0.8, 0.6, 0.3, 0.0))
    assert model.nfe == 4
