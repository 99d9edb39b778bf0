"""Lu et al. 2022, DPM-Solver: exponential Runge-Kutta methods in the half log-SNR, on the noise prediction."""

from dataclasses import dataclass
from math import expm1

from sdebench._support.registry import register_solver
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Solver, Step
from sdebench.phi import phi
from sdebench.solvers.shared.linear import check_fraction


class _DPMSolver(Solver):
    """Its paper ends before sigma = 0; its official code goes there by a step of order 1 (`denoise_to_zero`).

    From alpha = 0 a method with a stage at lam_s + r h has no limit that can be evaluated: `sigma_t e^h (eps_m - eps_s)` goes
    as e^{(1 - 2 r) lam_s}, so for r > 1/2 it grows as alpha_s falls, and for r = 1/2 tends to a derivative of the model.
    """

    family = "DPM-Solver"
    from_noise, to_data = "first-order", "paper"
    reference = "Lu et al. 2022, arXiv:2206.00927"


@register_solver("dpm-solver-1")
@dataclass(frozen=True)
class DPMSolver1(_DPMSolver):
    r"""DPM-Solver-1: exponential Euler.  Lu et al. 2022, arXiv:2206.00927, eq. 3.7.  One map with `ddim`.

    x_t = alpha_t/alpha_s x - sigma_t (e^h - 1) eps_s
    """

    order, nfe_per_step = 1, 1
    from_noise = "limit"
    reference = "Lu et al. 2022, arXiv:2206.00927, eq. 3.7"

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        h, (alpha_t, sigma_t) = ns.lam(t) - ns.lam(s), ns.levels(t)
        return Step(lincomb(alpha_t / ns.alpha(s), x, -sigma_t * expm1(h), model(x, s).eps))


@register_solver("dpm-solver-2")
@dataclass(frozen=True)
class DPMSolver2(_DPMSolver):
    r"""DPM-Solver-2: one intermediate evaluation in lam.  Lu et al. 2022, arXiv:2206.00927, algorithm 1 (r = 1/2).

    u   = alpha_m/alpha_s x - sigma_m (e^{r h} - 1) eps_s
    x_t = alpha_t/alpha_s x - sigma_t (e^h - 1) [eps_s + (eps_m - eps_s)/(2 r)]
    """

    r: float = 0.5
    order, nfe_per_step = 2, 2
    reference = "Lu et al. 2022, arXiv:2206.00927, algorithm 1"

    def __post_init__(self):
        check_fraction("r", self.r)

    def step(self, model, x, s, t, past=(), noise=None):
        ns, r = model.schedule, self.r
        h = ns.lam(t) - ns.lam(s)
        m = ns.t(ns.lam(s) + r * h)
        eps_s = model(x, s).eps
        u = lincomb(ns.alpha(m) / ns.alpha(s), x, -ns.sigma(m) * expm1(r * h), eps_s)
        eps_m = model(u, m).eps
        c = -ns.sigma(t) * expm1(h)
        return Step(lincomb(ns.alpha(t) / ns.alpha(s), x, c * (1 - 0.5 / r), eps_s, c * 0.5 / r, eps_m))


@register_solver("dpm-solver-3")
@dataclass(frozen=True)
class DPMSolver3(_DPMSolver):
    r"""DPM-Solver-3: two intermediate evaluations.  Lu et al. 2022, arXiv:2206.00927, algorithm 2 (r1 = 1/3, r2 = 2/3).

        u_1 = alpha_1/alpha_s x - sigma_1 (e^{r1 h} - 1) eps_s
        u_2 = alpha_2/alpha_s x - sigma_2 (e^{r2 h} - 1) eps_s - sigma_2 r2/r1 ((e^{r2 h} - 1)/(r2 h) - 1) D_1
        x_t = alpha_t/alpha_s x - sigma_t (e^h - 1) eps_s - sigma_t/r2 ((e^h - 1)/h - 1) D_2,   D_i = eps_i - eps_s

    `(e^z - 1)/z - 1` is `z phi_2(z)`, which does not cancel.  r1 is free; r2 = 2/3 is what order 3 needs.
    """

    r1: float = 1 / 3
    order, nfe_per_step = 3, 3
    reference = "Lu et al. 2022, arXiv:2206.00927, algorithm 2"

    def __post_init__(self):
        check_fraction("r1", self.r1)

    def step(self, model, x, s, t, past=(), noise=None):
        return Step(self._stages(model, x, s, t)[0])

    def _stages(self, model, x, s, t):
        """(x_t, eps_s, eps_1): what the pair of orders 2 and 3 needs too."""
        ns, r1, r2 = model.schedule, self.r1, 2 / 3
        h, alpha_s = ns.lam(t) - ns.lam(s), ns.alpha(s)
        s_1, s_2 = ns.t(ns.lam(s) + r1 * h), ns.t(ns.lam(s) + r2 * h)
        eps_s = model(x, s).eps
        eps_1 = model(lincomb(ns.alpha(s_1) / alpha_s, x, -ns.sigma(s_1) * expm1(r1 * h), eps_s), s_1).eps
        d = -ns.sigma(s_2) * r2 / r1 * r2 * h * phi(2, r2 * h)
        u_2 = lincomb(ns.alpha(s_2) / alpha_s, x, -ns.sigma(s_2) * expm1(r2 * h) - d, eps_s, d, eps_1)
        eps_2 = model(u_2, s_2).eps
        d = -ns.sigma(t) / r2 * h * phi(2, h)
        return lincomb(ns.alpha(t) / alpha_s, x, -ns.sigma(t) * expm1(h) - d, eps_s, d, eps_2), eps_s, eps_1


@register_solver("dpm-solver-12")
@dataclass(frozen=True)
class DPMSolver12(_DPMSolver):
    r"""The embedded pair of orders 1 and 2.  Lu et al. 2022, arXiv:2206.00927, appendix C (r1 = 1/2).

        x_t = DPM-Solver-2,   error = DPM-Solver-2 - DPM-Solver-1 = -sigma_t (e^h - 1) (eps_m - eps_s)/(2 r)

    Adaptive in `integrate_adaptive`; on a fixed grid it is `dpm-solver-2`.
    """

    order, nfe_per_step, embedded = 2, 2, True
    reference = "Lu et al. 2022, arXiv:2206.00927, appendix C"

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        h = ns.lam(t) - ns.lam(s)
        m = ns.t(ns.lam(s) + 0.5 * h)
        eps_s = model(x, s).eps
        eps_m = model(lincomb(ns.alpha(m) / ns.alpha(s), x, -ns.sigma(m) * expm1(0.5 * h), eps_s), m).eps
        c = -ns.sigma(t) * expm1(h)
        return Step(lincomb(ns.alpha(t) / ns.alpha(s), x, c, eps_m), error=lincomb(c, eps_m, -c, eps_s))


@register_solver("dpm-solver-23")
@dataclass(frozen=True)
class DPMSolver23(_DPMSolver):
    r"""The embedded pair of orders 2 and 3.  Lu et al. 2022, arXiv:2206.00927, appendix C (r1 = 1/3, r2 = 2/3).

        x_t = DPM-Solver-3,   error = x_t - DPM-Solver-2 with r = r1 (it shares both evaluations)

    Adaptive in `integrate_adaptive`; on a fixed grid it is `dpm-solver-3`.
    """

    order, nfe_per_step, embedded = 3, 3, True
    reference = "Lu et al. 2022, arXiv:2206.00927, appendix C"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, r = model.schedule, 1 / 3
        x_t, eps_s, eps_1 = DPMSolver3()._stages(model, x, s, t)
        c = -ns.sigma(t) * expm1(ns.lam(t) - ns.lam(s))
        low = (-ns.alpha(t) / ns.alpha(s), x, -c * (1 - 0.5 / r), eps_s, -c * 0.5 / r, eps_1)
        return Step(x_t, error=lincomb(1.0, x_t, *low))
