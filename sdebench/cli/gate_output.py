"""The outcome of `sdebench check` for CI hosts: JUnit XML, GitHub's annotations, GitLab's code quality report."""

import hashlib
import inspect
import json
import os
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

from sdebench._support.errors import UsageError
from sdebench._support.files import write_atomic

HOSTS = ("github", "none")


class GateOutcome(NamedTuple):
    """What was checked, what moved, and what is slower if that counts."""

    solvers: list[str]
    moved: list[Any]
    slower: list[str]
    baseline: Path

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
        raise UsageError(f"--annotate {asked}: give one of {', '.join(HOSTS)}; GitLab reads --junit and --code-quality")
    return asked


def write(outcome: GateOutcome, junit: Path | None, code_quality: Path | None, annotate: str, as_json: bool) -> None:
    """Write the files that are asked for; print annotations on stdout, on stderr where stdout is JSON."""
    if junit:
        write_atomic(junit, _junit(outcome))
    if code_quality:
        write_atomic(code_quality, json.dumps(_code_quality(outcome), indent=1) + "\n")
    if annotate == "github":
        for line in _github(outcome):
            print(line, file=sys.stderr if as_json else sys.stdout, flush=True)


def _failed(outcome: GateOutcome) -> list[tuple[str, list[str]]]:
    """(solver, its lines) of those that fail."""
    found = ((name, outcome.lines(name)) for name in outcome.solvers)
    return [(name, lines) for name, lines in found if lines]


def _junit(outcome: GateOutcome) -> bytes:
    """A test suite with a test case a solver."""
    from xml.etree import ElementTree as ET

    failures = dict(_failed(outcome))
    counts = {"name": "sdebench check", "tests": str(len(outcome.solvers)), "failures": str(len(failures)), "errors": "0"}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", counts)
    for solver in outcome.solvers:
        case = ET.SubElement(suite, "testcase", classname="sdebench.check", name=_plain(solver))
        if solver in failures:
            lines = [_plain(line) for line in failures[solver]]
            failure = ET.SubElement(case, "failure", message=_summary(lines), type="moved")
            failure.text = "\n".join(lines)
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _plain(text: str) -> str:
    """The text without the characters that XML has not."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "?", text)


def _summary(lines: list[str]) -> str:
    return lines[0] + (f"; and {len(lines) - 1} more" if len(lines) > 1 else "")


def _place(solver: str, baseline: Path) -> tuple[str, int]:
    """(file, line) of the solver's class, if that is below the working folder; else of its figures in the baseline."""
    from sdebench.catalogue import get_solver
    from sdebench.gate.baseline import line_of

    try:
        made = type(get_solver(solver))
        path = Path(inspect.getsourcefile(made) or "").resolve().relative_to(Path.cwd())
        return path.as_posix(), inspect.getsourcelines(made)[1]
    except (UsageError, TypeError, OSError, ValueError):
        return baseline.as_posix(), line_of(baseline, solver)


def _github(outcome: GateOutcome) -> list[str]:
    """Workflow commands `::error file=...,line=...,title=...::message`, their special characters escaped."""

    def escaped(text: str, more: str = "") -> str:
        return "".join(f"%{ord(c):02X}" if c in "%\r\n" + more else c for c in text)

    found = []
    for solver, lines in _failed(outcome):
        path, line = _place(solver, outcome.baseline)
        where = f"file={escaped(path, ':,')},line={line},title={escaped(f'sdebench check: {solver}', ':,')}"
        shown = [*lines[:10], *([f"and {len(lines) - 10} more"] if len(lines) > 10 else [])]
        found.append(f"::error {where}::{escaped(chr(10).join(shown))}")
    return found


def _code_quality(outcome: GateOutcome) -> list[dict[str, Any]]:
    """GitLab's report: an issue a solver."""
    found = []
    for solver, lines in _failed(outcome):
        path, line = _place(solver, outcome.baseline)
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
