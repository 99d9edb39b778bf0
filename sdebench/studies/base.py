"""Where studies are found, and how a suite (a TOML file) becomes cases.

A study is a module with

    KEYS: frozenset[str]                   the settings that its table in a suite may have
    cases(settings: dict) -> list[dict]    one plain dict a measurement, with "study" among its settings
    measure(case: dict) -> dict            {"context": ..., "claims": ..., "data": ...}, a pure function of the case; also
                                           "arrays": {name: numpy array}, for the record's file of arrays, if it has any

Settings "solvers" and "problems" arrive as lists of spec strings that exist; "grids", "kinds", "dtypes", "models", "executors"
and "devices" as lists of strings; "budgets", "ladder" and "batches" as lists of whole numbers; "points", "seed", "samples",
"chunk", "threads", "steps" and "repeats" as whole numbers; "grid", "features", "data", "device" and "reference" as strings;
"compiled" as a list of true and false; "seconds" as a number.  A study with ALONE = True has cases that are not to be measured
beside others.
"""

import inspect
import re
import tomllib
import warnings
from collections.abc import Iterable
from contextlib import suppress
from functools import cache, partial
from importlib import import_module, resources
from math import inf
from pathlib import Path
from types import ModuleType
from typing import Any

from sdebench._support.errors import UsageError, near_miss
from sdebench._support.registry import PROBLEMS, SOLVERS, Registry, split_spec

STUDIES = {
    "order": "sdebench.studies.order.measure",
    "work-precision": "sdebench.studies.work_precision",
    "law": "sdebench.studies.law",
    "floor": "sdebench.studies.floor",
    "family": "sdebench.studies.family",
    "seed": "sdebench.studies.survey",
    "score-matching": "sdebench.studies.score_matching",
    "quality": "sdebench.studies.quality.study",
    "profile": "sdebench.studies.profile.study",
}
_CLAIMS = (
    "family",
    "claimed_order",
    "order",
    "order_irregular",
    "main_order",
    "nfe_per_step",
    "memory",
    "stochastic",
    "strong_order",
    "reference",
)
_SUITE_KEYS = ("name", "study")


def study(name: str) -> ModuleType:
    """The module of the study of that name."""
    if name not in STUDIES:
        raise UsageError(f"unknown study {name!r}{near_miss(name, STUDIES)} (there are: {', '.join(STUDIES)})")
    return import_module(STUDIES[name])


def build(registry: Registry, spec: str) -> Any:
    """The solver or problem of a spec string; a UsageError also where a user's own class cannot be made."""
    from sdebench import catalogue  # noqa: F401  fills the registries; here, because it imports torch

    try:
        return registry.get(spec)
    except UsageError:
        raise
    except Exception as error:  # a stranger's code may fail in any way
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        advice = "give a class whose fields all have defaults"
        raise UsageError(f"cannot make {registry.kind} {spec!r} ({what}): {advice}") from None


def solver(spec: str) -> Any:
    """The solver of a spec string, made; UsageError for a class that is not one."""
    from sdebench.integration.solver import check_solver

    made = build(SOLVERS, spec)
    try:
        return check_solver(made)
    except UsageError as error:
        if spec in SOLVERS.entries or ":" not in spec:
            raise
        raise UsageError(f"{spec!r}: {error}") from None


def claims(made: Any) -> dict[str, Any]:
    """What a solver says of itself, as a record keeps it."""
    return {name: getattr(made, name) for name in _CLAIMS} | {"adaptive": bool(getattr(made, "adaptive", False))}


def tell_left_out(reasons: Iterable[str], anything: bool) -> None:
    """Warn of what has no case: its first reason (empty ones are none), and how many others there are.

    Raises UsageError, with that reason, unless there is anything left to measure.
    """
    reasons = list(dict.fromkeys(filter(None, reasons)))
    if reasons and not anything:
        raise UsageError(reasons[0])
    if reasons:
        more = f" (and {len(reasons) - 1} more)" if len(reasons) > 1 else ""
        warnings.warn(f"left out: {reasons[0]}{more}", stacklevel=3)


def problem(spec: str) -> Any:
    """The problem of a spec string, made."""
    return build(PROBLEMS, spec)


def _strings(value: Any, where: str) -> list[str]:
    specs = [value] if isinstance(value, str) else value
    if not isinstance(specs, list | tuple) or not specs or not all(isinstance(spec, str) for spec in specs):
        raise UsageError(f"{where} is {value!r}: give a name, or a list of names, in quotes")
    return list(specs)


def _family(name: str) -> list[str]:
    """The registered solvers of one family, by its name in any case."""
    family = {spec: solver(spec).family for spec in SOLVERS.names()}
    found = [spec for spec, its in family.items() if its.lower() == name.strip().lower()]
    if not found:
        known = sorted(set(family.values()))
        raise UsageError(f"unknown family {name!r}{near_miss(name, known)} (there are: {', '.join(known)})")
    return found


def solver_specs(value: Any) -> list[str]:
    """Spec strings, each once, from a list of them, in which "all", "deterministic", "stochastic" and "family:NAME" stand
    for several."""
    from sdebench import catalogue  # noqa: F401

    found = []
    for spec in _strings(value, "solvers"):
        if spec.startswith("family:"):
            found += _family(spec.removeprefix("family:"))
        elif spec == "all":
            found += SOLVERS.names()
        elif spec in ("deterministic", "stochastic"):
            found += [name for name in SOLVERS.names() if solver(name).stochastic == (spec == "stochastic")]
        else:
            solver(spec)
            found.append(spec)
    return list(dict.fromkeys(found))


def problem_specs(value: Any) -> list[str]:
    """Spec strings of problems, each once; "all" stands for every registered one."""
    from sdebench import catalogue  # noqa: F401

    found = []
    for spec in _strings(value, "problems"):
        if spec != "all":
            problem(spec)
        found += PROBLEMS.names() if spec == "all" else [spec]
    return list(dict.fromkeys(found))


def numbers(value: Any, where: str, least: int) -> list[int]:
    """A whole number, or a list of some, as a list.  Raises UsageError, naming the setting, for anything else."""
    found = value if isinstance(value, list) else [value]
    if not found or not all(type(n) is int and n >= least for n in found):
        raise UsageError(f"{where} is {value!r}: give whole numbers, {least} or more")
    return found


def _string(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise UsageError(f"{where} is {value!r}: give one name, in quotes")
    return value


def _number(value: Any, where: str, least: int) -> int:
    if type(value) is not int or value < least:
        raise UsageError(f"{where} is {value!r}: give a whole number, {least} or more")
    return value


def _choices(value: Any) -> list[bool]:
    found = value if isinstance(value, list) else [value]
    if not found or not all(isinstance(choice, bool) for choice in found):
        raise UsageError(f"compiled is {value!r}: give true, false, or both in a list")
    return found


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < inf:
        raise UsageError(f"seconds is {value!r}: give a number, more than 0")
    return float(value)


_LEAST = {"points": 1, "seed": 0, "samples": 10, "chunk": 10, "threads": 1, "steps": 1, "repeats": 1}
_EXPAND = {
    "solvers": solver_specs,
    "problems": problem_specs,
    **{name: partial(_strings, where=name) for name in ("grids", "kinds", "dtypes", "models", "executors", "devices")},
    **{name: partial(_string, where=name) for name in ("grid", "features", "data", "device", "reference")},
    **{name: partial(numbers, where=name, least=1) for name in ("budgets", "ladder", "batches")},
    **{name: partial(_number, where=name, least=least) for name, least in _LEAST.items()},
    "compiled": _choices,
    "seconds": _seconds,
}


def expand(table: dict[str, Any]) -> list[dict]:
    """The cases of one `[[study]]` table.  Raises UsageError for a study, a key, a solver or a problem that is none."""
    settings = dict(table)
    name = settings.pop("study", None)
    if not isinstance(name, str):
        raise UsageError(f"a study without its name: give study = one of {', '.join(map(repr, STUDIES))}")
    module = study(name)
    for key in settings:
        if key not in module.KEYS:
            allowed = ", ".join(sorted(module.KEYS))
            raise UsageError(f"unknown key {key!r} of study {name!r}{near_miss(key, module.KEYS)} (it has: {allowed})")
    for key in _EXPAND.keys() & settings.keys():
        settings[key] = _EXPAND[key](settings[key])
    return module.cases(settings)


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
    if not isinstance(name, str) or not re.fullmatch(r"[\w.-]+", name):
        raise UsageError(f"name is {name!r}: give letters, digits, '-', '_' or '.'; it names the results file")
    if not isinstance(tables, list) or not tables or not all(isinstance(table, dict) for table in tables):
        raise UsageError("no study in it: give one [[study]] table or more")


def load_suite(suite: str) -> tuple[str, list[dict]]:
    """The name and the cases, each once, of a suite that comes along or of a TOML file.

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
        return content["name"], [case for table in content["study"] for case in expand(table)]
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from None


def alone(cases: list[dict]) -> str:
    """The study whose cases are not to be measured beside others, or ""."""
    names = sorted({case["study"] for case in cases})
    return next((name for name in names if getattr(study(name), "ALONE", False)), "")


@cache
def _origin(kind: str, spec: str) -> frozenset[Path]:
    """The files outside this package that define what a spec names: its class and those that it derives from."""
    registry = {"solver": SOLVERS, "problem": PROBLEMS}[kind]
    build(registry, spec)  # fills the registry, and says what is wrong with a spec
    module, colon, attribute = split_spec(spec)[0].partition(":")
    factory = getattr(import_module(module), attribute) if colon else registry.entries[module].factory
    files = set()
    for part in inspect.getmro(factory) if inspect.isclass(factory) else (inspect.unwrap(factory),):
        if part.__module__.partition(".")[0] not in ("sdebench", "builtins"):
            with suppress(TypeError, OSError):  # compiled, or typed at a prompt: there is no file
                files.add(Path(inspect.getsourcefile(part) or ""))
    return frozenset(path for path in files if path.is_file())


def sources(case: dict) -> tuple[Path, ...]:
    """The files outside this package that define the case's solver and problem: they count as code that measures it."""
    files = (_origin(kind, case[kind]) for kind in ("solver", "problem") if kind in case)
    return tuple(sorted(frozenset().union(*files)))
