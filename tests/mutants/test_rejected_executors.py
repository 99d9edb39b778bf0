"""Every broken executor is rejected by the check named beside it, on a method on which the right one passes."""

from functools import partial

import pytest
from contract import checks_executors as checks
from mutants import executors as mutants

import sdebench as sb

on_a_path = partial(checks.agrees, path=True, x=checks.X[:2])

REJECTED = [  # mutant, method, check
    ("reuses_a_place_still_read", "unipc-3", checks.agrees),
    ("reuses_a_place_still_read", "heun-edm", checks.agrees),
    ("reuses_a_place_still_read", "restart", checks.agrees),
    ("answers_in_one_place", "lms-4", checks.agrees),
    ("answers_in_one_place", "er-sde-3", on_a_path),
    ("result_is_not_the_first_term", "unipc-3", checks.agrees),
    ("forgets_the_grid", "ddim", checks.another_grid),
    ("keeps_the_argument", "dpm-solver++-2m", checks.takes_its_argument_back),
    ("takes_any_layout", "ddim", checks.takes_its_argument_back),
    ("asks_the_noise_backwards", "seeds-3", checks.agrees),
    ("loses_a_coefficient", "rk4-lam", checks.agrees),
    ("whole_pieces", "ddim", checks.agrees),
    ("first_addresses", "heun-edm", checks.answers_elsewhere),
    ("stale_coefficients", "ddim", checks.agrees),
    ("stale_coefficients", "sa-solver-p3c3", checks.agrees),
]
INVISIBLE = [  # why the strict checks are there
    ("keeps_the_argument", "dpm-solver++-2m", checks.agrees),  # a network gives a new tensor
    ("forgets_the_grid", "heun-edm", checks.agrees),  # a run alone has the right plan
    ("whole_pieces", "ddim", partial(checks.agrees, x=checks.X[:256])),  # whole pieces only
    ("stale_coefficients", "unipc-3", checks.agrees),  # places change hands, so that no two of few passes are alike
]


@pytest.mark.parametrize(("mutant", "name", "check"), REJECTED, ids=[f"{m}-{name}" for m, name, _ in REJECTED])
def test_a_mutant_is_rejected_and_the_executor_is_not(mutant, name, check):
    check(mutants.right, sb.get_solver(name))
    with pytest.raises(AssertionError):
        check(getattr(mutants, mutant), sb.get_solver(name))


@pytest.mark.parametrize(("mutant", "name", "check"), INVISIBLE, ids=[f"{m}-{name}" for m, name, _ in INVISIBLE])
def test_a_weaker_check_does_not_see_it(mutant, name, check):
    check(getattr(mutants, mutant), sb.get_solver(name))
