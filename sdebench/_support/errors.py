"""Errors that a user can mend: one line that says what came, what is allowed and what to type."""

import errno
import re
from collections.abc import Iterable
from difflib import get_close_matches
from math import isfinite
from operator import index
from typing import Any

LINE, MESSAGE = 200, 1000  # characters of what came in that a message repeats, and of a message, at most
MOST = 10_000_000  # the greatest whole number that is taken, unless a place says another
STRANGERS = (Exception, SystemExit)  # what code that is not ours may raise: it may call sys.exit() too


class UsageError(ValueError):
    """Bad input. The command line prints it as one line and ends with exit status 2.

    However long what came in is, no more than a line of it is repeated.
    """

    def __init__(self, message: str = ""):
        super().__init__(shorten(message))


def near_miss(name: Any, allowed: Iterable[str]) -> str:
    """`"; did you mean 'x' or 'y'?"`, or an empty string where nothing is near."""
    by_lower = {option.lower(): option for option in allowed}
    close = [by_lower[found] for found in get_close_matches(str(name)[:LINE].lower(), by_lower, n=2, cutoff=0.6)]
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def cut(text: str, most: int = LINE) -> str:
    """The text on one line, its middle left out where it is longer than `most` characters."""
    words = " ".join((text if len(text) <= 20 * most else text[: 10 * most] + text[-10 * most :]).split())
    return words if len(words) <= most else f"{words[: most - 43]} ... {words[-38:]}"


def shorten(message: str) -> str:
    """The message with every word of more than a line, and then the whole, cut in the middle."""
    text = re.sub(rf"\S{{{LINE + 1},}}", lambda word: cut(word[0]), message)
    return text if len(text) <= MESSAGE else cut(text, MESSAGE)


def shown(value: Any) -> str:
    """What came, for a message: its repr, on one line, cut to 60 characters."""
    try:
        text = repr(value[:LINE] if isinstance(value, str | bytes | list | tuple) else value)
    except Exception:  # of a stranger's class, or of a whole number with thousands of digits
        text = f"a {type(value).__name__}"
    text = " ".join(text[: 10 * LINE].split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def describe(error: BaseException, whole: bool = False) -> str:
    """An exception of code that is not ours, as `Type: its first line`, or with all its lines as one."""
    try:
        text = str(error).strip()
    except Exception:  # its own __str__ fails
        text = ""
    text = text if whole else text.partition("\n")[0]
    return cut(f"{type(error).__name__}: {text}" if text else type(error).__name__)


_REMEDIES = {
    errno.ENOSPC: "free some room, then run the same command again",
    errno.EDQUOT: "free some of your quota, then run the same command again",
    errno.EFBIG: "give a disk that takes larger files",
    errno.EACCES: "give a path that you may use, or change who may",
    errno.EPERM: "give a path that you may use, or change who may",
    errno.EROFS: "give a path on a disk that can be written",
    errno.EMFILE: "close files, give fewer --jobs, or raise the limit ('ulimit -n')",
    errno.ENFILE: "close files, or give fewer --jobs",
    errno.ENOENT: "give a path that is there",
    errno.EEXIST: "give another path, or remove what is there",
    errno.EISDIR: "give a file",
    errno.ENOTDIR: "give a path whose folders are folders",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.ELOOP: "give a path whose links end somewhere",
    errno.ENOMEM: "free some memory, or give fewer --jobs",
    errno.EIO: "the disk has a fault: give a path on another one",
}


def describe_os_error(error: OSError, path: Any = None) -> str:
    """`PATH: what the system said; the remedy`.  A full disk is not a wrong path."""
    where = path if path is not None else error.filename
    what = (error.strerror or describe(error)).lower()
    return f"{f'{cut(str(where))}: ' if where else ''}{what}; {_REMEDIES.get(error.errno or 0, 'give a path that can be used')}"


def not_written(error: OSError, path: Any) -> str:
    """What kept a file of results from being written, with the remedy."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"no room for {cut(str(path))} ({error.strerror}): free some, then run again to go on"
    return f"cannot write {describe_os_error(error, path)}; everything measured before is recorded"


def whole(value: Any, what: str, least: int | None = None, most: int | None = None) -> int:
    """The value as an int.  Raises UsageError, in which it is called `what`, unless it is a whole number within the bounds:
    `most` is ten million for what has a least value, a count, and else what 64 bits hold, as of a seed."""
    try:
        number = index(value)
    except TypeError:
        number = None
    if number is None or (least is not None and number < least):
        more = "" if least is None else f", {least} or more"
        raise UsageError(f"{what} is {shown(value)}: give a whole number{more}")
    most = most if most is not None else 2**63 - 1 if least is None else MOST
    if number > most or number < -(2**63):
        raise UsageError(f"{what} is {shown(value)}: give a whole number, {most:,} at most")
    return number


def real(value: Any, what: str, least: float, most: float, above: bool = False) -> float:
    """The value as a float.  Raises UsageError unless it is a number from `least`, or above it, to `most`."""
    number = float(value) if is_number(value) else float("nan")
    if not (isfinite(number) and (least < number if above else least <= number) and number <= most):
        low = f"more than {least:g}" if above else f"{least:g} or more"
        raise UsageError(f"{what} is {shown(value)}: give a number, {low}, {most:g} at most")
    return number


def is_number(value: Any) -> bool:
    """Whether the value is one number: of Python, of numpy, or a tensor of one entry."""
    try:
        float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return False
    return not isinstance(value, str | bytes)
