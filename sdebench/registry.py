"""Named plugins: a decorator, spec strings `name[key=value,...]`, entry points, and errors that name the near miss."""

import inspect
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, NamedTuple

from .errors import UsageError, near_miss, shown


class Entry(NamedTuple):
    """A registered name: what makes it, and the settings that the name fixes."""

    factory: Callable[..., Any]
    preset: dict[str, Any]


def split_spec(spec: str) -> tuple[str, dict[str, str]]:
    """`'name[a=1,b=x]'` as `('name', {'a': '1', 'b': 'x'})`."""
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


def imported(kind: str, name: str, what: str = "Class") -> Any:
    """What `package.module:Class` names.  Raises UsageError; of a module that fails, with the line."""
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a stranger's code may fail in any way
        line = _line(error)
        text = " ".join(str(getattr(error, "msg", error)).split())
        why = f"{type(error).__name__}: {text}, in {line}" if line else text
        advice = "mend it" if line else f"give package.module:{what}, on the Python path"
        raise UsageError(f"cannot load {kind} {name!r} ({why}): {advice}") from None


def _line(error: BaseException) -> str:
    """The file and the line, the innermost of a module's own, that cannot be imported; empty where none was reached."""
    frames = traceback.extract_tb(error.__traceback__)
    at = [(frame.filename, frame.lineno) for frame in frames if frame.name == "<module>"]
    if isinstance(error, SyntaxError):
        at.append((error.filename, error.lineno))
    return f"{at[-1][0]}, line {at[-1][1]}" if at else ""


@dataclass
class Registry:
    """A set of named factories, one for each kind of plugin.

    Names come from the `register` decorator and, on the first look-up, from the entry-point group `group`; a plugin
    that cannot be loaded is kept in `broken` (name -> message) and stops nothing.
    """

    kind: str
    group: str
    listing: str
    entries: dict[str, Entry] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    _loaded: bool = False

    def register(self, name: str, **preset: Any) -> Callable:
        """Decorator: make the class or function under it available as `name`, with the given settings fixed."""

        if not (isinstance(name, str) and re.fullmatch(r"[^\s\[\],:]+", name)):
            advice = f"give it in quotes, without spaces, as @sdebench.register_{self.kind}('my-{self.kind}')"
            raise UsageError(f"{shown(name)} is no name of a {self.kind}: {advice}")

        def add(factory):
            if not callable(factory):
                raise UsageError(f"{self.kind} {name!r} is {shown(factory)}: give a class, or a function that makes one")
            if name in self.entries and self.entries[name] != Entry(factory, preset):
                raise UsageError(f"{self.kind} {name!r} is registered twice: give the new one another name")
            self.entries[name] = Entry(factory, preset)
            return factory

        return add

    def _load_plugins(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for point in entry_points(group=self.group):
            try:
                loaded = point.load()
                if point.name not in self.entries and callable(loaded):
                    self.register(point.name)(loaded)
            except (Exception, SystemExit) as error:  # a stranger's code may fail in any way; it is reported by name
                self.broken[point.name] = f"{type(error).__name__}: {error}"

    def names(self) -> tuple[str, ...]:
        """All registered names, in the order of registration."""
        self._load_plugins()
        return tuple(self.entries)

    def get(self, spec: str) -> Any:
        """The plugin that a spec string `name[key=value,...]` or `package.module:attribute` names.

        Raises UsageError for a name or a setting that does not exist.
        """
        self._load_plugins()
        if not isinstance(spec, str):
            raise UsageError(f"{shown(spec)} is no name of a {self.kind}: give a string ('{self.listing}' shows all)")
        name, settings = split_spec(spec)
        factory, preset = Entry(imported(self.kind, name), {}) if ":" in name else self._entry(name)
        allowed = {k: p.default for k, p in inspect.signature(factory).parameters.items() if k not in preset}
        for key in settings:
            if key not in allowed:
                what = f"settings: {', '.join(allowed)}" if allowed else "no settings"
                raise UsageError(f"unknown setting {key!r} of {self.kind} {name!r}{near_miss(key, allowed)} (it has {what})")
        values = {k: _convert(v, allowed[k], f"setting {k!r} of {name!r}") for k, v in settings.items()}
        return factory(**preset, **values)

    def _entry(self, name: str) -> Entry:
        if name in self.entries:
            return self.entries[name]
        if name in self.broken:
            raise UsageError(f"{self.kind} plugin {name!r} could not be loaded ({self.broken[name]})")
        near = near_miss(name, self.entries)
        own = "" if near else "; one of your own that is no entry point: module:Class"
        raise UsageError(f"unknown {self.kind} {name!r}{near} ('{self.listing}' shows all{own})")

    def name_of(self, plugin: Any) -> str:
        """The spec string that makes an equal plugin, that with the fewest settings; or its class's name where none is
        registered."""
        found = []
        for name, (factory, preset) in self.entries.items():
            if factory is type(plugin) and all(getattr(plugin, k) == v for k, v in preset.items()):
                free = (k for k in inspect.signature(factory).parameters.items() if k[0] not in preset)
                found.append((name, {k: getattr(plugin, k) for k, p in free if getattr(plugin, k) != p.default}))
        if not found:
            return f"{type(plugin).__module__}:{type(plugin).__qualname__}"
        name, extra = min(found, key=lambda spec: len(spec[1]))
        return name + (f"[{','.join(f'{k}={v}' for k, v in extra.items())}]" if extra else "")


SOLVERS = Registry("solver", "sdebench.solvers", "sdebench list solvers")
PROBLEMS = Registry("problem", "sdebench.problems", "sdebench list problems")
register_solver = SOLVERS.register
register_problem = PROBLEMS.register
