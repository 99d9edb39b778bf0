"""The section of the audit."""

from sdebench.records import Record
from sdebench.report.section import Block, Heading, Section, TableBlock, Text
from sdebench.report.table import Table
from sdebench.studies.audit.certificate import faults_of
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
        blocks.append(TableBlock(release_table(released), show="folded"))
    return Section("audit", "Other people's samplers", tuple(blocks))


def _blocks(records: list[Record]) -> list[Block]:
    frame = certificates(records)
    wrong = sum(bool(faults_of(record)) for record in records)
    lead = (
        f"{len(records)} configurations of other people's samplers were run as they are, on exact problems: {wrong} have a "
        f"fault that no setting of a user explains. A row can be repeated by the command beside it."
    )
    packages = sorted(filter(None, dict.fromkeys(frame["package"])))
    return [
        Text(lead, lead=True),
        *(block for package in packages for block in _faults(fault_table(records, package), package)),
        Heading("Certificates"),
        *(TableBlock(certificate_table(frame, package), show="folded") for package in packages),
        TableBlock(price_table(records), show="folded"),
    ]


def _faults(table: Table, package: str) -> tuple[Block, ...]:
    """The faults of a package under its name; nothing where it has none."""
    return (Heading(f"Faults: {package}"), TableBlock(table, in_readme=True)) if len(table.frame) else ()
