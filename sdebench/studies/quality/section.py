"""The section of the quality study."""

from collections.abc import Iterator
from functools import partial

from sdebench._support.files import stem
from sdebench.records import Record
from sdebench.report.section import Block, Drawing, Heading, Section, TableBlock, Text
from sdebench.report.table import Table
from sdebench.studies.quality import figures
from sdebench.studies.quality.cells import Group, groups
from sdebench.studies.quality.tables import about, make_tables

_LEAD = (
    "Trained networks in the place of exact scores. First the error: how far a solver ends from where the exact trajectory of "
    "the same network ends, from the same noise. It says what a solver does, down to the floor of the number format. Then the "
    "quality: how far the law of the samples is from that of the data, which is the error of the network and the solver's "
    "together."
)
_SHOWN = ("quality-error", "quality", "quality-distilled", "quality-yardsticks", "quality-rank")
_CURVES = (
    (
        "quality-error",
        figures.error_curves,
        "RMS error to the exact trajectory of the network against NFE; full dots are those that the order was read from",
    ),
    (
        "quality",
        figures.quality_curves,
        "distance of the samples from the data, at the same NFE; bars are 95 % intervals, dashes what the data itself shows",
    ),
)


def make_section(records: list[Record]) -> Section | None:
    """A part for each network."""
    found = groups(records)
    if not found:
        return None
    every = make_tables(found)
    blocks: list[Block] = [Text(_LEAD)]
    for group in found:
        blocks += _of_group(group, every)
    files = (TableBlock(table._replace(caption=""), show="file") for table in every.values())  # each network's are above
    return Section("quality", "Sample quality against network evaluations", (*blocks, *files))


def _of_group(group: Group, every: dict[str, Table]) -> Iterator[Block]:
    name = stem(group.label)
    own = {key: table._replace(name=f"{key}-{name}") for key, table in make_tables([group]).items()}
    yield Heading(group.label, f"quality-{name}")
    yield Text(" ".join(about(group, own["quality-rank"].frame)))
    yield from _curves(group, name, every)
    for key in _SHOWN:
        if len(own[key].frame):
            yield Heading(own[key].title, level=4)
            yield TableBlock(own[key], in_readme=True)
    yield TableBlock(own["quality-measures"], show="folded")
    for title, rows in figures.sample_figures(group):
        caption = f"{group.label}, {title}: every column starts from one noise; nothing is selected."
        yield Drawing(f"samples-{name}-{stem(title)}", caption, partial(figures.samples, rows), layout="sheet")


def _curves(group: Group, name: str, every: dict[str, Table]) -> Iterator[Drawing]:
    of = {"quality-error": [*group.errors], "quality": [c.run for c in group.cells]}
    shown = [every[key] for key in ("quality", "quality-error-runs", "quality-rank")]
    grids = dict.fromkeys(run.grid for runs in of.values() for run in runs)
    for grid in grids:
        where = f"{group.label}, grid {grid}" if len(grids) > 1 else group.label
        for kind, draw, caption in (c for c in _CURVES if any(run.grid == grid for run in of[c[0]])):
            more = "; black marks are distilled networks" if kind == "quality" and group.students else ""
            text = f"{where}: {caption}{more}."
            yield Drawing(f"{kind}-{name}-{stem(grid)}", text, partial(draw, *shown, group, grid), layout="pair")
