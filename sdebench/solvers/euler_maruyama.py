"""Euler-Maruyama and a stochastic Runge-Kutta method of strong order 1.5, for the family of processes with equal marginals."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_solver
from sdebench.integration.solver import Step, StochasticSolver
from sdebench.noise import TIME, Power
from sdebench.process.family import Dynamics
from sdebench.schedules import NoiseSchedule
from sdebench.solvers.shared.linear import combine


@lru_cache(maxsize=64)
def _over_g(eta: Callable[[float], float], ns: NoiseSchedule) -> Callable[[float], float]:
    """eta(t)/g(t), the same function each time: studies keep what they make for it."""
    return lambda t: eta(t) / sqrt(ns.g2(t))


@dataclass(frozen=True)
class _OfTheFamily(StochasticSolver):
    """`dx = [f x - (g^2 + eta^2)/2 score] dt + eta dw`, time backwards, with `eta` given as a multiple of g, or as a function
    eta(t).

    Every eta >= 0 has the same marginals: the multiple 1 is the reverse SDE of Song et al. 2021, 0 the probability flow.
    """

    eta: float | Callable[[float], float] = 1.0
    family = "Euler-Maruyama"

    def __post_init__(self):
        if not (callable(self.eta) or 0.0 <= self.eta < float("inf")):
            raise UsageError(f"eta = {self.eta!r}: give the noise as a multiple of g, 0 (none) or more, or a function eta(t)")

    def noise_scale(self, ns):
        return _over_g(self.eta, ns) if callable(self.eta) else self.eta

    def diffusion(self, ns, t: float) -> float:
        """eta(t), what multiplies dw."""
        return Dynamics(ns, self.eta).diffusion(t)

    def drift(self, ns, t: float) -> tuple[float, float]:
        """(a, b) of dx/dt = a x + b eps:  `a = f`, `b = (g^2 + eta^2)/(2 sigma)`, for score = -eps/sigma."""
        a, c = Dynamics(ns, self.eta).coefficients(t)
        return a, -c / ns.sigma(t)


@register_solver("euler-maruyama")
@dataclass(frozen=True)
class EulerMaruyama(_OfTheFamily):
    r"""Euler-Maruyama in t.  Song et al. 2021, arXiv:2011.13456, eq. 6; Kloeden and Platen 1992, 10.2.

        x_t = x - (s - t) [f x - (g^2 + eta^2)/2 score] + eta_s (W_s - W_t),      coefficients at s

    Strong order 1 and not 1/2, for the noise is additive.

    At alpha = 0 drift and noise of the reverse SDE are infinite.  To sigma = 0 the paper's code leaves out the noise ("x_mean",
    sampling.py).
    """

    from_noise, to_data = "first-order", "paper"
    weak_order, strong_order, nfe_per_step = 1, 1, 1
    reference = "Song et al. 2021, arXiv:2011.13456, eq. 6; Kloeden and Platen 1992, section 10.2"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, h = model.schedule, s - t
        a, b = self.drift(ns, s)
        dw = noise.normal(s, t, TIME)
        return Step(combine(1 - h * a, x, (-h * b, model(x, s)), (self.diffusion(ns, s) * sqrt(h), dw)))

    def reach_data(self, model, x, s, t, past=(), noise=None):
        (a, b), h = self.drift(model.schedule, s), s - t
        return Step(combine(1 - h * a, x, (-h * b, model(x, s))))


@register_solver("srk-additive")
@dataclass(frozen=True)
class SRKAdditive(_OfTheFamily):
    r"""A two-stage Runge-Kutta method of strong order 1.5 for additive noise.  Roessler 2010, scheme SRA1.

        H   = x - 3/4 h a(x, s) + 3/2 eta_t I_10/h,                 I_10 = int (W_s - W_u) du = int (u - t) dW_u
        x_t = x - h [1/3 a(x, s) + 2/3 a(H, s - 3/4 h)] + eta_t I_1 + (eta_s - eta_t) I_10/h,         I_1 = W_s - W_t

    a is the drift, h = s - t.  At alpha = 0 it is infinite; at sigma = 0 no stage stands, so the formula holds, noise and all.
    """

    from_noise, to_data = "first-order", "formula"
    weak_order, strong_order, nfe_per_step = 2, 1.5, 2
    reference = "Roessler 2010, SIAM J. Numer. Anal. 48, 922, scheme SRA1"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, h, m = model.schedule, s - t, s - 0.75 * (s - t)
        i_1, i_10 = noise.integral(s, t, TIME, Power(1))
        eta_s, eta_t = self.diffusion(ns, s), self.diffusion(ns, t)
        (a, b), m_s = self.drift(ns, s), model(x, s)
        u = combine(1 - 0.75 * h * a, x, (-0.75 * h * b, m_s), (1.5 * eta_t / h, i_10))
        (a_m, b_m), h_m = self.drift(ns, m), 2 / 3 * h
        stage = combine(-h_m * a_m, u, (-h_m * b_m, model(u, m)))
        noises = ((eta_t, i_1), ((eta_s - eta_t) / h, i_10))
        return Step(combine(1 - h * a / 3, x, (-h * b / 3, m_s), (1.0, stage), *noises))
