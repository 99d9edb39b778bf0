"""How a suite, a TOML file of `[[study]]` tables, becomes cases to measure."""

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from sdebench._support.errors import UsageError, near_miss
from sdebench._support.registry import STUDIES
from sdebench.records import canonical, clean
from sdebench.studies.base import Study, get_study
from sdebench.studies.settings import read_settings

_SUITE_KEYS = ("name", "study")


@dataclass(frozen=True)
class Task:
    """A case with the study that measures it."""

    study: Study
    case: Any

    @cached_property
    def json(self) -> dict[str, Any]:
        """The case as its record has it."""
        return clean(self.study.to_json(self.case))

    @property
    def label(self) -> str:
        """The case in a few words, for people."""
        return label(self.json)


def label(case: Mapping[str, Any]) -> str:
    """A case in a few words, for people."""
    words = [case.get(name) for name in ("study", "kind", "statement", "solver", "loss", "problem", "model", "grid", "dtype")]
    words += [f"NFE {case['budget']}"] if "budget" in case else []
    return " ".join(str(word) for word in words if word)


def expand(table: Mapping[str, Any]) -> list[Task]:
    """The cases of one `[[study]]` table.  Raises UsageError for a study or a setting that does not exist."""
    settings = dict(table)
    name = settings.pop("study", None)
    if not isinstance(name, str):
        raise UsageError(f"a study without its name: give study = one of {', '.join(map(repr, STUDIES.names()))}")
    study = get_study(name)
    return [Task(study, case) for case in study.cases(read_settings(study.settings, settings, name))]


def suites() -> dict[str, Path]:
    """The suites that come with the package."""
    folder = Path(str(resources.files("sdebench"))) / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def _find(suite: str) -> Path:
    known, path = suites(), Path(suite)
    if suite in known:
        return known[suite]
    if path.is_file():
        return path
    near = near_miss(suite, known)
    what = f"there is no file {suite}" if path.suffix == ".toml" else f"unknown suite {suite!r}{near}"
    raise UsageError(f"{what} (there are: {', '.join(known)}; or give a TOML file)")


def _check_suite(content: dict[str, Any]) -> None:
    """Raise UsageError unless a suite's own keys are what they should be."""
    for key in content:
        if key not in _SUITE_KEYS:
            near = near_miss(key, _SUITE_KEYS)
            raise UsageError(f"unknown key {key!r}{near} (a suite has: name, and [[study]] tables)")
    name, tables = content["name"], content.get("study")
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.-]*", name):
        raise UsageError(f"name is {name!r}: give letters, digits, '-', '_' or '.'; it names the results file")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise UsageError("no study in it: give one [[study]] table or more")


def load_suite(suite: str) -> tuple[str, list[Task]]:
    """The name and the cases of a suite that comes along, or of a TOML file.

    Raises UsageError, in one line that names the file, for everything that is wrong with it.
    """
    path = _find(suite)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # bad TOML, or not text at all
        what = str(error).splitlines()[0]
        raise UsageError(f"cannot read {path} ({what}): give a TOML file of [[study]] tables") from None
    content.setdefault("name", path.stem)
    try:
        _check_suite(content)
        return content["name"], [task for table in content["study"] for task in expand(table)]
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def unique(tasks: Iterable[Task]) -> list[Task]:
    """Each case once."""
    return list({canonical(task.json): task for task in tasks}.values())


def measured_alone(tasks: Sequence[Task]) -> str:
    """The name of a study whose cases are not to be measured beside others, or ""."""
    return next((task.study.name for task in tasks if task.study.alone), "")
