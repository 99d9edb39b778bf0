"""The section of the profile study."""

from functools import partial

from sdebench._support.files import stem
from sdebench.records import Record
from sdebench.report.section import Block, Drawing, Heading, Section, TableBlock, Text
from sdebench.studies.profile import figures
from sdebench.studies.profile.tables import profile_runs, profile_table

_LEAD = (
    "The time of one step, taken apart round by round: network is the time inside the model, noise that of drawing normals, "
    "update that of moving and combining vectors, and rest all else: Python, launches of kernels, waiting. A null model "
    "answers at once, so only the solver is left. First runs, which plan, compile and capture, are not in these times. The "
    "times are of the machine that is named under Reproduce and compare only on one machine; bytes moved are counted from "
    "what is executed, not read from a counter of the hardware."
)


def make_section(records: list[Record]) -> Section:
    """The figures of each place, then the tables."""
    table, blocks = profile_table(records), list[Block]([Text(_LEAD)])
    for label in figures.places(table):
        drawings = []
        for name, key, draw, caption in figures.DRAWN:
            shown, others = figures.chosen(table, label, key)
            if shown:
                text = f"{label}: {caption}.{figures.left_out(others)}"
                drawings.append(Drawing(f"profile-{name}-{stem(label)}", text, partial(draw, table, label), layout="pair"))
        blocks += [Heading(label, f"cost-{stem(label)}"), *drawings] if drawings else []
    tables = (TableBlock(table, show="file"), TableBlock(profile_runs(records), show="file"))
    return Section("cost", "What a step costs", (*blocks, *tables))
