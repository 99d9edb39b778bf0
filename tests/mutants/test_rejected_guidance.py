"""Wrong guidance is rejected by the test named beside it, which the right one passes."""

from functools import partial

import guidance_checks as checks
import pytest
from mutants import guidance

from sdebench.problems import Guided, LabelledMixture

at_large_weight = partial(checks.score_matches_multiprecision, 7.5)

# where, what is put there, and the check that must fail then
REJECTED = [
    ((Guided, "__call__"), guidance.scale_of_libraries, checks.score_matches_multiprecision),
    ((Guided, "__call__"), guidance.scale_of_libraries, checks.conditional_law_is_to_the_bit),
    ((Guided, "__call__"), guidance.other_sign, checks.score_matches_multiprecision),
    ((Guided, "__call__"), guidance.weights_not_of_one, checks.conditional_law_is_to_the_bit),
    ((Guided, "__call__"), guidance.weights_not_of_one, checks.score_matches_multiprecision),
    ((Guided, "__call__"), guidance.readings_mixed, checks.score_matches_multiprecision),
    ((Guided, "__call__"), guidance.saturated, checks.linear_in_the_weight),
    ((Guided, "__call__"), guidance.saturated, at_large_weight),
    ((LabelledMixture, "given"), guidance.without_its_weights, checks.score_matches_multiprecision),
    ((LabelledMixture, "given"), guidance.first_component_alone, checks.score_matches_multiprecision),
]


def name_of(check) -> str:
    return getattr(check, "func", check).__name__


@pytest.mark.parametrize(
    ("place", "mutant", "check"), REJECTED, ids=[f"{mutant.__name__}-{name_of(check)}" for _, mutant, check in REJECTED]
)
def test_wrong_guidance_is_rejected(monkeypatch, place, mutant, check):
    check()
    monkeypatch.setattr(*place, mutant)
    with pytest.raises(AssertionError):
        check()
