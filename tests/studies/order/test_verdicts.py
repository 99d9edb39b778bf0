"""Verdicts hold on problems and methods that nobody tuned for.  Issue by issue; `tests/mutants/harness.py` breaks each."""

import pytest
from verdict_checks import CHECKS, hidden_start_up


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_verdict_holds(check):
    check()


def test_a_start_up_of_unipc_that_this_span_hides():
    hidden_start_up("unipc-3", 4)
