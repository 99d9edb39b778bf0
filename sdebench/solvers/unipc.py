"""Zhao et al. 2023: the unified predictor-corrector framework UniPC, on the data prediction."""

from dataclasses import dataclass

from sdebench._support.registry import register_solver
from sdebench.integration.ends import ddim
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Node, Step
from sdebench.solvers.shared.linear import Linear, endless, linear
from sdebench.solvers.shared.multistep import Adams, KStep, nodes_at
from sdebench.solvers.shared.weights import exponential


def uni_weights(line: Linear, nodes: list[float], bh: int) -> list[float]:
    r"""The weights of the nodes (theta = 0 first) in `x_t = a x + b h sum_j w_j m_j`.

    Zhao et al. solve `R a B(h) = phi` for their coefficients: where they do, B(h) cancels and the weights are those
    of exponential Adams.  Where ONE difference is used they set a = 1/2 instead, and B(h) stays: `B_1 = h`, and `B_2 = e^h - 1`
    for the noise prediction, which is `1 - e^{-h} = h phi_1(-h)` for the data prediction here.
    """
    if len(nodes) != 2:
        return exponential(nodes, line.z)
    phi_1 = exponential([0.0], line.z)[0]
    w = 0.5 * (1.0 if bh == 1 else phi_1) / nodes[1]
    return [phi_1 - w, w]


def _combine(line: Linear, x, weights: list[float], predictions):
    terms = [term for w, m in zip(weights, predictions) for term in (line.b * line.h * w, m.x0)]
    return lincomb(line.a, x, *terms)


@dataclass(frozen=True)
class UniP(Adams):
    r"""The predictor alone.  Zhao et al. 2023, arXiv:2302.04867, section 3.

        x_t = sigma_t/sigma_s x - alpha_t (e^{-h} - 1) m_0 + alpha_t B(h) sum_k a_k D_k/r_k
        D_k = m_k - m_0,   r_k = (lam_k - lam_s)/h

    Started with the order that its nodes allow, from 1, so from alpha = 0 with DDIM's step; a whole run is of order 2 at most.
    The step to sigma = 0 is DDIM's in the official code (`denoise_to_zero`): extrapolated to lam = inf there is no limit.
    """

    k: int
    bh: int = 2
    from_noise, to_data = "limit", "paper"
    family = "UniPC"
    reference = "Zhao et al. 2023, arXiv:2302.04867, section 3"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, nodes = model.schedule, nodes_at(model, x, s, past)[: self.k]
        line, lam_s = linear("x0", ns, s, t), ns.lam(s)
        theta = [(ns.lam(node.t) - lam_s) / line.h for node in nodes]
        x_t = _combine(line, x, uni_weights(line, theta, self.bh), [node.prediction for node in nodes])
        return Step(x_t, nodes[: self.memory])


@dataclass(frozen=True)
class UniPC(KStep):
    r"""UniP-k corrected by UniC-k.  Zhao et al. 2023, arXiv:2302.04867, section 3.

        u   = UniP-k(x, m_0, ..., m_{k-1}),   m_t = x0(u, t),   x_t = the same with the node (t, m_t) added

    The evaluation at the predicted u serves as the next step's m_0 (so a node AT s may lead the past), which makes it one
    evaluation a step, and one more for the whole run.  Of order k + 1 from exact starting values; the start-up steps, of
    order 1 corrected to 2, hold a whole run at 3.

    To sigma = 0 as UniP, and uncorrected: x0 at sigma = 0 is u/alpha_t, which corrects nothing.  From alpha = 0 the corrected
    first step tends to the trapezoidal rule in 1/rho, `sigma_t/sigma_s x + alpha_t (m_s + m_t)/2`, if B(h) = B_2; B_1 = h has
    no limit, and the first step is DDIM's.
    """

    k: int
    bh: int = 2
    to_data = "paper"
    family = "UniPC"
    reference = "Zhao et al. 2023, arXiv:2302.04867, section 3"

    @property
    def from_noise(self) -> str:
        return "limit" if self.bh == 2 else "first-order"

    @property
    def order(self) -> int:
        return min(self.k + 1, 3)

    @property
    def main_order(self) -> int:
        return self.k + 1

    @property
    def claimed_order(self) -> int:
        return self.k + 1

    def step(self, model, x, s, t, past=(), noise=None):
        ns, nodes = model.schedule, nodes_at(model, x, s, past)[: self.k]
        line, lam_s = linear("x0", ns, s, t), ns.lam(s)
        theta = [(ns.lam(node.t) - lam_s) / line.h for node in nodes]
        m = [node.prediction for node in nodes]
        u = _combine(line, x, uni_weights(line, theta, self.bh), m)
        m_t = model(u, t)
        x_t = _combine(line, x, uni_weights(line, [*theta, 1.0], self.bh), [*m, m_t])
        return Step(x_t, (Node(t, m_t), *nodes[: self.memory]))

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        ns, m_s = model.schedule, model(x, s)
        u = ddim(ns, m_s, x, s, t)
        m_t = model(u, t)
        if self.bh == 1:
            return Step(u, (Node(t, m_t),))
        line = endless(ns, s, t)
        return Step(_combine(line, x, uni_weights(line, [0.0, 1.0], 2), [m_s, m_t]), (Node(t, m_t),))


register_solver("unip-1", k=1, bh=2)(UniP)
register_solver("unip-2", k=2, bh=2)(UniP)
register_solver("unip-3", k=3, bh=2)(UniP)
register_solver("unip-4", k=4, bh=2)(UniP)
register_solver("unipc-1", k=1, bh=2)(UniPC)
register_solver("unipc-2", k=2, bh=2)(UniPC)
register_solver("unipc-3", k=3, bh=2)(UniPC)
register_solver("unipc-4", k=4, bh=2)(UniPC)
register_solver("unip-1-bh1", k=1, bh=1)(UniP)
register_solver("unip-2-bh1", k=2, bh=1)(UniP)
register_solver("unip-3-bh1", k=3, bh=1)(UniP)
register_solver("unip-4-bh1", k=4, bh=1)(UniP)
register_solver("unipc-1-bh1", k=1, bh=1)(UniPC)
register_solver("unipc-2-bh1", k=2, bh=1)(UniPC)
register_solver("unipc-3-bh1", k=3, bh=1)(UniPC)
register_solver("unipc-4-bh1", k=4, bh=1)(UniPC)
