"""The file that the gate compares with: `{"setting": ..., "solvers": {name: figures, and times}}`, a row of figures a line."""

import json
import re
from math import inf, isfinite
from pathlib import Path
from typing import Any

from sdebench._support.errors import UsageError, cut
from sdebench._support.files import write_own
from sdebench._support.reading import DATA, read_json, read_text
from sdebench.gate.figures import GROUPS, SETTING

Entries = dict[str, dict[str, Any]]  # solver -> its figures, and "times": {"machine", "ratios"}
_FIRST = b'{\n "setting": {'
_ADVICE = "give a file that 'sdebench baseline' wrote, or remove it"


def _whole(entry: Any) -> bool:
    """Whether an entry is one to its leaves: figures by group, of coefficients by row, and times."""
    if not isinstance(entry, dict) or not all(isinstance(entry.get(group), dict) for group in GROUPS):
        return False
    rows = [entry[group] for group in GROUPS if group != "coefficients"] + list(entry["coefficients"].values())
    if not all(isinstance(row, dict) and all(map(_is_figure, row.values())) for row in rows):
        return False
    if not all(isinstance(text, str) for text in entry["failures"].values()):
        return False
    times = entry.get("times", {"machine": "", "ratios": []})
    return (
        isinstance(times, dict)
        and isinstance(times.get("machine"), str)
        and isinstance(times.get("ratios"), list)
        and all(type(ratio) in (int, float) and 0 < ratio < inf for ratio in times["ratios"])
    )


def _is_figure(value: Any) -> bool:
    return value is None or isinstance(value, str | bool) or (isinstance(value, int | float) and isfinite(value))


def load(path: Path, command: str = "sdebench baseline") -> Entries:
    """The solvers of the baseline that `command` makes.  Raises UsageError for a file that is none, or in another setting."""
    try:
        content = read_json(path, _ADVICE, DATA)
    except FileNotFoundError:
        advice = f"'{command} all' makes one of all solvers, '{command} NAME...' one of some"
        raise UsageError(f"there is no baseline {cut(str(path))}: {advice}") from None
    solvers, setting = (content.get(key) for key in ("solvers", "setting")) if isinstance(content, dict) else (None, None)
    if not (isinstance(setting, dict) and isinstance(solvers, dict) and all(map(_whole, solvers.values()))):
        raise UsageError(f"{cut(str(path))} is not a baseline: {_ADVICE}")
    if setting != SETTING:
        raise UsageError(
            f"{cut(str(path))} was measured otherwise, by another version of sdebench: remove it, and write it anew by "
            f"'{command} {cut(' '.join(solvers)) if len(solvers) < 5 else 'all'}'"
        )
    return solvers


def save(path: Path, solvers: Entries) -> None:
    """Replace the file at once: whoever reads it sees the old one or the new one."""
    text = json.dumps({"setting": SETTING, "solvers": dict(sorted(solvers.items()))}, indent=1, allow_nan=False)
    text = re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda row: re.sub(r"\n\s*", " ", row[0]), text)  # JSON has no newline in a string
    write_own(path, text + "\n", lambda content: content.startswith(_FIRST), "a baseline")


def line_of(path: Path, solver: str) -> int:
    """The line of a solver in the file, from 1."""
    lines = read_text(path, DATA).splitlines()
    start = f"  {json.dumps(solver)}:"
    return next((i for i, line in enumerate(lines, 1) if line.startswith(start)), 1)
