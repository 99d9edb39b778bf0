"""Methods as other software ships them where they differ from their papers, under names of their own."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from sdebench._support.registry import register_solver
from sdebench.integration.ends import ddim
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Node, Step, remember
from sdebench.phi import phis
from sdebench.solvers.shared.linear import linear, transfer
from sdebench.solvers.shared.multistep import KStep, nodes_at


def ipndm_v_weights(h: list[float]) -> list[float]:
    """The "variable-step" weights of iPNDM_v for steps h (newest first) in sigma, as in use (diff-sampler).

    For two steps they are Adams-Bashforth's; for three and four the higher differences enter wrongly, unless all steps are
    equal.  The weights of three still sum to one and keep order 2; those of four do not: it does not converge.
    """
    r = h[0] / h[1]
    if len(h) == 2:
        return [1 + r / 2, -r / 2]
    q = h[1] / h[2]
    third = (1 - h[0] / (3 * (h[0] + h[1])) * (h[0] * (h[0] + h[1])) / (h[1] * (h[1] + h[2]))) / 2
    w = [1 + r / 2 + third, -r / 2 - (1 + q) * third, third * q]
    if len(h) == 3:
        return w
    h01, h12, h012, h23, h123 = h[0] + h[1], h[1] + h[2], h[0] + h[1] + h[2], h[2] + h[3], h[1] + h[2] + h[3]
    fourth = (1 - h[0] / (3 * h01)) / 2 + (1 - h[0] / (2 * h01)) * h[0] / (6 * h012)
    fourth *= h[0] * h01 * h012 / (h[1] * h12 * h123)
    p = h[1] * h12 / (h[2] * h23)
    return [w[0] + fourth, w[1] - (1 + q + p) * fourth, w[2] + (q + p * (1 + h[2] / h[3])) * fourth, -fourth * p * q]


@dataclass(frozen=True)
class IPNDMVariable(KStep):
    r"""iPNDM_v-k, k = 2 to 4: DDIM's map with the weights above.  diff-sampler, and what was copied from it.

    Compare `lms-k`, which is what its name promises, also at the ends.
    """

    k: int
    from_noise, to_data = "limit", "formula"
    family = "iPNDM"
    reference = "diff-sampler (iPNDM_v)"

    @property
    def order_irregular(self) -> int:
        return 0 if self.k == 4 else 2

    def step(self, model, x, s, t, past=(), noise=None):
        ns, node = model.schedule, Node(s, model(x, s))
        nodes = (node, *past[: self.memory])
        if not past:
            return Step(transfer(ns, x, node.prediction.eps, s, t), (node,))
        rho = [ns.rho(u) for u in (t, *(n.t for n in nodes))]
        w = ipndm_v_weights([a - b for a, b in pairwise(rho)])
        alpha_t, drho = ns.alpha(t), rho[0] - rho[1]
        terms = [term for w_j, n in zip(w, nodes) for term in (alpha_t * drho * w_j, n.prediction.eps)]
        return Step(lincomb(alpha_t / ns.alpha(s), x, *terms), remember(node, past, self.memory))


@dataclass(frozen=True)
class UniPCVary(KStep):
    r"""UniPC-k in the `vary_coeff` form of its official code: the corrector's last row is taken one too early.

    With `C_ij = r_i^(j-1)/j!` (r the nodes' places, the new one last) the official code adds, for the new node's difference,
    `phi_{k+1}` times the last entry of row k-1 of C^{-1}; the rows before it are used without that difference.

    From alpha = 0 the corrected first step tends to `sigma_t/sigma_s x + alpha_t m_t`; to sigma = 0 as UniPC.
    """

    k: int
    order = 1
    from_noise, to_data = "limit", "paper"
    family = "UniPC"
    reference = "Zhao et al. 2023, official code, variant vary_coeff"

    @property
    def claimed_order(self) -> int:
        return self.k + 1

    def step(self, model, x, s, t, past=(), noise=None):
        ns, nodes = model.schedule, nodes_at(model, x, s, past)[: self.k]
        a, b, h, z = linear("x0", ns, s, t)
        places = [(ns.lam(n.t) - ns.lam(s)) / h for n in nodes[1:]] + [1.0]
        phi = phis(len(places) + 2, z)
        m = [n.prediction.x0 for n in nodes]
        inverse = _inverse(places)
        predictor = _rows(_inverse(places[:-1]), phi) if len(places) > 1 else []
        u = _differences(a, b * h, x, phi[1], m, predictor, places)
        m_t = model(u, t)
        k = len(places)
        last = phi[k + 1] * inverse[max(k - 2, 0), -1]
        corrector = [*_rows(inverse[: k - 1, :-1], phi), last]
        x_t = _differences(a, b * h, x, phi[1], [*m, m_t.x0], corrector, places)
        return Step(x_t, (Node(t, m_t), *nodes[: self.memory]))

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        m_t = model(ddim(ns, model(x, s), x, s, t), t)
        return Step(lincomb(ns.sigma(t) / ns.sigma(s), x, ns.alpha(t), m_t.x0), (Node(t, m_t),))


def _inverse(places: list[float]) -> np.ndarray:
    """C^{-1}, C_ij = r_i^(j-1)/j!"""
    k = len(places)
    factorials = np.cumprod(np.arange(1.0, k + 1))
    return np.linalg.inv(np.vander(places, k, increasing=True) / factorials)


def _rows(inverse: np.ndarray, phi: tuple[float, ...]) -> list[float]:
    """The coefficient of each difference quotient D_i/r_i: sum_k phi_{k+1} (C^{-1})_{k i}."""
    return (np.asarray(phi[2 : 2 + len(inverse)]) @ inverse).tolist()


def _differences(a: float, bh: float, x, phi_1: float, m: list, weights: list[float], places: list[float]):
    """a x + b h [phi_1 m_0 + sum_i w_i (m_i - m_0)/r_i]"""
    w = [bh * w_i / r for w_i, r in zip(weights, places)]
    return lincomb(a, x, bh * phi_1 - sum(w), m[0], *(term for w_i, m_i in zip(w, m[1:]) for term in (w_i, m_i)))


register_solver("ipndm-v-2-shipped", k=2)(IPNDMVariable)
register_solver("ipndm-v-3-shipped", k=3)(IPNDMVariable)
register_solver("ipndm-v-4-shipped", k=4)(IPNDMVariable)
register_solver("unipc-2-vary-shipped", k=2)(UniPCVary)
register_solver("unipc-3-vary-shipped", k=3)(UniPCVary)
register_solver("unipc-4-vary-shipped", k=4)(UniPCVary)
