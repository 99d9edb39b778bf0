"""Every solver, kind and grid on the 1-D, 2-D and 16-D mixtures, in float64: run with `pytest -m slow`."""

import pytest

import sdebench as sb
from sdebench import grids
from sdebench.records import Claims, held_to
from sdebench.studies.order.measure import kinds_of
from sdebench.studies.order.measurement import measure_order

TOLERANCE, TIGHT = 0.1, 0.05
KINDS = ("local", "global", "main")


def violations(name: str, problem: str) -> list[str]:
    """A line for each order that is not within its tolerance of its claim."""
    solver = sb.get_solver(name)
    allowed = TIGHT if name in ("dpm-solver-1", "dpm-solver-2", "dpm-solver-3") else TOLERANCE
    found = []
    for kind in set(KINDS) & set(kinds_of(solver)):
        for grid in grids.names() if kind == "global" else ("",):
            m = measure_order(solver, problem, kind, grid)
            claim = held_to(Claims.of(solver), kind, m.grid)[1]
            if not (m.fit.resolved and abs(m.order - claim) <= allowed):
                found.append(f"{kind} {m.grid}: {m.order:.3f} +- {m.half_width:.3f}, claim {claim} {m.reason}")
    return found


@pytest.mark.slow
@pytest.mark.parametrize("problem", ["mixture-1d", "mixture-2d", "product-16d"])
@pytest.mark.parametrize("name", [n for n in sb.list_solvers() if not sb.get_solver(n).stochastic])
def test_every_order_is_what_is_claimed(name, problem):
    found = violations(name, problem)
    assert not found, f"{name} on {problem}:\n" + "\n".join(found)
