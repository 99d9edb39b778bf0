"""One rule for what a case is held to, whoever asks."""

import pytest

from sdebench.catalogue import get_solver
from sdebench.records.claims import held_to
from sdebench.studies.base import claims

SAID = {"claimed_order": 3, "order": 2, "order_irregular": 2, "main_order": 3, "strong_order": 1.5}


@pytest.mark.parametrize(
    ("kind", "grid", "expected"),
    [
        ("global", "karras", (3, 2)),
        ("global", "irregular", (3, 2)),
        ("main", "irregular", (3, 3)),
        ("local", "", (4, 4)),
        ("tolerance", "", (1, 1)),
        ("start-up", "irregular", (None, None)),
        ("weak", "karras", (3, 2)),
        ("weak", "irregular", (3, 2)),
        ("strong", "irregular", (1.5, 1.5)),
    ],
)
def test_each_kind_has_its_exponents(kind, grid, expected):
    assert held_to(SAID, kind, grid) == expected


def test_a_method_that_states_another_order_on_irregular_grids_is_held_to_that():
    plms = claims(get_solver("plms"))
    assert held_to(plms, "global", "uniform_lam") == (4, 2)
    assert held_to(plms, "global", "jitter") == (1, 1)


def test_what_records_keep_of_a_stochastic_method_has_its_strong_order():
    assert held_to(claims(get_solver("srk-additive")), "strong", "irregular") == (1.5, 1.5)
    assert held_to(claims(get_solver("ddim")), "strong", "irregular") == (None, None)
    assert claims(get_solver("srk-additive"))["stochastic"]


def test_a_solver_that_could_not_be_made_is_held_to_nothing():
    assert held_to({}, "global", "karras") == (None, None)
