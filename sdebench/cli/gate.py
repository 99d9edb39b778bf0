"""`sdebench check`: the gate for CI."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import UsageError
from .output import emit, report_broken, say, table

_FIGURES = {"order", "constant", "errors", "nfe"}


def _load(path: Path) -> dict[str, dict]:
    """The baseline: solver -> figures.  Raises UsageError for a file that is none."""
    try:
        content = json.loads(path.read_text())
        solvers = content["solvers"]
        whole = all(its.keys() >= _FIGURES and len(its["errors"]) == len(its["nfe"]) == 2 for its in solvers.values())
    except FileNotFoundError:
        raise UsageError(f"there is no baseline {path}: 'sdebench check --baseline {path} --write' makes one") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise UsageError(f"{path} is not a baseline: give a file that 'sdebench check --write' wrote")
    return solvers


def _save(path: Path, solvers: dict[str, dict]) -> None:
    """Replace the file at once: whoever reads it sees the old one or the new one."""
    from ..records import clean

    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".new")
    draft.write_text(json.dumps({"solvers": clean(solvers)}, indent=1, sort_keys=True, allow_nan=False) + "\n")
    os.replace(draft, path)


def _rows(moved: list[Any]) -> list[tuple]:
    return [(m.solver, m.what, _figure(m.before), _figure(m.now), m.change) for m in moved]


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.8g}"


def check(
    baseline: Annotated[Path, typer.Option(help="The committed figures.")] = Path("results/baseline.json"),
    solvers: Annotated[list[str] | None, typer.Option(help="A solver; may be given again; all unless given.")] = None,
    write: Annotated[bool, typer.Option("--write", help="Take what is measured now as the baseline.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Compare orders and error constants with the baseline; exit status 1, and what moved, if any did."""
    from ..studies import base, gate

    held = {} if write and not baseline.exists() else _load(baseline)
    names = base.solver_specs(solvers or "all")
    report_broken()
    now = gate.measure(names)
    compared = {name: its for name, its in held.items() if name in now or not solvers}
    moved, new = gate.compare(compared, now), sorted(now.keys() - held.keys())
    if as_json:
        emit({"moved": [m._asdict() for m in moved], "new": new, "compared": len(compared.keys() & now.keys())})
    elif moved:
        table(("solver", "what", "baseline", "now", "change"), _rows(moved), f"{len(moved)} figures moved",
              ("baseline", "now", "change"))  # fmt: skip
    if new:
        some = ", ".join(new[:5]) + (f" and {len(new) - 5} more" if len(new) > 5 else "")
        say(f"not in the baseline: {some}" + ("" if write else " ('--write' takes them in)"))
    if write:
        kept = {name: its for name, its in held.items() if name not in compared}
        _save(baseline, kept | now)
        say(f"{baseline}: {len(kept | now)} solvers written, {len(moved)} figures moved, {len(new)} new")
        return 0
    verdict = f"FAILED, {len(moved)} figures moved" if moved else "nothing moved"
    say(f"{len(compared.keys() & now.keys())} solvers compared with {baseline}: {verdict}")
    return int(bool(moved))
