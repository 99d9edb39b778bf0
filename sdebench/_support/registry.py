"""Named plugins: a decorator, spec strings `name[key=value,...]`, entry points, and errors that suggest the name meant."""

import inspect
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sdebench._support.errors import MOST, STRANGERS, UsageError, describe, near_miss, shown

F = TypeVar("F", bound=Callable[..., Any])


class Name(NamedTuple):
    """In a preset: the plugin of that name, made when it is needed."""

    name: str


class Entry(NamedTuple):
    """A registered name: what makes it, and the settings that the name fixes."""

    factory: Callable[..., Any]
    preset: dict[str, Any]


def split_spec(spec: str) -> tuple[str, dict[str, str]]:
    """Split `'name[a=1,b=x]'` into `('name', {'a': '1', 'b': 'x'})`.  Raises UsageError where it cannot."""
    name, bracket, rest = spec.strip().partition("[")
    if not bracket:
        return name, {}
    if not rest.endswith("]"):
        raise UsageError(f"cannot read {shown(spec)}: give name[key=value,...], with the closing bracket")
    settings = {}
    for part in filter(None, rest[:-1].split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or key.strip() in settings:
            raise UsageError(f"cannot read {shown(part)} in {shown(spec)}: give each setting once, as key=value")
        settings[key.strip()] = value.strip()
    return name, settings


def _convert(text: str, default: Any, where: str) -> Any:
    """The text as a value of the type that the default has; numbers are finite and bounded."""
    kind = type(default) if isinstance(default, bool | int | float) else str
    try:
        value = {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise UsageError(f"{where} is {shown(text)}: give a value like {default!r}") from None
    if isinstance(value, int | float) and not (isfinite(value) and abs(value) <= MOST):
        raise UsageError(f"{where} is {shown(text)}: give a number, {MOST:,} at most")
    return value


def import_object(kind: str, name: str, what: str = "Class") -> Any:
    """Import what `package.module:Class` names.  Raises UsageError; if the module itself fails, the error names the line."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except STRANGERS as error:
        line = _failing_line(error)
        text = describe(error).partition(": ")[2] or describe(error)
        why = f"{type(error).__name__}: {text}, in {line}" if line else text
        advice = "mend it" if line else f"give package.module:{what}, on the Python path{_shadowed(module)}"
        raise UsageError(f"cannot load {kind} {shown(name)} ({why}): {advice}") from None


def _shadowed(module: str) -> str:
    """What to do where a library has the name of a file in the working folder, which comes last on the path."""
    top = module.partition(".")[0]
    found = getattr(sys.modules.get(top), "__file__", None) or ""
    own = Path(f"{top}.py")
    taken = own.is_file() and (top in sys.builtin_module_names or (found and Path(found).resolve() != own.resolve()))
    return f"; a library is called {top} too, and goes before the file {own} here: give yours another name" if taken else ""


def _failing_line(error: BaseException) -> str:
    """The file and line, innermost at module level, that raised during an import; empty if no module was reached."""
    frames = traceback.extract_tb(error.__traceback__)
    at = [(frame.filename, frame.lineno) for frame in frames if frame.name == "<module>"]
    if isinstance(error, SyntaxError):
        at.append((error.filename or "", error.lineno))
    return f"{at[-1][0]}, line {at[-1][1]}" if at else ""


def _files(package: str) -> Iterator[tuple[str, Path]]:
    """(module, file) of each module of a package, in the order that the package's ORDER gives, the others after them."""
    spec = find_spec(package)
    folders = spec.submodule_search_locations or () if spec else ()
    paths = [p for folder in folders for p in sorted(Path(folder).iterdir())]
    order = getattr(import_module(package), "ORDER", ())
    rank = {name: i for i, name in enumerate(order)}
    for path in sorted(paths, key=lambda p: rank.get(p.stem, len(rank))):
        if path.suffix == ".py" and path.stem != "__init__":
            yield f"{package}.{path.stem}", path
        elif (path / "__init__.py").is_file():
            yield f"{package}.{path.name}", path / "__init__.py"


def _place(factory: Callable[..., Any]) -> tuple[str, str]:
    return factory.__module__, factory.__qualname__


@dataclass
class Registry:
    """The named factories of one kind of plugin.

    A name comes from a decorator `@register_KIND("name")`, from a file of `packages` that holds that line (the file is
    imported only when the name is asked for), or from the entry-point group `group`.  A plugin that cannot be loaded is
    kept in `broken` (name -> message) and stops nothing.  With `binds`, factories are functions that are returned with
    their settings bound, not called.
    """

    kind: str
    group: str
    listing: str
    packages: tuple[str, ...] = ()
    binds: bool = False
    entries: dict[str, Entry] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def register(self, name: str, **preset: Any) -> Callable[[F], F]:
        """Decorator: make the class or function under it available as `name`, with the given settings fixed."""
        if not (isinstance(name, str) and re.fullmatch(r"[^\s\[\],:]+", name)):
            advice = f"give it in quotes, without spaces, as @sdebench.register_{self.kind}('my-{self.kind}')"
            raise UsageError(f"{shown(name)} cannot name a {self.kind}: {advice}")

        def add(factory: F) -> F:
            if not callable(factory):
                raise UsageError(f"{self.kind} {name!r} is {shown(factory)}: give a class, or a function that makes one")
            if self._is_taken(name, factory):
                raise UsageError(f"{self.kind} {name!r} is registered twice: give the new one another name")
            self.entries[name] = Entry(factory, preset)
            return factory

        return add

    def _is_taken(self, name: str, factory: Callable[..., Any]) -> bool:
        """Whether the name belongs to a thing defined elsewhere; the same definition run twice replaces itself."""
        if name in self.entries:
            return _place(self.entries[name].factory) != _place(factory)
        return self._homes.get(name, factory.__module__) != factory.__module__

    @cached_property
    def _homes(self) -> dict[str, str]:
        """name -> module, of every name that a file of `packages` registers."""
        line = re.compile(rf'^(?:@|    )?register_{self.kind}\(\s*"([^"]+)"', re.MULTILINE)
        files = (found for package in self.packages for found in _files(package))
        return {name: module for module, path in files for name in line.findall(path.read_text(encoding="utf-8"))}

    def files(self) -> dict[str, Path]:
        """name -> file, of every name that a file of `packages` registers."""
        paths = {module: path for package in self.packages for module, path in _files(package)}
        return {name: paths[module] for name, module in self._homes.items()}

    @cached_property
    def _points(self) -> dict[str, EntryPoint]:
        """The entry points of the group, by name."""
        return {point.name: point for point in entry_points(group=self.group)}

    def _load(self, name: str) -> None:
        """Put a name that is shipped, or is an entry point, into `entries`; a plugin that fails into `broken`."""
        if name in self.entries or name in self.broken:
            return
        if name in self._homes:
            import_module(self._homes[name])
        elif name in self._points:
            try:
                loaded = self._points[name].load()
                if name not in self.entries and callable(loaded):
                    self.register(name)(loaded)
            except STRANGERS as error:  # it is reported by name
                self.broken[name] = describe(error, whole=True)

    def names(self) -> tuple[str, ...]:
        """All names: those that the package ships, in the order of the listing, then all others."""
        for name in self._points:
            self._load(name)
        return tuple(dict.fromkeys([*self._homes, *self.entries]))

    def entry(self, name: str) -> Entry:
        """The factory and the preset of a name.  Raises UsageError for an unknown or a broken one."""
        self._load(name)
        if name in self.entries:
            return self.entries[name]
        if name in self.broken:
            raise UsageError(f"{self.kind} plugin {name!r} could not be loaded ({self.broken[name]})")
        near = near_miss(name, [*self._homes, *self._points, *self.entries])
        own = "" if near else "; one of your own that is no entry point: module:Class"
        raise UsageError(f"unknown {self.kind} {shown(name)}{near} ('{self.listing}' shows all{own})")

    def why_only_here(self, spec: str) -> str:
        """Why another process does not find what a spec names here, with the remedy; empty where it does."""
        name = split_spec(spec)[0]
        if ":" in name:
            return self._why_no_module(name.partition(":")[0])
        if name not in self.entries or name in self._homes or name in self._points:
            return ""
        module, made = _place(self.entries[name].factory)
        if module == "__main__":
            return f"{self.kind} {name!r} is registered in the script that runs, which no worker imports: put it into a module"
        return f"{self.kind} {name!r} is registered in this process alone: name it {module}:{made}, or make it an entry point"

    @staticmethod
    def _why_no_module(module: str) -> str:
        return "a worker cannot import the script that runs: put the class into a module" if module == "__main__" else ""

    def get(self, spec: str) -> Any:
        """The plugin that a spec string `name[key=value,...]` or `package.module:attribute` names.

        Raises UsageError for a name or a setting that does not exist, and for a stranger's class that cannot be made.
        """
        if not isinstance(spec, str):
            raise UsageError(f"{shown(spec)} cannot name a {self.kind}: give a string ('{self.listing}' shows all)")
        name, settings = split_spec(spec)
        factory, preset = Entry(self._imported(name), {}) if ":" in name else self.entry(name)
        try:
            parameters = inspect.signature(factory).parameters.items()
        except STRANGERS:  # some classes of Python's own do not tell theirs
            raise UsageError(
                f"{shown(name)} cannot make a {self.kind}: give package.module:Class, a class of your own"
            ) from None
        allowed = {k: p.default for k, p in parameters if k not in preset and (not self.binds or p.default is not p.empty)}
        for key in settings:
            if key not in allowed:
                what = f"settings: {', '.join(allowed)}" if allowed else "no settings"
                near = near_miss(key, allowed)
                raise UsageError(f"unknown setting {shown(key)} of {self.kind} {shown(name)}{near} (it has {what})")
        values = {k: _convert(v, allowed[k], f"setting {k!r} of {shown(name)}") for k, v in settings.items()}
        values = self._resolve(preset) | values
        if self.binds:
            return partial(factory, **values) if values else factory
        try:
            return factory(**values)
        except UsageError:
            raise
        except STRANGERS as error:
            advice = "give a class whose fields all have defaults"
            raise UsageError(f"cannot make {self.kind} {shown(spec)} ({describe(error)}): {advice}") from None

    def _imported(self, name: str) -> Callable[..., Any]:
        """The class or the function that `package.module:name` means.

        Raises UsageError for anything else: what Python itself is made of (`sys:exit`, `os:abort`) makes no plugin.
        """
        found: Callable[..., Any] = import_object(self.kind, name)
        is_own = self.binds and callable(found) and type(found).__module__ != "builtins"  # such as sdebench.grids.IrregularGrid
        if not (inspect.isclass(found) or inspect.isfunction(found) or is_own):
            raise UsageError(f"{shown(name)} cannot make a {self.kind}: give package.module:Class, a class of your own")
        return found

    def _resolve(self, preset: dict[str, Any]) -> dict[str, Any]:
        return {k: self.get(v.name) if isinstance(v, Name) else v for k, v in preset.items()}

    def name_of(self, plugin: Any) -> str:
        """The spec string with the fewest settings that makes an equal plugin; `module:Class` where none is registered."""
        found = []
        for name, (factory, preset) in self.entries.items():
            if factory is type(plugin) and all(getattr(plugin, k) == v for k, v in self._resolve(preset).items()):
                free = (k for k in inspect.signature(factory).parameters.items() if k[0] not in preset)
                found.append((name, {k: getattr(plugin, k) for k, p in free if getattr(plugin, k) != p.default}))
        if not found:
            return f"{type(plugin).__module__}:{type(plugin).__qualname__}"
        name, extra = min(found, key=lambda spec: len(spec[1]))
        return name + (f"[{','.join(f'{k}={v}' for k, v in extra.items())}]" if extra else "")


class _Studies(Registry):
    """Studies, each of which is told its name."""

    def register(self, name: str, **preset: Any) -> Callable[[F], F]:
        """Decorator: make the class under it available as `name`."""
        add = super().register(name, **preset)

        def add_named(study: F) -> F:
            add(study).name = name  # type: ignore[attr-defined]  # a Study has one
            return study

        return add_named


SOLVERS = Registry("solver", "sdebench.solvers", "sdebench list solvers", ("sdebench.solvers", "sdebench.external"))
PROBLEMS = Registry("problem", "sdebench.problems", "sdebench list problems", ("sdebench.problems",))
GRIDS = Registry("grid", "sdebench.grids", "sdebench list grids", ("sdebench.grids",), binds=True)
STUDIES = _Studies("study", "sdebench.studies", "sdebench list studies", ("sdebench.studies",))
METRICS = Registry("metric", "sdebench.metrics", "sdebench list metrics", ("sdebench.metrics",))
register_solver = SOLVERS.register
register_problem = PROBLEMS.register
register_grid = GRIDS.register
register_study = STUDIES.register
register_metric = METRICS.register
