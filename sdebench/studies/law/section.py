"""The section of the law study."""

from functools import partial

from sdebench._support.files import stem
from sdebench.records import Record
from sdebench.report.section import Block, Drawing, Section, TableBlock
from sdebench.studies.law.figures import law
from sdebench.studies.law.tables import law_runs_table, law_table

_TERMINAL = ("solver", "nfe_8", "nfe_16", "nfe_32", "nfe_64")
_CAPTION = (
    "Wasserstein-2 distance of a run's law from the exact one, against network evaluations. Named: the best of either kind "
    "within 32 evaluations; pale: all others."
)


def make_section(records: list[Record]) -> Section:
    """A figure a problem, and the distances within budgets."""
    runs, budgets, blocks = law_runs_table(records), law_table(records), list[Block]()
    for problem in dict.fromkeys(r.case["problem"] for r in records if r.is_ok):
        draw = partial(law, runs, budgets, problem)
        blocks.append(Drawing(f"law-{stem(problem)}", f"{problem}: {_CAPTION}", draw, layout="pair"))
    tables = (TableBlock(budgets, show="file", terminal=_TERMINAL), TableBlock(runs, show="file"))
    return Section("law", "Law against evaluations: ODE and SDE methods", (*blocks, *tables))
