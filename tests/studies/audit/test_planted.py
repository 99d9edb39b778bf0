"""An audit finds each planted fault, and none in what is right."""

from dataclasses import replace

import pytest
from studies.audit import planted

from sdebench.peers import adapt
from sdebench.studies.audit.measure import audit


def faults(target, full=False, **settings):
    readings = audit(replace(adapt(target.__name__, target, {}), **settings), full)
    return [(one.check, one.what) for one in readings if one.verdict == "fault"]


@pytest.mark.parametrize("target", planted.FAULTS, ids=lambda t: t.__name__)
def test_a_planted_fault_is_found(target):
    check, words = planted.FAULTS[target]
    found = faults(target, full=target is planted.OverflowsInHalf)
    assert any(name == check and words in what for name, what in found), found


@pytest.mark.parametrize("target", [planted.Right, planted.Ancestral], ids=lambda t: t.__name__)
def test_nothing_is_found_in_what_is_right(target):
    assert faults(target, full=True) == []


def test_a_claim_of_a_higher_order_is_refuted():
    assert faults(planted.Right, claim=1) == []
    assert any("order 1.00" in what and "2 is claimed" in what for _, what in faults(planted.Right, claim=2))


def test_noise_that_is_one_for_all_is_told():
    readings = audit(adapt("one", planted.OneNoiseForAll, {}))
    assert any(one.check == "law" and "not one a sample" in one.what for one in readings)


def test_the_method_is_named():
    readings = audit(adapt("right", planted.Right, {}), only=("identity",))
    assert any("ddim" in one.what for one in readings)
