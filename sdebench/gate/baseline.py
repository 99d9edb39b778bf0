"""The file that the gate compares with: `{"setting": ..., "solvers": {name: figures, and times}}`, a row of figures a line."""

import json
import re
from pathlib import Path
from typing import Any

from sdebench._support.errors import UsageError
from sdebench._support.files import write_atomic
from sdebench.gate.figures import GROUPS, SETTING

Entries = dict[str, dict[str, Any]]  # solver -> its figures, and "times": {"machine", "ratios"}


def _whole(entry: Any) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(group), dict) for group in GROUPS)


def load(path: Path, command: str = "sdebench baseline") -> Entries:
    """The solvers of the baseline that `command` makes.  Raises UsageError for a file that is none, or in another setting."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        solvers, setting = content["solvers"], content["setting"]
        whole = isinstance(setting, dict) and all(map(_whole, solvers.values()))
    except FileNotFoundError:
        advice = f"'{command} all' makes one of all solvers, '{command} NAME...' one of some"
        raise UsageError(f"there is no baseline {path}: {advice}") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise UsageError(f"{path} is not a baseline: give a file that 'sdebench baseline' wrote, or remove it")
    if setting != SETTING:
        raise UsageError(
            f"{path} was measured otherwise, by another version of sdebench: remove it, and write it anew by "
            f"'{command} {' '.join(solvers) if len(solvers) < 5 else 'all'}'"
        )
    return solvers


def save(path: Path, solvers: Entries) -> None:
    """Replace the file at once: whoever reads it sees the old one or the new one."""
    text = json.dumps({"setting": SETTING, "solvers": dict(sorted(solvers.items()))}, indent=1, allow_nan=False)
    text = re.sub(r"[\[{][^\[\]{}]*[\]}]", lambda row: re.sub(r"\n\s*", " ", row[0]), text)  # JSON has no newline in a string
    write_atomic(path, text + "\n")


def line_of(path: Path, solver: str) -> int:
    """The line of a solver in the file, from 1."""
    lines = path.read_text(encoding="utf-8").splitlines()
    start = f"  {json.dumps(solver)}:"
    return next((i for i, line in enumerate(lines, 1) if line.startswith(start)), 1)
