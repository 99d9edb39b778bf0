r"""Cui et al. 2023, ER-SDE-Solver: Taylor-like multistep methods of the extended reverse-time SDE.

With `y = x/alpha` and `rho = sigma/alpha` the process of noise eta has a scale phi(rho), and reads

    d log phi/d log rho = 1 + eta^2/g^2,     y_t = phi_t/phi_s y_s + int_{rho_t}^{rho_s} phi_t phi'/phi^2 x0 drho + noise
    noise of variance rho_t^2 - rho_s^2 (phi_t/phi_s)^2

(Cui et al. 2023, arXiv:2309.06169).  phi = rho is the probability flow, phi = rho^2 the reverse SDE.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import exp, expm1, factorial, log, log1p, sqrt
from typing import NamedTuple

from sdebench._support.errors import UsageError
from sdebench._support.quadrature import gauss_legendre
from sdebench._support.registry import register_solver
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Node, Step, StochasticSolver, remember
from sdebench.noise import Custom
from sdebench.schedules import NoiseSchedule


class Scale(NamedTuple):
    """A noise scale phi: `log phi(rho)/rho` and `kappa = d log phi/d log rho`; and the noise's weight on a path."""

    log_over_rho: Callable[[float], float]
    kappa: Callable[[float], float]
    weight: Custom


def _scale(log_over_rho: Callable[[float], float], kappa: Callable[[float], float]) -> Scale:
    """The noise is `int eta/g phi_t/phi sqrt(2) rho dB`, and `eta/g = sqrt(kappa - 1)`; constants do not matter to a normal."""

    def weight(lam: float) -> float:
        rho = exp(-lam)
        return sqrt(max(kappa(rho) - 1, 0.0)) * exp(-log_over_rho(rho))

    return Scale(log_over_rho, kappa, Custom(weight))


def _power(p: float) -> Scale:
    return _scale(lambda rho: (p - 1) * log(rho), lambda rho: p)


def _sde_4() -> Scale:
    def kappa(rho: float) -> float:
        u = 100 * rho**1.5
        return 0.9 + 1.5 * u / ((1 + u) * log1p(u))

    return _scale(lambda rho: -0.1 * log(rho) + log(log1p(100 * rho**1.5)), kappa)


def _sde_5() -> Scale:
    def kappa(rho: float) -> float:
        u = rho**0.3
        return 1 + 0.3 * u * exp(u) / (exp(u) + 10)

    return _scale(lambda rho: log(exp(rho**0.3) + 10), kappa)


# Cui et al. 2023, arXiv:2309.06169, appendix A.8.
_POWERS = {"ode": 1.0, "sde": 2.0, "sde-2": 1.5, "sde-3": 2.5}
SCALES = {name: _power(p) for name, p in _POWERS.items()} | {"sde-4": _sde_4(), "sde-5": _sde_5()}
_NODES = 24


@cache
def _noise_scale(name: str, ns: NoiseSchedule) -> Callable[[float], float]:
    """eta/g as a function of t; one function for equal processes."""
    return lambda t: sqrt(max(SCALES[name].kappa(ns.rho(t)) - 1, 0.0))


@dataclass(frozen=True)
class ERSDE(StochasticSolver):
    r"""ER-SDE-Solver-k, k = 1 to 3.  Cui et al. 2023, arXiv:2309.06169.

        x_t = alpha_t [phi_t/phi_s x/alpha_s + c_0 x0_s + c_1 D_s + c_2 U_s + sqrt(rho_t^2 - rho_s^2 (phi_t/phi_s)^2) z]
        c_j = int_{rho_t}^{rho_s} phi_t phi'/phi^2 (rho - rho_s)^j/j! drho
        D_s = (x0_s - x0_1)/(rho_s - rho_1),     U_s = 2 (D_s - D_1)/(rho_s - rho_2)

    (The paper integrates by parts and sums 100 or 200 rectangles, so that its integrals are good to some 1e-3; here it is
    Gauss and Legendre's rule in lam.)  `scale` names phi; sde-5, `rho (e^{rho^0.3} + 10)`, is the paper's choice.

    The paper's Taylor series has the one-sided difference D_s in the place of the first derivative, which is off by O(h) there:
    the third method is of order 2 even without noise (phi = rho).  With noise, the law of any of them is of order 2 at most.

    From alpha = 0 phi_t/phi_s falls to 0 faster than rho_t/rho_s, and the step is `alpha_t x0 + sigma_t z` (DDIM's where phi =
    rho); phi of sde-4 grows more slowly than rho, and has no limit.  To sigma = 0 it is alpha_t x0, as in the official code.
    """

    k: int
    scale: str = "sde-5"
    to_data = "paper"
    nfe_per_step = 1
    family = "ER-SDE-Solver"
    reference = "Cui et al. 2023, arXiv:2309.06169"

    def __post_init__(self):
        if self.scale not in SCALES:
            raise UsageError(f"unknown noise scale {self.scale!r}: give one of {', '.join(SCALES)}")

    @property
    def weak_order(self) -> int:
        return min(self.k, 2)

    @property
    def strong_order(self) -> int | None:
        return None if self.scale == "ode" else 1

    @property
    def claimed_order(self) -> int:
        return self.k

    @property
    def memory(self) -> int:
        return self.k - 1

    @property
    def from_noise(self) -> str:
        return "not possible" if self.scale == "sde-4" else "limit"

    def kept_noise(self, ns, s, t):
        return 1.0 if self.scale == "ode" else 0.0

    def noise_scale(self, ns):
        return _noise_scale(self.scale, ns)

    def step(self, model, x, s, t, past=(), noise=None):
        ns, x0_s = model.schedule, model(x, s)
        alpha_t, nodes = ns.alpha(t), (Node(s, x0_s), *past[: self.memory])
        r, sd, c = self._coefficients(ns.lam(s), ns.lam(t), len(nodes))
        w = taylor_weights([ns.rho(node.t) for node in nodes], c)
        terms = [z for w_j, node in zip(w, nodes) for z in (alpha_t * w_j, node.prediction.x0)]
        if sd:
            terms += (alpha_t * sd, noise.normal(s, t, SCALES[self.scale].weight))
        return Step(lincomb(alpha_t / ns.alpha(s) * r, x, *terms), remember(nodes[0], past, self.memory))

    def _coefficients(self, lam_s: float, lam_t: float, n: int) -> tuple[float, float, list[float]]:
        """(phi_t/phi_s, the noise's standard deviation in y, [c_0, ..., c_{n-1}])."""
        phi, h, rho_s, rho_t = SCALES[self.scale], lam_t - lam_s, exp(-lam_s), exp(-lam_t)
        excess, moments, q, weights = 0.0, [0.0] * n, *gauss_legendre(_NODES)
        end = phi.log_over_rho(rho_t)
        for q_i, w_i in zip(q.tolist(), weights.tolist()):
            rho = rho_s * exp(-h * q_i)
            kappa, distance = phi.kappa(rho), rho_s * expm1(-h * q_i)
            excess += h * w_i * (kappa - 1)
            value = h * w_i * kappa * exp(end - phi.log_over_rho(rho)) * rho_t / rho
            for j in range(n):
                moments[j] += value / factorial(j)
                value *= distance
        sd = rho_t * sqrt(max(-expm1(-2 * excess), 0.0))  # log(phi_s/phi_t rho_t/rho_s), without cancellation
        return exp(-h - excess), sd, moments


def taylor_weights(rho: list[float], c: list[float]) -> list[float]:
    """The weights of x0_s, x0_1, ... in `c_0 x0_s + c_1 D_s + c_2 U_s`."""
    if len(rho) == 1:
        return [c[0]]
    w = c[1] / (rho[0] - rho[1])
    if len(rho) == 2:
        return [c[0] + w, -w]
    u = 2 * c[2] / (rho[0] - rho[2])
    d_s, d_1 = u / (rho[0] - rho[1]), u / (rho[1] - rho[2])
    return [c[0] + w + d_s, -w - d_s - d_1, d_1]


register_solver("er-sde-1", k=1)(ERSDE)
register_solver("er-sde-2", k=2)(ERSDE)
register_solver("er-sde-3", k=3)(ERSDE)
