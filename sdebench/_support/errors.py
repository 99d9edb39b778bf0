"""Errors that a user can mend: one line that says what came, what is allowed and what to type."""

from collections.abc import Iterable
from difflib import get_close_matches
from operator import index
from typing import Any


class UsageError(ValueError):
    """Bad input. The command line prints it as one line and ends with exit status 2."""


def near_miss(name: Any, allowed: Iterable[str]) -> str:
    """`"; did you mean 'x' or 'y'?"`, or an empty string where nothing is near."""
    by_lower = {option.lower(): option for option in allowed}
    close = [by_lower[found] for found in get_close_matches(str(name).lower(), by_lower, n=2, cutoff=0.6)]
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def shown(value: Any) -> str:
    """What came, for a message: its repr, on one line, cut to 60 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def whole(value: Any, what: str, least: int | None = None) -> int:
    """The value as an int.  Raises UsageError, in which it is called `what`, unless it is a whole number, `least` or more."""
    try:
        number = index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        more = "" if least is None else f", {least} or more"
        raise UsageError(f"{what} is {shown(value)}: give a whole number{more}")
    return number


def is_number(value: Any) -> bool:
    """Whether the value is one number: of Python, of numpy, or a tensor of one entry."""
    try:
        float(value)
    except (TypeError, ValueError, RuntimeError):
        return False
    return not isinstance(value, str | bytes)
