"""What k-step methods share: their claims, and the node at which a step stands."""

from torch import Tensor

from sdebench.integration.prediction import ModelLike
from sdebench.integration.solver import Node, Solver


class KStep(Solver):
    """A k-step method: claims order k, wants k - 1 nodes before s; an Euler start holds a whole run at order 2."""

    k: int
    nfe_per_step = 1

    @property
    def order(self) -> int:
        return min(self.k, 2)  # the first step is Euler's, and costs O(h^2) once

    @property
    def claimed_order(self) -> int:
        return self.k

    @property
    def memory(self) -> int:
        return self.k - 1


class Adams(KStep):
    """A k-step method whose main scheme is of order k on any grid."""

    @property
    def main_order(self) -> int:
        return self.k


def nodes_at(model: ModelLike, x: Tensor, s: float, past: tuple[Node, ...]) -> tuple[Node, ...]:
    """`past` with a node at s in front: the one that a corrected step has left there, or a new evaluation."""
    return past if past and past[0].t == s else (Node(s, model(x, s)), *past)
