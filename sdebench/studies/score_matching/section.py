"""The section of the score-matching study."""

from functools import partial

from sdebench._support.files import stem
from sdebench.records import Record
from sdebench.report.section import Drawing, Section, TableBlock, Text
from sdebench.studies.score_matching import tables
from sdebench.studies.score_matching.figures import DRAWN

_LEAD = (
    "One small network is taught the score s by each loss, and judged by what only an exact score can tell: how far it is from "
    "that, the Fisher divergence E σ²|s − score|². λ is log(α/σ); a loss is weighted over it by w(t). Lines are means over "
    "seeds, bands reach from the least to the greatest. In one dimension sliced and implicit matching are the same."
)
_SHOWN = (tables.equivalence_table, tables.trace_table, tables.small_noise_table, tables.finite_table)
_RUNS = (tables.training_runs, tables.level_runs, tables.small_noise_runs, tables.finite_runs)


def make_section(records: list[Record]) -> Section:
    """The figures of each problem, then the tables."""
    runs = {table.name: table for table in (make(records) for make in _RUNS)}
    drawings = [
        Drawing(f"{name}-{stem(problem)}", f"{problem}: {caption}.", partial(draw, runs[shown], problem))
        for problem in dict.fromkeys(r.case["problem"] for r in records)
        for name, shown, draw, caption in DRAWN
        if "problem" in runs[shown].frame and problem in set(runs[shown].frame["problem"])
    ]
    training = TableBlock(tables.training_table(records), show="folded", in_readme=True)
    grids = (training, *(TableBlock(make(records), show="folded") for make in _SHOWN))
    files = (TableBlock(table, show="file") for table in runs.values())
    return Section("matching", "Score matching: one objective, many losses", (Text(_LEAD), *drawings, *grids, *files))
