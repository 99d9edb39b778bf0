"""Formulas of the seed broken on purpose: one operator of a check, or of what it calls in its file, changed at a time."""

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

from sdebench.survey import STATEMENTS, dpm, flow, numeric
from sdebench.survey.statement import Chapter, Outcome

_SWAPPED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult}


class _Collected(Chapter):
    """A chapter that keeps its checks to itself."""

    def __init__(self, name: str):
        super().__init__(name)
        self.checks: dict[str, Callable[[], Outcome]] = {}

    def __call__(self, key: str, *args: str, **rest: str) -> Callable:
        def register(check: Callable[[], Outcome]) -> Callable[[], Outcome]:
            self.checks[key] = check
            return check

        return register


def _functions(tree: ast.Module) -> dict[str, ast.FunctionDef]:
    return {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}


def _operators(tree: ast.Module, check: str) -> list[ast.BinOp]:
    """The operations of the check, then of the functions of its file that it uses, nearest first."""
    functions, found, queue, seen = _functions(tree), [], [check], {check}
    while queue:
        body = functions[queue.pop(0)].body
        for node in (n for statement in body for n in ast.walk(statement)):
            if isinstance(node, ast.BinOp) and type(node.op) in _SWAPPED:
                found.append(node)
            elif isinstance(node, ast.Name) and node.id in functions and node.id not in seen:
                seen.add(node.id)
                queue.append(node.id)
    return found


def _run(module: ModuleType, tree: ast.Module, key: str) -> Outcome:
    """The outcome of the check of that key in the changed file."""
    numeric.solved.cache_clear()
    flow.along.cache_clear()
    scope = {"__name__": module.__name__, "__package__": module.__package__}
    code = compile(ast.fix_missing_locations(tree), f"<mutant of {module.__file__}>", "exec")
    kept, module_chapter = sys.modules["sdebench.survey.statement"].Chapter, _Collected
    sys.modules["sdebench.survey.statement"].Chapter = module_chapter
    try:
        exec(code, scope)
    finally:
        sys.modules["sdebench.survey.statement"].Chapter = kept
    return scope["chapter"].checks[key]()


def noticed(found: Outcome | Exception) -> bool:
    """Whether the check does not accept what it measured of the changed formula; an error is no measurement."""
    return isinstance(found, Outcome) and not found.right_error <= found.tolerance


def mutants(key: str) -> Iterator[tuple[str, Outcome | Exception]]:
    """(what was changed, what the check then says) for each operation behind a statement."""
    check = STATEMENTS[key].check
    module = sys.modules[check.__module__]
    source = inspect.getsource(module)
    for n in range(len(_operators(ast.parse(source), check.__name__))):
        tree = ast.parse(source)
        node = _operators(tree, check.__name__)[n]
        before = ast.unparse(node)
        node.op = _SWAPPED[type(node.op)]()
        try:
            yield f"line {node.lineno}: {before} -> {ast.unparse(node)}", _run(module, tree, key)
        except (ArithmeticError, ValueError, RuntimeError, TypeError, IndexError) as error:
            yield f"line {node.lineno}: {before} -> {ast.unparse(node)}", error
        finally:
            numeric.solved.cache_clear()
            flow.along.cache_clear()
            dpm._derivatives.cache_clear()
