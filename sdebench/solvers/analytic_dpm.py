"""Bao et al. 2022: Analytic-DPM, ancestral sampling with the variance that is optimal for the data."""

from dataclasses import dataclass
from math import expm1, sqrt

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_solver
from sdebench.integration.solver import Step, StochasticSolver
from sdebench.noise import DATA
from sdebench.solvers.ddpm import ancestral_mean
from sdebench.solvers.shared.linear import combine


def mean_square_eps(model, t: float) -> float:
    """Gamma = E|eps(x_t, t)|^2/d over the marginal, which the model must offer.  Raises UsageError where it does not."""
    gamma = getattr(model, "gamma", None)
    if gamma is None:
        raise UsageError(
            f"{type(model).__name__} does not know its mean square, which Analytic-DPM needs: give "
            "Model(fn, schedule, kind, gamma=g) with g(t) = E|eps(x_t, t)|^2/d, a mean over samples"
        )
    return gamma(t)


@register_solver("analytic-dpm")
@dataclass(frozen=True)
class AnalyticDPM(StochasticSolver):
    r"""DDPM's mean with the optimal variance.  Bao et al. 2022, arXiv:2201.06503, theorem 1 at lambda = tilde beta.

        n^2 = l^2 + (sigma_s alpha_t/alpha_s - sqrt(sigma_t^2 - l^2))^2 (1 - Gamma),     l^2 = sigma_t^2 (1 - e^{-2h})
            = l^2 [1 + (e^{2h} - 1)(1 - Gamma)],     Gamma = E|eps|^2/d at s

    The total variance of q(x_t | x_s), averaged over x_s: between DDPM's small one (Gamma = 1) and its large one over
    (alpha_s/alpha_t)^2 (Gamma = 0).  Exact for isotropic Gaussian data; for any other one number cannot be right in all
    directions and at all points, and the weak order is 1.  Gamma is a property of the model: `model.gamma(t)`.

    The last step, to sigma = 0, has no noise, as in the official code.  From alpha = 0, where Gamma = 1, e^{2h} (1 - Gamma) is
    inf times 0, alpha_t^2/sigma_t^2 times the variance of the data, which Gamma does not tell: the step is DDPM's.
    """

    from_noise, to_data = "first-order", "paper"
    weak_order, strong_order, nfe_per_step = 1, 1, 1
    family = "Analytic-DPM"
    reference = "Bao et al. 2022, arXiv:2201.06503, theorem 1"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, h = model.schedule, model.schedule.lam(t) - model.schedule.lam(s)
        a, mean = ancestral_mean(model, x, s, t)
        n = ns.sigma(t) * sqrt(-expm1(-2 * h) * (1 + expm1(2 * h) * (1 - mean_square_eps(model, s))))
        return Step(combine(a, x, mean, (n, noise.normal(s, t, DATA))))
