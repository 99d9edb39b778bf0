"""Modules of version 0.1 under their old names, with a DeprecationWarning, until version 0.3."""

import sys
import warnings
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any, cast

MOVED = {
    "brownian": "noise.brownian",
    "errors": "_support.errors",
    "executors": "integration.executors",
    "family": "process.family",
    "files": "_support.files",
    "forward": "process.forward",
    "likelihood": "laws.likelihood",
    "noise_schedule": "schedules.base",
    "oracle": "laws.oracle",
    "pathwise": "laws.pathwise",
    "prediction": "integration.prediction",
    "registry": "_support.registry",
    "seed": "survey",
    "solver": "integration.solver",
    "studies.baseline": "gate.baseline",
    "studies.cluster": "engine.cluster",
    "studies.gate": "gate.figures",
    "studies.gate_diff": "gate.diff",
    "studies.histories": "gate.histories",
    "studies.pools": "engine.pools",
    "studies.replies": "engine.replies",
    "studies.runner": "engine.runner",
    "studies.timing": "gate.timing",
    "studies.worker": "engine.worker",
    "tableau": "integration.tableau",
}  # old -> new, in the package; what lies in an old folder has moved with it
NAMES = {"sdebench.studies.base.expand": "sdebench.engine.suite"}  # a name -> the module that has it now


def _warn(old: str, new: str) -> None:
    warnings.warn(f"{old} is {new} now: import that", DeprecationWarning, stacklevel=3)


def get_name(module: str, name: str) -> Any:
    """What that name of a module has become.  Raises AttributeError where there was none."""
    home = NAMES.get(f"{module}.{name}")
    if home is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    _warn(f"{module}.{name}", f"{home}.{name}")
    return getattr(import_module(home), name)


def _new_name(name: str) -> str | None:
    """The module that has taken the place of an old one; None where nothing has."""
    package, _, rest = name.partition(".")
    if package != "sdebench":
        return None
    parts = rest.split(".")
    for n in range(len(parts), 0, -1):
        if new := MOVED.get(".".join(parts[:n])):
            return ".".join((package, new, *parts[n:]))
    return None


class _Alias:
    """Loads the new module in the place of the old one."""

    def __init__(self, new: str) -> None:
        self.new = new

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        _warn(spec.name, self.new)
        module = import_module(self.new)
        self.spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        module.__spec__ = self.spec  # the import system has written the old name there


class _Finder:
    """Finds old names.  No base class: importing that would take longer than all else here."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        new = _new_name(name)
        return ModuleSpec(name, cast(Any, _Alias(new))) if new else None


def install() -> None:
    """Have old names found, before the folder of the new package is asked for them, which would load a second copy."""
    if not any(type(finder).__name__ == _Finder.__name__ and type(finder).__module__ == __name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
