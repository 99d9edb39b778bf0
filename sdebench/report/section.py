"""A section of the report: what a study says of its records, as a list of blocks.

A study makes its section from its records; the page, the README, the tables and the figures on disk are all made from the
blocks, so whatever a section holds is everywhere.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from matplotlib.figure import Figure

from sdebench.report.table import Table

Layout = Literal["wide", "pair", "sheet"]


@dataclass(frozen=True)
class Heading:
    """A heading within a section; `anchor` is the id that links name."""

    text: str
    anchor: str = ""
    level: int = 3


@dataclass(frozen=True)
class Text:
    """A paragraph.  `lead` sets it larger: what a reader should know first."""

    text: str
    lead: bool = False


@dataclass(frozen=True)
class Details:
    """Rows that open under a row of a table: headings, and row id -> lines.  The id of a row is `solver|problem|dtype`."""

    headings: tuple[str, ...]
    lines: Mapping[str, Sequence[Sequence[str]]]


@dataclass(frozen=True)
class Tile:
    """A count with its words, that filters the table below by a verdict; no verdict shows all."""

    count: int
    label: str
    verdict: str = ""


@dataclass(frozen=True)
class TableBlock:
    """A table on the page.

    `show` is "open", "folded" (behind a summary) or "file" (a link to the CSV: rows for programs, by the thousand).
    With `details` its rows open, and it has a search field and `tiles`.  `brief` are the columns told on telephones,
    `terminal` those that a terminal shows after a run.
    """

    table: Table
    show: Literal["open", "folded", "file"] = "open"
    in_readme: bool = False
    details: Details | None = None
    tiles: tuple[Tile, ...] = ()
    brief: tuple[str, ...] = ()
    terminal: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """A figure: file stem, caption, and what draws it when it is wanted."""

    name: str
    caption: str
    draw: Callable[[], Figure]
    layout: Layout = "wide"


@dataclass(frozen=True)
class Page:
    """A Markdown file of its own, which the section links."""

    name: str
    title: str
    markdown: str


Block = Heading | Text | TableBlock | Drawing | Page


@dataclass(frozen=True)
class Section:
    """A study's part of the report: its name (an id for links), its title, and its blocks in the order of reading."""

    name: str
    title: str
    blocks: tuple[Block, ...]

    def tables(self) -> Iterator[Table]:
        """Its tables that have rows."""
        return (block.table for block in self.blocks if isinstance(block, TableBlock) and len(block.table.frame))

    def drawings(self) -> Iterator[Drawing]:
        """Its figures."""
        return (block for block in self.blocks if isinstance(block, Drawing))
