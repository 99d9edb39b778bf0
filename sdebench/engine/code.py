"""The code of each case, and what changed in it since a record was made.

Beside a results file lies `NAME.code.json`, which says of every code hash in it which definitions it was made of; so a case
that has to be measured again can say which function changed.
"""

import inspect
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sdebench._support.files import write_own
from sdebench._support.reading import DATA, parse_json, read_bytes
from sdebench.engine.suite import Task
from sdebench.records.code import Code, code_of, definitions
from sdebench.studies.base import Study

_FIRST = b'{"definitions":['  # of a manifest


class Codes:
    """Computes codes; cases whose study names the same objects share the work."""

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], Code] = {}
        self._alive: list[Any] = []

    def of(self, task: Task) -> Code:
        """The code of a case."""
        things = (*_measured_by(type(task.study)), *task.study.code(task.case))
        key = tuple(map(id, things))
        if key not in self._known:
            self._known[key] = code_of(things)
            self._alive += things  # an id names a thing while it lives
        return self._known[key]


def _measured_by(study: type[Study]) -> list[Any]:
    """A study's `measure` and the methods of its cases; where classes share `measure` by inheritance, the other ones whole."""
    owner = next(cls for cls in study.__mro__ if "measure" in vars(cls))
    others = [cls for cls in study.__mro__ if cls not in (owner, Study, object)]
    members = [getattr(its, "fget", its) for name, its in vars(study.case).items() if not name.startswith("__")]
    return [study.measure, *others, *filter(inspect.isfunction, members)]


def manifest_path(results: Path) -> Path:
    """Where the definitions behind the codes of a results file are kept."""
    return results.with_suffix(".code.json")


def read_manifest(results: Path) -> dict[str, Any]:
    """The manifest of a results file; an empty one where there is none, or it cannot be read."""
    try:
        found = parse_json(read_bytes(manifest_path(results), DATA))
        codes, roots, lines = found["codes"], found["roots"], found["definitions"]
        whole = all(isinstance(line, str) and " " in line for line in lines)
        whole &= all(type(i) is int and 0 <= i < len(lines) for places in roots.values() for i in places)
        whole &= all(root in roots for named in codes.values() for root in named)
        if whole:
            return {"codes": dict(codes), "roots": dict(roots), "definitions": list(lines)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return {"codes": {}, "roots": {}, "definitions": []}


def write_manifest(results: Path, codes: Iterable[Code], kept: Iterable[str]) -> None:
    """Add codes to the manifest of a results file, and drop what none of the `kept` codes needs."""
    manifest, new = read_manifest(results), {code.hash: code for code in codes}
    if set(new) <= set(manifest["codes"]):
        return
    wanted = {*kept, *new}
    roots = {digest: _expanded(manifest, digest) for digest in manifest["roots"]}
    listed = {code: digests for code, digests in manifest["codes"].items() if code in wanted}
    for code in new.values():
        listed[code.hash] = sorted({digest for _, digest in code.roots})
        for root, digest in code.roots:
            if digest not in roots:
                roots[digest] = [f"{name} {value}" for name, value in sorted(definitions(root).items())]
    used = {digest for digests in listed.values() for digest in digests}
    table = sorted({line for digest in used for line in roots[digest]})
    place = {line: i for i, line in enumerate(table)}
    packed = {digest: [place[line] for line in roots[digest]] for digest in sorted(used)}
    content = {"definitions": table, "roots": packed, "codes": dict(sorted(listed.items()))}
    text = json.dumps(content, separators=(",", ":"))
    write_own(manifest_path(results), text, lambda old: old.startswith(_FIRST), "a list of definitions")


def _expanded(manifest: Mapping[str, Any], root: str) -> list[str]:
    return [manifest["definitions"][i] for i in manifest["roots"][root]]


def definitions_of(manifest: Mapping[str, Any], code: str) -> dict[str, str] | None:
    """Definition -> digest of a code; None where the manifest does not have it."""
    if code not in manifest["codes"]:
        return None
    lines = [line for root in manifest["codes"][code] for line in _expanded(manifest, root)]
    return dict(line.rsplit(" ", 1) for line in lines)


def changes(manifest: Mapping[str, Any], old: str, code: Code) -> list[str] | None:
    """What differs between an old code and a new one: "changed NAME", "gone NAME", "new NAME"; None where nothing is kept.

    A definition that only moved, to another module under its old name, is not told.
    """
    before = definitions_of(manifest, old)
    if before is None:
        return None
    now = {name: digest for root, _ in code.roots for name, digest in definitions(root).items()}
    tail = lambda found: {(name.rpartition(".")[2], digest) for name, digest in found.items()}  # noqa: E731
    stayed = tail(before) & tail(now)
    differ = lambda name, digest: (name.rpartition(".")[2], digest) not in stayed  # noqa: E731
    gone = {n for n, d in before.items() if differ(n, d)}
    came = {n for n, d in now.items() if differ(n, d)}
    return [
        *(f"changed {name}" for name in sorted(gone & came)),
        *(f"gone {name}" for name in sorted(gone - came)),
        *(f"new {name}" for name in sorted(came - gone)),
    ]
