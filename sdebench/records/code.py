"""The code that measures a case: the import closure of what it names, definition by definition.

Roots are objects: the study's `measure`, a solver, the factory of a problem.  From each root every name is followed to the
module-level definition that it means, through the imports of the file, as far as the file's own package goes.  A definition
counts as its syntax tree without docstrings, annotations, comments, messages of exceptions and `@register_...` lines.  So a
comment, a moved file or another solver changes nothing, and a changed coefficient changes exactly what uses it.

What cannot be followed is stated: a module imported under a name made at run time.  A string that reads
`"package.module:name"` is followed like an import, and a module that is passed around counts whole.
"""

import ast
import hashlib
import importlib.util
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, is_dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

# Modules that look up, check, write or show, and change no number.
_PLUMBING = ("errors", "registry", "files", "locks", "download", "clock")
_NOT_FOLLOWED = (
    "sdebench.catalogue",
    "sdebench.records",
    "sdebench.report",
    "sdebench.cli",
    "sdebench.engine",
    *(f"sdebench._support.{name}" for name in _PLUMBING),
)
_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.\w+)*:\w+")
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)


class Symbol(NamedTuple):
    """A module-level definition: the module's name and its own; "*" stands for the statements that bind no name."""

    module: str
    name: str


@dataclass(frozen=True)
class Definition:
    """The digest of a definition's syntax tree, and the dotted names and references in it."""

    digest: str
    names: frozenset[tuple[str, ...]]
    imports: dict[str, tuple[str, str]]


@dataclass
class Source:
    """A parsed module: its definitions by name, what its imports bind, and the package to which it is followed."""

    name: str
    is_package: bool
    definitions: dict[str, list[ast.stmt]] = field(default_factory=dict)
    imports: dict[str, tuple[str, str]] = field(default_factory=dict)  # local name -> (module, attribute or "")
    stars: list[str] = field(default_factory=list)  # modules of which everything is imported
    decorated: list[str] = field(default_factory=list)  # definitions that a decorator may hand to a table


class _Walk:
    """One pass over a syntax tree: feeds a digest, and collects the names that are read."""

    def __init__(self, source: Source):
        self._digest, self._source = hashlib.sha256(), source
        self.names: set[tuple[str, ...]] = set()
        self.imports: dict[str, tuple[str, str]] = {}

    def digest(self) -> str:
        return self._digest.hexdigest()[:12]

    def _chain(self, node: ast.expr) -> tuple[str, ...] | None:
        """`a.b.c` as ("a", "b", "c"); None for anything else."""
        parts = []
        while isinstance(node, ast.Attribute):
            parts.append(node.attr)
            node = node.value
        return (node.id, *reversed(parts)) if isinstance(node, ast.Name) else None

    def walk(self, node: Any) -> None:
        """Feed a node, a list of nodes or a constant."""
        if isinstance(node, list):
            self._digest.update(b"[%d" % len(node))
            for item in node:
                self.walk(item)
        elif isinstance(node, ast.AST):
            self._node(node)
        else:
            if isinstance(node, str) and _REFERENCE.fullmatch(node):
                module, _, name = node.partition(":")
                self.names.add(("", module, name))
            self._digest.update(f"{type(node).__name__}{node!r};".encode())

    def _node(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import | ast.ImportFrom):  # what it binds is followed where it is used
            self.imports |= _bindings(node, self._source)
            return
        if isinstance(node, ast.Attribute | ast.Name) and (chain := self._chain(node)):
            self.names.add(chain)
            self._digest.update(f"name {'.'.join(chain)};".encode())
            return
        self._digest.update(type(node).__name__.encode())
        for name, value in ast.iter_fields(node):
            if self._counts(node, name, value):
                self._digest.update(name.encode())
                self.walk(self._stripped(node, name, value))

    @staticmethod
    def _counts(node: ast.AST, name: str, value: Any) -> bool:
        """Whether a field can change a number: no annotation, no context, nothing that is empty or comes with new Pythons."""
        if value is None or value == [] or name in ("annotation", "returns", "type_comment", "ctx", "kind", "type_params"):
            return isinstance(node, ast.Constant) and name == "value"
        return not (isinstance(node, ast.AnnAssign) and name == "simple")

    @staticmethod
    def _stripped(node: ast.AST, name: str, value: Any) -> Any:
        if name == "body" and isinstance(node, _SCOPES) and ast.get_docstring(node, clean=False) is not None:
            return value[1:]
        if name == "decorator_list":
            return [d for d in value if not _is_registration(d)]
        if name in ("exc", "cause") and isinstance(node, ast.Raise) and isinstance(value, ast.Call):
            return value.func
        return value


class _Unannotated(ast.NodeTransformer):
    """`x: T = v` becomes `x = v`, except in a class, where it makes a field."""

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        node.body = [inner if isinstance(inner, ast.AnnAssign) else self.visit(inner) for inner in node.body]
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        return node.value and ast.copy_location(ast.Assign([node.target], node.value), node)


def _is_registration(node: ast.expr) -> bool:
    """`register_solver("name", ...)`, or that applied to something: it names a thing and changes nothing in it."""
    while isinstance(node, ast.Call):
        node = node.func
    last = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return last.startswith("register_")


def _bindings(node: ast.Import | ast.ImportFrom, source: Source) -> dict[str, tuple[str, str]]:
    """What an import binds: local name -> (module, attribute), the attribute "" for a module itself."""
    if isinstance(node, ast.Import):
        return {
            a.asname or a.name.partition(".")[0]: (a.name if a.asname else a.name.partition(".")[0], "") for a in node.names
        }
    module = _origin(node, source)
    return {a.asname or a.name: (module, a.name) for a in node.names if a.name != "*"}


def _origin(node: ast.ImportFrom, source: Source) -> str:
    """The module that names are imported from."""
    base = source.name.split(".")
    base = base[: len(base) - node.level + source.is_package] if node.level else []
    return ".".join([*base, *filter(None, [node.module])])


def _bound(node: ast.stmt) -> list[str]:
    """The names that a top-level statement binds."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AnnAssign | ast.AugAssign):
        targets = [node.target]
    return [n.id for target in targets for n in ast.walk(target) if isinstance(n, ast.Name)]


@cache
def _file(module: str) -> Path | None:
    """The source file of a module, without importing it."""
    loaded = sys.modules.get(module)
    if loaded is not None and getattr(loaded, "__file__", None):
        path = Path(loaded.__file__)  # type: ignore[arg-type]  # a module from a file
        return path if path.suffix == ".py" and path.is_file() else None
    top, _, rest = module.partition(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    if not rest:
        return Path(spec.origin) if spec.origin and spec.origin.endswith(".py") else None
    for folder in spec.submodule_search_locations or ():
        path = Path(folder, *rest.split("."))
        for file in (path.with_suffix(".py"), path / "__init__.py"):
            if file.is_file():
                return file
    return None


@cache
def _source(module: str) -> Source | None:
    """The parsed module; None where there is no source."""
    path = _file(module)
    if path is None:
        return None
    try:
        tree = _Unannotated().visit(ast.parse(path.read_bytes()))
    except (SyntaxError, ValueError):
        return None
    found = Source(module, path.name == "__init__.py")
    _collect(tree.body, found)
    return found


def _collect(body: list[ast.stmt], source: Source) -> None:
    """Sort top-level statements into imports, definitions and effects."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            _collect_import(node, source)
        elif isinstance(node, ast.Expr) and (isinstance(node.value, ast.Constant) or _is_registration(node.value)):
            continue  # a docstring, or `register_solver("name")(Class)`
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        else:
            if hasattr(node, "body") and not isinstance(node, _SCOPES):  # try, if, with, for
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Import | ast.ImportFrom):
                        _collect_import(inner, source)
            names = _bound(node)
            for name in names or ["*"]:
                source.definitions.setdefault(name, []).append(node)
            if any(not _is_registration(d) for d in getattr(node, "decorator_list", ())):
                source.decorated += names


def _collect_import(node: ast.Import | ast.ImportFrom, source: Source) -> None:
    source.imports |= _bindings(node, source)
    if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
        source.stars.append(_origin(node, source))


def _members(nodes: list[ast.stmt]) -> dict[str, list[ast.stmt]]:
    """What the body of a class binds."""
    found: dict[str, list[ast.stmt]] = {}
    for node in (n for owner in nodes if isinstance(owner, ast.ClassDef) for n in owner.body):
        for name in _bound(node):
            found.setdefault(name, []).append(node)
    return found


@cache
def _definition(symbol: Symbol) -> Definition:
    source = _source(symbol.module)
    assert source is not None
    walk = _Walk(source)
    owner, _, method = symbol.name.partition(".")
    nodes: list[ast.stmt] = source.definitions[owner]
    if method:
        nodes = _members(nodes)[method]
    walk.walk(nodes)
    return Definition(walk.digest(), frozenset(walk.names), walk.imports)


def _is_followed(module: str, home: str) -> bool:
    """Whether a name in a file of the package `home` is followed into that module."""
    if any(module == name or module.startswith(f"{name}.") for name in _NOT_FOLLOWED):
        return False
    top = module.partition(".")[0]
    if top in (home, "sdebench"):
        return True
    path = None if top in sys.stdlib_module_names else _file(top) or _file(module)
    return path is not None and not _is_installed(path)


def _is_installed(path: Path) -> bool:
    return "site-packages" in path.parts or path.is_relative_to(sys.base_prefix)


def _lookup(module: str, name: str, home: str, seen: frozenset[tuple[str, str]] = frozenset()) -> Iterator[Symbol]:
    """The definitions that `module.name` means: its own, one that it imports, or a module below it, whole."""
    if (module, name) in seen or not _is_followed(module, home) or (source := _source(module)) is None:
        return
    if name in source.definitions:
        yield Symbol(module, name)
    elif name in source.imports:
        yield from _imported(*source.imports[name], (), home, seen | {(module, name)})
    elif module == "sdebench":
        where = importlib.import_module(module)._WHERE.get(name)
        if where:
            yield from _imported(where, name if where.rpartition(".")[2] != name else "", (), home, seen | {(module, name)})
    elif _file(f"{module}.{name}"):
        yield from _whole(f"{module}.{name}", home)
    else:
        for star in source.stars:
            yield from _lookup(star, name, home, seen | {(module, name)})


def _whole(module: str, home: str) -> Iterator[Symbol]:
    """Every definition of a module; of the suite's root none, whose names are followed where they are used."""
    source = _source(module) if _is_followed(module, home) and module != "sdebench" else None
    yield from (Symbol(module, name) for name in (source.definitions if source else ()))


def _imported(module: str, attribute: str, rest: tuple[str, ...], home: str, seen=frozenset()) -> Iterator[Symbol]:
    """The definitions that a bound name followed by `.rest` means."""
    if attribute and _file(f"{module}.{attribute}") and not _defines(module, attribute):
        module, attribute = f"{module}.{attribute}", ""
    if attribute:
        yield from list(_lookup(module, attribute, home, seen)) or _whole(module, home)  # a name that is made at run time
        return
    while rest and _file(f"{module}.{rest[0]}") and not _defines(module, rest[0]):
        module, rest = f"{module}.{rest[0]}", rest[1:]
    yield from _lookup(module, rest[0], home, seen) if rest else _whole(module, home)


def _defines(module: str, name: str) -> bool:
    source = _source(module)
    return source is not None and (name in source.definitions or name in source.imports)


@cache
def _uses(symbol: Symbol) -> tuple[tuple[str, Symbol], ...]:
    """(the name as it is written, the definition that it means) for all that a definition uses."""
    source, definition, home = _source(symbol.module), _definition(symbol), symbol.module.partition(".")[0]
    assert source is not None
    found: dict[tuple[str, Symbol], None] = {}
    owner = symbol.name.partition(".")[0] if "." in symbol.name else ""
    members = _members(source.definitions[owner]) if owner else {}
    for chain in sorted(definition.names):
        first, rest = chain[0], chain[1:]
        if first == "self" and rest and rest[0] in members and (own := Symbol(symbol.module, f"{owner}.{rest[0]}")) != symbol:
            found[".".join(chain[:2]), own] = None
            continue
        if first == "":
            targets = _lookup(chain[1], chain[2], home)
        elif first in definition.imports or first in source.imports:
            targets = _imported(*(definition.imports.get(first) or source.imports[first]), rest, home)
        elif first in source.definitions:
            targets = iter([Symbol(symbol.module, first)])
        else:
            targets = (target for star in source.stars for target in _lookup(star, first, home))
        found |= {(first, target): None for target in targets if target != symbol}
    tables = [name for name in source.decorated if name in _handed_over(symbol.module)]
    effects = ["*"] if "*" in source.definitions else []
    found |= {("", Symbol(symbol.module, name)): None for name in (*effects, *tables) if symbol.name != name}
    return tuple(found)


@cache
def _handed_over(module: str) -> frozenset[str]:
    """The definitions whose decorator is an object of the package's own, which may keep them in a table."""
    source, found = _source(module), set()
    assert source is not None
    home = module.partition(".")[0]
    for name in source.decorated:
        for node in source.definitions[name]:
            for decorator in getattr(node, "decorator_list", ()):
                inner = decorator.func if isinstance(decorator, ast.Call) else decorator
                chain = _Walk(source)._chain(inner)
                if chain and not _is_registration(decorator) and _is_table(chain, source, home):
                    found.add(name)
    return frozenset(found)


def _is_table(chain: tuple[str, ...], source: Source, home: str) -> bool:
    """Whether a decorator is a method of an object of the package: `TABLE.add`.  A function or a class of it is not."""
    return len(chain) > 1 and (chain[0] in source.definitions or _is_followed(source.imports.get(chain[0], ("", ""))[0], home))


@cache
def closure(root: Symbol) -> frozenset[Symbol]:
    """All definitions that a root uses, itself among them."""
    found, waiting = {root}, [root]
    while waiting:
        for _, target in _uses(waiting.pop()):
            if target not in found:
                found.add(target)
                waiting.append(target)
    return frozenset(found)


@cache
def _digest_of(root: Symbol) -> str:
    """One digest of a root's closure: of each definition's tree, and of what its names mean.  No path is in it."""
    lines = sorted(_line(symbol) for symbol in closure(root))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


@cache
def _line(symbol: Symbol) -> str:
    means = sorted(f"{name}={_definition(target).digest}" for name, target in _uses(symbol))
    return f"{symbol.name} {_definition(symbol).digest} {' '.join(means)}"


def symbol_of(thing: Any) -> Symbol | None:
    """The definition of a class or a function, or of the class of an object; None for one without a source file.

    Of what a function makes inside, that function.
    """
    thing = inspect.unwrap(thing) if callable(thing) and not isinstance(thing, type) else thing
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    module, qualname = getattr(named, "__module__", ""), named.__qualname__.partition(".<locals>")[0]
    source = _source(module)
    if source is None or qualname.partition(".")[0] not in source.definitions or qualname.count(".") > 1:
        return None
    return Symbol(module, qualname)


def roots_of(thing: Any) -> tuple[set[Symbol], str]:
    """(the definitions that make a thing, its parameters as text): of a dataclass, those of its fields too."""
    if isinstance(thing, partial):
        found, text = roots_of(thing.func)
        given = [_part(value) for value in (*thing.args, *thing.keywords.values())]
        return found.union(*(part[0] for part in given)), f"{text}({', '.join(part[1] for part in given)})"
    found, text = set(), getattr(thing, "__name__", type(thing).__name__)
    symbol = symbol_of(thing)
    if symbol is not None:
        found.add(symbol)
    if is_dataclass(thing) and not isinstance(thing, type):
        parts = []
        for key in fields(thing):
            inner, shown = _part(getattr(thing, key.name))
            found |= inner
            parts.append(f"{key.name}={shown}")
        text = f"{type(thing).__name__}({', '.join(parts)})"
    return found, text


def _part(value: Any) -> tuple[set[Symbol], str]:
    """The same of the value of a field, or of an argument: a dataclass, a function, a class, a tuple of these, or data."""
    if isinstance(value, tuple) and type(value) is tuple:
        pairs = [_part(item) for item in value]
        return set().union(*(p[0] for p in pairs)), f"({', '.join(p[1] for p in pairs)})"
    is_code = is_dataclass(value) or inspect.isroutine(value) or isinstance(value, type | partial)
    return roots_of(value) if is_code else (set(), repr(value))


class Code(NamedTuple):
    """The code of a case: its hash, and root -> digest of its closure, from which the hash is made."""

    hash: str
    roots: tuple[tuple[Symbol, str], ...]


def code_of(things: Iterable[Any], texts: Iterable[str] = ()) -> Code:
    """The code of what is measured by these things; `texts` count as well (presets, the SHA-256 of weights)."""
    symbols: set[Symbol] = set()
    shown = list(texts)
    for thing in things:
        found, text = roots_of(thing)
        symbols |= found
        shown.append(text)
    roots = tuple(sorted((symbol, _digest_of(symbol)) for symbol in symbols))
    raw = "\n".join([*sorted({digest for _, digest in roots}), *sorted(shown)])
    return Code(hashlib.sha256(raw.encode()).hexdigest()[:16], roots)


def definitions(root: Symbol) -> dict[str, str]:
    """Definition -> digest over a root's closure: what `--why` compares."""
    return {f"{s.module}.{s.name}": _definition(s).digest for s in closure(root)}


def forget() -> None:
    """Read the files anew: they may have changed."""
    for kept in (_file, _source, _definition, _uses, _handed_over, closure, _digest_of, _line):
        kept.cache_clear()
