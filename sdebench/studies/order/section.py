"""The order study's section: claims against measured orders, and the errors behind them."""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from math import isnan, nan

from sdebench._support.files import stem
from sdebench.grids import names as grid_names
from sdebench.records import WHOLE_RUNS, Record
from sdebench.report import emit
from sdebench.report.facts import DETERMINISTIC, STOCHASTIC, series, sort_of
from sdebench.report.page import row_id
from sdebench.report.section import Block, Details, Drawing, Heading, Section, TableBlock, Text, Tile
from sdebench.report.table import Column, Table
from sdebench.studies.order import heatmap, tables
from sdebench.studies.order.figures import convergence, strong, weak
from sdebench.studies.order.judged import VERDICTS, Measured, measured

_TERMINAL = ("solver", "verdict", "claimed", "smooth", "irregular")
_BRIEF = ("smooth", "irregular", "strong", "tolerance")
_EQUATION = {DETERMINISTIC: "probability-flow ODE", STOCHASTIC: "SDEs with its marginals"}
_HEADINGS = ("Case", "Order", "Claim", "Steps used", "Error at the finest", "Verdict", "")
_HOW = (
    "Claimed is what the literature says; Stated is what this suite's catalogue states. On irregular grids a method is held to "
    "the order that is stated for them where that is another one, and its verdict then says 'smooth grids only'. A solver "
    "counts once, with the worst of its verdicts. Not asymptotic means that the errors do not decide; it is never counted as "
    "confirmed. Exact means that the error never leaves the rounding floor. Point at a dash or a verdict for its reason; open "
    "a row for every grid."
)
_WEAK = (
    "The error of a stochastic method's law is measured without sampling where the law is known: on one Gaussian as the exact "
    "mean and covariance of the chain, in one dimension as its density by quadrature. Elsewhere paths are coupled, and the "
    "band is their standard error."
)
_STRONG = (
    "strong error, of paths that follow one Brownian motion; full lines fit its RMS, thin lines are its median. On well "
    "separated mixtures a few paths end in another mode: the RMS counts little else, and its slope is noise."
)


def make_section(records: list[Record]) -> Section:
    """The whole section."""
    orders, grids = tables.order_table(records), tables.grid_table(records)
    blocks: list[Block] = [
        Text(_lead(records), lead=True),
        TableBlock(
            orders, in_readme=True, details=_details(records), tiles=_tiles(records, orders), brief=_BRIEF, terminal=_TERMINAL
        ),
        Text(_HOW),
        *(Text(text) for text in _partial(orders)),
        *_figures(records, grids),
        TableBlock(grids, show="file"),
    ]
    return Section("order", "Orders", tuple(blocks))


def _problems(records: list[Record]) -> dict[str, dict]:
    """Each problem with the schedule, span and dimension that its records name."""
    found: dict[str, dict] = {}
    for r in records:
        if r.context:
            found.setdefault(r.case["problem"], dict(r.context))
    return found


def _lead(records: list[Record]) -> str:
    solvers = Counter({r.case["solver"]: sort_of(r.claims) for r in records if r.claims}.values())
    many = " and ".join(
        f"{count} {sort} solver{'' if count == 1 else 's'} of the {_EQUATION[sort]}"
        for sort, count in ((sort, solvers[sort]) for sort in _EQUATION)
        if count
    )
    where = (
        "{} (d = {dim}, {schedule}, t from {span[0]:.3g} to {span[1]:.3g})".format(name, **context)
        for name, context in _problems(records).items()
    )
    return f"Does each solver have the order that its paper claims? Measured with exact scores: {many}, on {', '.join(where)}."


def _tiles(records: list[Record], orders: Table) -> tuple[Tile, ...]:
    counts = tables.headline(orders.frame)
    solvers = len({r.case["solver"] for r in records})
    return (Tile(solvers, "solvers"), *(Tile(counts.get(v, 0), f"{emit.SYMBOLS[v]} {v}", v) for v in VERDICTS))


def _partial(orders: Table) -> Iterator[str]:
    """What must be said of confirmations that do not speak of all grids."""
    words = {"tolerance": "by tolerance alone", "smooth grids only": "on smooth grids only; on irregular ones the order falls"}
    for scope in emit.PARTIAL:
        if count := tables.confirmed_with(orders.frame, scope):
            yield f"Of the confirmed, {count} {'is' if count == 1 else 'are'} so {words[scope]}."


def _rank(m: Measured) -> tuple:
    """Whole runs first, smooth grids before irregular ones, then the parts."""
    parts = ("strong", "tolerance", "local", "main", "start-up", "end-point")
    place = {name: i for i, name in enumerate((*grid_names(), *parts))}
    where = m.grid if m.kind in WHOLE_RUNS else m.kind
    return place.get(where, len(place)), where


def _details(records: list[Record]) -> Details:
    """Under each row its cases: where, order, claim, window, error at the finest step, verdict, why."""
    out: dict[str, list[list[str]]] = {}
    for m in sorted(measured(records), key=_rank):
        order = emit.cell(m._asdict(), Column("", "order", "order", "half_width", "reason")).text
        window = "{:g} to {:g}".format(*m.n_window) if m.n_window[1] > m.n_window[0] else ""
        h, error = series(m.record, "h"), series(m.record, "rms")
        finest = error[h.argmin()] if h.size and h.size == error.size else nan
        where = f"{m.kind}, {m.grid}" if m.kind in WHOLE_RUNS else m.kind
        claim, last = "" if isnan(m.claim) else f"{m.claim:g}", "" if isnan(finest) else f"{finest:.1e}"
        row = [where, order, claim, window, last, m.verdict or "no claim", m.reason]
        out.setdefault(row_id(m._asdict()), []).append(row)
    return Details(_HEADINGS, out)


def _smooth_first(names: list[str], full: bool) -> list[str]:
    """One smooth grid, and the irregular one where there is room for it."""
    if not names:
        return []
    smooth = "uniform_lam" if "uniform_lam" in names else names[0]
    return list(dict.fromkeys([smooth, "irregular"] if full and "irregular" in names else [smooth]))


def _figures(records: list[Record], grids: Table) -> Iterator[Block]:
    """Heat maps, then errors against steps.  The first problem has all; of the others the page would be too heavy."""
    problems = list(_problems(records))
    maps, lines, laws, paths = [], [], [], []
    for i, problem in enumerate(problems):
        here = [r for r in records if r.case["problem"] == problem]
        of = {kind: [r for r in here if r.case["kind"] == kind] for kind in ("global", "weak", "strong")}
        names, name = tables.grid_names(here), stem(problem)
        if names:
            caption = f"{problem}: measured minus claimed order on each grid, weak of ~ stochastic ones; claims in brackets."
            maps.append(Drawing(f"orders-{name}", caption, partial(heatmap.heat_map, grids, problem, names)))
        for grid in _smooth_first(tables.grid_names(of["global"]), i == 0):
            caption = f"{problem}, grid {grid}: dots are measured, full lines fitted slopes, dashes claimed ones."
            lines.append(Drawing(f"convergence-{name}-{stem(grid)}", caption, partial(convergence, records, problem, grid)))
        for grid in _smooth_first(tables.grid_names(of["weak"]), True):
            caption = f"{problem}, grid {grid}: weak error of the stochastic methods, that of their law."
            laws.append(Drawing(f"weak-{name}-{stem(grid)}", caption, partial(weak, records, problem, grid)))
        if of["strong"]:
            paths.append(Drawing(f"strong-{name}", f"{problem}: {_STRONG}", partial(strong, records, problem)))
    yield from _under("Order on each grid", "grids", maps)
    yield from _under("Convergence", "convergence", lines)
    yield from _under("Weak convergence: the law of stochastic methods", "weak", [Text(_WEAK), *laws] if laws else [])
    yield from _under("Strong convergence: paths of one Brownian motion", "strong", paths)


def _under(heading: str, anchor: str, blocks: list) -> Iterator[Block]:
    if blocks:
        yield Heading(heading, anchor)
        yield from blocks
