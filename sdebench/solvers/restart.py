"""Xu et al. 2023: Restart, a deterministic run that jumps back to more noise, several times."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_solver
from sdebench.integration.ends import is_noise
from sdebench.integration.integrate import cross
from sdebench.integration.solver import Sampler
from sdebench.solvers.edm import HeunEDM
from sdebench.solvers.shared.linear import combine


@register_solver("restart")
@dataclass(frozen=True)
class Restart(Sampler):
    r"""Heun's method down the grid; on reaching rho_min, `k` times: back to rho_max by noise, and down again.

        y(rho_max) = y(rho_min) + sqrt(rho_max^2 - rho_min^2) z,     y = x/alpha, rho = sigma/alpha

    Xu et al. 2023, arXiv:2306.14878, with one interval of levels.  Its ends are the grid's nodes at the fractions
    `begin` and `end` of the N steps, where the paper gives levels for each data set: the method then is the same for every N.
    The way down is that part of the grid.  A jump takes the exact marginal to the exact marginal, so the weak order is Heun's;
    from another law the limit of the runs is not the law of a process of the family.
    Its noise belongs to no interval.

    Not 2 evaluations a step: with m steps within the interval, `2 (N + k m)` in all, which `evaluations` states; one less for
    each step that begins at alpha = 0 or ends at sigma = 0, as in `heun-edm`.  A jump back to alpha = 0 is all new noise.
    """

    from_noise, to_data = "first-order", "paper"
    begin: float = 0.25
    end: float = 0.5
    k: int = 2
    weak_order, order, nfe_per_step, stochastic = 2, 2, 2, True
    family = "Restart"
    reference = "Xu et al. 2023, arXiv:2306.14878"

    def __post_init__(self):
        if not (0.0 <= self.begin < self.end <= 1.0 and self.k >= 0):
            raise UsageError(f"begin={self.begin!r}, end={self.end!r}, k={self.k!r}: give 0 <= begin < end <= 1 and k >= 0")

    def interval(self, n: int) -> tuple[int, int]:
        """The nodes (of rho_max, of rho_min) of a grid of n steps."""
        i = min(round(self.begin * n), n - 1)
        return i, max(round(self.end * n), i + 1)

    def evaluations(self, n: int) -> int:
        """Network evaluations of a run of n steps."""
        i, j = self.interval(n)
        return 2 * (n + self.k * (j - i))

    def sample(self, model, x, grid: Sequence[float], noise=None):
        ns, heun = model.schedule, HeunEDM()
        i, j = self.interval(len(grid) - 1)
        high, low = grid[i], grid[j]
        if is_noise(ns, high):
            jump = ns.sigma(high)
        else:
            jump = ns.alpha(high) * sqrt((ns.rho(high) - ns.rho(low)) * (ns.rho(high) + ns.rho(low)))
        x = cross(heun, model, x, grid[: j + 1], ())
        for k in range(self.k):
            x = combine(ns.alpha(high) / ns.alpha(low), x, (jump, noise.fresh(low, k)))
            x = cross(heun, model, x, grid[i : j + 1], ())
        return cross(heun, model, x, grid[j:], ())
