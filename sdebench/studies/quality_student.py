"""Students: networks distilled from another, whose card names it as their teacher.

A student is no discretisation of a flow of its own: its samples are held against where its TEACHER's converged trajectory ends
from the same noise, and refined they tend to nothing, so that there is no order to read.
"""

from ..catalogue import get_solver
from ..errors import UsageError
from ..solvers.consistency import Consistency
from .quality_run import Place, steps_for


def is_student(at: Place) -> bool:
    """Whether the network's card names a teacher."""
    return "teacher" in at.problem.card


def _named(card: dict) -> object:
    """The teacher that a card names: the first of all, where a teacher that was a student itself is named with its own."""
    its = card["teacher"]
    while isinstance(its, dict) and "teacher" in its:
        its = its["teacher"]
    return its


def about(at: Place) -> dict:
    """What a record of a student's says of it: its teacher, and the runs that it is made for."""
    card = at.problem.card
    return {"teacher": _named(card), "sampled": card.get("sampled", {})} if is_student(at) else {}


def teacher_of(at: Place) -> Place:
    """Where the first of a student's teachers stands; of a network that is none, the network itself.

    Raises UsageError where the teacher is not here, is another than the card's, or has another schedule or span.
    """
    if not is_student(at):
        return at
    mine, card = at.problem, _named(at.problem.card)
    try:
        name, sha256 = str(card["name"]), str(card["sha256"])
    except (TypeError, KeyError):
        raise UsageError(f"network {mine.name!r} has the teacher {card!r} in its card: give its name and sha256") from None
    teacher = at._replace(model=name)
    try:
        its = teacher.problem
    except UsageError as error:
        raise UsageError(f"the teacher of network {mine.name!r} is not here: {error}") from None
    if its.sha256 != sha256:
        raise UsageError(f"network {mine.name!r} had a teacher {name!r} of SHA-256 {sha256[:12]}, and that of this name has "
                         f"{its.sha256[:12]}: give the network that taught it, or train it again")  # fmt: skip
    if (its.schedule, its.span, its.shape) != (mine.schedule, mine.span, mine.shape):
        raise UsageError(f"network {mine.name!r} has another schedule, span or shape than its teacher {name!r}: give their own")
    return teacher_of(teacher)


def unpaired(spec: str, at: Place, grid: str, budget: int) -> str:
    """Why a run has no end that is known for its noise alone; empty where it has one."""
    solver = get_solver(spec)
    if not solver.stochastic:
        return ""
    if not (is_student(at) and isinstance(solver, Consistency)):
        return f"solver {spec!r} draws noise: its states have no exact ones to be compared with"
    if steps_for(solver, at.problem, grid, budget) > 1:
        return f"solver {spec!r} draws noise in its later steps: its error is measured in one step, give the budget 1"
    return ""
