"""Records to tables, figures and one page.  Never imports torch: a report can be made where nothing can be measured."""

from sdebench.report.assemble import build, make_sections, sort_out
from sdebench.report.emit import csv, latex, markdown
from sdebench.report.section import Details, Drawing, Heading, Page, Section, TableBlock, Text, Tile
from sdebench.report.table import Column, Table

__all__ = [
    "Column",
    "Details",
    "Drawing",
    "Heading",
    "Page",
    "Section",
    "Table",
    "TableBlock",
    "Text",
    "Tile",
    "build",
    "csv",
    "latex",
    "make_sections",
    "markdown",
    "sort_out",
]
