"""`sdebench compare`: times of pytest-benchmark, machine by machine."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sdebench._support.errors import UsageError, cut
from sdebench.cli.output import Csv, Json, emit, say, table, write_csv


def _seconds(value: float) -> str:
    unit, name = next((u for u in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")) if value >= u[0]), (1e-9, "ns"))
    return f"{value / unit:.3g} {name}"


def _show(found: list[dict[str, Any]]) -> None:
    for pair in found:
        rows = [
            (r.name, _seconds(r.before), _seconds(r.now), f"{100 * r.change:+.1f}%", "-" if r.p is None else f"{r.p:.1g}")
            for r in pair["rows"]
        ]
        title = f"{pair['machine']}: {pair['before']} -> {pair['now']}"
        table(("benchmark", "before", "now", "change", "p"), rows, title, ("before", "now", "change", "p"))


def compare(
    paths: Annotated[list[Path], typer.Argument(help="JSON files of pytest-benchmark, earlier first, or folders of them.")],
    fail_on_slower: Annotated[
        bool, typer.Option("--fail-on-slower", help="Exit status 1 where one takes longer, or is gone.")
    ] = False,
    as_json: Json = False,
    csv: Csv = None,
) -> int:
    """Compare the last run of pytest-benchmark on each machine with the one before it: medians, and a rank test.

    The test needs the samples, which '--benchmark-json' keeps, and '--benchmark-save' with '--benchmark-save-data'.
    """
    from sdebench.gate import histories

    machines = histories.by_machine(histories.load_all(paths))
    pairs = {machine: runs[-2:] for machine, runs in machines.items() if len(runs) > 1}
    if not pairs:
        raise UsageError(f"no machine has two runs ({cut('; '.join(machines))}): give two files that one machine made")
    found: list[dict[str, Any]] = [
        {"machine": machine, "before": str(a.path), "now": str(b.path), "rows": histories.rows(a, b)}
        for machine, (a, b) in pairs.items()
    ]
    lost = [name for a, b in pairs.values() for name in histories.gone(a, b)]
    if not any(pair["rows"] for pair in found):
        missing = cut(", ".join(lost) or "none")
        raise UsageError(f"no benchmark is in both runs (in the earlier one: {missing}): give two runs of the same benchmarks")
    slower = [row.name for pair in found for row in pair["rows"] if row.told and row.change > 0]
    if as_json:
        emit([pair | {"rows": [row._asdict() for row in pair["rows"]]} for pair in found])
    else:
        _show(found)
    write_csv(csv, [{"machine": pair["machine"]} | row._asdict() for pair in found for row in pair["rows"]])
    for machine in machines.keys() - pairs.keys():
        say(f"one run only, not compared: {machine}")
    for name in lost:
        say(f"in the earlier run only: {name}")
    more = f", {len(lost)} not in the later run" if lost else ""
    say(f"{sum(len(pair['rows']) for pair in found)} benchmarks compared: {len(slower)} slower{more}")
    return int(fail_on_slower and bool(slower or lost))
