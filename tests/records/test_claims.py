"""One rule for what a case is held to, whoever asks."""

from dataclasses import fields

import pytest

from sdebench.catalogue import get_solver, list_solvers
from sdebench.records import Claims, held_to

SAID = Claims(claimed_order=3, order=2, order_irregular=2, main_order=3, strong_order=1.5)


def claims(spec: str) -> Claims:
    return Claims.of(get_solver(spec))


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
    ipndm = claims("ipndm-4")
    assert held_to(ipndm, "global", "uniform_lam") == (4, 2)
    assert held_to(ipndm, "global", "jitter") == (1, 1)


def test_what_records_keep_of_a_stochastic_method_has_its_strong_order():
    assert held_to(claims("srk-additive"), "strong", "irregular") == (1.5, 1.5)
    assert held_to(claims("ddim"), "strong", "irregular") == (None, None)
    assert claims("srk-additive").stochastic


def test_a_solver_that_could_not_be_made_is_held_to_nothing():
    assert held_to(None, "global", "karras") == (None, None)
    assert Claims.from_json({}) is None


def test_claims_come_back_from_a_record_as_they_were():
    for spec in list_solvers():
        said = claims(spec)
        assert Claims.from_json(said.to_json()) == said


def test_claims_of_records_made_before_a_claim_existed_fall_back_to_the_one_that_it_refines():
    old = {"claimed_order": 3, "order": 2, "family": "DEIS", "unheard_of": 1}
    assert Claims.from_json(old) == Claims(claimed_order=3, order=2, order_irregular=2, main_order=2, family="DEIS")
    assert Claims.from_json(old | {"order_irregular": 1}).main_order == 1
    assert {"claimed_order", "order", "strong_order"} <= {key.name for key in fields(Claims)}
