"""Records to tables, figures and one page.  Never imports torch: a report can be made where nothing can be measured."""

from sdebench.report.assemble import build, make_tables
from sdebench.report.emit import csv, latex, markdown
from sdebench.report.tables import Column, Table

__all__ = ["Column", "Table", "build", "csv", "latex", "make_tables", "markdown"]
