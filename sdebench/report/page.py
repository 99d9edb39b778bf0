"""The one self-contained page: what was measured, tables to sort, figures, provenance."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from math import isnan, nan
from typing import NamedTuple

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from sdebench.records.claims import WHOLE_RUNS
from sdebench.report import emit, facts, profile_figures
from sdebench.report.facts import DETERMINISTIC, GRIDS, STOCHASTIC, VERDICTS, Measured, Record, measured, series, sort_of
from sdebench.report.tables import Table, confirmed_with, headline

_BRIEF = ("smooth", "irregular", "strong", "tolerance")
_EQUATION = {DETERMINISTIC: "probability-flow ODE", STOCHASTIC: "SDEs with its marginals"}


class Journey(NamedTuple):
    """A group of the quality study: its label, the name of its figures' sections, what is said of it, and its tables."""

    label: str
    name: str
    texts: list[str]
    tables: dict[str, Table]


class Picture(NamedTuple):
    """A rendered figure: file stem, section of the page, what it shows, and its bytes by format."""

    name: str
    section: str
    caption: str
    data: Mapping[str, bytes]

    @property
    def svg(self) -> Markup:
        """The drawing as an element of the page."""
        return Markup(self.data["svg"].decode().replace("<svg ", '<svg role="img" ', 1))


def problems_of(records: list[Record]) -> list[dict]:
    """Each problem with the schedule, span and dimension that its records name."""
    found: dict[str, dict] = {}
    for r in records:
        if r["context"] and "problem" in r["case"]:
            found.setdefault(r["case"]["problem"], {"name": r["case"]["problem"], **r["context"]})
    return list(found.values())


def provenance(records: list[Record]) -> list[tuple[str, str]]:
    """What made the records: code, versions, machines, dates; several of one kind are all named."""
    codes = sorted({r["code"] for r in records})
    versions = sorted({f"{k} {v}" for r in records for k, v in r["versions"].items() if v})
    machines, dates = sorted({r["machine"] for r in records}), sorted(r["made"] for r in records)
    mixed = "  (the records were made by more than one version of the code)" if len(codes) > 1 else ""
    return [
        ("Records", f"{len(records)}, of the studies {', '.join(sorted({r['study'] for r in records}))}"),
        ("Code", ", ".join(codes) + mixed),
        ("Libraries", ", ".join(versions)),
        ("Machine", "; ".join(machines)),
        ("Measured", dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}"),
    ]


def _rank(m: Measured) -> tuple:
    """Whole runs first, smooth grids before irregular ones, then the parts."""
    parts = ("strong", "tolerance", "local", "main", "start-up", "end-point")
    place = {name: i for i, name in enumerate((*GRIDS, *parts))}
    where = m.grid if m.kind in WHOLE_RUNS else m.kind
    return place.get(where, len(place)), where


def details(records: list[Record]) -> dict[str, list]:
    """For each solver|problem|dtype, its cases: where, order, claim, window, error at the finest step, verdict, why."""
    out: dict[str, list] = {}
    for m in sorted(measured(records), key=_rank):
        order = emit.cell(m._asdict(), emit.Column("", "order", "order", "half_width", "reason")).text
        window = "{:g} to {:g}".format(*m.n_window) if m.n_window[1] > m.n_window[0] else ""
        h, error = series(m.record, "h"), series(m.record, "rms")
        finest = error[h.argmin()] if h.size and h.size == error.size else nan
        where = f"{m.kind}, {m.grid}" if m.kind in WHOLE_RUNS else m.kind
        claim, last = "" if isnan(m.claim) else f"{m.claim:g}", "" if isnan(finest) else f"{finest:.1e}"
        row = [where, order, claim, window, last, m.verdict or "no claim", m.reason]
        out.setdefault(f"{m.solver}|{m.problem}|{m.dtype}", []).append(row)
    return out


def _brief(table: Table, row: dict) -> list[str]:
    """The claim and the measured orders, a few words each, for telephones, where their columns are out of sight."""
    shown = [c.key for c in table.columns if c.key in _BRIEF and not isnan(row[c.key])]
    orders = [f"{key} {row[key]:.2f}".replace("-", "−") for key in shown]
    return [f"claims {row['claimed']:g}", *orders]


def _key(cell: emit.TableCell) -> str:
    """What a number sorts by, to six digits; nothing where its text says so."""
    key = f"{cell.sort:.6g}" if isinstance(cell.sort, float) else cell.sort
    return "" if key in ("", cell.text) else key


def _rows(table: Table) -> list[dict]:
    """The rows of a table as the template wants them: cells, and what the filters look at."""
    frame = table.frame.to_dict("records")
    return [
        {
            "cells": cells,
            "verdict": row.get("verdict", ""),
            "brief": _brief(table, row) if table.name == "orders" else [],
            "problem": row.get("problem", ""),
            "id": f"{row.get('solver')}|{row.get('problem')}|{row.get('dtype')}",
        }
        for row, cells in zip(frame, emit.cells(table))
    ]


def _sections(tables: Mapping[str, Table], pictures: list[Picture]) -> set[str]:
    """The sections that have something to show."""
    of_tables = {t.name.partition("-")[0] for t in tables.values() if len(t.frame)} & {"family", "matching", "profile"}
    return {p.section for p in pictures} | of_tables


def stem(name: str) -> str:
    """A name that is safe in a path: problems may be given as `package.module:attribute`."""
    return re.sub(r"[^\w.+-]+", "-", name)


def _places(profile: Table) -> list[tuple[str, str]]:
    """(label, section of its figures) of each place of the profile study that has figures."""
    return [(label, f"profile {stem(label)}") for label in profile_figures.places(profile)]


def html(
    records: list[Record],
    tables: Mapping[str, Table],
    pictures: list[Picture],
    journeys: Sequence[Journey] = (),
    pages: Iterable[str] = (),
) -> str:
    """The whole page as one string that loads nothing; it links to other `pages`."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.globals.update(rows=_rows, key=_key, numeric=emit.NUMERIC)
    folder = files(__package__) / "templates"
    source = {name: (folder / name).read_text(encoding="utf-8") for name in ("index.html.j2", "page.css", "page.js")}
    counts = headline(tables["orders"].frame)
    orders = facts.of_orders(records)
    solvers = {r["case"]["solver"]: sort_of(r["claims"]) for r in orders if "solver" in r["case"]}
    counted = Counter(solvers.values())
    partial = [(scope, confirmed_with(tables["orders"].frame, scope)) for scope in emit.PARTIAL]
    return environment.from_string(source["index.html.j2"]).render(
        css=Markup(source["page.css"]),
        js=Markup(source["page.js"]),
        tables=tables,
        pictures=pictures,
        partial=[p for p in partial if p[1]],
        solvers=len(solvers),
        sections=_sections(tables, pictures),
        journeys=journeys,
        pages=list(pages),
        orders=bool(orders),
        only_profile=facts.only_profile(records),
        places=_places(tables["profile"]),
        sorts=[(counted[sort], sort, equation) for sort, equation in _EQUATION.items() if counted[sort]],
        verdicts=[(v, counts.get(v, 0), emit.SYMBOLS[v]) for v in VERDICTS],
        problems=problems_of(records),
        provenance=provenance(records),
        details=details(records),
        dtypes=sorted({r["case"]["dtype"] for r in records if r["study"] == "order"}),
    )
