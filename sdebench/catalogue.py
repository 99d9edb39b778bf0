"""Look-ups by name: solvers, problems, grids, studies and metrics.  Each is imported when it is asked for."""

from typing import Any

from sdebench._support.registry import PROBLEMS, SOLVERS


def get_solver(spec: str) -> Any:
    """The solver or sampler of a spec string, `name[key=value,...]` or `package.module:Class`."""
    return SOLVERS.get(spec)


def list_solvers() -> tuple[str, ...]:
    """All solver names."""
    return SOLVERS.names()


def get_problem(spec: str) -> Any:
    """The problem of a spec string, such as `mixture-2d`."""
    return PROBLEMS.get(spec)


def list_problems() -> tuple[str, ...]:
    """All problem names."""
    return PROBLEMS.names()
