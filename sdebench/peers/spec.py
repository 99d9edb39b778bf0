"""Peers by spec string: `package.module:Name[key=value,...]` and `path/to/file.py:Name[...]`.

Values are JSON with Python's words: numbers, `true` or `True`, `none`, `null` or `None`, lists, `{key=value}` tables, and
strings, which need no quotes where they hold no comma and no bracket.
"""

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import re
import sys
import types
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any

from sdebench._support.errors import STRANGERS, UsageError, describe, near_miss, shown
from sdebench._support.files import sha256

_WORDS = {"true": True, "false": False, "none": None, "null": None}
_CLOSE = {"[": "]", "{": "}", "(": ")"}


def split(spec: str) -> tuple[str, str, dict[str, Any]]:
    """`'module:Name[a=1]'` as (module, name, settings).  Raises UsageError where it cannot be read."""
    head, bracket, rest = spec.strip().partition("[")
    module, colon, name = head.rpartition(":")
    if not (colon and module and re.fullmatch(r"[\w.]+", name)):
        raise UsageError(f"cannot read {shown(spec)}: give package.module:Name[key=value,...], or path/to/file.py:Name")
    if not bracket:
        return module, name, {}
    if not rest.endswith("]"):
        raise UsageError(f"cannot read {shown(spec)}: give package.module:Name[key=value,...], with the closing bracket")
    return module, name, _table(rest[:-1], spec)


def _parts(text: str, spec: str) -> Iterator[str]:
    """The text between commas that are within no bracket and no quotes."""
    closing: list[str] = []
    quote, part = "", ""
    for c in text:
        if quote:
            quote = "" if c == quote else quote
        elif c in "'\"":
            quote = c
        elif c in _CLOSE:
            closing.append(_CLOSE[c])
        elif closing and c == closing[-1]:
            closing.pop()
        elif c == "," and not closing:
            yield part
            part = ""
            continue
        part += c
    if quote or closing:
        raise UsageError(f"cannot read {shown(spec)}: {shown(part)} is not closed")
    yield part


def _table(text: str, spec: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in filter(str.strip, _parts(text, spec)):
        key, equals, value = (piece.strip() for piece in part.partition("="))
        if not (equals and key.isidentifier()) or key in found:
            raise UsageError(f"cannot read {shown(part)} in {shown(spec)}: give each setting once, as key=value")
        found[key] = _value(value, spec)
    return found


def _value(text: str, spec: str) -> Any:
    text = text.strip()
    if text.lower() in _WORDS:
        return _WORDS[text.lower()]
    if text[:1] in ("[", "(") and text[-1:] == _CLOSE[text[0]]:
        items = [_value(part, spec) for part in _parts(text[1:-1], spec) if part.strip()]
        return items if text[0] == "[" else tuple(items)
    if text.startswith("{") and text.endswith("}"):
        return _table(text[1:-1], spec)
    if len(text) > 1 and text[0] in "'\"" and text[-1] == text[0]:
        return text[1:-1]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


class _Placeholder(types.ModuleType):
    """A module that is not installed, for code that only imports it.  What is asked of it raises when it is used."""

    def __init__(self, name: str):
        super().__init__(name)
        self.__path__: list[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        missing = f"{self.__name__}.{name}"

        def refuse(*args: Any, **kwargs: Any) -> None:
            top = missing.partition(".")[0]
            raise ModuleNotFoundError(f"{missing} is used, and {top} is not installed", name=top)

        return type(name, (), {"__new__": refuse, "__init_subclass__": classmethod(lambda cls, **kw: None)})


class _Absent(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds placeholders for what nothing else finds, where the package `own` asks, or a file in the folder `own`."""

    def __init__(self, own: str | Path):
        self.own, self.stood_in = own, set[str]()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        top = name.partition(".")[0]
        if top == self.own or (top in sys.modules and not isinstance(sys.modules[top], _Placeholder)):
            return None
        if not self._is_own(*_importer()):
            return None  # another library, which asks whether it is there
        self.stood_in.add(top)
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def _is_own(self, name: str, file: str) -> bool:
        if isinstance(self.own, Path):
            return name.partition(".")[0] in self.stood_in or _lies_in(file, self.own)
        return name.partition(".")[0] in (self.own, *self.stood_in)

    def create_module(self, spec: Any) -> types.ModuleType:
        return _Placeholder(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        pass


def _lies_in(file: str, folder: Path) -> bool:
    """Whether a file belongs to the code of a folder; what is installed does not, wherever its environment is."""
    return bool(file) and Path(file).resolve().is_relative_to(folder) and "site-packages" not in file


def _importer() -> tuple[str, str]:
    """(the module whose import statement is being carried out, its file)."""
    frame = sys._getframe(2)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(("importlib", "_frozen_importlib", __name__)):
        frame = frame.f_back
    return str(frame.f_globals.get("__name__", "")), str(frame.f_globals.get("__file__") or "")


@contextmanager
def _placeholders(own: str | Path) -> Iterator[_Absent]:
    """Within, an import of what is not installed gives a placeholder; afterwards placeholders are gone."""
    finder = _Absent(own)
    sys.meta_path.append(finder)
    try:
        yield finder
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name, module in sys.modules.items() if isinstance(module, _Placeholder)]:
            del sys.modules[name]


def _import(module: str) -> types.ModuleType:
    path = Path(module)
    if path.suffix != ".py":
        return importlib.import_module(module)
    if not path.is_file():
        raise UsageError(f"no file {shown(module)}: give the path to a Python file, or package.module:Name")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise UsageError(f"cannot read {shown(module)}: give a Python file")
    made = importlib.util.module_from_spec(spec)
    with _neighbours(path.resolve().parent):
        sys.modules.setdefault(path.stem, made)
        spec.loader.exec_module(made)
    return made


_came_along: dict[str, Path] = {}  # module -> the folder of the file with which it was imported


@contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """Within, a file may import those beside it, as a script may; modules of the same name beside another file are dropped."""
    for name in [name for name, where in _came_along.items() if where != folder]:
        sys.modules.pop(name, None)
        del _came_along[name]
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            if _lies_in(str(getattr(sys.modules[name], "__file__", None) or ""), folder):
                _came_along[name] = folder


def load(module: str, name: str) -> tuple[Any, tuple[str, ...]]:
    """(what the name stands for, the libraries that placeholders stood in for while it was imported).

    A package often imports what its samplers do not need.  Where such a library is absent, the import is tried again with
    placeholders.  Raises UsageError, with what to install where the package itself is absent.
    """
    top = module.partition(".")[0]
    stood_in: tuple[str, ...] = ()
    try:
        try:
            found = _import(module)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if not missing or missing == top:
                raise
            with _placeholders(Path(module).resolve().parent if module.endswith(".py") else top) as finder:
                found = _import(module)
            stood_in = tuple(sorted(finder.stood_in))
        for part in name.split("."):
            found = getattr(found, part)
    except UsageError:
        raise
    except ModuleNotFoundError as error:
        package = (error.name or module).partition(".")[0]
        raise UsageError(
            f"{package} is not installed: pip install {INSTALL.get(package, package)}, or give the path of a file"
        ) from None
    except AttributeError:
        raise UsageError(f"{module} has no {shown(name)}{near_miss(name, _public(module))}") from None
    except STRANGERS as error:
        raise UsageError(f"cannot import {module} ({describe(error)}): mend it, or give another module") from None
    return found, stood_in


INSTALL = {"k_diffusion": "k-diffusion"}  # package -> its name where it is to be had, where the two differ


def _public(module: str) -> Sequence[str]:
    found = sys.modules.get(module) or sys.modules.get(Path(module).stem)
    return [name for name in dir(found) if not name.startswith("_")] if found else []


_packages = cache(packages_distributions)  # it reads every file list


def version_of(spec: str) -> str:
    """The version of a peer's package, or of a file "sha256:" and the first 16 digits; nothing of it is run."""
    module = split(spec)[0]
    if module.endswith(".py"):
        path = Path(module)
        if not path.is_file():
            raise UsageError(f"no file {shown(module)}: give the path to a Python file, or package.module:Name")
        return f"sha256:{sha256(path)[:16]}"
    top = module.partition(".")[0]
    if names := _packages().get(top):
        return version(names[0])
    try:
        found = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        found = None
    if found is None or not found.origin:
        raise UsageError(
            f"{top} is not installed: pip install {INSTALL.get(top, top)}, or give the path of a file, as path/to/file.py:Name"
        )
    return f"sha256:{sha256(Path(found.origin))[:16]}"


def distribution_of(spec: str) -> str:
    """The name by which the package of a spec is to be had."""
    top = split(spec)[0].partition(".")[0]
    return (_packages().get(top) or [INSTALL.get(top, top)])[0]
