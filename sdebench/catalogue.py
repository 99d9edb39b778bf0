"""The look-ups over everything that is registered: importing this module registers what the suite ships."""

from . import external, problems, solvers  # noqa: F401  registration is the effect
from .registry import PROBLEMS, SOLVERS, register_problem, register_solver

__all__ = ["get_problem", "get_solver", "list_problems", "list_solvers", "register_problem", "register_solver"]


def get_solver(spec: str):
    """The solver or sampler of a spec string, `name[key=value,...]` or `package.module:Class`."""
    return SOLVERS.get(spec)


def list_solvers() -> tuple[str, ...]:
    """All solver names."""
    return SOLVERS.names()


def get_problem(spec: str):
    """The problem of a spec string, such as `mixture-2d`."""
    return PROBLEMS.get(spec)


def list_problems() -> tuple[str, ...]:
    """All problem names."""
    return PROBLEMS.names()
