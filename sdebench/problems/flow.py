"""Flow problems: straight paths, and a model that predicts the velocity, as networks of images and video do."""

from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from sdebench._support.registry import register_problem
from sdebench.integration.prediction import Model
from sdebench.problems.problem import ExactModel, Problem
from sdebench.problems.shipped import product_16d


@dataclass(frozen=True)
class Velocity:
    """`fn(x, t)`, the velocity dx/dt = eps - x0 that an exact model knows, (B, d).  Lipman et al. 2022, arXiv:2210.02747."""

    exact: ExactModel

    def __call__(self, x: Tensor, t: float) -> Tensor:
        return self.exact(x, t).read("velocity")


@dataclass(frozen=True, eq=False)
class FlowProblem(Problem):
    """A problem on `Rectified` whose exact model predicts the velocity: there at alpha = 0 and at sigma = 0 too."""

    @cached_property
    def model(self) -> Model:  # type: ignore[override]  # a model all the same
        """The exact model: native kind `velocity`."""
        exact = ExactModel(self.law, self.schedule)
        return Model(Velocity(exact), self.schedule, "velocity", exact.gamma)


@register_problem("flow-16d")
def flow_16d(noisy: float = 1.0, clean: float = 0.0) -> FlowProblem:
    """The law of `product-16d` on straight paths, from noise, t = 1, to data, t = 0; orders want a span inside, 0.9 to 0.1."""
    at = product_16d("Rectified")
    return FlowProblem("flow-16d", at.law, at.schedule, (noisy, clean))
