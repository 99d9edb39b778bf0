"""The section of the floor study."""

from functools import partial

from sdebench._support.files import stem
from sdebench.records import Record
from sdebench.report.section import Drawing, Section, TableBlock
from sdebench.studies.floor.figures import floor
from sdebench.studies.floor.tables import floor_table


def make_section(records: list[Record]) -> Section:
    """A figure a problem, and the table."""
    table = floor_table(records)
    problems = dict.fromkeys(r.case["problem"] for r in records if r.is_ok)
    drawings = (
        Drawing(f"floor-{stem(p)}", f"{p}: error against steps in three number formats.", partial(floor, records, table, p))
        for p in problems
    )
    return Section("floor", "The floor: rounding against truncation", (*drawings, TableBlock(table, in_readme=True)))
