"""For users' own tests: hold a sampler to its order in five lines, by a function or by the pytest fixture of its name.

from sdebench.testing import assert_order

def test_order():
    assert_order(MySolver(), 3)
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


@pytest.fixture(name="assert_order")
def _assert_order():
    """The function `sdebench.testing.assert_order`."""
    return assert_order
