"""Everything a report consists of, written so that a reader never sees half a file.

Sections come from the studies that the records name; nothing here knows one of them.
"""

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from sdebench._support.files import write_atomic
from sdebench._support.registry import STUDIES
from sdebench.records import Record
from sdebench.report import emit
from sdebench.report.facts import prepare_records
from sdebench.report.page import html
from sdebench.report.section import Drawing, Heading, Page, Section, TableBlock, Text
from sdebench.report.style import render
from sdebench.report.table import Column, Table

TITLE = "Samplers of diffusion models, measured"


def make_sections(records: Iterable[Record]) -> list[Section]:
    """The sections of a report, in the order in which studies are listed; records of other studies are told at the end.

    Raises UsageError where there are no records.
    """
    kept = prepare_records(records)
    by_study: dict[str, list[Record]] = {}
    for record in kept:
        by_study.setdefault(record.study, []).append(record)
    names = STUDIES.names()
    made = [STUDIES.get(name).section(by_study[name]) for name in names if name in by_study]
    strangers = {name: found for name, found in by_study.items() if name not in names}
    return [*filter(None, made), *_of_strangers(strangers), *_failures(kept)]


def _of_strangers(found: dict[str, list[Record]]) -> list[Section]:
    """What is said of records whose study is not installed here."""
    if not found:
        return []
    told = (f"{len(records)} record(s) of the study '{name}', which is not installed." for name, records in found.items())
    return [Section("others", "Studies that are not installed", tuple(map(Text, told)))]


def failure_table(records: Iterable[Record]) -> Table:
    """The failed records: which case, and what it said."""
    keys = ("solver", "problem", "study", "kind", "grid", "dtype")
    rows = [
        {k: r.case.get(k, "") for k in keys}
        | {"problem": r.case.get("problem", r.case.get("model", "")), "study": r.study, "message": r.message}
        for r in records
        if not r.is_ok
    ]
    frame = pd.DataFrame(rows, columns=[*keys, "message"])
    headings = ("Solver", "Problem", "Study", "Kind", "Grid", "dtype", "Message")
    caption = "Cases that raised an error or left the finite numbers."
    return Table("failures", "Failed cases", caption, frame, tuple(map(Column, headings, frame.columns)))


def _failures(records: list[Record]) -> list[Section]:
    table = failure_table(records)
    return [Section("failures", "Failures", (TableBlock(table, in_readme=True),))] if len(table.frame) else []


def readme(sections: Iterable[Section]) -> str:
    """The report as a code host shows it: texts, the tables that are short enough, figures, and links to the other pages."""
    parts = [
        f"# {TITLE}",
        "Made by `sdebench report`.  `index.html` is the same, with tables to sort; `tables/` has them as CSV.",
    ]
    for section in sections:
        parts.append(f"## {section.title}")
        for block in section.blocks:
            parts += _in_markdown(block)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _in_markdown(block: object) -> list[str]:
    match block:
        case Text(text=text):
            return [text]
        case Heading(text=text, level=level):
            return [f"{'#' * level} {text}"]
        case Drawing(name=name, caption=caption):
            return [f"![{caption}](figures/{name}.svg)", caption]
        case Page(name=name, title=title):
            return [f"[{title}]({name}.md)"]
        case TableBlock(table=table, in_readme=True, show=show) if len(table.frame):
            title = [f"**{table.title}**"] if show == "folded" else []  # type: ignore[assignment]  # others stand under a heading of their own
            return [*title, table.caption, emit.markdown(table)]
        case TableBlock(table=table) if len(table.frame):
            return [f"[{table.title}](tables/{table.name}.csv)"]
    return []


def build(records: Iterable[Record], out_dir: str | Path, single_file: bool = False) -> list[Path]:
    """Write index.html, README.md, tables/*.csv, figures/*.svg and the sections' own pages under `out_dir`; returns the paths.

    With `single_file` write index.html alone, with all figures inside.  Raises UsageError where there are no records.
    """
    kept, out = list(records), Path(out_dir)
    sections = make_sections(kept)
    drawings = {drawing.name: render(drawing.draw(), drawing.name) for section in sections for drawing in section.drawings()}
    files: dict[str, str] = {"index.html": html(TITLE, kept, sections, drawings, single_file)}
    if not single_file:
        files["README.md"] = readme(sections)
        files |= {f"figures/{name}.svg": svg for name, svg in drawings.items()}
        files |= {f"tables/{table.name}.csv": emit.csv(table) for section in sections for table in section.tables()}
        files |= {f"{b.name}.md": b.markdown for section in sections for b in section.blocks if isinstance(b, Page)}
    return [write_atomic(out / name, content) for name, content in files.items()]
