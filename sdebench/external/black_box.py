"""What all black boxes share: an adaptive integrator for dx/dt of the probability flow, seen only from outside."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log, sqrt

from torch import Tensor

from sdebench.integration.ends import is_data
from sdebench.integration.prediction import ModelLike
from sdebench.integration.solver import Sampler
from sdebench.schedules import NoiseSchedule
from sdebench.solvers.ddim import DDIM

FREE = 1e100  # a tolerance that accepts every step


@dataclass(frozen=True)
class BlackBox(Sampler):
    r"""An adaptive Runge-Kutta pair for dx/dt = f x + g^2/(2 sigma) eps, blind to the semilinear structure.

    The black box of Song et al. 2021, arXiv:2011.13456, section 4.3 and appendix D.4.  Uses only the ends of the grid;
    `on_grid()` takes exactly one step an interval instead, so that the order of the pair can be measured (scipy then begins
    anew at each, for one evaluation more).

    At alpha = 0 dx/dt is the velocity, and finite.  To sigma = 0, where a pair would ask the model, the last step is DDIM's, as
    the paper's "denoising": from rho = sqrt(atol), where it costs about atol, or over the last interval of `on_grid()`.
    """

    from_noise, to_data = "formula", "first-order"

    method: str
    rtol: float = 1e-5
    atol: float = 1e-5
    steps: str = "adaptive"
    family = "black box"
    one_step = True

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
        ns, times = model.schedule, (grid[0], grid[-1]) if self.adaptive else tuple(grid)
        if not is_data(ns, times[-1]):
            return self._solve(model, x, times)
        if self.adaptive:
            times = self._with_last_level(ns, *times)
        if len(times) > 2:
            x = self._solve(model, x, times[:-1])
        return DDIM().step(model, x, *times[-2:]).x

    def _with_last_level(self, ns: NoiseSchedule, s: float, t: float) -> tuple[float, ...]:
        """(s, u, t) with rho = sqrt(atol) at u; (s, t) where s is below that already."""
        last = sqrt(self.atol)
        if ns.sigma(s) <= last * ns.alpha(s):
            return s, t
        return s, ns.t(-log(last)), t

    def _solve(self, model: ModelLike, x: Tensor, times: tuple[float, ...]) -> Tensor:
        """The state at times[-1], in steps that end at every one of `times`."""
        raise NotImplementedError
