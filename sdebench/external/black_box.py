"""What all black boxes share: an adaptive integrator for dx/dt of the probability flow, seen only from outside."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from sdebench.integration.prediction import ModelLike
from sdebench.integration.solver import Sampler

FREE = 1e100  # a tolerance that accepts every step


@dataclass(frozen=True)
class BlackBox(Sampler):
    r"""An adaptive Runge-Kutta pair for dx/dt = f x + g^2/(2 sigma) eps, blind to the semilinear structure.

    The black box of Song et al. 2021, arXiv:2011.13456, section 4.3 and appendix D.4.  Uses only the ends of the grid;
    `on_grid()` takes exactly one step an interval instead, so that the order of the pair can be measured (scipy then begins
    anew at each, for one evaluation more).
    """

    method: str
    rtol: float = 1e-5
    atol: float = 1e-5
    steps: str = "adaptive"
    family = "black box"

    @property
    def adaptive(self) -> bool:
        return self.steps == "adaptive"

    @property
    def order(self) -> int:
        return {"RK45": 5, "DOP853": 8, "dopri5": 5, "dopri8": 8, "tsit5": 5}[self.method]

    @property
    def nfe_per_step(self) -> int:
        return {"RK45": 6, "DOP853": 12, "dopri5": 6, "dopri8": 13, "tsit5": 6}[self.method]

    def at_tolerance(self, tol: float) -> "BlackBox":
        """The same with both tolerances set."""
        return replace(self, rtol=tol, atol=tol)

    def on_grid(self) -> "BlackBox":
        """The same, one step an interval of the grid, whatever its error."""
        return replace(self, rtol=FREE, atol=FREE, steps="fixed")

    def sample(self, model: ModelLike, x: Tensor, grid: Sequence[float], noise=None) -> Tensor:
        return self._solve(model, x, (grid[0], grid[-1]) if self.adaptive else tuple(grid))

    def _solve(self, model: ModelLike, x: Tensor, times: tuple[float, ...]) -> Tensor:
        """The state at times[-1], in steps that end at every one of `times`."""
        raise NotImplementedError
