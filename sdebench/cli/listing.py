"""`sdebench list`."""

import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any

import typer

from sdebench._support.errors import UsageError, near_miss
from sdebench.cli.kept import solver_rows
from sdebench.cli.output import Csv, Json, emit, report_broken, say, table, write_csv


def _solvers(which: list[str]) -> list[dict[str, Any]]:
    return solver_rows(which or None)


def _problems(which: list[str]) -> list[dict[str, Any]]:
    from sdebench.catalogue import expand_problems, get_problem

    found = []
    for spec in expand_problems(which or ["all"]):
        problem = get_problem(spec)
        found.append(
            {
                "name": spec,
                "dim": problem.dim,
                "schedule": repr(problem.schedule),
                "span": list(problem.span),
                "exact_flow": bool(problem.has_solution),
            }
        )
    return found


def _schedules() -> list[dict[str, Any]]:
    from sdebench import schedules

    kinds = schedules.SCHEDULES
    return [{"name": repr(kind()), "about": _sentence(kind)} for _, kind in sorted(kinds.items())]


def _grids() -> list[dict[str, Any]]:
    from sdebench import grids

    return [{"name": name, "kind": grids.kind_of(name), "about": _sentence(grids.get(name))} for name in grids.names()]


def _recipes() -> list[dict[str, Any]]:
    from sdebench.training import recipe

    heads = {name: path.read_text().partition("\n")[0] for name, path in recipe.names().items()}
    return [{"recipe": name, "about": head.removeprefix("# ")} for name, head in heads.items()]


def _networks() -> list[dict[str, Any]]:
    from sdebench.networks import shipped_cards

    return [
        {"network": name, "recipe": card["recipe"]["name"], "solver, grid: steps": _sampled(card)}
        for name, card in shipped_cards().items()
    ]


def _sampled(card: dict[str, Any]) -> str:
    """What a network is sampled by, as its card has it: students by one solver, in the steps that they were taught."""
    if "sampled" not in card:
        return "any"
    steps = card["sampled"]["steps"]
    many = ", ".join(map(str, steps)) if isinstance(steps, list) else str(steps)
    return f"{card['sampled']['solver']}, {card['sampled']['grid']}: {many}"


def _suites() -> list[dict[str, Any]]:
    from sdebench.engine.suite import suites

    heads = {name: path.read_text().partition("\n")[0] for name, path in suites().items()}
    return [{"name": name, "about": head.lstrip("# ")} for name, head in heads.items()]


def _studies() -> list[dict[str, Any]]:
    from dataclasses import fields

    from sdebench._support.registry import STUDIES

    made = {name: STUDIES.get(name) for name in STUDIES.names()}
    settings = {name: ", ".join(key.name for key in fields(study.settings)) for name, study in made.items()}
    return [{"study": name, "about": _sentence(type(study)), "settings": settings[name]} for name, study in made.items()]


def _sentence(thing: Any) -> str:
    """The first sentence of a docstring; two spaces, or an empty line, end it."""
    paragraph = (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ")
    return paragraph.partition(".  ")[0].rstrip(".")


_LISTS: dict[str, Callable[..., list[dict[str, Any]]]] = {
    "solvers": _solvers,
    "problems": _problems,
    "schedules": _schedules,
    "grids": _grids,
    "suites": _suites,
    "studies": _studies,
    "recipes": _recipes,
    "networks": _networks,
}
_CHOSEN = ("solvers", "problems")  # those of which one may ask for some
_LEAST_PAPER = 20  # characters: "Gonzalez et al. 2023"
_PAPER = re.compile(r" \((?P<paper>[^()]*arXiv[^()]*)\)$")


def _counted(rows: list[dict], what: str) -> str:
    return f"{len(rows)} {what.removesuffix('s') if len(rows) == 1 else what}"


def _show_problems(rows: list[dict]) -> None:
    lines = [
        (r["name"], r["dim"], r["schedule"], "{:.3g} to {:.3g}".format(*r["span"]), "yes" if r["exact_flow"] else "no")
        for r in rows
    ]
    title = f"{_counted(rows, 'problems')}.  span: of time, from the noisier end; exact: the flow has a formula"
    table(("name", "dim", "schedule", "span", "exact"), lines, title, ("dim",))


def _show_grids(rows: list[dict]) -> None:
    """Grids under their kinds, what they are beside their papers."""
    lines: list[tuple] = []
    for kind in dict.fromkeys(row["kind"] for row in rows):
        lines.append((kind,))
        for row in (row for row in rows if row["kind"] == kind):
            paper = _PAPER.search(row["about"])
            lines.append((f"  {row['name']}", _PAPER.sub("", row["about"]), paper["paper"] if paper else ""))
    table(("grid", "about", "paper"), lines, _counted(rows, "grids"), (), _LEAST_PAPER)


def _nfe(row: dict) -> str:
    """Evaluations a step as counted, and those that a run has beside them; as stated where a method chooses its steps."""
    if row["nfe_counted"] is None:
        return str(row["nfe_per_step"])
    more = f"{row['nfe_more']:+g}" if row["nfe_more"] else ""
    return f"{row['nfe_counted']:g}{more}"


def _show_solvers(rows: list[dict]) -> None:
    """Solvers under their families; `order` is smooth / irregular / of the main scheme, where these differ; then (strong)."""
    lines: list[tuple] = []
    for family in dict.fromkeys(row["family"] for row in rows):
        lines.append((family,))
        for r in (row for row in rows if row["family"] == family):
            orders = (r["order"], r["order_irregular"], r["main_order"])
            order = "/".join(map(str, orders)) if len(set(orders)) > 1 else orders[0]
            if r["strong_order"] is not None:
                order = f"{order} ({r['strong_order']:g})"
            name = f"  {r['name']}" + " ~" * r["stochastic"]
            lines.append((name, r["claimed_order"], order, _nfe(r), r["memory"], r["reference"]))
    title = (
        f"{_counted(rows, 'solvers')}.  claim: the order of the literature; order: the true one, on smooth\n"
        "grids/on irregular ones/of the main scheme where they differ; NFE: evaluations a\n"
        "step, counted, and what a run has beside them, +9 where its start-up costs 9;\n"
        "past: steps remembered; ~: stochastic, by weak orders, and in brackets the\n"
        "strong order, that on one Brownian path, where there is one; paper: where a line\n"
        "has room for it, as with 'sdebench list solvers NAME', and whole by --json"
    )
    numbers = ("claim", "order", "NFE", "past")
    table(("solver", *numbers, "paper"), lines, title, numbers, _LEAST_PAPER)


_SHOW = {"solvers": _show_solvers, "problems": _show_problems, "grids": _show_grids}


def list_(
    what: Annotated[
        str | None, typer.Argument(help=f"One of: {', '.join(_LISTS)}; solvers unless given.", metavar="WHAT")
    ] = None,
    which: Annotated[
        list[str] | None,
        typer.Argument(
            help="Some of the solvers or problems, as in a suite: names, family:NAME, deterministic, stochastic.",
            metavar="NAME",
        ),
    ] = None,
    as_json: Json = False,
    csv: Csv = None,
) -> None:
    """Show what there is: solvers with orders, NFE a step and papers; problems, schedules, grids, studies, and so on."""
    named, what = what, what or "solvers"
    if what not in _LISTS:
        raise UsageError(f"unknown list {what!r}{near_miss(what, _LISTS)} (there are: {', '.join(_LISTS)})")
    if which and what not in _CHOSEN:
        raise UsageError(f"some of the {what}, {' '.join(which)!r}: give names after {' or '.join(_CHOSEN)} only")
    rows = _LISTS[what](which) if what in _CHOSEN else _LISTS[what]()
    report_broken()
    write_csv(csv, rows)
    if as_json:
        emit(rows)
    elif what in _SHOW:
        _SHOW[what](rows)
    else:
        keys = tuple(rows[0]) if rows else ()
        table(keys, [[row[key] for key in keys] for row in rows], _counted(rows, what))
    if not (named or as_json):
        say(f"other lists, as 'sdebench list grids': {', '.join(name for name in _LISTS if name != what)}")
