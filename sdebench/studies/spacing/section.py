"""The section of the spacing study."""

from functools import partial

from sdebench._support.files import stem
from sdebench.records import Record
from sdebench.report.section import Drawing, Section, TableBlock
from sdebench.studies.spacing.figures import steps
from sdebench.studies.spacing.tables import spacing_table

_TEXT = "where the steps lie; beside each grid its error on unseen points."


def make_section(records: list[Record]) -> Section:
    """A figure a problem, and the table."""
    problems = dict.fromkeys(r.case["problem"] for r in records if r.is_ok)
    drawings = (Drawing(f"spacing-{stem(p)}", f"{p}: {_TEXT}", partial(steps, records, p)) for p in problems)
    return Section("spacing", "Where the steps should lie", (*drawings, TableBlock(spacing_table(records), in_readme=True)))
