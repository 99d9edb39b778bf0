"""Song et al. 2020: denoising diffusion implicit models, eta = 0, and 0 to 1."""

from dataclasses import dataclass
from math import expm1, sqrt

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_solver
from sdebench.integration.solver import Solver, Step, StochasticSolver
from sdebench.noise import DATA
from sdebench.solvers.shared.linear import combine


@register_solver("ddim")
@dataclass(frozen=True)
class DDIM(Solver):
    r"""Denoise to x0, then put the same noise back.  Song et al. 2020, arXiv:2010.02502, eq. 12 with sigma = 0 (the seed's 21).

        x_t = alpha_t x0 + sigma_t eps

    The paper's `alpha_t` is alpha^2 here.  One map with `dpm-solver-1`, and with Euler's method in sigma where alpha = 1.
    To sigma = 0 it is alpha_t x0 (the paper sets alpha_0 = 1); from alpha = 0 it is `alpha_t x0 + sigma_t/sigma_s x`, as Lin et
    al. 2023, arXiv:2305.08891, use it at zero terminal SNR.
    """

    order, nfe_per_step = 1, 1
    from_noise, to_data = "limit", "paper"
    family = "DDIM"
    reference = "Song et al. 2020, arXiv:2010.02502, eq. 12"

    def step(self, model, x, s, t, past=(), noise=None):
        (alpha_s, sigma_s), (alpha_t, sigma_t) = model.schedule.levels(s), model.schedule.levels(t)
        ratio = alpha_t / alpha_s  # of x, once x0 = (x - sigma_s eps)/alpha_s is put in
        return Step(combine(ratio, x, (sigma_t - ratio * sigma_s, model(x, s))))


@register_solver("ddim-eta")
@dataclass(frozen=True)
class DDIMEta(StochasticSolver):
    r"""Denoise to x0, then put back the same noise in part and new noise in part.  Song et al. 2020, arXiv:2010.02502, eq. 12.

        x_t = alpha_t x0 + sqrt(sigma_t^2 - n^2) eps + n z,     n = eta sigma_t sqrt(1 - e^{-2h})

    n is eq. 16's, for any schedule.  eta = 0 is `ddim`, eta = 1 is `ddpm`; in between a process of the family with noise eta g,
    which is what its strong order is measured against.  n = eta sigma_t where the step begins at alpha = 0.
    """

    eta: float = 1.0
    weak_order, strong_order, nfe_per_step = 1, 1, 1
    from_noise, to_data = "limit", "paper"
    family = "DDIM"
    reference = "Song et al. 2020, arXiv:2010.02502, eq. 12 and 16"

    def __post_init__(self):
        if not 0.0 <= self.eta <= 1.0:
            raise UsageError(f"eta = {self.eta!r}: give the noise as a fraction of DDPM's, 0 to 1")

    def noise_scale(self, ns):
        return self.eta

    def kept_noise(self, ns, s, t):
        return sqrt(1 - self.eta * self.eta)

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        new = -self.eta * self.eta * expm1(-2 * (ns.lam(t) - ns.lam(s)))  # n^2/sigma_t^2
        ratio, sigma = ns.alpha(t) / ns.alpha(s), ns.sigma(t)
        same = sigma * sqrt(1 - new) - ratio * ns.sigma(s)
        return Step(combine(ratio, x, (same, model(x, s)), (sigma * sqrt(new), noise.normal(s, t, DATA))))
