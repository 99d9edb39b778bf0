r"""Gonzalez et al. 2023, SEEDS: exponential stochastic Runge-Kutta methods of the reverse SDE, on the noise prediction.

A stage at m_i and the step's end share one path: with s = m_0 > m_1 > ... the intervals' integrals

    sigma_w sqrt(2) int_{lam_u}^{lam_v} e^{lam_w - lam} dB = sigma_w e^{lam_w - lam_v} sqrt(e^{2 (lam_v - lam_u)} - 1) z

are asked for once each, and enter every later state w by that factor (the paper's noise decomposition).
"""

from dataclasses import dataclass
from math import exp, expm1, sqrt

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_solver
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Step, StochasticSolver
from sdebench.noise import EPS
from sdebench.phi import phi
from sdebench.schedules import NoiseSchedule


def _spread(ns: NoiseSchedule, u: float, v: float, w: float) -> float:
    """How much of the standard normal of the interval u -> v there is in the state at w <= v."""
    return ns.sigma(w) * exp(ns.lam(w) - ns.lam(v)) * sqrt(expm1(2 * (ns.lam(v) - ns.lam(u))))


class _SEEDS(StochasticSolver):
    """From alpha = 0 the noise prediction's form has no limit, and the step is `alpha_t x0 + sigma_t z`, SDE-DPM-Solver++'s.

    To sigma = 0 it is alpha_t x0.  SEEDS-1 alone has a limit there, which adds new noise of size sigma_s for good; the official
    code says "Euler step" and leaves the state as it is.
    """

    from_noise, to_data = "first-order", "first-order"
    strong_order = 1
    family = "SEEDS"


@register_solver("seeds-1")
@dataclass(frozen=True)
class SEEDS1(_SEEDS):
    r"""SEEDS-1.  Gonzalez et al. 2023, arXiv:2305.14267.  One map with `sde-dpm-solver-1`.

    x_t = alpha_t/alpha_s x - 2 sigma_t (e^h - 1) eps_s + sigma_t sqrt(e^{2h} - 1) z
    """

    weak_order, nfe_per_step = 1, 1
    reference = "Gonzalez et al. 2023, arXiv:2305.14267"

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        h = ns.lam(t) - ns.lam(s)
        c, z = -2 * ns.sigma(t) * expm1(h), noise.normal(s, t, EPS)
        return Step(lincomb(ns.alpha(t) / ns.alpha(s), x, c, model(x, s).eps, _spread(ns, s, t, t), z))


@register_solver("seeds-2")
@dataclass(frozen=True)
class SEEDS2(_SEEDS):
    r"""SEEDS-2: one intermediate evaluation, in the middle.  Gonzalez et al. 2023, arXiv:2305.14267 (r = 1/2).

    u   = alpha_m/alpha_s x - 2 sigma_m (e^{r h} - 1) eps_s + sigma_m sqrt(e^{2 r h} - 1) z_1
    x_t = alpha_t/alpha_s x - 2 sigma_t (e^h - 1) [eps_s + (eps_m - eps_s)/(2 r)]
          + sigma_t [sqrt(e^{2h} - e^{2 (1 - r) h}) z_1 + sqrt(e^{2 (1 - r) h} - 1) z_2]
    """

    r: float = 0.5
    weak_order, nfe_per_step = 2, 2
    reference = "Gonzalez et al. 2023, arXiv:2305.14267"

    def __post_init__(self):
        if not 0.0 < self.r < 1.0:
            raise UsageError(f"r = {self.r!r}: give the place of the stage within the step, 0 < r < 1")

    def step(self, model, x, s, t, past=(), noise=None):
        ns, r = model.schedule, self.r
        h, alpha_s = ns.lam(t) - ns.lam(s), ns.alpha(s)
        m = ns.t(ns.lam(s) + r * h)
        z_1 = noise.normal(s, m, EPS)
        eps_s = model(x, s).eps
        u = lincomb(ns.alpha(m) / alpha_s, x, -2 * ns.sigma(m) * expm1(r * h), eps_s, _spread(ns, s, m, m), z_1)
        eps_m = model(u, m).eps
        c = -2 * ns.sigma(t) * expm1(h)
        noises = (_spread(ns, s, m, t), z_1, _spread(ns, m, t, t), noise.normal(m, t, EPS))
        return Step(lincomb(ns.alpha(t) / alpha_s, x, c * (1 - 0.5 / r), eps_s, c * 0.5 / r, eps_m, *noises))


@register_solver("seeds-3")
@dataclass(frozen=True)
class SEEDS3(_SEEDS):
    r"""SEEDS-3: two intermediate evaluations.  Gonzalez et al. 2023, arXiv:2305.14267 (r1 = 1/3, r2 = 2/3).

        u_1 = alpha_1/alpha_s x - 2 sigma_1 (e^{r1 h} - 1) eps_s + noise
        u_2 = alpha_2/alpha_s x - 2 sigma_2 (e^{r2 h} - 1) eps_s - 2 sigma_2 r2/r1 ((e^{r2 h} - 1)/(r2 h) - 1) D_1 + noise
        x_t = alpha_t/alpha_s x - 2 sigma_t (e^h - 1) eps_s - 2 sigma_t/r2 ((e^h - 1)/h - 1) D_2 + noise,   D_i = eps_i - eps_s

    (The weights of `dpm-solver-3`, doubled as the drift is.)  Its name counts 3; it is of weak order 2: the response to an
    increment is constant within a third of the step, and the exact one is not.  On a linear problem with rate w = K h a step
    adds the variance `1 + w + 17/24 w^2`, in units of its noise, for `1 + w + 2/3 w^2`.
    """

    weak_order, claimed_order, nfe_per_step = 2, 3, 3
    reference = "Gonzalez et al. 2023, arXiv:2305.14267"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, r1, r2 = model.schedule, 1 / 3, 2 / 3
        h, alpha_s = ns.lam(t) - ns.lam(s), ns.alpha(s)
        s_1, s_2 = ns.t(ns.lam(s) + r1 * h), ns.t(ns.lam(s) + r2 * h)
        pieces = [(u, v, noise.normal(u, v, EPS)) for u, v in ((s, s_1), (s_1, s_2), (s_2, t))]
        until = lambda w, n: [c for u, v, z in pieces[:n] for c in (_spread(ns, u, v, w), z)]  # noqa: E731
        eps_s = model(x, s).eps
        eps_1 = model(lincomb(ns.alpha(s_1) / alpha_s, x, -2 * ns.sigma(s_1) * expm1(r1 * h), eps_s, *until(s_1, 1)), s_1).eps
        d = -2 * ns.sigma(s_2) * r2 / r1 * r2 * h * phi(2, r2 * h)
        c = -2 * ns.sigma(s_2) * expm1(r2 * h) - d
        eps_2 = model(lincomb(ns.alpha(s_2) / alpha_s, x, c, eps_s, d, eps_1, *until(s_2, 2)), s_2).eps
        d = -2 * ns.sigma(t) / r2 * h * phi(2, h)
        return Step(lincomb(ns.alpha(t) / alpha_s, x, -2 * ns.sigma(t) * expm1(h) - d, eps_s, d, eps_2, *until(t, 3)))
