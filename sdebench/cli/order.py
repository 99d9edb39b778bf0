"""`sdebench order`."""

from collections.abc import Callable, Iterator
from math import isfinite
from typing import Annotated, Any

import typer

from sdebench._support.errors import STRANGERS, describe
from sdebench.cli.output import Csv, Json, Plot, emit, report_broken, table, write_csv, write_plot

_MEASURED = ("order", "half_width", "constant", "verdict", "reason", "points")


def order(
    solvers: Annotated[list[str], typer.Argument(help="Spec strings, name[key=value,...], or package.module:Class.")],
    problem: Annotated[str | None, typer.Option(help="The problem; mixture-1d unless given, gaussian for weak orders.")] = None,
    grid: Annotated[
        list[str] | None, typer.Option(help="A grid family, or a list: 14.6,6.5,0.3 or a .txt file; may be given again.")
    ] = None,
    as_json: Json = False,
    csv: Csv = None,
    plot: Plot = None,
) -> int:
    """Measure the order of solvers, one's own too, against what is claimed; exit status 1 if a claim is refuted.

    The claim is the literature's (claimed_order); beside it stands the order that the method itself states.
    Network evaluations are counted, and held against nfe_per_step.
    """
    from rich.console import Console
    from rich.markup import escape

    from sdebench import grids
    from sdebench.catalogue import expand_solvers, get_problem
    from sdebench.studies.base import check_lists

    families = list(map(grids.normal, grid)) if grid else list(grids.for_orders())
    for name in families:
        grids.get(name)  # refuses a name that is none
    check_lists({"problem": problem or "mixture-1d", "grid": name} for name in families)
    specs = expand_solvers(solvers)
    if problem:
        get_problem(problem)
    report_broken()
    found, counts = [], {spec: counted(spec, problem or "mixture-1d") for spec in specs}
    with Console(stderr=True).status("") as status:
        for spec in specs:
            found += _measured(spec, problem, families, lambda what: status.update(escape(what)))
    rows = [row | _nfe(counts[row["solver"]]) for row in found]
    if as_json:
        emit([{key: value for key, value in row.items() if key != "measurement"} for row in rows])
    else:
        _show_measured(counts, found)
    write_csv(csv, [{key: value for key, value in row.items() if key not in ("points", "measurement")} for row in rows])
    write_plot(plot, lambda: _figure([row for row in rows if row["measurement"] is not None]))
    wrong = any(count is not None and not count.agree for count in counts.values())
    return int(wrong or any(row["verdict"] in ("refuted", "failed") for row in found))


def _figure(rows: list[dict]) -> Any:
    """The errors of all measurements, a panel a kind; the grids of a single solver go by their own names."""
    from sdebench.studies.order.figures import draw_measurements

    is_single = len({row["solver"] for row in rows}) == 1
    names = [row["grid"] if is_single and row["grid"] else f"{row['solver']} {row['grid']}".strip() for row in rows]
    return draw_measurements([(name, row["measurement"]) for name, row in zip(names, rows)])


def counted(spec: str, problem: str) -> Any:
    """The evaluations of a step, stated and counted: None for a method that chooses its steps, or cannot be run."""
    from sdebench.catalogue import get_problem, get_solver
    from sdebench.studies.order.nfe import evaluations

    try:
        return evaluations(get_solver(spec), get_problem(problem))
    except STRANGERS:
        return None


def _nfe(count: Any) -> dict[str, float | None]:
    """What a row says of them."""
    return {"nfe_stated": count and count.stated, "nfe_counted": count and count.counted}


def _measured(spec: str, problem: str | None, families: list[str], note: Callable[[str], None]) -> Iterator[dict]:
    """One row a measurement, as it is made; a solver that raises gives a row that says so."""
    from sdebench.catalogue import get_solver
    from sdebench.records import WHOLE_RUNS, Claims, held_to
    from sdebench.studies.order.measure import kinds_of
    from sdebench.studies.order.measurement import default_problem, measure_order

    solver = get_solver(spec)
    claims = Claims.of(solver)
    for kind in kinds_of(solver):
        for grid in families if kind in WHOLE_RUNS else [""]:
            note(f"{spec} {kind} {grid}")
            where = problem or default_problem(kind)
            row: dict[str, Any] = {"solver": spec, "problem": where, "kind": kind, "grid": grid}
            row["claim"], row["stated"] = held_to(claims, kind, grid)
            try:
                got = measure_order(solver, where, kind=kind, grid=grid, claim=row["claim"])
            except STRANGERS as error:
                yield row | dict.fromkeys(_MEASURED) | {"verdict": "failed", "reason": describe(error), "measurement": None}
            else:
                yield row | {name: getattr(got, name) for name in _MEASURED} | {"measurement": got}


def _show_measured(counts: dict[str, Any], found: list[dict]) -> None:
    """A table for each solver; `counts` are its evaluations a step."""
    for spec, count in counts.items():
        rows = [row for row in found if row["solver"] == spec]
        if not rows:
            print(f"{spec} states that its law does not tend to the exact one: no order to measure (the study 'law' has it)")
        else:
            _show_rows(spec, rows)
        if count is not None:
            print(f"NFE a step: {count}")


def _show_rows(spec: str, rows: list[dict]) -> None:
    """The table of one solver, and why there is no order where there is none."""
    from sdebench.catalogue import get_solver

    cells = [(row["kind"], row["grid"], row["claim"], row["stated"], *_figures(row), row["verdict"]) for row in rows]
    heads = ("kind", "grid", "claim", "stated", "measured", "constant", "verdict")
    solver = get_solver(spec)
    where = " and ".join(dict.fromkeys(row["problem"] for row in rows))
    title = f"{spec} on {where}; claimed: {'weak ' * solver.stochastic}order {solver.claimed_order}"
    table(heads, cells, title, ("claim", "stated", "measured", "constant"))
    for row in rows:
        if row["reason"]:
            print(f"{row['kind']} {row['grid']}: {row['reason']}".replace(" :", ":"))


def _figures(row: dict) -> tuple[str, str]:
    """Measured order with its half-width, and the error constant, as text."""
    order, half_width, constant = (row[name] for name in ("order", "half_width", "constant"))
    shown = f"{order:.2f} ± {half_width:.2f}" if order is not None and isfinite(order) else ""
    return shown, f"{constant:.2e}" if constant is not None and isfinite(constant) else ""
