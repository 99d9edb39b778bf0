"""Look-ups by name: each solver and problem is imported when it is asked for, and checked before it is used."""

from collections.abc import Iterable
from typing import Any

from sdebench._support.errors import UsageError, is_number, near_miss, shown
from sdebench._support.registry import PROBLEMS, SOLVERS


def get_solver(spec: str) -> Any:
    """The solver or sampler of a spec string, `name[key=value,...]` or `package.module:Class`.

    Raises UsageError for a name that does not exist, and for a class that cannot be measured.
    """
    from sdebench.integration.solver import check_solver

    made = SOLVERS.get(spec)
    try:
        return check_solver(made)
    except UsageError as error:
        if ":" not in spec:
            raise
        raise UsageError(f"{shown(spec)}: {error}") from None


def list_solvers() -> tuple[str, ...]:
    """All solver names."""
    return SOLVERS.names()


def get_problem(spec: str) -> Any:
    """The problem of a spec string, such as `mixture-2d`.

    Raises UsageError for one that does not exist, and for what has not what a study asks of a problem.
    """
    made = PROBLEMS.get(spec)
    lacks = [name for name in ("law", "schedule", "span", "dim", "model", "initial") if name not in dir(made)]
    if lacks:
        raise UsageError(f"{shown(spec)} makes no problem, it lacks {', '.join(lacks)}: return a sdebench.problems.Problem")
    s, t = made.span if isinstance(made.span, tuple | list) and len(made.span) == 2 else (None, None)
    if not (is_number(s) and is_number(t) and type(made.dim) is int):
        found = f"the span {shown(made.span)} and the dimension {shown(made.dim)}"
        raise UsageError(f"{shown(spec)} makes a problem with {found}: return a sdebench.problems.Problem")
    return made


def list_problems() -> tuple[str, ...]:
    """All problem names."""
    return PROBLEMS.names()


def expand_solvers(specs: Iterable[str]) -> tuple[str, ...]:
    """Spec strings, each once; "all", "deterministic", "stochastic" and "family:NAME" stand for several."""
    found: list[str] = []
    for spec in specs:
        if spec.startswith("family:"):
            found += _family(spec.removeprefix("family:"))
        elif spec == "all":
            found += SOLVERS.names()
        elif spec in ("deterministic", "stochastic"):
            found += [name for name in SOLVERS.names() if get_solver(name).stochastic == (spec == "stochastic")]
        else:
            get_solver(spec)
            found.append(spec)
    return tuple(dict.fromkeys(found))


def _family(name: str) -> list[str]:
    """The registered solvers of one family, by its name in any case."""
    family = {spec: get_solver(spec).family for spec in SOLVERS.names()}
    found = [spec for spec, its in family.items() if its.lower() == name.strip().lower()]
    if not found:
        known = sorted(set(family.values()))
        raise UsageError(f"unknown family {shown(name)}{near_miss(name, known)} (there are: {', '.join(known)})")
    return found


def expand_problems(specs: Iterable[str]) -> tuple[str, ...]:
    """Spec strings of problems, each once; "all" stands for every registered one."""
    found: list[str] = []
    for spec in specs:
        if spec != "all":
            get_problem(spec)
        found += PROBLEMS.names() if spec == "all" else [spec]
    return tuple(dict.fromkeys(found))
