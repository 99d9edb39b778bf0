"""The seed, statement by statement: every formula of the slides as printed and as it should be.

One record a statement.  Its texts are in the context, so that a report reads records and nothing else; the verdict is derived
when it is read.
"""

from sdebench._support.errors import UsageError
from sdebench.survey import STATEMENTS, get

KEYS = frozenset({"statements"})


def cases(settings: dict) -> list[dict]:
    """The cases of a `[[study]]` table: every statement, or those named in `statements`."""
    keys = settings.get("statements", list(STATEMENTS))
    if not isinstance(keys, list) or not keys:
        raise UsageError(f"statements is {keys!r}: give a list of keys, or leave it out for all")
    return [{"study": "seed", "kind": "statement", "statement": get(key).key} for key in keys]


def measure(case: dict) -> dict:
    """Evaluate one statement; returns its `context`, `claims` and `data` for the record."""
    statement = get(case["statement"])
    context = statement.texts() | {"place": list(STATEMENTS).index(statement.key)}
    return {"context": context, "claims": {}, "data": statement.check()._asdict()}
