"""Every registered solver is held to its claims.  The checks themselves are in `checks`, for the mutants to meet them too."""

import pytest
from contract import checks

import sdebench as sb
from sdebench._support.registry import SOLVERS

ALL = tuple(name for name in sb.list_solvers() if not sb.get_solver(name).stochastic)
BLACK_BOXES = tuple(name for name in ALL if checks.is_black_box(sb.get_solver(name)))
ON_GRIDS = tuple(name for name in ALL if name not in BLACK_BOXES)

# Evaluations that a run costs beside `nfe_per_step` a step, as the methods' docstrings say.
START_UP = {
    "plms": 1,  # one improved Euler step
    "pndm": 9,  # three Runge-Kutta steps of 4
    "dpm-solver-fast": -3,  # ends with steps of 2 and 1 instead of 3
    "dpm-solver-fast-3k1": -2,
    "dpm-solver-fast-3k2": -1,
}
FIRST_EVALUATION = 1  # of UniPC: the predicted state's prediction serves the next step, so a run has one more


def start_up(name: str) -> int:
    if name in START_UP:
        return START_UP[name]
    solver = sb.get_solver(name)
    first = FIRST_EVALUATION if name.startswith("unipc-") else 0
    if name == "unipc-3-lower-final":
        return 0  # its last step predicts from the evaluation that is there, and corrects no more
    return first + (solver.memory * (solver.start.nfe_per_step - 1) if name.endswith("-rk-start") else 0)


def interpolated(name: str) -> tuple[str, str, int] | None:
    """(prediction, variable, degree) of what the method integrates exactly, where its weights are interpolatory."""
    base, last = name.removesuffix("-rk-start").removesuffix("-bh1"), sb.get_solver(name).main_order - 1
    by_name = {
        "dpm-solver-3": ("eps", "lam", 1),  # (e^h - 1)/h - 1 is h phi_2: the first difference, and no higher one
        "dpm-solver++-3s": ("x0", "lam", 1),
        "dpm-solver-3m": ("eps", "lam", 2),
        "dpm-solver++-3m": ("x0", "lam", 2),
        "krogstad-4": ("x0", "lam", 2),  # of stiff order 3
        "cox-matthews-4": ("x0", "lam", 2),
        "strehmel-weiner-4": ("x0", "lam", 2),
        "hochbruck-ostermann-4": ("x0", "lam", 2),
        "res-2s": ("x0", "lam", 1),
        "res-3s": ("x0", "lam", 1),
        "res-2m": ("x0", "lam", 1),
        "exprk5s8": ("x0", "lam", 3),
    }
    by_family = {
        "lms": ("eps", "rho", last),
        "deis-rhoab": ("eps", "rho", last),
        "deis-tab": ("eps", "t", last),
        "deis-rhork": ("eps", "rho", last),
        "unip": ("x0", "lam", last),
        "unipc": ("x0", "lam", last),
    }
    if base in ("unip-2", "unipc-1"):
        return "x0", "lam", 0  # one difference, with the weight 1/2 instead of the exact one
    return by_name.get(base) or by_family.get(base.rpartition("-")[0])


INTERPOLATED = tuple(name for name in ALL if interpolated(name))
CONSISTENT = tuple(
    name for name in ON_GRIDS if sb.get_solver(name).order_irregular >= 1 and sb.get_solver(name).family != "Runge-Kutta"
)


@pytest.mark.parametrize("name", ALL)
def test_the_claims_are_there_and_agree(name):
    checks.claims(sb.get_solver(name))


@pytest.mark.parametrize("name", ALL)
def test_a_solver_is_a_frozen_value(name):
    checks.frozen(sb.get_solver(name))


@pytest.mark.parametrize("name", ALL)
def test_its_spec_makes_it_again(name):
    solver = sb.get_solver(name)
    assert SOLVERS.name_of(solver) == name
    assert sb.get_solver(SOLVERS.name_of(solver)) == solver


@pytest.mark.parametrize("name", ALL)
def test_a_step_is_pure(name):
    checks.pure(sb.get_solver(name))


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_remembered_between_runs(name):
    checks.remembers_nothing(sb.get_solver(name))


@pytest.mark.parametrize("name", ON_GRIDS)
def test_a_step_calls_the_model_as_often_as_it_says(name):
    checks.nfe(sb.get_solver(name), start_up(name))


@pytest.mark.parametrize("name", BLACK_BOXES)
def test_a_black_box_calls_the_model_as_often_as_it_says(name):
    checks.nfe_black_box(sb.get_solver(name))


@pytest.mark.parametrize("name", ON_GRIDS)
def test_a_step_uses_as_much_past_as_it_says(name):
    checks.memory(sb.get_solver(name))


@pytest.mark.parametrize("name", ALL)
def test_dtype_and_shape_are_kept(name):
    checks.keeps_dtype_and_shape(sb.get_solver(name))


@pytest.mark.parametrize("name", ALL)
def test_the_centre_of_a_gaussian_stays(name):
    checks.keeps_the_centre(sb.get_solver(name))


@pytest.mark.parametrize("name", ALL)
def test_a_run_on_a_gaussian_is_affine(name):
    checks.affine_on_a_gaussian(sb.get_solver(name))


@pytest.mark.parametrize("name", CONSISTENT)
def test_one_point_of_data_is_reached_exactly(name):
    checks.exact_for_one_point(sb.get_solver(name))


@pytest.mark.parametrize("name", INTERPOLATED)
def test_interpolatory_weights_integrate_polynomials(name):
    checks.exact_for_polynomials(sb.get_solver(name), *interpolated(name))


@pytest.mark.parametrize("name", ALL)
def test_local_order(name):
    if sb.get_solver(name).order > 5:
        pytest.skip("at order 8 the window between the large steps and rounding is too short to decide within 0.1")
    checks.local_order(sb.get_solver(name))


@pytest.mark.parametrize("name", ON_GRIDS)
def test_global_order_on_an_irregular_grid(name):
    checks.global_order(sb.get_solver(name), "irregular")


# A one-step method does not know its neighbours' lengths: where it holds on the irregular grid, it holds on this one.
@pytest.mark.parametrize("name", [name for name in ON_GRIDS if sb.get_solver(name).memory])
def test_global_order_on_a_smooth_grid(name):
    checks.global_order(sb.get_solver(name), "uniform_lam")


@pytest.mark.parametrize("name", [name for name in ALL if sb.get_solver(name).embedded or name in BLACK_BOXES])
def test_an_adaptive_run_follows_its_tolerance(name):
    checks.tolerance_proportional(sb.get_solver(name))


@pytest.mark.parametrize("name", ON_GRIDS)
def test_float32_costs_no_more_than_the_state(name):
    checks.rounding(sb.get_solver(name))
