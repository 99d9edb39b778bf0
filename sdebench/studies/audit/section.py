"""The section of the audit."""

from sdebench.records import Record
from sdebench.report.section import Section


def make_section(records: list[Record]) -> Section | None:
    """The certificates and the faults."""
    return None
