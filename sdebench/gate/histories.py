"""Histories of pytest-benchmark: its JSON files by machine, and the last run of each machine beside the one before."""

from collections.abc import Sequence
from math import inf
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from sdebench._support.errors import UsageError, cut
from sdebench._support.reading import DATA, read_json
from sdebench.gate.timing import rank_test

_ADVICE = "give one of 'pytest --benchmark-json FILE'"


class BenchmarkRun(NamedTuple):
    """A file: which machine, when (ISO 8601), and its benchmarks by full name."""

    path: Path
    machine: str
    made: str
    benchmarks: dict[str, dict[str, Any]]


class TimeChange(NamedTuple):
    """A benchmark in two runs: median seconds, the change as a part, p of the rank test where both files have the samples."""

    name: str
    before: float
    now: float
    change: float
    p: float | None

    @property
    def told(self) -> bool:
        """Whether the change is no chance: p < 0.001, or, without samples, beyond a quarter."""
        return self.p < 1e-3 and abs(self.change) > 0.05 if self.p is not None else abs(self.change) > 0.25


def _machine(info: dict[str, Any]) -> str:
    """What a time depends on, and neither the host's name nor its clock of the moment."""
    cpu = info.get("cpu") or {}
    model = cpu.get("brand_raw") or info.get("processor") or info.get("node", "")
    python = f"{info.get('python_implementation', '')} {info.get('python_version', '')}".strip()
    return f"{model}, {cpu.get('count', '?')} cores, {info.get('system', '')} {info.get('machine', '')}, {python}"


def load(path: Path) -> BenchmarkRun:
    """The run of a file of `pytest --benchmark-json` or `--benchmark-save`.  Raises UsageError for another file."""
    try:
        content = read_json(path, _ADVICE, DATA)
        found = {str(bench["fullname"]): bench["stats"] for bench in content["benchmarks"]}
        whole = all(map(_is_whole, found.values()))
        run = BenchmarkRun(path, _machine(content["machine_info"]), str(content["datetime"]), found)
    except FileNotFoundError:
        raise UsageError(f"there is no file {cut(str(path))}: give files, or a folder, of 'pytest --benchmark-json'") from None
    except UsageError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise UsageError(f"{cut(str(path))} is not a file of pytest-benchmark: {_ADVICE}")
    return run


def _is_whole(stats: Any) -> bool:
    """Whether the times of a benchmark are: a median, and the samples where it has them."""
    return all(type(time) in (int, float) and 0 < time < inf for time in (stats["median"], *(stats.get("data") or ())))


def load_all(paths: Sequence[Path]) -> list[BenchmarkRun]:
    """The runs of files, in the order given, and of folders, those below each in the order of their dates."""
    found = []
    for path in paths:
        if path.is_dir():
            inside = [load(file) for file in path.rglob("*.json") if _is_benchmark(file)]
            if not inside:
                raise UsageError(f"no file of pytest-benchmark in {path}: make one by 'pytest --benchmark-json FILE'")
            found += sorted(inside, key=lambda run: run.made)
        else:
            found.append(load(path))
    return found


def _is_benchmark(path: Path) -> bool:
    """Whether a file of a folder is pytest-benchmark's: others may lie there."""
    try:
        return {"machine_info", "benchmarks"} <= read_json(path, _ADVICE, DATA).keys()
    except (UsageError, OSError, AttributeError):
        return False


def by_machine(runs: Sequence[BenchmarkRun]) -> dict[str, list[BenchmarkRun]]:
    """machine -> its runs, in their order."""
    found: dict[str, list[BenchmarkRun]] = {}
    for run in runs:
        found.setdefault(run.machine, []).append(run)
    return found


def gone(before: BenchmarkRun, now: BenchmarkRun) -> list[str]:
    """The benchmarks that only the earlier run has: they were renamed or dropped, or did not run."""
    return sorted(before.benchmarks.keys() - now.benchmarks.keys())


def rows(before: BenchmarkRun, now: BenchmarkRun) -> list[TimeChange]:
    """The benchmarks that both runs have, slowest change first."""
    found = []
    for name in before.benchmarks.keys() & now.benchmarks.keys():
        a, b = before.benchmarks[name], now.benchmarks[name]
        samples = a.get("data"), b.get("data")
        if samples[0] and samples[1]:
            p, old, new = rank_test(*samples).p, median(samples[0]), median(samples[1])  # type: ignore[arg-type]  # both are there
        else:
            p, old, new = None, a["median"], b["median"]
        found.append(TimeChange(name, old, new, new / old - 1, p))
    return sorted(found, key=lambda row: (-row.change, row.name))
