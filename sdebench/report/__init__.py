"""Records to tables, figures and one page.  Never imports torch: a report can be made where nothing can be measured."""

from .assemble import build, make_tables
from .emit import csv, latex, markdown
from .facts import checked
from .tables import Column, Table

__all__ = ["Column", "Table", "build", "checked", "csv", "latex", "make_tables", "markdown"]
