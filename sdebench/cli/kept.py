"""The table of shipped solvers that `sdebench list` reads, so that listing loads no torch.

`solvers.json` beside this file holds what each solver states and how often it calls the model, with the SHA-256 of the file
that defines it.  An entry whose file has changed, or is not there, is measured when it is asked for, so a stale table costs
time and never says anything wrong; `python -m sdebench.cli.kept` writes it anew.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from sdebench._support.files import write_atomic
from sdebench._support.registry import SOLVERS

FILE = Path(__file__).parent / "solvers.json"


def _digests() -> dict[str, str]:
    """Name -> digest of the file that registers it, for the solvers that the package ships."""
    files: dict[Path, str] = {}
    found = {}
    for name, path in SOLVERS.files().items():
        if path not in files:
            files[path] = hashlib.sha256(path.read_bytes()).hexdigest()[:16]
        found[name] = files[path]
    return found


def measure_row(spec: str) -> dict[str, Any]:
    """What a solver states, and its evaluations as counted."""
    from sdebench.catalogue import get_solver
    from sdebench.cli.order import counted
    from sdebench.records import Claims

    count = counted(spec, "gaussian")
    more = {"nfe_counted": count and count.counted, "nfe_more": count and count.more}
    return {"name": spec} | Claims.of(get_solver(spec)).to_json() | more


def solver_rows(specs: list[str] | None) -> list[dict[str, Any]]:
    """A row for each solver, or for those that are named; from the table where it is fresh."""
    kept = _read()
    if specs is None:
        names = SOLVERS.names()
    elif all(spec in kept for spec in specs):
        names = tuple(dict.fromkeys(specs))
    else:
        from sdebench.catalogue import expand_solvers

        names = expand_solvers(specs)
    return [kept.get(name) or measure_row(name) for name in names]


def _read() -> dict[str, dict[str, Any]]:
    """The rows whose file is what it was."""
    try:
        table = dict(json.loads(FILE.read_text(encoding="utf-8")))
        digests = _digests()
        return {name: dict(row) for name, (digest, row) in table.items() if digests.get(name) == digest}
    except (OSError, ValueError, TypeError):
        return {}


def write() -> Path:
    """Measure all shipped solvers and write the table."""
    rows = {name: [digest, measure_row(name)] for name, digest in _digests().items()}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(row)}" for name, row in rows.items())
    return write_atomic(FILE, f"{{\n{lines}\n}}\n")


if __name__ == "__main__":
    print(write())
