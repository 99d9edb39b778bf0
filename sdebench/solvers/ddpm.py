"""Ho et al. 2020: denoising diffusion probabilistic models, ancestral sampling."""

from dataclasses import dataclass
from math import expm1, sqrt

from sdebench._support.registry import register_solver
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Step, StochasticSolver
from sdebench.noise import DATA, EPS
from sdebench.solvers.shared.linear import combine


def ancestral_mean(model, x, s: float, t: float):
    """(a, (b, prediction)) of `E[x_t | x_s] = alpha_t/alpha_s (x - sigma_s (1 - e^{-2h}) eps)`.

    Ho et al. 2020, eq. 11, `(x - beta/sigma_s eps)/sqrt(1 - beta)`: beta = sigma_s^2 (1 - e^{-2h}) where alpha^2 + sigma^2 = 1.
    """
    ns = model.schedule
    a = ns.alpha(t) / ns.alpha(s)
    return a, (a * ns.sigma(s) * expm1(-2 * (ns.lam(t) - ns.lam(s))), model(x, s))


@register_solver("ddpm")
@dataclass(frozen=True)
class DDPM(StochasticSolver):
    r"""Ancestral sampling with the small variance, that of q(x_t | x_s, x_0).  Ho et al. 2020, arXiv:2006.11239, algorithm 2.

        x_t = alpha_t/alpha_s (x - sigma_s (1 - e^{-2h}) eps) + sigma_t sqrt(1 - e^{-2h}) z

    The paper's `tilde beta`, eq. 7, for any schedule; its alpha-bar is alpha^2 here, its beta 1 - (alpha_s/alpha_t)^2.
    One map with `ddim-eta` at eta = 1 and with `euler-ancestral`; its noise is the reverse SDE's own while x0 stands still.
    The last step, to sigma = 0, has no noise (algorithm 2: z = 0); one from alpha = 0 is `alpha_t x0 + sigma_t z`.
    """

    from_noise, to_data = "limit", "paper"
    weak_order, strong_order, nfe_per_step = 1, 1, 1
    family = "DDPM"
    reference = "Ho et al. 2020, arXiv:2006.11239, algorithm 2, tilde beta"

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        a, mean = ancestral_mean(model, x, s, t)
        return Step(combine(a, x, mean, (ns.sigma(t) * sqrt(-expm1(-2 * (ns.lam(t) - ns.lam(s)))), noise.normal(s, t, DATA))))


@register_solver("ddpm-large")
@dataclass(frozen=True)
class DDPMLarge(StochasticSolver):
    r"""Ancestral sampling with the large variance, that of q(x_s | x_t).  Ho et al. 2020, arXiv:2006.11239, section 3.2.

        x_t = alpha_t/alpha_s (x - sigma_s (1 - e^{-2h}) eps) + sqrt(beta) z,     beta = sigma_s^2 (1 - e^{-2h})

    beta is `sigma_s^2 - (alpha_s/alpha_t)^2 sigma_t^2`, the variance of the forward step.  Right for data that are N(0, I) on
    a variance-preserving schedule, as the small one is for a single point; either is of order 1 for anything else.
    The last step, to sigma = 0, has no noise (algorithm 2: z = 0); one from alpha = 0 is `alpha_t x0 + sigma_s z`.
    """

    from_noise, to_data = "limit", "paper"
    weak_order, strong_order, nfe_per_step = 1, 1, 1
    family = "DDPM"
    reference = "Ho et al. 2020, arXiv:2006.11239, algorithm 2, beta"

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        a, mean = ancestral_mean(model, x, s, t)
        return Step(combine(a, x, mean, (ns.sigma(s) * sqrt(-expm1(-2 * (ns.lam(t) - ns.lam(s)))), noise.normal(s, t, EPS))))

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        return Step(lincomb(ns.alpha(t), model(x, s).x0, ns.sigma(s), noise.normal(s, t, EPS)))
