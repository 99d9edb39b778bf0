"""The old fit, ladder and stop rule, and a harness that looks away, are each rejected by the test named beside it."""

import pytest
import verdict_checks as checks
from mutants import harness

from sdebench import fit
from sdebench.schedules import consistency
from sdebench.studies import ladders
from sdebench.studies.order import judge, measurement

# where, what is put there, and the check that must fail then
REJECTED = [
    ((fit, "fit_order"), harness.straight_line, checks.terms_in_squares),
    ((fit, "_posterior"), harness.every_entry_is_a_voice, checks.intervals_cover),
    ((ladders, "rungs"), harness.first_rungs_alone, checks.goes_on_below_a_stated_order),
    ((ladders, "_is_settled"), harness.settled_at_any_integer, checks.goes_on_below_a_stated_order),
    ((ladders, "_is_settled"), harness.settled_at_any_integer, checks.goes_on_while_points_are_lost),
    ((judge, "_parts"), harness.no_parts, checks.hidden_start_up_of_a_method_that_states_nothing),
    ((judge, "_lost"), harness.nothing_is_lost, checks.point_on_a_boundary),
    ((measurement, "check_purity"), harness.whatever_comes, checks.writer_is_named),
    ((consistency, "_check_at"), harness.whatever_comes, checks.schedule_is_checked),
    ((measurement, "kinds_of"), harness.every_sampler_has_a_step, checks.no_local_order_without_a_past),
]


@pytest.mark.parametrize(
    ("place", "mutant", "check"), REJECTED, ids=[f"{place[1]}-{check.__name__}" for place, _, check in REJECTED]
)
def test_a_broken_harness_is_rejected(monkeypatch, place, mutant, check):
    monkeypatch.setattr(*place, mutant)
    monkeypatch.setattr(consistency, "_sound", {})
    with pytest.raises(AssertionError):
        check()
