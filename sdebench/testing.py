"""For users' own tests: hold a sampler to its order, or a scheduler to what an audit asks, by a function or by its fixture.

from sdebench.testing import assert_order, assert_sound

def test_order():
    assert_order(MySolver(), 3)

def test_scheduler():
    assert_sound(MyScheduler(), order=2)
"""

from collections.abc import Sequence
from typing import Any

import pytest

GRIDS = ("uniform_lam", "karras", "irregular", "jitter")


def assert_order(
    solver: Any,
    order: int,
    problem: str | None = None,
    grids: Sequence[str] = GRIDS,
    points: int = 64,
    seed: int = 0,
    kinds: Sequence[str] | None = None,
) -> None:
    """Assert that the solver (or spec string) has the local order `order + 1` and the global `order` on every one of `grids`.

    A stochastic solver is held to the weak order `order` on each, on the problem "gaussian" unless another is given: there its
    law is exact.  If it states a strong order it is held to that too, on one Brownian path, which takes some seconds.
    Deterministic ones and strong orders are measured on "mixture-1d".

    `kinds` names those of its kinds of order that it is to be held to, as `kinds=["weak"]`; of others than these four, such as
    "main", what it states is the claim.
    An order that the measurement cannot resolve fails too.  The message lists every measurement with its slopes, worst
    first, so that the grid that refuted the order is its first line.
    """
    __tracebackhide__ = True
    from sdebench.catalogue import get_solver
    from sdebench.integration.solver import check_solver
    from sdebench.records import WHOLE_RUNS
    from sdebench.studies.order.measurement import measure_order

    method = get_solver(solver) if isinstance(solver, str) else check_solver(solver)
    claims = {"local": order + 1, "global": order, "weak": order}
    if kinds is None:
        strong = () if method.strong_order is None else ("strong",)
        kinds = ("weak", *strong) if method.stochastic else ("local", "global")
    asked = [(kind, grid) for kind in kinds for grid in (grids if kind in WHOLE_RUNS else [""])]
    found = [measure_order(method, problem, kind, grid, points, seed, claims.get(kind)) for kind, grid in asked]
    failed = [m for m in found if m.verdict != "confirmed"]
    if failed:
        lines = [_line(m) for m in sorted(found, key=lambda m: m.verdict == "confirmed")]
        name = solver if isinstance(solver, str) else type(solver).__name__
        where = f" on {problem}" if problem else ""
        pytest.fail(f"{name} was to have order {order}{where}:\n" + "\n".join(lines), pytrace=False)


def _line(m: Any) -> str:
    """One measurement: what, verdict, order, and the slope between each two rungs; of one that diverges, where it does."""
    from sdebench.fit import slopes

    what = f"{m.kind} {m.grid}".strip()
    start = f"  {m.verdict:14s} {what:20s} expected {m.claim}"
    if m.fit.diverges:
        return f"{start}, {m.reason}"
    values = " ".join(f"{s:.2f}" for s in slopes(*zip(*m.points)))
    measured = f"{m.order:.2f} +- {m.half_width:.2f}" if m.half_width < float("inf") else m.reason
    return f"{start}, measured {measured}   slopes {values}"


def assert_sound(sampler: Any, order: int | None = None, full: bool = False, checks: Sequence[str] = ()) -> None:
    """Assert that an audit finds no fault in a sampler that is not ours: a scheduler, a function of sigmas, or a spec string.

    `order` is what is claimed of it; an order that the measurement cannot resolve fails, too.  `checks` are the checks that
    are made, all unless given; with `full`, at more numbers of steps.  The message lists the faults, each with its figures.
    """
    __tracebackhide__ = True
    from dataclasses import replace

    from sdebench.peers import as_peer
    from sdebench.studies.audit.measure import audit

    peer = as_peer(sampler)
    readings = audit(replace(peer, claim=order) if order is not None else peer, full, tuple(checks))
    wrong = [f"  {one.check}: {one.what}" for one in readings if one.verdict == "fault"]
    judged = {one.name for one in readings if one.check == "order"}
    if order is not None and not wrong and (not checks or "order" in checks) and "order" not in judged:
        told = next((one.what for one in readings if one.check == "order"), "it was not measured, as the code draws numbers")
        wrong.append(f"  order: not confirmed: {told}")
    if wrong:
        pytest.fail(f"{peer.name} is not sound:\n" + "\n".join(wrong), pytrace=False)


@pytest.fixture(name="assert_sound")
def _assert_sound():
    """The function `sdebench.testing.assert_sound`."""
    return assert_sound


@pytest.fixture(name="assert_order")
def _assert_order():
    """The function `sdebench.testing.assert_order`."""
    return assert_order
