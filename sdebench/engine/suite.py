"""How a suite, a TOML file of `[[study]]` tables, becomes cases to measure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from sdebench._support.errors import STRANGERS, UsageError, cut, describe, near_miss, shown
from sdebench._support.files import check_name
from sdebench._support.reading import is_file, read_toml
from sdebench._support.registry import STUDIES
from sdebench.records import canonical, clean
from sdebench.studies.base import Study, check_lists, get_study
from sdebench.studies.settings import read_settings

_SUITE_KEYS = ("name", "study")
_CASES, _PRODUCT = 200_000, 5_000_000  # cases of a study, at most, and what its settings multiply to


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
    words = [
        case.get(name)
        for name in ("study", "kind", "statement", "solver", "peer", "release", "loss", "problem", "model", "grid", "dtype")
    ]
    words += [f"NFE {case['budget']}"] if "budget" in case else []
    return " ".join(str(word) for word in words if word)


def expand(table: Mapping[str, Any]) -> list[Task]:
    """The cases of one `[[study]]` table.  Raises UsageError for a study or a setting that does not exist."""
    settings = dict(table)
    name = settings.pop("study", None)
    if not isinstance(name, str):
        raise UsageError(f"a study without its name: give study = one of {', '.join(map(repr, STUDIES.names()))}")
    study = get_study(name)
    try:
        read = read_settings(study.settings, settings, name)
        cases = list(study.cases(read)) if study.count(read) <= _PRODUCT else range(_CASES + 1)
        check_lists(map(vars, cases[:_CASES]) if isinstance(cases, list) else ())
    except UsageError:
        raise
    except STRANGERS as error:
        what = describe(error)
        raise UsageError(f"study {name!r} cannot make its cases ({what}): give other solvers, problems or grids") from None
    if len(cases) > _CASES:
        raise UsageError(f"study {name!r} has more than {_CASES:,} cases: give fewer solvers, problems, grids or budgets")
    if not cases:
        raise UsageError(f"study {name!r} has no case with these settings: give others, so that something is measured")
    return [Task(study, case) for case in cases]


def suites() -> dict[str, Path]:
    """The suites that come with the package."""
    folder = Path(str(resources.files("sdebench"))) / "suites"
    return {path.stem: path for path in sorted(folder.glob("*.toml"))}


def _find(suite: str) -> Path:
    known, path = suites(), Path(suite)
    if suite in known:
        return known[suite]
    if is_file(path):
        return path
    near = near_miss(suite, known)
    what = f"there is no file {cut(suite)}" if path.suffix == ".toml" else f"unknown suite {shown(suite)}{near}"
    raise UsageError(f"{what} (there are: {', '.join(known)}; or give a TOML file)")


def _check_suite(content: dict[str, Any]) -> None:
    """Raise UsageError unless a suite's own keys are what they should be."""
    for key in content:
        if key not in _SUITE_KEYS:
            near = near_miss(key, _SUITE_KEYS)
            raise UsageError(f"unknown key {shown(key)}{near} (a suite has: name, and [[study]] tables)")
    name, tables = content["name"], content.get("study")
    check_name(name, "name")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise UsageError("no study in it: give one [[study]] table or more")


def load_suite(suite: str) -> tuple[str, list[Task]]:
    """The name and the cases of a suite that comes along, or of a TOML file.

    Raises UsageError, in one line that names the file, for everything that is wrong with it.
    """
    path = _find(suite)
    content = read_toml(path, "give a TOML file of [[study]] tables")
    content.setdefault("name", path.stem)
    try:
        _check_suite(content)
        return content["name"], [task for table in content["study"] for task in expand(table)]
    except UsageError as error:
        raise UsageError(f"{cut(str(path))}: {error}") from None


def unique(tasks: Iterable[Task]) -> list[Task]:
    """Each case once."""
    return list({canonical(task.json): task for task in tasks}.values())


def measured_alone(tasks: Sequence[Task]) -> str:
    """The name of a study whose cases are not to be measured beside others, or ""."""
    return next((task.study.name for task in tasks if task.study.alone), "")
