"""For users' own tests: hold a sampler to its order in five lines, by a function or by the pytest fixture of its name.

    from sdebench.testing import assert_order

    def test_order():
        assert_order(MySolver(), 3)
"""

from collections.abc import Sequence
from typing import Any

import pytest

GRIDS = ("uniform_lam", "karras", "irregular", "jitter")


def assert_order(solver: Any, order: int, problem: str | None = None, grids: Sequence[str] = GRIDS, points: int = 64,
                 seed: int = 0) -> None:  # fmt: skip
    """Assert that the solver (or spec string) has the local order `order + 1` and the global `order` on every one of `grids`.

    A stochastic solver is held to the weak order `order` on each, on the problem "gaussian" unless another is given: there its
    law is exact.  Deterministic ones are measured on "mixture-1d".
    An order that the measurement cannot resolve fails too.  The message lists every measurement with its slopes, worst
    first, so that the grid that refuted the order is its first line.
    """
    __tracebackhide__ = True
    from .studies.base import solver as made
    from .studies.order import measure_order

    if (made(solver) if isinstance(solver, str) else solver).stochastic:
        asked = [("weak", grid, order) for grid in grids]
    else:
        asked = [("local", "", order + 1), *(("global", grid, order) for grid in grids)]
    found = [measure_order(solver, problem, kind, grid or "irregular", points, seed, claim) for kind, grid, claim in asked]
    failed = [m for m in found if m.verdict != "confirmed"]
    if failed:
        lines = [_line(m) for m in sorted(found, key=lambda m: m.verdict == "confirmed")]
        name = solver if isinstance(solver, str) else type(solver).__name__
        where = f" on {problem}" if problem else ""
        pytest.fail(f"{name} was to have order {order}{where}:\n" + "\n".join(lines), pytrace=False)


def _line(m: Any) -> str:
    """One measurement: what, verdict, order, and the slope between each two rungs."""
    from .fit import slopes

    values = " ".join(f"{s:.2f}" for s in slopes(*zip(*m.points)))
    what = f"{m.kind} {m.grid}".strip()
    measured = f"{m.order:.2f} +- {m.half_width:.2f}" if m.half_width < float("inf") else m.reason
    return f"  {m.verdict:14s} {what:20s} expected {m.claim}, measured {measured}   slopes {values}"


@pytest.fixture(name="assert_order")
def _assert_order():
    """The function `sdebench.testing.assert_order`."""
    return assert_order
