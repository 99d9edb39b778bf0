"""Everything a report consists of, written so that a reader never sees half a file.

Sections come from the studies that the records name; nothing here knows one of them.
"""

import re
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from sdebench._support import escape
from sdebench._support.errors import STRANGERS, UsageError, cut, describe
from sdebench._support.files import check_own, head, write_atomic
from sdebench._support.registry import STUDIES
from sdebench.records import Record
from sdebench.report import emit
from sdebench.report.facts import prepare_records
from sdebench.report.page import html
from sdebench.report.section import Drawing, Heading, Page, Section, TableBlock, Text
from sdebench.report.style import render
from sdebench.report.table import Column, Table

TITLE = "Samplers of diffusion models, measured"
_HEAD = f"# {TITLE}\n\nMade by `sdebench report`."  # of the README, by which it is told
_TRIES = 400  # reports of a part of the records that are tried, at most, to find those that cannot be shown


class Odd(NamedTuple):
    """A record that cannot be shown, and why."""

    record: Record
    why: str


def sort_out(
    records: list[Record], show: Callable[[list[Record]], Any] = lambda some: _texts(make_sections(some))
) -> tuple[list[Record], list[Odd]]:
    """(the records that can be shown, the others): those with which `show` raises, in halves until each is found.

    One record with a text where a number belongs costs its row, and not the page.  Records that can be shown alone, and not
    together, are all left out, and so are those that are left when too many were tried.
    """
    left = _TRIES
    if not records:
        return [], []

    def find(some: list[Record]) -> list[Odd]:
        nonlocal left
        left -= 1
        try:
            show(some)
        except STRANGERS as error:
            if len(some) == 1 or left <= 0:
                return [Odd(record, describe(error)) for record in some]
            middle = len(some) // 2
            return [*find(some[:middle]), *find(some[middle:])]
        return []

    odd = find(records)
    lost = {id(one.record) for one in odd}
    kept = [record for record in records if id(record) not in lost]
    if odd and kept:
        try:
            show(kept)
        except STRANGERS as error:
            kept, odd = [], odd + [Odd(record, describe(error)) for record in kept]
    return kept, odd


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
        | {"problem": r.case.get("problem", r.case.get("model", "")), "study": r.study, "message": cut(r.message, 500)}
        for r in records
        if not r.is_ok
    ]
    frame = pd.DataFrame(rows, columns=[*keys, "message"])
    headings = ("Solver", "Problem", "Study", "Kind", "Grid", "dtype", "Message")
    caption = "Cases that raised an error or left the finite numbers."
    return Table("failures", "Failed cases", caption, frame, tuple(map(Column, headings, frame.columns)))


def _of_odd(odd: list[Odd]) -> list[Section]:
    """Which records are not shown, and why."""
    if not odd:
        return []
    rows = [{"case": _label(one.record), "key": cut(one.record.key, 60), "why": one.why} for one in odd]
    columns = (Column("Case", "case"), Column("Key", "key"), Column("Why", "why"))
    caption = "Records that hold something else than their study writes; nothing of them is counted."
    table = Table("odd", "Records that cannot be shown", caption, pd.DataFrame(rows), columns)
    return [Section("odd", "Records that cannot be shown", (TableBlock(table, in_readme=True),))]


def _label(record: Record) -> str:
    words = (record.study, *(record.case.get(name) for name in ("kind", "solver", "problem", "model", "grid")))
    return cut(" ".join(str(word) for word in words if word))


def _failures(records: list[Record]) -> list[Section]:
    table = failure_table(records)
    return [Section("failures", "Failures", (TableBlock(table, in_readme=True),))] if len(table.frame) else []


def readme(sections: Iterable[Section]) -> str:
    """The report as a code host shows it: texts, the tables that are short enough, figures, and links to the other pages."""
    parts = [f"{_HEAD}  `index.html` is the same, with tables to sort; `tables/` has them as CSV."]
    for section in sections:
        parts.append(f"## {escape.markdown(section.title)}")
        for block in section.blocks:
            parts += _in_markdown(block)
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _in_markdown(block: object) -> list[str]:
    match block:
        case Text(text=text):
            return [escape.markdown(text)]
        case Heading(text=text, level=level):
            return [f"{'#' * level} {escape.markdown(text)}"]
        case Drawing(name=name, caption=caption):
            shown = escape.markdown(caption)
            return [f"![{shown}](figures/{name}.svg)", shown]
        case Page(name=name, title=title):
            return [f"[{escape.markdown(title)}]({name}.md)"]
        case TableBlock(table=table, in_readme=True, show=show) if len(table.frame):
            title = [f"**{escape.markdown(table.title)}**"] if show == "folded" else []  # type: ignore[assignment]  # others stand under a heading of their own
            return [*title, escape.markdown(table.caption), emit.markdown(table)]
        case TableBlock(table=table) if len(table.frame):
            return [f"[{escape.markdown(table.title)}](tables/{table.name}.csv)"]
    return []


def build(records: Iterable[Record], out_dir: str | Path, single_file: bool = False) -> list[Path]:
    """Write index.html, README.md, tables/*.csv, figures/*.svg and the sections' own pages under `out_dir`; returns the paths.

    With `single_file` write index.html alone, with all figures inside.  Records that cannot be shown are named on the page, in
    a warning, and nowhere else.  Raises UsageError where there are no records, and, before anything is written, where a file
    that no report wrote would be replaced.
    """
    kept, out = list(records), Path(out_dir)
    prepare_records(kept)  # refuses none
    _check_files(out, ["index.html", *([] if single_file else ["README.md"])])
    odd: list[Odd] = []
    try:
        files = _files(kept, odd, single_file)
    except UsageError:
        raise
    except STRANGERS:
        kept, odd = sort_out(kept)
        kept, more = sort_out(kept, lambda some: _files(some, [], single_file))
        odd += more
        if not kept:
            why = f"{_label(odd[0].record)}: {odd[0].why}"
            raise UsageError(f"no record can be shown ({why}): give results that 'sdebench run' wrote") from None
        files = _files(kept, odd, single_file)
        first = f"{_label(odd[0].record)}: {odd[0].why}"
        warnings.warn(f"{len(odd)} record(s) cannot be shown ({first}); the page names them", stacklevel=2)
    _check_files(out, files)
    return [write_atomic(out / name, content) for name, content in files.items()]


def _texts(sections: list[Section]) -> list[str]:
    """What a report says without figures, to see that it can be said."""
    return [readme(sections), *(emit.csv(table) for section in sections for table in section.tables() if emit.cells(table))]


def _files(records: list[Record], odd: list[Odd], single_file: bool) -> dict[str, str]:
    """Name -> content of every file of the report."""
    sections = [*make_sections(records), *_of_odd(odd)]
    drawings = {drawing.name: render(drawing.draw, drawing.name) for section in sections for drawing in section.drawings()}
    files: dict[str, str] = {"index.html": html(TITLE, records, sections, drawings, single_file)}
    if not single_file:
        files["README.md"] = readme(sections)
        files |= {f"figures/{name}.svg": svg for name, svg in drawings.items()}
        files |= {f"tables/{table.name}.csv": emit.csv(table) for section in sections for table in section.tables()}
        files |= {f"{b.name}.md": b.markdown for section in sections for b in section.blocks if isinstance(b, Page)}
    return files


def _is_linked(name: str, page: bytes, content: bytes) -> bool:
    """Whether a page links a file, whatever is in it."""
    return f'"{name}"'.encode() in page


def _check_files(out: Path, names: Iterable[str]) -> None:
    """Raise UsageError unless each file stays inside of the report's folder, and is free or of a report.

    A page and a README of ours say so; every other file is ours where the page that is there links it.
    """
    page = head(out / "index.html") if (out / "index.html").is_file() else b""
    page = page if b"<title>sdebench: " in page else b""
    for name in names:
        if not re.fullmatch(r"(tables/|figures/)?\w[\w.+-]{,200}", name):
            raise UsageError(
                f"{cut(name)} cannot be a file of a report: give its section names of letters, digits, '-' and '_'"
            )
        if name == "index.html":
            check_own(out / name, lambda content: bool(page), "a page of a report")
        elif name == "README.md":
            check_own(out / name, lambda content: content.startswith(_HEAD.encode()), "a README of a report")
        else:
            check_own(out / name, partial(_is_linked, name, page), "a file of this report")
