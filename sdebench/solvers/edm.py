"""Karras et al. 2022: Heun's method in the noise level; and the midpoint method in its logarithm."""

from dataclasses import dataclass

from sdebench._support.registry import register_solver
from sdebench.integration.solver import Solver, Step
from sdebench.solvers.shared.linear import combine


@register_solver("heun-edm")
@dataclass(frozen=True)
class HeunEDM(Solver):
    r"""Heun's second-order method in sigma, for y = x/alpha.  Karras et al. 2022, arXiv:2206.00364, algorithm 1.

        u   = alpha_t (x/alpha_s + (rho_t - rho_s) eps_s)
        x_t = alpha_t (x/alpha_s + (rho_t - rho_s) (eps_s + eps_t)/2)
            = [u + alpha_t (x/alpha_s + (rho_t - rho_s) eps_t)]/2

    rho = sigma/alpha; the paper's `d_i` is eps.  The second form reads three vectors, not four.  One map with `deis-rhork-2`,
    and on the paper's schedules, where alpha = 1, its own.

    To sigma = 0 the paper's step is Euler's, `x_t = alpha_t x0`, so that N steps cost 2 N - 1 evaluations.  From alpha = 0,
    which the paper does not have, it is Euler's too: rho_s (eps_t - eps_s) has no limit there.
    """

    order, nfe_per_step = 2, 2
    from_noise, to_data = "first-order", "paper"
    family = "EDM"
    reference = "Karras et al. 2022, arXiv:2206.00364, algorithm 1"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, m_s = model.schedule, model(x, s)
        (alpha_s, sigma_s), (alpha_t, sigma_t) = ns.levels(s), ns.levels(t)
        a = alpha_t / alpha_s
        c = sigma_t - a * sigma_s  # alpha_t (rho_t - rho_s)
        u = combine(a, x, (c, m_s))
        return Step(combine(0.5, u, (a / 2, x), (c / 2, model(u, t))))


@register_solver("midpoint-log-sigma")
@dataclass(frozen=True)
class MidpointLogSigma(Solver):
    r"""The midpoint method with its midpoint at the geometric mean of the noise levels ("KDPM2", k-diffusion 2022).

        u   = alpha_m (x/alpha_s + (rho_m - rho_s) eps_s),   rho_m = sqrt(rho_s rho_t)
        x_t = alpha_t (x/alpha_s + (rho_t - rho_s) eps_m)

    `sample_dpm_2` there, after DPM-Solver-2 and Karras et al. 2022, arXiv:2206.00364, with Euler's step to sigma = 0.  One
    map with `dpm-solver-2` at r = 1/2, and without a limit from alpha = 0, as that one.
    """

    order, nfe_per_step = 2, 2
    from_noise, to_data = "first-order", "paper"
    family = "EDM"
    reference = "k-diffusion 2022, after Lu et al. 2022, arXiv:2206.00927, and Karras et al. 2022, arXiv:2206.00364"

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        m = ns.t(0.5 * (ns.lam(s) + ns.lam(t)))
        a_m, a_t = ns.alpha(m) / ns.alpha(s), ns.alpha(t) / ns.alpha(s)
        u = combine(a_m, x, (ns.sigma(m) - a_m * ns.sigma(s), model(x, s)))
        return Step(combine(a_t, x, (ns.sigma(t) - a_t * ns.sigma(s), model(u, m))))
