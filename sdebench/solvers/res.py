r"""Zhang et al. 2023, RES: exponential methods on the data prediction that meet the stiff order conditions.

They are exponential Runge-Kutta methods of Hochbruck and Ostermann 2005 (SIAM J. Numer. Anal. 43, section 5), and exponential
Adams of two nodes, with phi_2 where DPM-Solver++ has phi_1/2 (same order, other constants).
"""

from dataclasses import dataclass

from sdebench._support.registry import register_solver
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Node, Step, remember
from sdebench.phi import phis
from sdebench.solvers.exponential_rk import ExponentialRK, Row
from sdebench.solvers.shared.linear import linear
from sdebench.solvers.shared.multistep import Adams
from sdebench.solvers.shared.weights import exponential

_PAPER = "Zhang et al. 2023, arXiv:2308.02157"


def _two_stages(z: float) -> list[Row]:
    return [{}, {}, {1: 2 * phis(2, z)[2]}]


@register_solver("res-2s")
@dataclass(frozen=True)
class RES2S(ExponentialRK):
    """Two stages, c_2 = 1/2:  b_2 = phi_2/c_2.  Zhang et al. 2023, arXiv:2308.02157."""

    order = 2
    family = "RES"
    reference = _PAPER
    c = (0.0, 0.5)
    rows = staticmethod(_two_stages)


def _three_stages(z: float) -> list[Row]:
    phi_2, half_2 = phis(2, z)[2], phis(2, 0.5 * z)[2]
    return [{}, {}, {1: 2 * half_2 + 2 * phi_2}, {1: 4 / 3 * phi_2, 2: 1 / 3 * phi_2}]


@register_solver("res-3s")
@dataclass(frozen=True)
class RES3S(ExponentialRK):
    r"""Three stages.  Zhang et al. 2023, arXiv:2308.02157; Hochbruck and Ostermann 2005, section 5.

        a_32 = gamma c_2 phi_2(c_2 z) + c_3^2/c_2 phi_2(c_3 z),   b_2 = gamma b_3,   b_3 = phi_2/(gamma c_2 + c_3)

    with 2 (gamma c_2 + c_3) = 3 (gamma c_2^2 + c_3^2);  here c = 0, 1/2, 1, so gamma = 4, and Kutta's method at z = 0.
    """

    order = 3
    family = "RES"
    reference = _PAPER
    c = (0.0, 0.5, 1.0)
    rows = staticmethod(_three_stages)


@register_solver("res-2m", k=2)
@dataclass(frozen=True)
class RES2M(Adams):
    r"""Two nodes, a step of one in the start-up.  Zhang et al. 2023, arXiv:2308.02157.

    x_t = sigma_t/sigma_s x + alpha_t h [ (phi_1 + phi_2/r) x0_s - phi_2/r x0_{-1} ](-h),   r = (lam_s - lam_{-1})/h

    From alpha = 0 it starts with DDIM's step; to sigma = 0, where h phi_2/r grows with h, it ends with one.
    """

    k: int
    from_noise, to_data = "limit", "first-order"
    family = "RES"
    reference = _PAPER

    def step(self, model, x, s, t, past=(), noise=None):
        ns, nodes = model.schedule, (Node(s, model(x, s)), *past[: self.memory])
        a, b, h, z = linear("x0", ns, s, t)
        w = exponential([(ns.lam(node.t) - ns.lam(s)) / h for node in nodes], z)
        x_t = lincomb(a, x, *(y for w_j, node in zip(w, nodes) for y in (b * h * w_j, node.prediction.x0)))
        return Step(x_t, remember(nodes[0], past, self.memory))
