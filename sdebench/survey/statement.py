"""A statement of the seed, and what was measured of it.

The seed is a set of slides, "A Survey on Diffusion Model Through SDE" (in Chinese).  Each formula of it is a `Statement`
with a check that evaluates the formula as printed and, where that is another one, the right formula, both numerically.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from sdebench._support.errors import UsageError, near_miss

ROUNDING = 1e-12  # what a formula that is an identity may be off by
ORDER = 0.1  # what a measured order may


class Outcome(NamedTuple):
    """Errors of the formula as printed and of the right one (the same number where they are one), and what each may be.

    `of_order`: the right one is a statement about an order, and its error the distance of
    the measured order from that; a formula printed as an equality is then held to rounding all the same.
    """

    printed_error: float
    right_error: float
    tolerance: float
    printed_tolerance: float
    of_order: bool = False


@dataclass(frozen=True)
class Statement:
    """One formula: where it stands, as printed, and the right one where that differs.

    `equation` is the seed's own number, "" for none.  `right` corrects the formula; `instead` says what is true where no
    correction of the formula would be.  `correction` is the number of the correction, see `CORRECTIONS`.
    `how` says what the check evaluates: it is the docstring of the check.
    """

    key: str
    chapter: str
    section: str
    title: str
    printed: str
    equation: str = ""
    right: str = ""
    instead: str = ""
    correction: str = ""
    how: str = ""
    check: Callable[[], Outcome] = lambda: Outcome(0.0, 0.0, 0.0, 0.0)

    def texts(self) -> dict[str, str]:
        """All but the check: what a record keeps."""
        return {name: value for name, value in vars(self).items() if name != "check"}


STATEMENTS: dict[str, Statement] = {}

# What the seed's misprints are called: 1 to 14 change a formula, a to g are smaller, n1 to n17 came out later.
CORRECTIONS = (*map(str, range(1, 15)), *"abcdefg", *(f"n{i}" for i in range(1, 18)))


class Chapter:
    """Registers the statements of one file: `chapter(key, ...)` decorates the check of a statement."""

    def __init__(self, name: str):
        self.name, self.part = name, ""

    def section(self, name: str) -> None:
        """The section of the slides that the statements from here on stand in."""
        self.part = name

    def __call__(self, key: str, title: str, printed: str, **rest: str) -> Callable:
        """Register the decorated check as the statement of that key."""
        made = Statement(key, self.name, self.part, title, printed, **rest)  # type: ignore[arg-type]  # the rest are strings

        def register(check: Callable[[], Outcome]) -> Callable[[], Outcome]:
            if key in STATEMENTS:
                raise UsageError(f"two statements are called {key!r}: give each its own key")
            STATEMENTS[key] = replace(made, check=check, how=" ".join((check.__doc__ or "").split()))
            return check

        return register


def outcome(printed: float, right: float, tolerance: float) -> Outcome:
    """The outcome of a formula that is not right as it is printed."""
    return Outcome(abs(float(printed)), abs(float(right)), tolerance, tolerance)


def to_order(printed: float, miss: float, allowed: float = ROUNDING) -> Outcome:
    """The outcome of an equality that holds to an order only: its error as an equality, and by how much the order is missed."""
    return Outcome(abs(float(printed)), abs(float(miss)), ORDER, allowed, True)


def holds(error: float, tolerance: float) -> Outcome:
    """The outcome of a formula that is right as it is printed."""
    return outcome(error, error, tolerance)


def holds_to_order(miss: float) -> Outcome:
    """The outcome of a right statement about an order."""
    return to_order(miss, miss, ORDER)


def get(key: str) -> Statement:
    """The statement of that key; UsageError for none."""
    if key not in STATEMENTS:
        raise UsageError(f"unknown statement {key!r}{near_miss(key, STATEMENTS)} (there are {len(STATEMENTS)})")
    return STATEMENTS[key]
