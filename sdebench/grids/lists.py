"""Grids that are a list of one's own: times, sigmas or lams, in numbers or in a file."""

from itertools import pairwise
from math import isfinite, log
from pathlib import Path

from sdebench._support.errors import UsageError, shown
from sdebench._support.reading import read_text
from sdebench._support.registry import register_grid
from sdebench.grids.families import Grid, PracticeGrid, between, check, even
from sdebench.schedules import NoiseSchedule

KINDS = ("sigmas", "times", "lams")
_MOST_BYTES, _MOST_LEVELS = 1 << 20, 10_000
_NEAR = 0.01  # of lam: how far from an end of the span a list may end, as lists are rounded


@register_grid("list")
@PracticeGrid
def own_list(ns: NoiseSchedule, s: float, t: float, n: int, sigmas: str = "", times: str = "", lams: str = "") -> Grid:
    """A list of one's own: `sigmas` (sigma/alpha), `times` or `lams`, one more than steps, with spaces between them.

    Its ends are those of the span, to 1 % of sigma.  For another number of steps it is read between its levels, linearly in
    lam, as published lists are.
    """
    given = [(kind, text) for kind, text in zip(KINDS, (sigmas, times, lams)) if text]
    if len(given) != 1:
        raise UsageError(f"a list of {' and '.join(kind for kind, _ in given) or 'nothing'}: give one of {', '.join(KINDS)}")
    even(ns, s, t, n)
    kind, text = given[0]
    values = _numbers(text, kind)
    levels = [_lam(ns, kind, value) for value in values]
    for i, (high, low) in enumerate(pairwise(levels)):
        if not low > high:
            raise UsageError(f"{kind}[{i}] = {values[i]:g} is followed by {values[i + 1]:g}: give levels of falling noise")
    for which, level, at in (("begins", levels[0], s), ("ends", levels[-1], t)):
        if abs(level - ns.lam(at)) > _NEAR:
            there = {"sigmas": ns.rho(at), "times": at, "lams": ns.lam(at)}[kind]
            value = values[0] if which == "begins" else values[-1]
            raise UsageError(
                f"the list {which} with {value:g} and the run with {there:.6g}: give a list with the ends of the run"
            )
    inner = [ns.t(between(levels, i * (len(levels) - 1) / n)) for i in range(1, n)]
    return check((s, *inner, t))


def normal(spec: str) -> str:
    """The spec of a grid as records keep it: numbers with commas, or a file that ends in .txt, become `list[sigmas=...]`.

    `times:` and `lams:` before them say what they are, if not sigmas.  A file has a number a line; its first line may say
    `# times`.

    Raises UsageError for a list or a file that cannot be read.
    """
    kind, colon, rest = spec.partition(":")
    if not (colon and kind in KINDS):
        kind, rest = "", spec
    if rest.endswith(".txt"):
        kind, rest = _read(Path(rest), kind)
    elif not kind and not _is_number(rest.replace(",", " ").split(" ")[0]):
        return spec
    text = " ".join(f"{value!r}" for value in _numbers(rest.replace(",", " "), kind or "sigmas"))
    return f"list[{kind or 'sigmas'}={text}]"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read(path: Path, kind: str) -> tuple[str, str]:
    """(what a file's numbers are, the numbers)."""
    advice = "give a file with a number a line"
    try:
        lines = read_text(path, _MOST_BYTES, advice).splitlines()
    except FileNotFoundError:
        raise UsageError(f"there is no file {shown(str(path))}: {advice}") from None
    said = lines[0].removeprefix("#").strip() if lines and lines[0].startswith("#") else ""
    return kind or (said if said in KINDS else "sigmas"), " ".join(line.partition("#")[0] for line in lines)


def _numbers(text: str, kind: str) -> list[float]:
    """The numbers of a text.  Raises UsageError for what is none, and for too few or too many."""
    parts = text.split()
    bad = next((part for part in parts if not _is_number(part) or not isfinite(float(part))), None)
    if bad is not None:
        raise UsageError(f"{shown(bad)} stands in a list of {kind}: give numbers, as 14.6,6.5,2.1,0.03")
    if not 2 <= len(parts) <= _MOST_LEVELS:
        raise UsageError(f"a list of {len(parts)} {kind}: give 2 to {_MOST_LEVELS:,} numbers, one more than steps")
    return [float(part) for part in parts]


def _lam(ns: NoiseSchedule, kind: str, value: float) -> float:
    if kind == "lams":
        ns.t(value)  # refuses one that the schedule has not
        return value
    if kind == "times":
        return ns.lam(value)
    if value <= 0:
        raise UsageError(
            f"sigma/alpha = {value:g} stands in a list: give positive numbers; a last step to zero is no part of a grid"
        )
    ns.t(-log(value))
    return -log(value)
