"""Students: networks that were made for few steps, most of them distilled from another, which their card names as teacher.

A student is no discretisation of a flow of its own: its samples are held against where its TEACHER's converged trajectory ends
from the same noise, and refined they tend to nothing, so that there is no order to read.  Without a teacher nothing is known
of its noise.
"""

import re
from functools import lru_cache

from sdebench._support.errors import UsageError, shown
from sdebench.catalogue import get_solver
from sdebench.networks import shipped_cards
from sdebench.solvers.consistency import Consistency
from sdebench.studies.quality.run import Sampling, steps_for


def is_student(at: Sampling) -> bool:
    """Whether the network's card says by what it is sampled, or names a teacher."""
    return "sampled" in at.problem.card or "teacher" in at.problem.card


def _named(card: dict) -> dict[str, str]:
    """Name, SHA-256 and spec of the teacher in a card, "" for what it does not say: the first of all, where a teacher that was
    a student itself is named with its own."""
    its = card["teacher"]
    while isinstance(its, dict) and "teacher" in its:
        its = its["teacher"]
    return {key: str(its.get(key, "")) if isinstance(its, dict) else "" for key in ("name", "sha256", "spec")}


def about(at: Sampling) -> dict:
    """What a record of a student's says of it: its teacher, and the runs that it is made for."""
    card = at.problem.card
    its = {"teacher": {key: _named(card)[key] for key in ("name", "sha256")}} if "teacher" in card else {}
    return its | {"sampled": card.get("sampled", {})} if is_student(at) else {}


@lru_cache(maxsize=1)
def _shipped() -> dict[str, str]:
    """Names of the networks of the package, by SHA-256."""
    return {card["sha256"]: name for name, card in shipped_cards().items()}


def _found(card: dict[str, str], at: Sampling, whose: str) -> Sampling:
    """Where the network stands that a card names: by its SHA-256 in the package, by its spec, by its name."""
    why = ""
    for spec in filter(None, (_shipped().get(card["sha256"]), card["spec"], card["name"])):
        if re.fullmatch(r"[\w.]+:[\w.]+", spec):
            continue  # a factory would be run: a card is read, and starts nothing
        its = at._replace(model=spec)
        try:
            sha256 = its.problem.sha256
        except UsageError as error:
            why = why or f"the teacher of network {whose!r} is not here: {error}"
            continue
        if sha256 == card["sha256"]:
            return its
        why = (
            f"network {whose!r} had a teacher {shown(spec)} of SHA-256 {card['sha256'][:12]}, and that of this name has "
            f"{sha256[:12]}: give the network that taught it, or train it again"
        )
    raise UsageError(why or f"network {whose!r} does not say in its card what taught it: give the teacher's name and sha256")


def teacher_of(at: Sampling, taught: tuple[str, ...] = ()) -> Sampling:
    """Where the first of a student's teachers stands; of a network that is none, the network itself.

    Raises UsageError where there is no teacher, it is not here, has another schedule, span or shape, or is among those that
    were `taught`, by their SHA-256: a card may say anything.
    """
    if not is_student(at):
        return at
    mine = at.problem
    if "teacher" not in mine.card:
        raise UsageError(
            f"network {mine.name!r} had no teacher, so that nothing says what it should make of its noise: "
            "give other kinds than 'error'"
        )
    card = _named(mine.card)
    if not (card["name"] and card["sha256"]):
        raise UsageError(
            f"network {mine.name!r} has the teacher {shown(mine.card['teacher'])} in its card: give its name and sha256"
        )
    teacher = _found(card, at, mine.name)
    its = teacher.problem
    if (its.schedule, its.span, its.shape) != (mine.schedule, mine.span, mine.shape):
        raise UsageError(
            f"network {mine.name!r} has another schedule, span or shape than its teacher {teacher.model!r}: give their own"
        )
    if its.sha256 in (*taught, mine.sha256):
        raise UsageError(f"network {mine.name!r} is a teacher of its own teachers by its card: give the card that it came with")
    return teacher_of(teacher, (*taught, mine.sha256))


def why_no_error(at: Sampling) -> str:
    """Why a network has no trajectory to be held against; empty where it has one."""
    try:
        teacher_of(at)
    except UsageError as error:
        return str(error)
    return ""


def why_unpaired(spec: str, at: Sampling, grid: str, budget: int) -> str:
    """Why a run has no end that is known for its noise alone; empty where it has one."""
    solver = get_solver(spec)
    if not solver.stochastic:
        return ""
    if not (is_student(at) and isinstance(solver, Consistency)):
        return f"solver {spec!r} draws noise: its states have no exact ones to be compared with"
    if steps_for(solver, at.problem, grid, budget) > 1:
        return f"solver {spec!r} draws noise in its later steps: its error is measured in one step, give the budget 1"
    return ""
