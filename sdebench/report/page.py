"""The page: sections with tables to sort and figures, and what made the records."""

import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from math import isnan
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from sdebench.records import Record
from sdebench.report import emit
from sdebench.report.section import Block, Drawing, Section, TableBlock
from sdebench.report.table import Table


def provenance(records: list[Record]) -> list[tuple[str, str]]:
    """What made the records: code, versions, machines, dates; several of one kind are all named."""
    codes = {r.code for r in records}
    versions = sorted({f"{k} {v}" for r in records for k, v in r.versions.items() if v})
    machines, dates = sorted({r.machine for r in records}), sorted(r.made for r in records)
    return [
        ("Records", f"{len(records)}, of the studies {', '.join(sorted({r.study for r in records}))}"),
        ("Code", f"{len(codes)} closures; the hash of each is in its records"),
        ("Libraries", ", ".join(versions)),
        ("Machine", "; ".join(machines)),
        ("Measured", dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"),
    ]


def _brief(row: dict[str, Any], keys: tuple[str, ...]) -> list[str]:
    """The claim and the measured orders, a few words each, for telephones, where their columns are out of sight."""
    shown = [key for key in keys if key in row and not isnan(row[key])]
    orders = [f"{key} {row[key]:.2f}".replace("-", "−") for key in shown]
    return [f"claims {row['claimed']:g}", *orders] if keys else []


def _key(cell: emit.TableCell) -> str:
    """What a number sorts by, to six digits; nothing where its text says so."""
    key = f"{cell.sort:.6g}" if isinstance(cell.sort, float) else cell.sort
    return "" if key in ("", cell.text) else key


def _rows(grid: TableBlock) -> list[dict[str, Any]]:
    """The rows of a table as the template wants them: cells, and what the filters look at."""
    frame = grid.table.frame.to_dict("records")
    return [
        {
            "cells": cells,
            "verdict": row["verdict"] if isinstance(row.get("verdict"), str) else "",
            "brief": _brief(row, grid.brief),
            "problem": row.get("problem", ""),
            "id": row_id(row),
        }
        for row, cells in zip(frame, emit.cells(grid.table))
    ]


def row_id(row: Mapping[str, Any]) -> str:
    """The id of a row whose details open."""
    return f"{row.get('solver')}|{row.get('problem')}|{row.get('dtype')}"


def _problems(table: Table) -> list[str]:
    return list(dict.fromkeys(table.frame["problem"])) if "problem" in table.frame else []


def _together(blocks: Iterable[Block]) -> list[tuple[str, list[Block]]]:
    """(layout, blocks): neighbouring figures of one layout stand side by side; "" for everything else."""
    keyed = groupby(blocks, lambda block: block.layout if isinstance(block, Drawing) else "")
    return [(layout, list(group)) for layout, group in keyed]


def _size(svg: str) -> tuple[int, int]:
    """Width and height of a drawing in pixels, so that a page has its places before the figures have come."""
    width, height = re.findall(r' (?:width|height)="([\d.]+)pt"', svg[: svg.index(">")])
    return round(float(width) * 4 / 3), round(float(height) * 4 / 3)


def html(
    title: str, records: list[Record], sections: list[Section], drawings: Mapping[str, str], single_file: bool = False
) -> str:
    """The whole page as one string.  `drawings` are all figures, name -> SVG: the page links `figures/NAME.svg`, or with
    `single_file` has them inside and links nothing."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.policies["json.dumps_kwargs"] = {"ensure_ascii": False, "separators": (",", ":")}
    environment.globals.update(
        rows=_rows,
        key=_key,
        numeric=emit.NUMERIC,
        problems=_problems,
        together=_together,
        inside=lambda name: Markup(drawings[name].replace("<svg ", '<svg role="img" ', 1)),
        size=lambda name: _size(drawings[name]),
        single_file=single_file,
        kind=lambda block: type(block).__name__,
    )
    folder = files(__package__) / "templates"
    source = {name: (folder / name).read_text(encoding="utf-8") for name in ("index.html.j2", "page.css", "page.js")}
    details = _numbered(
        {b.table.name: dict(b.details.lines) for s in sections for b in s.blocks if isinstance(b, TableBlock) and b.details}
    )
    return environment.from_string(source["index.html.j2"]).render(
        title=title,
        css=Markup(source["page.css"]),
        js=Markup(source["page.js"]),
        sections=sections,
        provenance=provenance(records),
        details=details,
    )


def _numbered(details: Mapping[str, Mapping[str, Sequence[Sequence[str]]]]) -> dict[str, Any]:
    """The lines under the rows of each table, with each text once, in `words`, and its number where it stands."""
    words: dict[str, int] = {}
    tables = {
        table: {row: [[words.setdefault(text, len(words)) for text in line] for line in lines] for row, lines in rows.items()}
        for table, rows in details.items()
    }
    return {"words": list(words), "tables": tables}
