"""`sdebench list`."""

import inspect
from typing import Annotated, Any

import typer

from ..errors import UsageError, near_miss
from .output import emit, report_broken, table


def _solvers() -> list[dict[str, Any]]:
    from ..studies import base

    return [{"name": spec, **base.claims(base.solver(spec))} for spec in base.solver_specs("all")]


def _problems() -> list[dict[str, Any]]:
    from ..studies import base

    found = []
    for spec in base.problem_specs("all"):
        problem = base.problem(spec)
        found.append({"name": spec, "dim": problem.dim, "schedule": repr(problem.schedule), "span": list(problem.span),
                      "exact_flow": bool(problem.has_solution)})  # fmt: skip
    return found


def _schedules() -> list[dict[str, Any]]:
    from .. import schedules

    kinds = {c.__name__: c for c in schedules.NoiseSchedule.__subclasses__() if c.__module__ == schedules.__name__}
    return [{"name": repr(kind()), "about": _sentence(kind)} for _, kind in sorted(kinds.items())]


def _grids() -> list[dict[str, Any]]:
    from .. import grids

    return [{"name": name, "kind": "smooth" if name in grids.SMOOTH else "irregular", "about": _sentence(make)}
            for name, make in grids.GRIDS.items()]  # fmt: skip


def _recipes() -> list[dict[str, Any]]:
    from ..training import recipe

    heads = {name: path.read_text().partition("\n")[0] for name, path in recipe.names().items()}
    return [{"recipe": name, "about": head.removeprefix("# ")} for name, head in heads.items()]


def _suites() -> list[dict[str, Any]]:
    from ..studies import base

    heads = {name: path.read_text().partition("\n")[0] for name, path in base.suites().items()}
    return [{"name": name, "about": head.lstrip("# ")} for name, head in heads.items()]


def _sentence(thing: Any) -> str:
    """The first sentence of a docstring; two spaces, or an empty line, end it."""
    paragraph = (inspect.getdoc(thing) or "").partition("\n\n")[0].replace("\n", " ")
    return paragraph.partition(".  ")[0].rstrip(".")


_LISTS = {"solvers": _solvers, "problems": _problems, "schedules": _schedules, "grids": _grids, "suites": _suites,
          "recipes": _recipes}


def _cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return " to ".join(f"{v:g}" for v in value) if isinstance(value, list) else value


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
            lines.append((name, r["claimed_order"], order, r["nfe_per_step"], r["memory"], r["reference"]))
    title = (f"{len(rows)} solvers.  claim: the order of the literature; order: the true one, on smooth\n"
             "grids/on irregular ones/of the main scheme where they differ; NFE: evaluations a\n"
             "step; past: steps remembered; ~: stochastic, by weak orders, and in brackets the\n"
             "strong order, that on one Brownian path, where there is one")  # fmt: skip
    numbers = ("claim", "order", "NFE", "past")
    table(("solver", *numbers, "paper"), lines, title, numbers)


def list_(
    what: Annotated[str, typer.Argument(help=f"One of: {', '.join(_LISTS)}.", metavar="WHAT")] = "solvers",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show what there is: solvers with their orders, NFE per step and papers; problems; schedules; grids; suites; recipes."""
    if what not in _LISTS:
        raise UsageError(f"unknown list {what!r}{near_miss(what, _LISTS)} (there are: {', '.join(_LISTS)})")
    rows = _LISTS[what]()
    report_broken()
    if as_json:
        emit(rows)
    elif what == "solvers":
        _show_solvers(rows)
    else:
        keys = tuple(rows[0]) if rows else ()
        table(keys, [[_cell(row[key]) for key in keys] for row in rows], f"{len(rows)} {what}", ("dim",))
