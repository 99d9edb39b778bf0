r"""The exact law of a chain on Gaussian data: no sampling, no noise of Monte Carlo.

With x_0 ~ N(mu, C) every prediction is affine in its state, `m = A_t x + b_t`, and A_t shares the eigenvectors of C: so a
run is, in each eigendirection, an affine map of (start, noises), read off the tableau with numbers.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sdebench._support.errors import UsageError, shown
from sdebench.grids import check
from sdebench.integration.ends import is_noise
from sdebench.integration.prediction import conversion
from sdebench.integration.solver import Solver
from sdebench.integration.tableau import Tableau, tableau
from sdebench.problems import GaussianMixture
from sdebench.problems.energy import mean_square_eps
from sdebench.problems.quantile import as_float64
from sdebench.schedules import NoiseSchedule, check_schedule


class _Chain:
    """A tableau on N(mean, diag(variances)): each symbol as a row over the sources (start, noises..., 1), (sources, d)."""

    def __init__(self, table: Tableau, mean: np.ndarray, variances: np.ndarray):
        self.table, self.mean, self.variances = table, mean, variances
        self.noises = table.rows[-1].noises
        self.known: dict = {}

    def _source(self, index: int) -> np.ndarray:
        out = np.zeros((self.noises + 2, len(self.mean)))
        out[index] = 1.0
        return out

    def _combined(self, terms: dict) -> np.ndarray:
        total = np.zeros((self.noises + 2, len(self.mean)))
        noises = {k: c for (kind, k), c in terms.items() if kind == "z"}
        total[[1 + k for k in noises]] = np.array([*noises.values()])[:, None]
        others = {symbol: c for symbol, c in terms.items() if symbol[0] != "z"}  # a Sampler is one row, of all its predictions
        return total + np.tensordot([*others.values()], [self.known[symbol] for symbol in others], 1)

    def _predicted(self, t: float, state: np.ndarray) -> np.ndarray:
        """m = E[eps | x] = sigma (x - alpha mu)/(alpha^2 v + sigma^2), read as the model's kind."""
        ns = self.table.schedule
        alpha, sigma = ns.alpha(t), ns.sigma(t)
        if is_noise(ns, t):
            return self._at_noise(sigma, state)
        slope = sigma / (alpha * alpha * self.variances + sigma * sigma)
        eps = slope * state
        eps[-1] -= slope * alpha * self.mean
        c, d = conversion("eps", self.table.kind, alpha, sigma)
        return d * eps + c * state

    def _at_noise(self, sigma: float, state: np.ndarray) -> np.ndarray:
        """The same at alpha = 0, where x0 = mu and eps = x/sigma."""
        x0 = np.zeros_like(state)
        x0[-1] = self.mean
        c, d = conversion("x0", self.table.kind, 0.0, sigma)
        return c * state + d * x0

    def run(self) -> np.ndarray:
        """The last state, (sources, d)."""
        wanted = _last_uses(self.table)
        self.known["x", 0] = self._source(0)
        done = 0
        for i, row in enumerate(self.table.rows):
            for j in range(done, row.evaluations):
                call = self.table.evaluations[j]
                self.known["u", j] = u = self._combined(call.state)
                self.known["m", j] = self._predicted(call.t, u)
            done = row.evaluations
            self.known["x", i + 1] = self._combined(row.state)
            for symbol in [symbol for symbol in self.known if wanted.get(symbol, -1) <= i and symbol != ("x", i + 1)]:
                del self.known[symbol]
        return self.known["x", len(self.table.rows)]


def _last_uses(table: Tableau) -> dict[tuple[str, int], int]:
    """symbol -> the last step that uses it."""
    found, done = {}, 0
    for i, row in enumerate(table.rows):
        states = [*(table.evaluations[j].state for j in range(done, row.evaluations)), row.state]
        found |= dict.fromkeys((symbol for state in states for symbol in state), i)
        done = row.evaluations
    return found


def gaussian_law(
    solver: Solver, gm: GaussianMixture, ns: NoiseSchedule, grid: Sequence[float], start: tuple[Tensor, Tensor] | None = None
) -> tuple[Tensor, Tensor]:
    """Exact (mean (d,), covariance (d, d)) of the solver's state at grid[-1], float64.

    `gm` is one Gaussian, the law of x_0; `start` the (mean, covariance) at grid[0], that of the exact marginal unless given.
    Deterministic methods have a law too.  Raises UsageError for more than one component, and for a method whose step is not
    linear.
    """
    if not hasattr(gm, "weights"):
        raise UsageError(f"{shown(gm)} is not a law: give a GaussianMixture of one component, or a problem's .law")
    grid = check(grid)
    kind = "v" if is_noise(check_schedule(ns), grid[0]) else "eps"  # at alpha = 0 eps tells nothing
    return law_of(tableau(solver, ns, grid, kind, lambda t: mean_square_eps(gm, ns, t)), gm, start)


def law_of(table: Tableau, gm: GaussianMixture, start: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
    """`gaussian_law` of a method that is a tableau already."""
    if len(gm.weights) != 1:
        raise UsageError(f"{gm!r} has {len(gm.weights)} components: the law of a chain is Gaussian for one component only")
    values, basis = np.linalg.eigh(gm.cov().numpy())
    if start is None:
        marginal = gm.marginal(table.schedule, table.rows[0].s)
        start = marginal.mean(), marginal.cov()
    if not (isinstance(start, tuple | list) and len(start) == 2):
        raise UsageError(f"the start is {shown(start)}: give a pair (mean, covariance)")
    first, spread = (as_float64(v, f"the start's {name}").numpy() for v, name in zip(start, ("mean", "covariance")))
    if first.shape != (gm.dim,) or spread.shape != (gm.dim, gm.dim):
        asked = f"a mean ({gm.dim},) and a covariance ({gm.dim}, {gm.dim})"
        raise UsageError(f"the start has shapes {first.shape}, {spread.shape}: give {asked}")
    state = _Chain(table, basis.T @ gm.mean().numpy(), values).run()
    from_start, from_noise, constant = state[0], state[1:-1], state[-1]
    variance = np.zeros(gm.dim)
    for k, block in table.covariances:
        z = from_noise[k : k + len(block)]
        variance += np.einsum("kd,kl,ld->d", z, block, z)
    mean = basis @ (from_start * (basis.T @ first) + constant)
    cov = basis @ (np.outer(from_start, from_start) * (basis.T @ spread @ basis) + np.diag(variance)) @ basis.T
    return torch.from_numpy(mean), torch.from_numpy(cov)
