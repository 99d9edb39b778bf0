"""Every registered solver at the ends.  The checks themselves are in `checks_ends`, for the mutants to meet them too."""

import pytest
from contract import checks_ends as checks

import sdebench as sb
from sdebench.integration.solver import Sampler

ALL = sb.list_solvers()
SOLVERS = {name: sb.get_solver(name) for name in ALL}
DETERMINISTIC = tuple(name for name in ALL if not SOLVERS[name].stochastic)
STOCHASTIC = tuple(name for name in ALL if SOLVERS[name].stochastic)
STEPS = tuple(name for name in ALL if not isinstance(SOLVERS[name], Sampler))
PLANNED = tuple(name for name in ALL if not SOLVERS[name].adaptive and name != "predictor-corrector")

# Not exact for data that are one point, inside or at an end: classic Runge-Kutta methods see the linear part as the rest,
# Euler-Maruyama and its kind too, Langevin's steps keep their own law, an inconsistent method nothing.
INEXACT = (
    *(name for name in ALL if SOLVERS[name].family in ("Runge-Kutta", "black box", "Euler-Maruyama", "Score SDE", "NCSN")),
    "ipndm-v-4-shipped",
    "sde-dpm-solver++-3m-diffusers-shipped",
)

# Evaluations of a first step from alpha = 0 and of a last one to sigma = 0, where they are not one.
FIRST = {
    "midpoint-t": 2,
    "heun-t": 2,
    "kutta3-t": 3,
    "rk4-t": 4,
    **{name: 2 for name in ALL if name.startswith("unipc-")},
    "cox-matthews-4": 2,
    "strehmel-weiner-4": 2,
    "hochbruck-ostermann-4": 2,
    "krogstad-4": 2,
    "exprk5s8": 2,
    "res-3s": 2,
    "unip-4-rk-start": 2,
    "unip-4-bh1-rk-start": 2,
    **{name: 2 for name in ALL if name.startswith("sa-solver-") and "c" in name},
    "dpm++-2s-ancestral": 2,
    "annealed-langevin": 6,
    "restart": 3,
}
LAST = {"midpoint-t": 2, "srk-additive": 2, "annealed-langevin": 0, "restart": 3}


@pytest.mark.parametrize("name", ALL)
def test_it_says_how_it_crosses_the_ends(name):
    checks.claims(SOLVERS[name])


@pytest.mark.parametrize("run", checks.RUNS)
@pytest.mark.parametrize("name", ALL)
def test_it_crosses_with_every_prediction_and_asks_nothing_at_sigma_zero(name, run):
    solver = SOLVERS[name]
    least = len(solver.closing)
    if len(checks.RUNS[run][1]) - 1 < least:
        pytest.skip("a composition of more steps")
    checks.crosses(solver, run)


@pytest.mark.parametrize("run", [run for run in checks.FUSED if run not in ("one step", "two steps")])
@pytest.mark.parametrize("name", PLANNED)
def test_fused_is_eager_at_the_ends(name, run):
    checks.fused(SOLVERS[name], run)


@pytest.mark.parametrize("name", [name for name in ALL if not SOLVERS[name].adaptive])
def test_dtype_and_shape_are_kept_at_the_ends(name):
    checks.keeps_dtype(SOLVERS[name])


@pytest.mark.parametrize("run", ["flow", "cosine", "EDM", "linear"])
@pytest.mark.parametrize("name", [name for name in ALL if name not in INEXACT])
def test_one_point_of_data_is_reached(name, run):
    checks.one_point(SOLVERS[name], run)


@pytest.mark.parametrize("name", [name for name in DETERMINISTIC if name not in INEXACT and not SOLVERS[name].closing])
def test_the_first_step_keeps_the_noise_of_one_point(name):
    checks.one_point_from_noise(SOLVERS[name])


@pytest.mark.parametrize("name", [name for name in ALL if not (SOLVERS[name].adaptive or SOLVERS[name].closing)])
def test_evaluations_at_the_ends(name):
    first, last = FIRST.get(name, 1), LAST.get(name, 1)
    if name.startswith("unipc-") and name.endswith("-rk-start"):
        first = 2  # of its start
    checks.evaluations(SOLVERS[name], first, last)


# Formulas in sigma, alpha_t and lam, so that nothing in them is infinite at alpha = 0.  A first step of 3M is one of 2M.
IN_LAM = tuple(
    name
    for name in STEPS
    if SOLVERS[name].from_noise == "limit"
    and (
        SOLVERS[name].family in ("DPM-Solver++", "UniPC", "exponential RK", "RES", "SDE-DPM-Solver++", "SA-Solver")
        and not name.endswith("-rk-start")
        and "3m" not in name
    )
)
LIMITS = tuple(
    name
    for name in STEPS
    if SOLVERS[name].from_noise in ("limit", "formula")
    and name not in IN_LAM
    and SOLVERS[name].family != "Runge-Kutta"
    and not name.endswith("-rk-start")
    and "++-3m" not in name
)


@pytest.mark.parametrize("name", IN_LAM)
def test_the_first_step_is_the_limit_of_the_formula_to_rounding(name):
    checks.limit_from_noise(SOLVERS[name])


@pytest.mark.parametrize("name", [*LIMITS, "euler-t", "midpoint-t", "heun-t", "kutta3-t", "rk4-t"])
def test_the_formula_tends_to_the_first_step(name):
    checks.tends_from_noise(SOLVERS[name])


@pytest.mark.parametrize("name", [name for name in STEPS if SOLVERS[name].to_data in ("limit", "formula")])
def test_the_formula_tends_to_the_last_step(name):
    if name.startswith("deis-tab"):
        checks.tends_to_data(SOLVERS[name], (0.02, 0.002))  # its quadrature is for steps up to 5 in lam
    elif name == "annealed-langevin":
        checks.tends_to_data(SOLVERS[name], (1e-5, 1e-10))  # it reads eps at t, from a model of x0
    else:
        checks.tends_to_data(SOLVERS[name])


def test_all_limits_are_tested():
    """Every claim of a limit is met by one of the tests above, or is another method's (`-rk-start`)."""
    claimed = {name for name in STEPS if SOLVERS[name].from_noise == "limit"}
    others = {name for name in claimed if name.endswith("-rk-start") or "++-3m" in name}
    assert claimed == {name for name in (*IN_LAM, *LIMITS, *others) if SOLVERS[name].from_noise == "limit"}
    assert len(IN_LAM) > 30


LAWFUL = tuple(name for name in STOCHASTIC if name in STEPS and name not in ("annealed-langevin", "ddpm-large"))


@pytest.mark.parametrize("name", LAWFUL)
def test_the_law_after_the_first_step(name):
    checks.law_from_noise(SOLVERS[name])


def test_the_large_variance_is_first_order_from_noise():
    checks.law_from_noise(SOLVERS["ddpm-large"], 1.0)


@pytest.mark.parametrize("name", [*LAWFUL, "ddpm-large", "annealed-langevin"])
def test_the_law_after_the_last_step(name):
    checks.law_to_data(SOLVERS[name])


@pytest.mark.parametrize("name", ALL)
def test_a_noise_prediction_is_refused_at_alpha_zero(name):
    solver = SOLVERS[name]
    if len(solver.closing) > 1:
        pytest.skip("a composition of more steps")
    if name == "predictor-corrector":
        pytest.skip("not fused")
    checks.refuses_noise_prediction(solver)
