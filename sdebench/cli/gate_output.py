"""The outcome of `sdebench check` for CI hosts: JUnit XML, GitHub's annotations, GitLab's code quality report."""

import hashlib
import inspect
import json
import os
import sys
from pathlib import Path
from typing import Any, NamedTuple

from sdebench._support.errors import UsageError, shown
from sdebench._support.escape import workflow
from sdebench._support.files import check_own, write_own
from sdebench.cli.junit import Failure, is_junit, junit

HOSTS = ("github", "none")


class GateOutcome(NamedTuple):
    """What was checked, what moved, and what is slower if that counts."""

    solvers: list[str]
    moved: list[Any]
    slower: list[str]
    baseline: Path

    @property
    def gone(self) -> set[str]:
        """The solvers that could not be made."""
        return {m.solver for m in self.moved if m.what == "solver"}

    def lines(self, solver: str) -> list[str]:
        """What failed of a solver, a line a figure."""
        found = [_line(m) for m in self.moved if m.solver == solver]
        return found + (["a step takes longer"] if solver in self.slower else [])


def _line(moved: Any) -> str:
    if moved.before is None and moved.now is None:
        return f"{moved.what}: {moved.change}"
    return f"{moved.what}: {moved.before} -> {moved.now} ({moved.change})"


def host(asked: str | None) -> str:
    """The CI host whose annotations are printed.  Raises UsageError for one that is none."""
    if asked is None:
        return "github" if os.environ.get("GITHUB_ACTIONS") == "true" else "none"
    if asked not in HOSTS:
        raise UsageError(
            f"--annotate is {shown(asked)}: give one of {', '.join(HOSTS)}; GitLab reads --junit and --code-quality"
        )
    return asked


def _is_junit(content: bytes) -> bool:
    return is_junit(content, "sdebench check")


def _is_code_quality(content: bytes) -> bool:
    return content.split() == [b"[]"] or (content.startswith(b"[\n {") and b'"check_name": "sdebench check"' in content)


def check_files(junit: Path | None, code_quality: Path | None) -> None:
    """Raise UsageError where a file that is asked for would replace a stranger's: before anything is measured."""
    if junit:
        check_own(junit, _is_junit, "JUnit XML of a check")
    if code_quality:
        check_own(code_quality, _is_code_quality, "a code quality report")


def write(outcome: GateOutcome, junit: Path | None, code_quality: Path | None, annotate: str, as_json: bool) -> None:
    """Write the files that are asked for; print annotations on stdout, on stderr where stdout is JSON."""
    if junit:
        write_own(junit, _junit(outcome), _is_junit, "JUnit XML of a check")
    if code_quality:
        content = json.dumps(_code_quality(outcome), indent=1) + "\n"
        write_own(code_quality, content, _is_code_quality, "a code quality report")
    if annotate == "github":
        for line in _github(outcome):
            print(line, file=sys.stderr if as_json else sys.stdout, flush=True)


def _failed(outcome: GateOutcome) -> list[tuple[str, list[str]]]:
    """(solver, its lines) of those that fail."""
    found = ((name, outcome.lines(name)) for name in outcome.solvers)
    return [(name, lines) for name, lines in found if lines]


def _junit(outcome: GateOutcome) -> bytes:
    failures = {name: Failure(_summary(lines), "moved", lines) for name, lines in _failed(outcome)}
    return junit("sdebench check", outcome.solvers, failures)


def _summary(lines: list[str]) -> str:
    return lines[0] + (f"; and {len(lines) - 1} more" if len(lines) > 1 else "")


def _place(solver: str, outcome: GateOutcome) -> tuple[str, int]:
    """(file, line) of the solver's class, if its file, or a copy that was installed, is below the working folder; else of its
    figures in the baseline."""
    from sdebench.catalogue import get_solver
    from sdebench.gate.baseline import line_of

    baseline = outcome.baseline
    try:
        if solver in outcome.gone:
            raise UsageError("it could not be made, and is not tried again")
        made = type(get_solver(solver))
        path = _in_the_folder(Path(inspect.getsourcefile(made) or "").resolve(), made.__module__)
        return path.relative_to(Path.cwd()).as_posix(), inspect.getsourcelines(made)[1]
    except (UsageError, TypeError, OSError, ValueError):
        return baseline.as_posix(), line_of(baseline, solver)


def _in_the_folder(source: Path, module: str) -> Path:
    """The file of a module in the working folder, or in its src, from which the one that was imported was installed."""
    own = Path(*module.split("."))
    for folder in (Path.cwd(), Path.cwd() / "src"):
        for path in (folder / own.with_suffix(".py"), folder / own / "__init__.py"):
            if path != source and path.is_file() and path.read_bytes() == source.read_bytes():
                return path
    return source


def _github(outcome: GateOutcome) -> list[str]:
    """Workflow commands `::error file=...,line=...,title=...::message`, their special characters escaped."""
    found = []
    for solver, lines in _failed(outcome):
        path, line = _place(solver, outcome)
        where = f"file={workflow(path, ':,')},line={line},title={workflow(f'sdebench check: {solver}', ':,')}"
        first = [*lines[:10], *([f"and {len(lines) - 10} more"] if len(lines) > 10 else [])]
        found.append(f"::error {where}::{workflow(chr(10).join(first))}")
    return found


def _code_quality(outcome: GateOutcome) -> list[dict[str, Any]]:
    """GitLab's report: an issue a solver."""
    found = []
    for solver, lines in _failed(outcome):
        path, line = _place(solver, outcome)
        found.append(
            {
                "description": f"{solver}: {_summary(lines)}",
                "check_name": "sdebench check",
                "severity": "major",
                "fingerprint": hashlib.sha256(f"{solver}\n{lines[0]}".encode()).hexdigest(),
                "location": {"path": path, "lines": {"begin": line}},
            }
        )
    return found
