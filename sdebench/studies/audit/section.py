"""The section of the audit: what is wrong on the page, every certificate on a page of its own."""

from sdebench.records import Record
from sdebench.report.emit import markdown
from sdebench.report.section import Block, Heading, Page, Section, TableBlock, Text
from sdebench.report.table import Table
from sdebench.studies.audit.certificate import VERDICTS, faults_of
from sdebench.studies.audit.tables import (
    certificate_table,
    certificates,
    fault_table,
    price_table,
    release_table,
    split_releases,
)


def make_section(records: list[Record]) -> Section:
    """What was run, what was found, and how to repeat it."""
    installed, released = split_releases(records)
    blocks = list[Block]()
    if installed:
        blocks += _blocks(installed)
    if released:
        blocks += [Heading("Over releases"), TableBlock(release_table(released), in_readme=True)]
    return Section("audit", "Other people's samplers", tuple(blocks))


def _blocks(records: list[Record]) -> list[Block]:
    frame = certificates(records)
    wrong = sum(bool(faults_of(record)) for record in records)
    lead = (
        f"{len(records)} configurations of other people's samplers were run as they are, on exact problems: {wrong} have a "
        f"fault that no setting of a user explains. The command beside a row finds it again."
    )
    packages = sorted(filter(None, dict.fromkeys(frame["package"])))
    tables = [certificate_table(frame, package) for package in packages]
    prices = price_table(records)
    return [
        Text(lead, lead=True),
        *(block for package in packages for block in _faults(fault_table(records, package), package)),
        Page("audit", "Every certificate, and what defaults cost", _page([*tables, prices])),
        *(TableBlock(table, show="file") for table in (*tables, prices)),
    ]


def _faults(table: Table, package: str) -> tuple[Block, ...]:
    """The faults of a package under its name; nothing where it has none."""
    return (Heading(f"Faults: {package}"), TableBlock(table, in_readme=True)) if len(table.frame) else ()


def _page(tables: list[Table]) -> str:
    """All certificates, as a page of Markdown."""
    words = "\n".join(f"- `{word}`: {meaning}" for word, meaning in VERDICTS.items())
    parts = [f"## {table.title}\n\n{table.caption}\n\n{markdown(table)}" for table in tables if len(table.frame)]
    return "# Other people's samplers, measured in place\n\nMade by `sdebench report`.\n\n" + words + "\n\n" + "\n".join(parts)
