"""The settings of a study: a frozen dataclass, read from a `[[study]]` table.

A plain default says its own type (`points: int = 64`); the functions here make fields that are checked further.  A setting
that a study does not have, or that has another type, gives one line that says what is allowed.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, field, fields
from functools import partial
from math import inf
from typing import Any, TypeVar

from sdebench import grids as grid_families
from sdebench._support.errors import MOST, UsageError, near_miss, shown
from sdebench._support.registry import import_object

LISTED = 2000  # names or numbers in a list, at most
_S = TypeVar("_S")


def read_settings(cls: type[_S], table: Mapping[str, Any], study: str) -> _S:
    """The settings of a table; those that it leaves out have their defaults.  Raises UsageError, in one line."""
    known = {key.name: key for key in fields(cls)}  # type: ignore[arg-type]
    for name in table:
        if name not in known:
            allowed = ", ".join(sorted(known))
            raise UsageError(f"unknown key {shown(name)} of study {study!r}{near_miss(name, known)} (it has: {allowed})")
    values = {}
    for name, key in known.items():
        default = key.default_factory() if key.default_factory is not MISSING else key.default
        read = key.metadata.get("read")
        if name in table:
            values[name] = (read or partial(_like, default=default))(table[name], name)
        else:
            values[name] = default if read is None or default is None else read(default, name)
    return cls(**values)


def _like(value: Any, name: str, default: Any) -> Any:
    """The value, if it is of the type that the default has."""
    if isinstance(default, tuple):
        items = [value] if not isinstance(value, list | tuple) else value
        return tuple(_like(item, name, default[0]) for item in items) if default else read_strings(items, name)
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise UsageError(f"{name} is {shown(value)}: give true or false")
        return value
    if isinstance(default, int):
        return read_whole(value, name, 0)
    return read_real(value, name) if isinstance(default, float) else read_string(value, name)


def read_strings(value: Any, name: str) -> tuple[str, ...]:
    """A name or a list of names."""
    found = [value] if isinstance(value, str) else value
    if not isinstance(found, list | tuple) or not found or not all(isinstance(one, str) for one in found):
        raise UsageError(f"{name} is {shown(value)}: give a name, or a list of names, in quotes")
    _check_length(found, name)
    return tuple(found)


def _check_length(found: Sequence[Any], name: str) -> None:
    if len(found) > LISTED:
        raise UsageError(f"{name} is a list of {len(found):,}: give {LISTED:,} at most")


def read_string(value: Any, name: str) -> str:
    """One name, or a text."""
    if not isinstance(value, str):
        raise UsageError(f"{name} is {shown(value)}: give one name, in quotes")
    return value


def read_whole(value: Any, name: str, least: int, most: int = MOST) -> int:
    """One whole number within its bounds."""
    if type(value) is not int or not least <= value <= most:
        raise UsageError(f"{name} is {shown(value)}: give a whole number, {least} or more{_at_most(value, most)}")
    return value


def _at_most(value: Any, most: int) -> str:
    return f", {most:,} at most" if type(value) is int and value > most else ""


def read_wholes(value: Any, name: str, least: int, most: int = MOST) -> tuple[int, ...]:
    """A whole number, or a list of some."""
    found = value if isinstance(value, list | tuple) else [value]
    if not found or not all(type(n) is int and least <= n <= most for n in found):
        over = any(type(n) is int and n > most for n in found)
        raise UsageError(
            f"{name} is {shown(value)}: give whole numbers, {least} or more{_at_most(most + 1, most) if over else ''}"
        )
    _check_length(found, name)
    return tuple(found)


def read_real(value: Any, name: str, least: float = -inf, most: float = MOST) -> float:
    """One finite number above `least`."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not least < value <= most:
        low = f", more than {least:g}" if least > -inf else ""
        raise UsageError(f"{name} is {shown(value)}: give a number{low}, {most:g} at most")
    return float(value)


def read_choices(value: Any, name: str, allowed: Iterable[str]) -> tuple[str, ...]:
    """Some of the allowed names."""
    allowed = tuple(allowed)
    found = read_strings(value, name)
    for one in found:
        if one not in allowed:
            what = name.removesuffix("s")
            raise UsageError(f"unknown {what} {shown(one)}{near_miss(one, allowed)} (there are: {', '.join(allowed)})")
    return found


def optional(made: Any) -> Any:
    """A field that is read like the given one, and is None where a table leaves it out."""
    return field(default=None, metadata=made.metadata)


def _field(default: Any, read: Callable[[Any, str], Any]) -> Any:
    return field(default=default, metadata={"read": read})


def whole(default: int, least: int = 0, most: int = MOST) -> Any:
    """A whole number."""
    return _field(default, partial(read_whole, least=least, most=most))


def wholes(default: Sequence[int] | None, least: int = 1, most: int = MOST) -> Any:
    """A whole number or a list of some."""
    return _field(None if default is None else tuple(default), partial(read_wholes, least=least, most=most))


def real(default: float, least: float = -inf, most: float = MOST) -> Any:
    """A finite number, more than `least`."""
    return _field(default, partial(read_real, least=least, most=most))


def names(*default: str) -> Any:
    """A name or a list of names, whatever they mean."""
    return _field(default, read_strings)


def flags(*default: bool) -> Any:
    """true, false, or both in a list."""

    def read(value: Any, name: str) -> tuple[bool, ...]:
        found = value if isinstance(value, list | tuple) else [value]
        if not found or not all(isinstance(flag, bool) for flag in found):
            raise UsageError(f"{name} is {shown(value)}: give true, false, or both in a list")
        return tuple(dict.fromkeys(found))

    return _field(default, read)


def strings(*default: str) -> Any:
    """Texts of any kind."""
    return _field(default, read_strings)


def choices(allowed: Iterable[str], default: Iterable[str] | None = None) -> Any:
    """Some of the allowed names; all of them by default."""
    allowed = tuple(allowed)
    return _field(allowed if default is None else tuple(default), partial(read_choices, allowed=allowed))


def choices_from(reference: str) -> Any:
    """Some of the names in a table, `"module:NAME"`, that is imported when it is needed; None where none are given."""

    def read(value: Any, name: str) -> tuple[str, ...]:
        return read_choices(value, name, import_object("table", reference))

    return optional(_field(None, read))


def choice(allowed: Iterable[str], default: str) -> Any:
    """One of the allowed names."""
    allowed = tuple(allowed)
    return _field(default, lambda value, name: read_choices(read_string(value, name), name, allowed)[0])


def grids(*default: str) -> Any:
    """Grid families that exist, or lists of one's own; where no default is given, those that orders are measured on."""
    return _field(default or grid_families.for_orders(), _read_grids)


def grid(default: str = "uniform_lam") -> Any:
    """One grid family that exists."""
    return _field(default, lambda value, name: _read_grids(read_string(value, name), name)[0])


def _read_grids(value: Any, name: str) -> tuple[str, ...]:
    found = tuple(map(grid_families.normal, read_strings(value, name)))
    for spec in found:
        grid_families.get(spec)  # says so where there is none
    return found


def solvers(*default: str) -> Any:
    """Solvers that exist: names, "all", "deterministic", "stochastic", "family:NAME"."""

    def read(value: Any, name: str) -> tuple[str, ...]:
        from sdebench.catalogue import expand_solvers

        return expand_solvers(read_strings(value, name))

    return _field(default or ("all",), read)


def problems(*default: str) -> Any:
    """Problems that exist: names, or "all"."""

    def read(value: Any, name: str) -> tuple[str, ...]:
        from sdebench.catalogue import expand_problems

        return expand_problems(read_strings(value, name))

    return _field(default, read)
