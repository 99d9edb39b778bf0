"""The section of the work-precision study."""

from functools import partial

from sdebench._support.files import stem
from sdebench.records import Record
from sdebench.report.section import Block, Drawing, Section, TableBlock
from sdebench.studies.work_precision.figures import work_precision
from sdebench.studies.work_precision.tables import budget_table, runs_table

_TERMINAL = ("solver", "nfe_8", "nfe_16", "nfe_32", "nfe_64")
_AGAINST = {"nfe": "network evaluations", "seconds": "time"}


def make_section(records: list[Record]) -> Section:
    """Errors within budgets; the first problem has a figure against time too."""
    runs, budgets, blocks = runs_table(records), budget_table(records), list[Block]()
    for i, problem in enumerate(dict.fromkeys(r.case["problem"] for r in records if r.is_ok)):
        for against, what in list(_AGAINST.items())[: 2 if i == 0 else 1]:
            draw = partial(work_precision, runs, budgets, problem, against)
            blocks.append(Drawing(f"work-precision-{stem(problem)}-{against}", f"{problem}: error against {what}.", draw))
    tables = (TableBlock(budgets, show="file", terminal=_TERMINAL), TableBlock(runs, show="file"))
    return Section("work", "Work and precision", (*blocks, *tables))
