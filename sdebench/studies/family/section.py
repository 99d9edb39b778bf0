"""The section of the family study."""

from collections.abc import Iterator
from functools import partial

from sdebench._support.files import stem
from sdebench.records import Record
from sdebench.report.section import Block, Drawing, Section, TableBlock, Text
from sdebench.studies.family import figures, tables

_NORMAL = "a normal start is N(0, α² + σ²) in the place of the marginal"
_LEAD = (
    "Run backwards in time, dx = [f x − (g² + η²)/2 · score] dt + η dw has the same marginals for every amount of noise η: 0 "
    "is the probability-flow ODE, g the reverse SDE. The solvers differ, and so does whether an error of the start is kept or "
    "forgotten."
)


def make_section(records: list[Record]) -> Section:
    """The figures of each problem, then the tables."""
    runs, amounts = tables.distance_runs(records), tables.amount_table(records)
    shown = (tables.distance_table(records), tables.fokker_planck_table(records), tables.forward_table(records))
    drawings = (d for problem in _problems(records) for d in _drawings(records, runs, amounts, problem))
    grids: tuple[Block, ...] = (
        TableBlock(amounts, show="folded"),
        *(TableBlock(table, show="folded") for table in shown),
        TableBlock(runs, show="file"),
    )
    return Section("family", "One family, one law: the amount of noise", (Text(_LEAD), *drawings, *grids))


def _problems(records: list[Record]) -> list[str]:
    return list(dict.fromkeys(r.case["problem"] for r in records if "problem" in r.case))


def _drawings(records: list[Record], runs, amounts, problem: str) -> Iterator[Drawing]:
    name, back = stem(problem), tables.of_kind(records, "paths")
    if any(r.case["problem"] == problem for r in back):
        caption = f"{problem}: paths to noise and back, over the exact density; coloured by their place in the data."
        yield Drawing(f"paths-{name}", caption, partial(figures.paths, back, problem))
    if "problem" in runs.frame and problem in set(runs.frame["problem"]):
        caption = f"{problem}: distance of Euler-Maruyama's law from the exact marginal over time, by noise; {_NORMAL}."
        yield Drawing(f"family-distance-{name}", caption, partial(figures.over_time, runs, problem))
    if "problem" in amounts.frame and problem in set(amounts.frame["problem"]):
        caption = f"{problem}: distance of laws at the end of the span against noise, at equal NFE; {_NORMAL}."
        yield Drawing(f"family-amount-{name}", caption, partial(figures.amount, amounts, problem))
