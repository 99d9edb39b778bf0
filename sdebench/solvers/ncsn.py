"""Song and Ermon 2019: annealed Langevin dynamics."""

from dataclasses import dataclass

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_solver
from sdebench.integration.ends import ddim
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

    To sigma = 0 its steps have no size: by the limit nothing moves, the model is not asked, and the noise of the level before
    stays.  From alpha = 0, where x/alpha is infinite, DDIM's step takes the state to level t.
    """

    from_noise, to_data = "first-order", "limit"
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
        rescale = model.schedule.alpha(t) / model.schedule.alpha(s)
        return Step(self._langevin(model, x if rescale == 1.0 else combine(rescale, x), t, noise))

    def _langevin(self, model, x, t, noise):
        """The k steps at level t."""
        sigma = model.schedule.sigma(t)
        for j in range(self.k):  # score = -eps/sigma
            x = combine(1.0, x, (-0.5 * self.ratio * sigma, model(x, t)), (self.ratio**0.5 * sigma, noise.fresh(t, j)))
        return x

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        return Step(self._langevin(model, ddim(model.schedule, model(x, s), x, s, t), t, noise))

    def reach_data(self, model, x, s, t, past=(), noise=None):
        return Step(combine(model.schedule.alpha(t) / model.schedule.alpha(s), x))
