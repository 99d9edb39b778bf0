"""Song et al. 2021: the reverse-diffusion predictor, and the predictor-corrector sampler with the Langevin corrector."""

from dataclasses import dataclass
from math import expm1, sqrt

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_solver
from sdebench.integration.solver import Step, StochasticSolver
from sdebench.noise import EPS
from sdebench.solvers.shared.linear import combine


@register_solver("reverse-diffusion")
@dataclass(frozen=True)
class ReverseDiffusion(StochasticSolver):
    r"""The reverse SDE, discretised as the forward chain is.  Song et al. 2021, arXiv:2011.13456, appendix E.

        forward   x_s = x_t + f(x_t) + G z,   f(x) = (alpha_s/alpha_t - 1) x,   G^2 = sigma_s^2 - (alpha_s/alpha_t)^2 sigma_t^2
        reverse   x_t = x_s - f(x_s) + G^2 score + G z

    On a variance-preserving schedule, with beta = 1 - (alpha_s/alpha_t)^2, it is the paper's `(2 - sqrt(1 - beta)) x + beta
    score + sqrt(beta) z`; where alpha = 1 its `x + (sigma_s^2 - sigma_t^2) score + sqrt(sigma_s^2 - sigma_t^2) z`.

    To sigma = 0 the paper's code leaves the noise out ("x_mean").  From alpha = 0 the formula tends to x + sigma_s z, in which
    there is no x0: the step is `alpha_t x0 + sigma_t z`.
    """

    from_noise, to_data = "first-order", "paper"
    weak_order, strong_order, nfe_per_step = 1, 1, 1
    family = "Score SDE"
    reference = "Song et al. 2021, arXiv:2011.13456, appendix E"

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        g2 = -(ns.sigma(s) ** 2) * expm1(-2 * (ns.lam(t) - ns.lam(s)))
        forward = ns.alpha(s) / ns.alpha(t)
        return Step(combine(2 - forward, x, (-g2 / ns.sigma(s), model(x, s)), (sqrt(g2), noise.normal(s, t, EPS))))

    def reach_data(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        return Step(combine(2 - ns.alpha(s) / ns.alpha(t), x, (-ns.sigma(s), model(x, s))))


@register_solver("predictor-corrector")
@dataclass(frozen=True)
class PredictorCorrector(StochasticSolver):
    r"""Reverse diffusion, then `k` steps of Langevin's dynamics at the new noise level.  Song et al. 2021, arXiv:2011.13456,
    algorithms 2 and 3, their corrector being algorithms 4 and 5.

        x <- x + e score(x, t) + sqrt(2 e) z,     e = 2 a (r |z|/|score|)^2,     a = (alpha_s/alpha_t)^2, 1 where alpha = 1

    `a` is the paper's `alpha_i = 1 - beta_i`, there of the interval below.  Norms are means over the batch, as in the
    official code: where one sample has its own, e is infinite at every mode of the density.  So a sample depends on its batch.

    The corrector's step e does not shrink with h.  Refined, the chain settles at the invariant law of this Langevin chain and
    not at the marginal: weak order 0.  Not linear in its vectors.

    Both ends are the predictor's alone: from alpha = 0 the corrector's `a` is 0, at sigma = 0 there is no score.
    """

    from_noise, to_data = "first-order", "paper"
    r: float = 0.16
    k: int = 1
    weak_order = 0
    family = "Score SDE"
    reference = "Song et al. 2021, arXiv:2011.13456, algorithms 2 to 5"

    def __post_init__(self):
        if not (0.0 < self.r < float("inf") and self.k >= 1):
            raise UsageError(f"r = {self.r!r}, k = {self.k!r}: give a signal-to-noise ratio r > 0 and k >= 1 corrector steps")

    @property
    def nfe_per_step(self) -> int:
        return 1 + self.k

    def step(self, model, x, s, t, past=(), noise=None):
        x = ReverseDiffusion().step(model, x, s, t, noise=noise).x
        a = (model.schedule.alpha(s) / model.schedule.alpha(t)) ** 2
        for j in range(self.k):
            score, z = model(x, t).score, noise.fresh(t, j)
            norm_z, norm_score = (v.flatten(1).norm(dim=1).mean() for v in (z, score))
            e = 2 * a * (self.r * norm_z / norm_score) ** 2  # stays a tensor: no number leaves the device within a step
            x = x + e * score + (2 * e).sqrt() * z
        return Step(x)

    def reach_data(self, model, x, s, t, past=(), noise=None):
        return ReverseDiffusion().reach_data(model, x, s, t)
