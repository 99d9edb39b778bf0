"""Cases of a study as its `[[study]]` table makes them, and their records, measured in this process."""

from typing import Any

from sdebench.engine.suite import Task, expand
from sdebench.records import Record, make_record


def cases_of(study: str, **settings: Any) -> list[Any]:
    """The typed cases of a table."""
    return [task.case for task in expand({"study": study, **settings})]


def record_of(task: Task) -> Record:
    """The record of a case that is measured now."""
    found = task.study.measure(task.case)
    return make_record(task.json, "abc", "ok", "", found.context, found.claims, found.data)


def records_of(study: str, **settings: Any) -> list[Record]:
    """The records of all cases of a table."""
    return [record_of(task) for task in expand({"study": study, **settings})]
