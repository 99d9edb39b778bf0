"""Song and Ermon 2019: annealed Langevin dynamics."""

from dataclasses import dataclass

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_solver
from sdebench.integration.solver import Step, StochasticSolver
from sdebench.solvers.shared.linear import combine


@register_solver("annealed-langevin")
@dataclass(frozen=True)
class AnnealedLangevin(StochasticSolver):
    r"""`k` steps of Langevin's dynamics at each level of noise.  Song and Ermon 2019, arXiv:1907.05600, algorithm 1.

        x <- x + a/2 score(x, t) + sqrt(a) z,     a = ratio sigma_t^2,     k times

    The grid's times are the levels: a step s -> t works at level t.  What comes in has been at level s, which for the first
    step is where a run starts.  The paper's `alpha_i = eps sigma_i^2/sigma_L^2` has `ratio = eps/sigma_L^2`, 0.2 there, and
    k = 100 (5 in Song and Ermon 2020, arXiv:2006.09011).  Where alpha is not 1, it acts on x/alpha at the levels sigma/alpha.

    Not a discretisation of the reverse SDE: between levels nothing moves.  Refined, the chain settles at the invariant law
    of this Langevin chain, whose step does not shrink, and not at the marginal: weak order 0.  As long as it lags behind the
    levels, which at small sigma^2/variance it does for thousands of steps, errors still fall, as if of order 1.
    """

    ratio: float = 0.2
    k: int = 5
    weak_order = 0
    family = "NCSN"
    reference = "Song and Ermon 2019, arXiv:1907.05600, algorithm 1"

    def __post_init__(self):
        if not (0.0 < self.ratio < 4.0 and self.k >= 1):
            raise UsageError(f"ratio = {self.ratio!r}, k = {self.k!r}: give 0 < ratio < 4 (else it diverges) and k >= 1 steps")

    @property
    def nfe_per_step(self) -> int:
        return self.k

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        sigma, rescale = ns.sigma(t), ns.alpha(t) / ns.alpha(s)
        if rescale != 1.0:
            x = combine(rescale, x)
        for j in range(self.k):  # score = -eps/sigma
            x = combine(1.0, x, (-0.5 * self.ratio * sigma, model(x, t)), (self.ratio**0.5 * sigma, noise.fresh(t, j)))
        return Step(x)
