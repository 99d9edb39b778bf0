"""Errors that a user can mend: one line that says what came, what is allowed and what to type."""

from collections.abc import Iterable
from difflib import get_close_matches


class UsageError(ValueError):
    """Bad input. The command line prints it as one line and ends with exit status 2."""


def near_miss(name: str, allowed: Iterable[str]) -> str:
    """`"; did you mean 'x' or 'y'?"`, or an empty string where nothing is near."""
    by_lower = {option.lower(): option for option in allowed}
    close = [by_lower[found] for found in get_close_matches(name.lower(), by_lower, n=2, cutoff=0.6)]
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""
