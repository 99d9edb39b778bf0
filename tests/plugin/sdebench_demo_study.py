"""What a third party writes: one study, of how the error of a run depends on the dimension of the data."""

from dataclasses import dataclass

import pandas as pd
from matplotlib.figure import Figure

import sdebench as sb
from sdebench.records import Claims, Record
from sdebench.report import Column, Drawing, Section, Table, TableBlock
from sdebench.studies.settings import solvers, whole, wholes


@dataclass(frozen=True)
class DimensionSettings:
    """What a `[[study]]` table may say."""

    solvers: tuple[str, ...] = solvers("ddim")
    dims: tuple[int, ...] = wholes((1, 2, 4, 8))
    steps: int = whole(16, least=1)
    points: int = whole(64, least=1)


@dataclass(frozen=True)
class DimensionCase:
    """One solver in one dimension."""

    solver: str
    dim: int
    steps: int
    points: int


def gaussian(dim: int) -> sb.Problem:
    """A Gaussian whose coordinates have the variances 0.25, 0.5, 0.75, ..."""
    ns = sb.schedules.VPLinear()
    covs = [[[0.25 * (i + 1) * (i == j) for j in range(dim)] for i in range(dim)]]
    return sb.Problem(f"gaussian-{dim}d", sb.GaussianMixture([1.0], [[0.0] * dim], covs), ns, (ns.t(-1.0), ns.t(2.0)))


class DimensionStudy(sb.Study):
    """Error of a run against the dimension of a Gaussian."""

    settings, case = DimensionSettings, DimensionCase

    def cases(self, settings: DimensionSettings) -> list[DimensionCase]:
        """Every solver in every dimension."""
        return [DimensionCase(s, dim, settings.steps, settings.points) for s in settings.solvers for dim in settings.dims]

    def measure(self, case: DimensionCase) -> sb.Found:
        """RMS error over points and coordinates, against the exact flow."""
        solver, problem = sb.get_solver(case.solver), gaussian(case.dim)
        x, grid = problem.initial(case.points, 0), sb.grids.uniform_lam(problem.schedule, *problem.span, case.steps)
        exact = sb.oracle.trajectory(problem, x, problem.span).states[-1]
        error = sb.integrate(solver, problem.model, x, grid) - exact
        return sb.Found({"dim": case.dim}, Claims.of(solver), {"rms": [float(error.square().mean().sqrt())]})

    def section(self, records: list[Record]) -> Section:
        """A table, and the error over the dimension."""
        rows = [{"solver": r.case["solver"], "dim": r.case["dim"], "rms": r.data["rms"][0]} for r in records if r.is_ok]
        frame = pd.DataFrame(rows, columns=["solver", "dim", "rms"]).sort_values(["solver", "dim"])
        columns = (Column("Solver", "solver"), Column("d", "dim", "count"), Column("Error", "rms", "error"))
        table = Table(self.name, "Error by dimension", "RMS error of a run.", frame, columns)

        def draw() -> Figure:
            figure = Figure()
            axes = figure.add_subplot(xlabel="dimension", ylabel="RMS error")
            for solver, its in frame.groupby("solver"):
                axes.loglog(its["dim"], its["rms"], marker="o", label=solver)
            axes.legend()
            return figure

        drawing = Drawing(f"{self.name}-error", "Error over the dimension of the data.", draw)
        return Section(self.name, "Dimensions", (drawing, TableBlock(table, in_readme=True, terminal=("solver", "dim", "rms"))))
