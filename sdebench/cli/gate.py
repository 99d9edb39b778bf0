"""`sdebench check` and `sdebench baseline`: the gate for CI."""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from sdebench._support.errors import UsageError, cut, shown
from sdebench.cli.output import Csv, Json, emit, report_broken, say, table, write_csv

BASELINE = Path("results/baseline.json")
_ROWS = 8  # of a solver in a table
_Names = Annotated[list[str] | None, typer.Argument(metavar="NAME", help="Solvers; those of the baseline unless given.")]


def _figure(value: Any) -> str:
    return "-" if value is None else f"{value:.8g}" if isinstance(value, float) else str(value)


def _rows(moved: list[Any]) -> list[tuple]:
    """The rows of the table: of each solver the first, and how many there are more."""
    rows = []
    for solver, found in groupby(moved, key=lambda m: m.solver):
        its = list(found)
        rows += [(m.solver, m.what, _figure(m.before), _figure(m.now), m.change) for m in its[:_ROWS]]
        if len(its) > _ROWS:
            rows.append((solver, f"and {len(its) - _ROWS} more", "", "", ""))
    return rows


def _show(moved: list[Any], title: str) -> None:
    table(("solver", "what", "baseline", "now", "change"), _rows(moved), title, ("baseline", "now", "change"))


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _measured(names: Sequence[str], asked: Sequence[str] | None) -> tuple[dict[str, Any], dict[str, str]]:
    """(figures of the solvers that there are, what keeps each of the others from being made).

    What a baseline names is looked up among the registered solvers; what somebody `asked` for is imported, too.
    """
    from sdebench.catalogue import get_solver
    from sdebench.gate import figures as gate

    lost, there = {}, []
    for name in names:
        if _is_import(name) and name not in (asked or ()):
            lost[name] = f"{shown(name)} is not registered, and a file's names are not imported: add it to the command"
            continue
        try:
            get_solver(name)
            there.append(name)
        except UsageError as error:
            lost[name] = str(error)
    report_broken()
    return gate.measure(there), lost


def _is_import(name: str) -> bool:
    """Whether a name is `package.module:Class`, which would be imported and called."""
    return ":" in name.partition("[")[0]


def _times(names: list[str], held: dict[str, Any]) -> tuple[dict[str, list[float]], dict[str, Any]]:
    """(ratios measured now, how they differ from the baseline's); of those that differ by two measurements, both."""
    from sdebench.catalogue import get_solver
    from sdebench.gate import timing
    from sdebench.records import provenance

    now, differ = {name: timing.ratios(get_solver(name)) for name in names}, {}
    for name in names:
        kept = held.get(name, {}).get("times", {})
        if now[name] and kept.get("ratios") and kept.get("machine") == provenance()["machine"]:
            differ[name] = timing.rank_test(kept["ratios"], now[name])
            if differ[name].told:
                now[name] += timing.ratios(get_solver(name))
                differ[name] = timing.rank_test(kept["ratios"], now[name])
    return now, differ


def _tell_times(differ: dict[str, Any], names: list[str]) -> list[str]:
    """Say what takes longer, or less long, than in the baseline; the names of the slower ones."""
    told = {name: d for name, d in differ.items() if d.told}
    for name, d in sorted(told.items(), key=lambda item: -item[1].change):
        say(f"a step of {name} takes {100 * d.change:+.0f}% of time (rank test, p = {d.p:.1g})")
    if names and not differ:
        say("times are not compared: those of the baseline are from another machine")
    return [name for name, d in told.items() if d.change > 0]


def _held(path: Path, command: str) -> dict[str, Any]:
    """The solvers of the baseline that `command` makes, with their figures."""
    from sdebench.gate import baseline as files

    if path.is_dir():
        raise UsageError(f"{path} is a folder: give a baseline file, by default {BASELINE}")
    return files.load(path, command)


def _asked(names: list[str] | None, held: dict[str, Any], path: Path) -> list[str]:
    """The solvers to check.  Raises UsageError for one that the baseline does not name."""
    if not held:
        raise UsageError(f"{path} has no solver, so that there is nothing to check: 'sdebench baseline all' takes them in")
    if not names:
        return list(held)
    found = _meant(names, held)
    strange = [name for name in found if name not in held]
    if strange:
        option = "" if path == BASELINE else f" --out {path}"
        which = cut(" ".join(strange))
        raise UsageError(f"{cut(', '.join(strange))} not in {path}: 'sdebench baseline {which}{option}' takes it in")
    return found


def _meant(names: list[str], held: dict[str, Any]) -> list[str]:
    """The solvers of names, families and words such as "all", each once; what is held is meant also where it is gone."""
    from sdebench.catalogue import expand_solvers

    return list(dict.fromkeys(name for asked in names for name in ([asked] if asked in held else expand_solvers([asked]))))


def find_moved(names: Sequence[str], path: Path) -> dict[str, str]:
    """Solver -> why its records must not be kept: a figure of the gate that moved, or no figures to compare with."""
    from sdebench.gate import diff as gate_diff

    held = _held(path, "sdebench baseline")
    strange = {
        name: f"{path} has no figures of it ('sdebench baseline {name}' takes them)" for name in names if name not in held
    }
    there = [name for name in names if name in held]
    now, lost = _measured(there, names)
    moved = gate_diff.compare({name: held[name] for name in now}, now)
    return strange | lost | {m.solver: f"{m.what} moved ({m.change})" for m in reversed(moved)}


def check(
    names: _Names = None,
    baseline: Annotated[Path, typer.Option(help="The committed figures.")] = BASELINE,
    junit: Annotated[Path | None, typer.Option(help="Write the outcome as JUnit XML, too.")] = None,
    code_quality: Annotated[Path | None, typer.Option(help="Write what moved as GitLab's code quality report, too.")] = None,
    annotate: Annotated[str | None, typer.Option(help="'github' or 'none'; 'github' in its actions unless given.")] = None,
    fail_on_slower: Annotated[bool, typer.Option("--fail-on-slower", help="Fail where a step takes longer, too.")] = False,
    as_json: Json = False,
    csv: Csv = None,
) -> int:
    """Compare orders, errors and coefficients with the baseline; exit status 1, and what moved, if any did."""
    from sdebench.cli import gate_output
    from sdebench.gate import diff as gate_diff

    host = gate_output.host(annotate)
    gate_output.check_files(junit, code_quality)
    held = _held(baseline, "sdebench baseline" if baseline == BASELINE else f"sdebench baseline --out {baseline}")
    asked = _asked(names, held, baseline)
    now, lost = _measured(asked, names)
    moved = gate_diff.compare({name: held[name] for name in asked}, now)
    differ = _times(list(now), held)[1]
    if as_json:
        emit(
            {
                "moved": [m._asdict() for m in moved],
                "compared": len(asked),
                "times": {name: d._asdict() for name, d in differ.items()},
            }
        )
    elif moved:
        _show(moved, f"{_count(len(moved), 'figure')} moved")
    write_csv(csv, [m._asdict() for m in moved])
    for message in lost.values():
        say(message)
    for name, figures in now.items():
        for part, message in figures["failures"].items():
            say(f"{name} fails ({part}: {message})")
    slower = _tell_times(differ, list(now))
    outcome = gate_output.GateOutcome(asked, moved, slower if fail_on_slower else [], baseline)
    gate_output.write(outcome, junit, code_quality, host, as_json)
    failed = bool(moved or outcome.slower)
    verdict = f"FAILED, {_count(len(moved), 'figure')} moved" if moved else "nothing moved"
    verdict += f", {len(outcome.slower)} slower" if outcome.slower else ""
    say(f"{_count(len(asked), 'solver')} compared with {baseline}: {verdict}")
    return int(failed)


def _entries(
    names: list[str], held: dict[str, Any], asked: list[str] | None
) -> tuple[dict[str, Any], list[Any], dict[str, str], int]:
    """(new entries, what moved, solver -> why it is gone, how many got new times): what did not move stays to the last bit."""
    from sdebench.gate import diff as gate_diff
    from sdebench.records import provenance

    now, lost = _measured(names, asked)
    ratios, differ = _times(list(now), held)
    moved = gate_diff.compare({name: held[name] for name in now if name in held}, now)
    changed, timed, out = {m.solver for m in moved}, 0, {}
    for name, figures in now.items():
        old = held.get(name)
        keeps_times = old and "times" in old and name in differ and not differ[name].told
        times = old["times"] if old and keeps_times else {"machine": provenance()["machine"], "ratios": ratios[name]}
        timed += bool(old and times != old.get("times"))
        out[name] = (figures if not old or name in changed else old) | {"times": times}
    return out, moved, lost, timed


def baseline(
    names: _Names = None,
    out: Annotated[Path, typer.Option(help="The file; solvers in it that are not given stay as they are.")] = BASELINE,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and write nothing.")] = False,
    as_json: Json = False,
    csv: Csv = None,
) -> int:
    """Take what is measured now as the baseline, and show what changes in it.  Solvers that are gone are removed."""
    from sdebench.gate import baseline as files
    from sdebench.gate.diff import Moved

    held = {} if names and not out.exists() else _held(out, "sdebench baseline")
    new, moved, lost, timed = _entries(_meant(names, held) if names else list(held), held, names)
    for why in lost.values():
        say(why)
    removed = [name for name in lost if not _is_import(name) or names]
    if not (new or removed or held):
        raise UsageError("no solver is measured: name some, as 'sdebench baseline all'")
    added = [name for name in new if name not in held]
    if as_json:
        emit({"added": added, "removed": removed, "moved": [m._asdict() for m in moved], "written": not dry_run})
    elif added or removed or moved:
        news = [Moved(name, "solver", None, None, "removed") for name in removed]
        _show([*news, *(Moved(name, "solver", None, None, "added") for name in added), *moved], f"{out}: what changes")
    write_csv(csv, [m._asdict() for m in moved])
    kept = {name: its for name, its in held.items() if name not in removed}
    if not dry_run and kept | new != (held if out.exists() else None):
        files.save(out, kept | new)
    for name in added:
        for part, message in new[name]["failures"].items():
            say(f"{name} is taken in as it fails ({part}: {message})")
    changed = len({m.solver for m in moved})
    say(
        f"{out}: {len(added)} added, {len(removed)} removed, {changed} moved ({_count(len(moved), 'figure')}), "
        f"{len(kept | new) - len(added) - changed} as they were"
        + (f", times of {timed} anew" if timed else "")
        + ("; nothing is written" if dry_run else "")
    )
    return 0
