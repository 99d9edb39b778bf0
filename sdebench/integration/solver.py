"""What a method is: a Solver says how ONE interval s -> t is crossed, by a pure `step`; a Sampler how a WHOLE grid is."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from torch import Tensor

from sdebench._support.errors import UsageError, is_number, shown
from sdebench.integration.prediction import ModelLike, Prediction
from sdebench.schedules import NoiseSchedule


class Node(NamedTuple):
    """A model evaluation that a multistep method remembers."""

    t: float
    prediction: Prediction


class Step(NamedTuple):
    """What a step yields: the new state, what to remember, and an embedded error estimate (a tensor like x) or None."""

    x: Tensor
    past: tuple[Node, ...] = ()
    error: Tensor | None = None


class Method:
    """What a method says of itself, and what the suite asks of it; the contract tests hold it to every line.

    order            true global order of a whole run, with the method's own start-up, on smooth grids
    order_irregular  the same on grids whose step ratios stay away from 1
    main_order       order of the main scheme alone: its local error, from an exact and unequally spaced past, is
                     O(h^(main_order + 1))
    claimed_order    what the literature says
    nfe_per_step     network evaluations a step, once started
    memory           how many past nodes a full step wants
    embedded         whether a step yields an error estimate, for `integrate_adaptive`
    adaptive         whether the method chooses its own steps between the two ends of the grid
    stochastic       whether a step asks for noise; then `order` is the weak order
    strong_order     of a stochastic method, on one Brownian path; None where its noise has no path
    inner, closing   the method that crosses an inner interval, and those of the last intervals
    roundings        what rounding does to the answer of one step, in roundings of the state
    family, reference
    """

    order: int
    nfe_per_step: int
    memory: int = 0
    embedded: bool = False
    adaptive: bool = False
    stochastic: bool = False
    strong_order: float | None = None
    roundings: float = 1.0
    family: str = "user"
    reference: str = ""

    @property
    def order_irregular(self) -> int:
        return self.order

    @property
    def main_order(self) -> int:
        return self.order_irregular

    @property
    def claimed_order(self) -> int:
        return self.order

    @property
    def inner(self) -> "Method":
        return self

    @property
    def closing(self) -> "tuple[Solver, ...]":
        return ()

    def evaluations(self, n: int) -> float | None:
        """Network evaluations of a run of n steps, where that is not n `nfe_per_step` and a start-up; None otherwise."""
        return None

    def noise_scale(self, ns: NoiseSchedule) -> float | Callable[[float], float]:
        """eta/g of the process that a stochastic method follows: a number, or a function of t.  1 is the reverse SDE."""
        return 1.0


class Solver(Method):
    """How ONE interval is crossed.  Subclass as a frozen dataclass whose fields are parameters of the method."""

    def step(self, model: ModelLike, x: Tensor, s: float, t: float, past: tuple[Node, ...] = (), noise: Any = None) -> Step:
        """Cross from time s to time t < s.  Pure: the same arguments give the same bits, and no input is changed.

        `past` holds the nodes before, newest first; `past == ()` is the start-up.  A node AT s, where a method leaves
        one, is used in place of evaluating the model there.
        """
        raise NotImplementedError


class StochasticSolver(Solver):
    """A Solver of a process `dx = [f x - (g^2 + eta^2)/2 score] dt + eta dw` (time backwards), whose step asks for noise.

    `weak_order` is the order of the law (Kloeden and Platen 1992, section 9.7), of a whole run, on any grid; 0 where the law
    does not converge to the exact marginal under refinement.  Of a run that begins with the exact marginal, and with the exact
    score: less is asked than by Kloeden and Platen, to whom the start may be any.  Methods that only keep the marginals,
    solving the flow and adding noise, are of a lower order from another law (`ancestral`, `edm_stochastic`, `restart`).
    `main_order` is the weak order without the start-up.
    """

    stochastic = True
    weak_order: int

    @property
    def order(self) -> int:  # type: ignore[override]  # stated elsewhere, derived here
        return self.weak_order


class Sampler(Method):
    """How a WHOLE grid is crossed, where one interval at a time does not say it: compositions and black boxes.

    `adaptive` samplers use only the two ends of the grid and choose their steps by a tolerance.
    """

    def at_tolerance(self, tol: float) -> "Sampler":
        """The same method with both tolerances set; of an adaptive sampler only."""
        raise NotImplementedError

    def on_grid(self) -> "Sampler":
        """The same method made to take one step an interval of the grid; a method that does so already is itself."""
        return self

    def sample(self, model: ModelLike, x: Tensor, grid: Sequence[float], noise: Any = None) -> Tensor:
        """The state at grid[-1], from the state x at grid[0]."""
        raise NotImplementedError


def check_solver(method: Any) -> Solver | Sampler:
    """The method itself, if it is one that can be measured: an instance, with its step and the claims that have no default.

    Raises UsageError, which says what is missing.
    """
    if not isinstance(method, Solver | Sampler):
        what = f"the class {method.__name__}" if isinstance(method, type) else shown(method)
        raise UsageError(f"{what} is not a solver: give an instance of a subclass of sdebench.Solver or sdebench.Sampler")
    base, verb = (Solver, "step") if isinstance(method, Solver) else (Sampler, "sample")
    if getattr(type(method), verb) is getattr(base, verb):
        raise UsageError(f"{type(method).__name__} has no {verb}: define {verb}(...) in it")
    for claim in ("weak_order" if method.stochastic else "order", "nfe_per_step"):
        if not hasattr(method, claim):
            raise UsageError(f"{type(method).__name__} does not state its {claim}: give it as a class variable, as {claim} = 1")
        value = getattr(method, claim)
        if not (is_number(value) and value >= 0):
            raise UsageError(f"{type(method).__name__} states {claim} = {shown(value)}: give a number, 0 or more")
    return method


def remember(node: Node, past: tuple[Node, ...], memory: int) -> tuple[Node, ...]:
    """`past` with `node` in front, cut to `memory` nodes."""
    return (node, *past[: memory - 1]) if memory else ()
