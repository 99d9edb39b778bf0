"""What a change of code costs: which cases would be measured again and why, and keeping records whose numbers cannot change."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sdebench._support.errors import UsageError
from sdebench.engine.code import changes, read_manifest, write_manifest
from sdebench.engine.runner import Planned, held, plan
from sdebench.engine.suite import Task
from sdebench.records import Record, Writer, canonical, read


@dataclass(frozen=True)
class Voided:
    """A case that would be measured again: its label, the record made by other code, if any, and what changed in the code.

    `changed` is None where the results file does not keep what its code was; `lost` says what is wrong with the arrays of a
    record whose code is the same.
    """

    planned: Planned
    earlier: Record | None
    changed: tuple[str, ...] | None
    lost: str = ""

    @property
    def why(self) -> str:
        """The reason in a line."""
        if self.earlier is None:
            return "never measured"
        if self.lost:
            return f"its arrays {self.lost}"
        if self.changed is None:
            return f"measured by code {self.earlier.code}, of which no list of definitions is kept"
        return "; ".join(self.changed) or "a preset or a setting of the code changed"


def voided(tasks: Iterable[Task], path: Path) -> list[Voided]:
    """The cases that `run` would measure, each with its reason."""
    every = plan(tasks)
    records = read(path) if path.exists() else []
    there, lost = held(records, every)
    last = {canonical(record.case): record for record in records}
    manifest, found = read_manifest(path), []
    for key, planned in every.items():
        if key not in there:
            earlier = last.get(canonical(planned.task.json))
            differ = changes(manifest, earlier.code, planned.code) if earlier else None
            found.append(Voided(planned, earlier, None if differ is None else tuple(differ), lost.get(key, "")))
    return found


@dataclass
class Accepted:
    """What `accept` did: how many records were kept under a new key, and which solvers were refused, with the reason."""

    kept: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    left: int = 0  # cases that have no record to keep


def accept(tasks: Iterable[Task], path: Path, reason: str, moved: Callable[[Sequence[str]], dict[str, str]]) -> Accepted:
    """Give the records of cases whose code changed the key of the code as it is, and keep old keys and the reason in them.

    `moved` takes solver names and says of each that must not be kept, why: those whose figures the gate finds moved.
    Raises UsageError for an empty reason.
    """
    if not reason.strip():
        raise UsageError("no reason given: say in a few words why the change cannot change a number")
    found = voided(tasks, path)
    old = [v for v in found if v.earlier is not None and not v.lost]
    solvers = sorted({v.planned.task.json["solver"] for v in old if "solver" in v.planned.task.json})
    done = Accepted(refused=moved(solvers) if solvers else {}, left=len(found) - len(old))
    kept = [v for v in old if v.planned.task.json.get("solver") not in done.refused]
    if kept:
        with Writer(path) as writer:
            done.kept = writer.rekey({v.earlier.key: v.planned.code.hash for v in kept if v.earlier}, reason)
            write_manifest(path, [v.planned.code for v in kept], {r.code for r in writer.records})
    return done
