"""The section of the ends study."""

from functools import partial

from sdebench._support.files import stem
from sdebench.records import Record
from sdebench.report.facts import DETERMINISTIC, STOCHASTIC
from sdebench.report.section import Block, Drawing, Section, TableBlock
from sdebench.studies.ends.figures import ends
from sdebench.studies.ends.levels import ENDS
from sdebench.studies.ends.tables import ends_frame, ends_tables

_WHAT = {"noise": "the first step, from alpha = 0", "data": "the last step, to sigma = 0"}


def make_section(records: list[Record]) -> Section:
    """Tables of states and of laws, of the first problem on the page and of all in files; a figure an end of the first one."""
    frame, blocks = ends_frame(records), list[Block]()
    deterministic = [r for r in records if r.is_ok and not r.claims.stochastic]
    if deterministic:
        problem = deterministic[0].case["problem"]
        for end in ENDS:
            if any(r.case["end"] == end and r.case["problem"] == problem for r in deterministic):
                draw = partial(ends, deterministic, problem, end)
                blocks.append(Drawing(f"ends-{stem(problem)}-{end}", f"{problem}: {_WHAT[end]}; in grey DDIM's.", draw))
    for sort in (DETERMINISTIC, STOCHASTIC):
        for i, table in enumerate(ends_tables(frame, sort)):
            blocks.append(TableBlock(table, in_readme=sort == DETERMINISTIC and i == 0, show="file" if i else "open"))
    return Section("ends", "The ends: the first step and the last", tuple(blocks))
