"""What a method is: a Solver says how ONE interval s -> t is crossed, by a pure `step`; a Sampler how a WHOLE grid is."""

from collections.abc import Callable, Sequence
from math import exp
from typing import Any, NamedTuple

from torch import Tensor

from sdebench._support.errors import UsageError, is_number, shown
from sdebench._support.quadrature import gauss_legendre
from sdebench.integration.ends import ENDS, ddim, is_data, is_noise, watch_ends
from sdebench.integration.prediction import ModelLike, Prediction
from sdebench.noise import DATA
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

    These are class variables or properties:

        order            true global order of a whole run, with the method's own start-up, on smooth grids
        order_irregular  the same on grids whose step ratios stay away from 1
        main_order       order of the main scheme alone: its local error, from an exact and unequally spaced past, is
                         O(h^(main_order + 1))
        claimed_order    what the literature says; where it states no order, the one that the name counts, or `order`
        nfe_per_step     network evaluations a step, once started
        memory           how many past nodes a full step wants
        embedded         whether a step yields an error estimate, for `integrate_adaptive`
        adaptive         whether the method chooses its own steps between the two ends of the grid
        stochastic       whether a step asks for noise; then `order` is the weak order
        strong_order     of a stochastic method, on one Brownian path; None where its noise has no path
        inner, closing   the method that crosses an inner interval, and those of the last intervals
        roundings        what rounding does to the answer of one step, in roundings of the state
        from_noise       how a step that begins at alpha = 0 is crossed, and
        to_data          how one that ends at sigma = 0: a word of `ends.ENDS`
        remembers_noise  whether a node at alpha = 0 is of use to later steps; in lam and in sigma/alpha it lies at infinity,
                         where an interpolating polynomial forgets it
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
    from_noise: str = "not stated"
    to_data: str = "not stated"
    remembers_noise: bool = False
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
    """How ONE interval is crossed.  Subclass as a frozen dataclass whose fields are parameters of the method.

    `step` is the method's formula, for levels that are not 0.  Where a step begins at alpha = 0 or ends at sigma = 0 and the
    class states a `from_noise` or `to_data`, a call of `step` goes to the three methods below it (`ends.watch_ends`).
    """

    def __init_subclass__(cls, **settings: Any):
        super().__init_subclass__(**settings)
        if "step" in vars(cls):
            cls.step = watch_ends(cls.step)  # type: ignore[method-assign]

    def step(self, model: ModelLike, x: Tensor, s: float, t: float, past: tuple[Node, ...] = (), noise: Any = None) -> Step:
        """Cross from time s to time t < s.  Pure: the same arguments give the same bits, and no input is changed.

        `past` holds the nodes before, newest first; `past == ()` is the start-up.  A node AT s, where a method leaves
        one, is used in place of evaluating the model there.
        """
        raise NotImplementedError

    def leave_noise(
        self, model: ModelLike, x: Tensor, s: float, t: float, past: tuple[Node, ...] = (), noise: Any = None
    ) -> Step:
        """The step s -> t where alpha_s = 0: DDIM's, unless the method has another limit."""
        return self.first_order(model, x, s, t, past, noise)

    def reach_data(
        self, model: ModelLike, x: Tensor, s: float, t: float, past: tuple[Node, ...] = (), noise: Any = None
    ) -> Step:
        """The step s -> t where sigma_t = 0: DDIM's, `alpha_t x0`, unless the method has another limit."""
        return self.first_order(model, x, s, t, past, noise)

    def first_order(
        self, model: ModelLike, x: Tensor, s: float, t: float, past: tuple[Node, ...] = (), noise: Any = None
    ) -> Step:
        """DDIM's step, for one evaluation, in the form that holds at both ends."""
        node = past[0] if past and past[0].t == s else Node(s, model(x, s))
        return Step(ddim(model.schedule, node.prediction, x, s, t), self._remembered(model.schedule, node, past))

    def _remembered(self, ns: NoiseSchedule, node: Node, past: tuple[Node, ...]) -> tuple[Node, ...]:
        """The past after a step from `node`, without a node that later steps cannot use."""
        if is_noise(ns, node.t) and not self.remembers_noise:
            return ()
        return remember(node, past[1:] if past and past[0] is node else past, self.memory)


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

    def kept_noise(self, ns: NoiseSchedule, s: float, t: float) -> float:
        """The k of `ends`, how much of the old noise there is after a step from alpha_s = 0, if x0 stands still:

            e^{-int (eta/g)^2 dlam} = exp(-int_t^s eta^2/(2 sigma^2) du)

        So 0 for a multiple of g, whose integral is infinite.
        """
        eta = self.noise_scale(ns)
        if not callable(eta):
            return float(eta == 0)
        q, w = gauss_legendre(32)
        times = [t + (s - t) * float(q_i) for q_i in q]
        rates = (eta(u) ** 2 * ns.g2(u) / (2 * ns.sigma(u) ** 2) for u in times)
        return exp(-(s - t) * sum(float(w_i) * rate for w_i, rate in zip(w, rates)))

    def first_order(
        self, model: ModelLike, x: Tensor, s: float, t: float, past: tuple[Node, ...] = (), noise: Any = None
    ) -> Step:
        """DDIM's step with as much new noise as the process adds (`kept_noise`); none where sigma_t = 0."""
        ns = model.schedule
        node = past[0] if past and past[0].t == s else Node(s, model(x, s))
        kept = 1.0 if is_data(ns, t) else self.kept_noise(ns, s, t)
        z = noise.normal(s, t, DATA) if kept < 1.0 else None
        return Step(ddim(ns, node.prediction, x, s, t, kept, z), self._remembered(ns, node, past))


class Sampler(Method):
    """How a WHOLE grid is crossed, where one interval at a time does not say it: compositions and black boxes.

    `adaptive` samplers use only the two ends of the grid and choose their steps by a tolerance.  `one_step` says that one
    interval alone is a step of the method; what keeps a past of its own inside cannot be given an exact one, and has no
    local order.
    """

    one_step: bool = False

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
    for claim in ("from_noise", "to_data"):
        if (value := getattr(method, claim)) not in ENDS:
            raise UsageError(
                f"{type(method).__name__} states {claim} = {shown(value)}: give one of {', '.join(map(repr, ENDS))}"
            )
    return method


def remember(node: Node, past: tuple[Node, ...], memory: int) -> tuple[Node, ...]:
    """`past` with `node` in front, cut to `memory` nodes."""
    return (node, *past[: memory - 1]) if memory else ()
