"""Pseudo-numerical methods: Adams-Bashforth weights for EQUAL steps, put into DDIM's map whatever the steps are."""

from dataclasses import dataclass

from sdebench._support.registry import register_solver
from sdebench.integration.ends import is_data
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Node, Solver, Step, remember
from sdebench.solvers.shared.linear import transfer
from sdebench.solvers.shared.multistep import KStep

ADAMS_BASHFORTH = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


def mixed(nodes: tuple[Node, ...]):
    """The Adams-Bashforth combination of the nodes' eps, newest first, with the weights of equal steps."""
    first, *rest = zip(ADAMS_BASHFORTH[len(nodes) - 1], nodes)
    if not rest:
        return first[1].prediction.eps
    return lincomb(first[0], first[1].prediction.eps, *(term for w, node in rest for term in (w, node.prediction.eps)))


class _FixedWeights(Solver):
    """Equal-step weights are wrong by O(h) where the step ratio is, on smooth grids, 1 + O(h): order 2 there, 1 elsewhere.

    The ends: the start-up's stages have no limit from alpha = 0, where it is DDIM's step.  Once started the formula holds at
    sigma = 0; a start-up step that ends there does with the nodes that it has, for a stage would ask the model there.
    """

    order, order_irregular, nfe_per_step = 2, 1, 1
    from_noise, to_data, remembers_noise = "first-order", "formula", True

    @property
    def memory(self) -> int:
        return 3


@register_solver("plms")
@dataclass(frozen=True)
class PLMS(_FixedWeights):
    r"""Pseudo linear multistep, started by the improved Euler method.  Liu et al. 2022, arXiv:2202.09778, eq. 12.

        eps' = (55 eps_0 - 59 eps_1 + 37 eps_2 - 9 eps_3)/24,   x_t = DDIM(x, eps')

    With fewer nodes the weights of the lower order; with none, eps' = (eps_s + eps_t)/2 with one evaluation more (the start
    of latent-diffusion's PLMS).
    """

    claimed_order = 2  # of the paper; the comments of latent-diffusion call the formula with four nodes 4th order
    family = "PNDM"
    reference = "Liu et al. 2022, arXiv:2202.09778, eq. 12"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, node = model.schedule, Node(s, model(x, s))
        if past or is_data(ns, t):
            eps = mixed((node, *past[:3]))
        else:
            eps_s = node.prediction.eps
            eps = lincomb(0.5, eps_s, 0.5, model(transfer(ns, x, eps_s, s, t), t).eps)
        return Step(transfer(ns, x, eps, s, t), remember(node, past, 3))


@register_solver("pndm")
@dataclass(frozen=True)
class PNDM(_FixedWeights):
    r"""Pseudo linear multistep after three pseudo Runge-Kutta steps (F-PNDM).  Liu et al. 2022, arXiv:2202.09778, algorithm 2.

        eps' = (eps_1 + 2 eps_2 + 2 eps_3 + eps_4)/6 over DDIM's maps to the middle of t and to its end, thrice; then PLMS

    The start-up steps cost 4 evaluations each.
    """

    claimed_order = 2  # the paper proves second order
    family = "PNDM"
    reference = "Liu et al. 2022, arXiv:2202.09778, algorithm 2"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, node = model.schedule, Node(s, model(x, s))
        if len(past) >= 3 or is_data(ns, t):
            eps = mixed((node, *past[:3]))
        else:
            eps = self._runge_kutta(model, x, s, t, node.prediction.eps)
        return Step(transfer(ns, x, eps, s, t), remember(node, past, 3))

    def _runge_kutta(self, model, x, s, t, eps_1):
        ns, m = model.schedule, 0.5 * (s + t)
        eps_2 = model(transfer(ns, x, eps_1, s, m), m).eps
        eps_3 = model(transfer(ns, x, eps_2, s, m), m).eps
        eps_4 = model(transfer(ns, x, eps_3, s, t), t).eps
        return lincomb(1 / 6, eps_1, 1 / 3, eps_2, 1 / 3, eps_3, 1 / 6, eps_4)


@dataclass(frozen=True)
class IPNDM(KStep):
    r"""Improved PNDM: fixed weights, started with as many nodes as there are.  Zhang and Chen 2022, arXiv:2204.13902.

        x_t = DDIM(x, sum_j AB_k[j] eps_j)

    NOT variable-step: once started, of order k only on equal steps in rho; 2 on other smooth grids and 1 on irregular ones,
    for every k >= 2.  Its first step is DDIM's, from alpha = 0 too; nothing in the others is infinite at an end.
    """

    k: int
    order_irregular = 1
    from_noise, to_data, remembers_noise = "limit", "formula", True
    family = "iPNDM"
    reference = "Zhang and Chen 2022, arXiv:2204.13902"

    def step(self, model, x, s, t, past=(), noise=None):
        node = Node(s, model(x, s))
        eps = mixed((node, *past[: self.memory]))
        return Step(transfer(model.schedule, x, eps, s, t), remember(node, past, self.memory))


register_solver("ipndm-1", k=1)(IPNDM)
register_solver("ipndm-2", k=2)(IPNDM)
register_solver("ipndm-3", k=3)(IPNDM)
register_solver("ipndm-4", k=4)(IPNDM)
