"""Xue et al. 2023, SA-Solver: stochastic Adams methods, predictor and corrector, with the amount of noise to choose."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import inf

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_solver
from sdebench.integration.ends import ddim
from sdebench.integration.prediction import Prediction, lincomb
from sdebench.integration.solver import Node, Step, StochasticSolver
from sdebench.noise import DATA
from sdebench.schedules import NoiseSchedule
from sdebench.solvers.sde_dpm_solver import noisy
from sdebench.solvers.shared.linear import Linear
from sdebench.solvers.shared.multistep import nodes_at
from sdebench.solvers.shared.weights import exponential
from sdebench.solvers.unipc import uni_weights


@cache
def _noise_scale(solver: "SASolver", ns: NoiseSchedule) -> Callable[[float], float]:
    """eta/g as a function of t; one function for equal solvers."""
    return lambda t: solver._tau(ns, t)


@dataclass(frozen=True)
class SASolver(StochasticSolver):
    r"""Predictor of p nodes, corrector of c nodes (0: none).  Xue et al. 2023, arXiv:2309.05019, b_j eq. 15 and 18.

        u   = sigma_t/sigma_s e^{-tau^2 h} x + sum_j b_j x0_j + sigma_t sqrt(1 - e^{-2 tau^2 h}) xi
        x_t = the same with the SAME xi, nodes (t, x0(u, t)), s, ...
        b_j = (1 + tau^2) sigma_t int e^{-tau^2 lam_t} e^{(1 + tau^2) lam} l_j(lam) dlam      over [lam_s, lam_t]

    `tau` is the noise as a multiple of g in the steps that end at a sigma/alpha within [low, high], and 0 elsewhere (the
    paper's piecewise constant tau; 1 within [0.05, 1] for EDM's networks): every choice has the same marginals.  The
    prediction at u serves as the next step's (PEC), so it is one evaluation a step, and with a corrector one more for the whole
    run.  Steps before enough nodes are there use those that are.  p and c are the official code's, c counting the new node.

    The name counts order p, or c; the paper proves a strong error of O(tau h + h^p), of O(tau h + h^c) with the corrector.
    With noise the law is of order 2 at most, on Gaussian and on other data (`sde_dpm_solver` says why), and 1 where p = 1
    alone, or c = 1.  Trap: with p = c = 2 and tau near 1 the O(h^2) of a Gaussian's variance changes sign within practical h,
    and reads as order 3.

    The integrals are phi functions of -(1 + tau^2) h and the Bjorck-Pereyra solve: the official code's closed forms subtract
    nearly equal exponentials, in float32, and lose everything as h falls.

    From alpha = 0 the predictor of the first step tends to `alpha_t x0_s + sigma_t xi`, the corrector to `alpha_t x0(u, t) +
    sigma_t xi`, for every c.  To sigma = 0 two nodes or more have no limit, and the step is `alpha_t x0_s`, as diffusers' last.
    """

    p: int
    c: int = 0
    tau: float = 1.0
    low: float = 0.0
    high: float = inf
    nfe_per_step = 1
    family = "SA-Solver"
    reference = "Xue et al. 2023, arXiv:2309.05019, eq. 15 and 18"

    def __post_init__(self):
        if not (0.0 <= self.tau < inf and 0.0 <= self.low <= self.high):
            given = f"tau = {self.tau!r}, low = {self.low!r}, high = {self.high!r}"
            raise UsageError(f"{given}: give the noise as a multiple of g, tau >= 0, and 0 <= low <= high")

    @property
    def main_order(self) -> int:
        exact = min(self.p + 1, self.c) if self.c else self.p
        return min(exact, 2) if self.tau else exact

    @property
    def weak_order(self) -> int:
        return min(self.main_order, 3 if self.c else 2)  # the start-up's one step of order 1, corrected to 2

    @property
    def strong_order(self) -> int | None:
        """None without noise, and where its range ends: that end lies within a step, which has all of its noise or none."""
        return 1 if self.tau and (self.low, self.high) == (0.0, inf) else None

    @property
    def claimed_order(self) -> int:
        return self.c or self.p

    @property
    def memory(self) -> int:
        return max(self.p, self.c - 1) - 1

    def noise_scale(self, ns):
        whole = (self.low, self.high) == (0.0, inf)
        return self.tau if whole else _noise_scale(self, ns)

    @property
    def from_noise(self) -> str:
        return "limit"

    @property
    def to_data(self) -> str:
        return "limit" if self.p == 1 and self.c <= 1 else "first-order"

    def kept_noise(self, ns, s, t):
        return 0.0 if self._tau(ns, t) else 1.0

    def _tau(self, ns, t: float) -> float:
        return self.tau if self.low <= ns.rho(t) <= self.high else 0.0

    def step(self, model, x, s, t, past=(), noise=None):
        ns, nodes = model.schedule, nodes_at(model, x, s, past)
        tau = self._tau(ns, t)
        line, c, weight = noisy("x0", ns, s, t, tau)
        xi = (c, noise.normal(s, t, weight)) if tau else ()
        theta = [(ns.lam(node.t) - ns.lam(s)) / line.h for node in nodes]
        m = [node.prediction.x0 for node in nodes]
        u = self._adams(line, x, theta[: self.p], m, xi)
        if not self.c:
            return Step(u, nodes[: self.memory])
        m_t = model(u, t)
        x_t = self._adams(line, x, [1.0, *theta[: self.c - 1]], [m_t.x0, *m], xi)
        return Step(x_t, (Node(t, m_t), *nodes[: self.memory]))

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        ns, m_s = model.schedule, model(x, s)
        kept = self.kept_noise(ns, s, t)
        z = noise.normal(s, t, DATA) if kept < 1.0 else None
        u = ddim(ns, m_s, x, s, t, kept, z)
        if not self.c:
            return Step(u)
        m_t = model(u, t)
        return Step(self._corrected(ns, x, u, m_t, s, t, kept, z), (Node(t, m_t),))

    def _corrected(self, ns, x, u, m_t: Prediction, s, t, kept, z):
        """The corrected state of a first step from alpha = 0, whose predictor is u."""
        terms = [(ns.alpha(t), m_t.x0)]
        if kept:
            terms.append((kept * ns.sigma(t) / ns.sigma(s), x))
        if z is not None:
            terms.append((ns.sigma(t), z))
        return lincomb(*[part for term in terms for part in term])  # type: ignore[arg-type]  # by turns

    def _adams(self, line: Linear, x, theta: list[float], m: list, xi: tuple):
        weights = self._weights(line, theta)
        return lincomb(line.a, x, *(z for w, m_j in zip(weights, m) for z in (line.b * line.h * w, m_j)), *xi)

    def _weights(self, line: Linear, theta: list[float]) -> list[float]:
        return exponential(theta, line.z)


@dataclass(frozen=True)
class SASolverShipped(SASolver):
    """As in the official code for few steps, and in diffusers: with two nodes, the weight of their difference is h/2.

    Exact is h phi_2; the two differ by O(h^2), so the order is kept.  (UniPC has the same with B(h) = h.)  At h = inf it has no
    limit, so a first step from alpha = 0 is not corrected.
    """

    reference = "Xue et al. 2023, official code (few steps); diffusers, SASolverScheduler"

    @property
    def from_noise(self) -> str:
        return "first-order"

    def _corrected(self, ns, x, u, m_t, s, t, kept, z):
        return u

    def _weights(self, line: Linear, theta: list[float]) -> list[float]:
        if len(theta) != 2:
            return exponential(theta, line.z)
        if theta[0] == 0.0:
            return uni_weights(line, theta, 1)
        return uni_weights(line, [0.0, 1.0], 1)[::-1]


register_solver("sa-solver-p1", p=1)(SASolver)
register_solver("sa-solver-p2", p=2)(SASolver)
register_solver("sa-solver-p3", p=3)(SASolver)
register_solver("sa-solver-p4", p=4)(SASolver)
register_solver("sa-solver-p1c1", p=1, c=1)(SASolver)
register_solver("sa-solver-p2c2", p=2, c=2)(SASolver)
register_solver("sa-solver-p3c3", p=3, c=3)(SASolver)
register_solver("sa-solver-p4c4", p=4, c=4)(SASolver)
register_solver("sa-solver-p3c4", p=3, c=4)(SASolver)
register_solver("sa-solver-p2c2-shipped", p=2, c=2)(SASolverShipped)
register_solver("sa-solver-p3c4-shipped", p=3, c=4)(SASolverShipped)
