"""Permenter and Yuan 2024: DDIM along a direction that is extrapolated from the last two."""

from dataclasses import dataclass
from math import inf

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_solver
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Node, Solver, Step
from sdebench.solvers.shared.linear import transfer


@register_solver("gradient-estimation")
@dataclass(frozen=True)
class GradientEstimation(Solver):
    r"""DDIM with `gamma eps_s + (1 - gamma) eps_{-1}` for eps_s; the first step is DDIM's.

    Permenter and Yuan 2024, arXiv:2306.04848.
    The paper's gamma is 2, at every ratio of steps: of order 1, as DDIM, which is gamma = 1.  Order 2 wants
    `gamma = 1 + (rho_t - rho_s)/(2 (rho_s - rho_{-1}))`, 3/2 for equal steps in rho = sigma/alpha: then it is `lms-2`.
    From alpha = 0 the first step is DDIM's; at sigma = 0 the formula holds.
    """

    gamma: float = 2.0
    order = 1
    from_noise, to_data, remembers_noise = "limit", "formula", True
    nfe_per_step = 1
    memory = 1
    family = "gradient estimation"
    reference = "Permenter and Yuan 2024, arXiv:2306.04848"

    def __post_init__(self):
        if not 0 < self.gamma < inf:
            raise UsageError(f"gamma = {self.gamma!r}: give the weight of the newest noise, above 0 (2 in the paper)")

    def step(self, model, x, s, t, past=(), noise=None):
        node = Node(s, model(x, s))
        eps = node.prediction.eps
        if past:
            eps = lincomb(self.gamma, eps, 1 - self.gamma, past[0].prediction.eps)
        return Step(transfer(model.schedule, x, eps, s, t), (node,))
