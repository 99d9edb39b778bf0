"""What moved between two sets of figures of the gate, and by how much."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from sdebench.gate.figures import GROUPS, Figures

ERROR_RTOL, ERROR_ATOL = 1e-6, 1e-14  # another processor or library changes the last bits of the states, and no more
COEFFICIENT_TOLERANCE = 1e-8  # of the largest coefficient of its row
ORDER_TOLERANCE = 0.01
FLOAT32_TOLERANCE = 2.0  # roundings: sums in another order lose others


class Moved(NamedTuple):
    """A figure that is no longer what it was; `change` in words, None for a figure that is not there."""

    solver: str
    what: str
    before: Any
    now: Any
    change: str


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _change(before: Any, now: Any, tolerance: float) -> str:
    """How a figure changed, in words, or "" where it stayed to the tolerance."""
    if not (_number(before) and _number(now)):
        if type(before) is type(now) and before == now:
            return ""
        return "gone" if now is None else "appeared" if before is None else "changed"
    if abs(now - before) <= tolerance:
        return ""
    small = abs(now - before) < abs(before)
    return f"{100 * (now / before - 1):+.2g}%" if small else f"{now - before:+.3g}"


def _tolerance(group: str, row: dict[str, Any], before: Any) -> float:
    """How far a figure of a row may move."""
    if group == "errors" or (group == "ends" and isinstance(before, float)):
        return ERROR_RTOL * abs(before) + ERROR_ATOL
    if group == "coefficients":
        return COEFFICIENT_TOLERANCE * max((abs(c) for c in row.values() if _number(c)), default=0.0)
    return {"orders": ORDER_TOLERANCE, "float32": FLOAT32_TOLERANCE}.get(group, 0.0)


def _label(group: str, row: str, figure: str) -> str:
    if group == "coefficients":
        return f"{figure} of {row}"
    names = {"claims": "claim", "errors": "error", "calls": "calls", "failures": "failure of"}
    return f"{names[group]} {figure}".replace("error ", "error, ") if group in names else figure


def _rows(figures: Figures, group: str) -> dict[str, dict[str, Any]]:
    """The group as rows of figures: of coefficients its rows, otherwise itself."""
    return figures.get(group, {}) if group == "coefficients" else {"": figures.get(group, {})}


def _moved_in(solver: str, group: str, before: Figures, now: Figures) -> Iterator[Moved]:
    old, new = _rows(before, group), _rows(now, group)
    if bool(old) != bool(new):  # the method is no longer linear in its vectors, or is so now
        yield Moved(solver, group, None, None, "appeared" if new else "gone")
        return
    for row in dict.fromkeys([*old, *new]):
        had, has = old.get(row, {}), new.get(row, {})
        for figure in dict.fromkeys([*had, *has]):
            a, b = had.get(figure), has.get(figure)
            change = _failed(a, b) if group == "failures" else _change(a, b, _tolerance(group, had, a) if _number(a) else 0.0)
            if change:
                yield Moved(solver, _label(group, row, figure), a, b, change)


def _failed(before: str | None, now: str | None) -> str:
    """A failure is the same if it is of one type: messages differ between versions of a library."""
    kinds = [text.partition(":")[0] if text else None for text in (before, now)]
    return "" if kinds[0] == kinds[1] else "mended" if now is None else "fails"


def compare(before: dict[str, Figures], now: dict[str, Figures]) -> list[Moved]:
    """What moved from one set of figures to another; a solver that is gone has moved, one that is new has not."""
    found = []
    for solver, figures in before.items():
        if solver in now:
            found += [moved for group in GROUPS for moved in _moved_in(solver, group, figures, now[solver])]
        else:
            found.append(Moved(solver, "solver", None, None, "gone"))
    return found
