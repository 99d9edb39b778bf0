"""Named plugins: a decorator, spec strings `name[key=value,...]`, entry points, and errors that suggest the name meant."""

import inspect
import re
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from sdebench._support.errors import UsageError, near_miss, shown

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
        raise UsageError(f"cannot read {spec!r}: give name[key=value,...], with the closing bracket")
    settings = {}
    for part in filter(None, rest[:-1].split(",")):
        key, equals, value = part.partition("=")
        if not equals or not key.strip() or key.strip() in settings:
            raise UsageError(f"cannot read {part!r} in {spec!r}: give each setting once, as key=value")
        settings[key.strip()] = value.strip()
    return name, settings


def _convert(text: str, default: Any, where: str) -> Any:
    """The text as a value of the type that the default has."""
    kind = type(default) if isinstance(default, bool | int | float) else str
    try:
        return {"true": True, "false": False}[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError):
        raise UsageError(f"{where} is {text!r}: give a value like {default!r}") from None


def import_object(kind: str, name: str, what: str = "Class") -> Any:
    """Import what `package.module:Class` names.  Raises UsageError; if the module itself fails, the error names the line."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a stranger's code may fail in any way
        line = _failing_line(error)
        text = " ".join(str(getattr(error, "msg", error)).split())
        why = f"{type(error).__name__}: {text}, in {line}" if line else text
        advice = "mend it" if line else f"give package.module:{what}, on the Python path"
        raise UsageError(f"cannot load {kind} {name!r} ({why}): {advice}") from None


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
            except (Exception, SystemExit) as error:  # a stranger's code may fail in any way; it is reported by name
                self.broken[name] = f"{type(error).__name__}: {error}"

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
        raise UsageError(f"unknown {self.kind} {name!r}{near} ('{self.listing}' shows all{own})")

    def get(self, spec: str) -> Any:
        """The plugin that a spec string `name[key=value,...]` or `package.module:attribute` names.

        Raises UsageError for a name or a setting that does not exist.
        """
        if not isinstance(spec, str):
            raise UsageError(f"{shown(spec)} cannot name a {self.kind}: give a string ('{self.listing}' shows all)")
        name, settings = split_spec(spec)
        factory, preset = Entry(import_object(self.kind, name), {}) if ":" in name else self.entry(name)
        parameters = inspect.signature(factory).parameters.items()
        allowed = {k: p.default for k, p in parameters if k not in preset and (not self.binds or p.default is not p.empty)}
        for key in settings:
            if key not in allowed:
                what = f"settings: {', '.join(allowed)}" if allowed else "no settings"
                raise UsageError(f"unknown setting {key!r} of {self.kind} {name!r}{near_miss(key, allowed)} (it has {what})")
        values = {k: _convert(v, allowed[k], f"setting {k!r} of {name!r}") for k, v in settings.items()}
        values = self._resolve(preset) | values
        return (partial(factory, **values) if values else factory) if self.binds else factory(**values)

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
