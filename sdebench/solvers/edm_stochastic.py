r"""Karras et al. 2022: the stochastic sampler, which adds noise before each deterministic step.

    y^ = y + S_noise sqrt(rho^2 - rho_s^2) z,     rho = (1 + gamma) rho_s      then Heun's method from rho to rho_t

y = x/alpha, rho = sigma/alpha.  Noise added to the exact marginal gives the exact marginal, so all that a law loses is the
error of Heun's method over a step longer by log(1 + gamma) in lam: of order 2 where gamma shrinks with the step, and of none
where it does not.  (Of order 1 for 2 where the run begins with another law.)  An S_noise other than 1 adds too much noise or
too little at every step: the law tends to another one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, log1p, sqrt

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_solver
from sdebench.integration.integrate import cross
from sdebench.integration.solver import Sampler, StochasticSolver
from sdebench.solvers.edm import HeunEDM
from sdebench.solvers.shared.linear import combine

MOST = sqrt(2) - 1  # the paper's bound on gamma: no more new noise than there is


@dataclass(frozen=True)
class _Churn:
    """`s_noise`, and the levels [s_min, s_max] of rho at which noise is added, to the schedule's noisiest level at most.

    The step to sigma = 0 is Euler's, as in the paper, after its noise.  At alpha = 0 more noise leaves the level where it is,
    `x/(1 + gamma) + sigma sqrt(1 - (1 + gamma)^-2) z`, and the step down from there is Heun's, which is DDIM's.
    """

    from_noise, to_data = "first-order", "paper"
    s_noise: float = 1.0
    s_min: float = 0.0
    s_max: float = inf
    stochastic = True
    nfe_per_step = 2
    family = "EDM"

    def _check(self, name: str, amount: float, most: float) -> None:
        if not (0.0 <= amount <= most and self.s_noise > 0.0 and 0.0 <= self.s_min < self.s_max):
            raise UsageError(
                f"{name}={amount!r}, s_noise={self.s_noise!r}, s_min={self.s_min!r}, s_max={self.s_max!r}: give "
                f"{name} from 0 to {most:.6g}, s_noise > 0 and 0 <= s_min < s_max"
            )

    def _churned(self, model, x, s, t, gamma, noise):
        """The step s -> t with noise factor gamma."""
        ns = model.schedule
        if gamma > 0.0 and self.s_min <= ns.rho(s) <= self.s_max:
            try:
                up = ns.t(ns.lam(s) - log1p(gamma))
            except UsageError:  # a level above the schedule's
                up, gamma = ns.t_max, ns.rho(ns.t_max) / ns.rho(s) - 1
            new = self.s_noise * ns.rho(s) * sqrt(gamma * (2 + gamma))
            x, s = combine(ns.alpha(up) / ns.alpha(s), x, (ns.alpha(up) * new, noise.fresh(s))), up
        return HeunEDM().step(model, x, s, t)

    def _churned_at_noise(self, model, x, s, t, gamma, noise):
        """The same where alpha_s = 0."""
        if gamma > 0.0 and self.s_max == inf:
            new = self.s_noise * model.schedule.sigma(s) * sqrt(gamma * (2 + gamma)) / (1 + gamma)
            x = combine(1 / (1 + gamma), x, (new, noise.fresh(s)))
        return HeunEDM().first_order(model, x, s, t)


@register_solver("edm-stochastic-gamma")
@dataclass(frozen=True)
class EDMStochasticGamma(_Churn, StochasticSolver):
    r"""A step of EDM's stochastic sampler with a noise factor `gamma` that does not depend on the step.

    Karras et al. 2022, arXiv:2206.00364, algorithm 2, its body.  Refined, each step goes up by gamma and down again, so the
    chain settles at the invariant law of "noise, then one Heun step down" at each level: weak order 0 for gamma > 0.  The steps
    needed to get there are of the order of 1/gamma; with fewer, errors still fall, as if of order 1.
    """

    gamma: float = 0.4
    reference = "Karras et al. 2022, arXiv:2206.00364, algorithm 2"

    def __post_init__(self):
        self._check("gamma", self.gamma, MOST)

    @property
    def weak_order(self) -> int:
        return 0 if self.gamma else 2

    def step(self, model, x, s, t, past=(), noise=None):
        return self._churned(model, x, s, t, self.gamma, noise)

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        return self._churned_at_noise(model, x, s, t, self.gamma, noise)

    def reach_data(self, model, x, s, t, past=(), noise=None):
        return self._churned(model, x, s, t, self.gamma, noise)


@register_solver("edm-stochastic-rate")
@dataclass(frozen=True)
class EDMStochasticRate(_Churn, StochasticSolver):
    r"""EDM's stochastic sampler with noise in proportion to the step, `gamma = min(churn h, sqrt(2) - 1)`.

    What algorithm 2 of Karras et al. 2022, arXiv:2206.00364, does on equal steps in lam, with `churn` = S_churn over the span
    of lam: refined, the process of the family with noise `eta = sqrt(churn) g`.  Its noise belongs to no interval.  At both
    ends h is infinite, and gamma its bound.
    """

    churn: float = 1.0
    reference = "Karras et al. 2022, arXiv:2206.00364, algorithm 2"

    def __post_init__(self):
        self._check("churn", self.churn, 1e6)

    @property
    def weak_order(self) -> int:
        return 2 if self.s_noise == 1.0 else 0

    def noise_scale(self, ns):
        return sqrt(self.churn)

    def step(self, model, x, s, t, past=(), noise=None):
        h = model.schedule.lam(t) - model.schedule.lam(s)
        return self._churned(model, x, s, t, min(self.churn * h, MOST), noise)

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        return self._churned_at_noise(model, x, s, t, MOST if self.churn else 0.0, noise)

    def reach_data(self, model, x, s, t, past=(), noise=None):
        return self._churned(model, x, s, t, MOST if self.churn else 0.0, noise)


@register_solver("edm-stochastic")
@dataclass(frozen=True)
class EDMStochastic(_Churn, Sampler):
    r"""EDM's stochastic sampler.  Karras et al. 2022, arXiv:2206.00364, algorithm 2.

        gamma = min(S_churn/N, sqrt(2) - 1),     N the number of steps of the grid

    So a run, not a step: S_churn is the noise of the whole run, and at fixed S_churn the weak order is 2.  The paper's
    S_churn = 40 is for some ten units of lam.
    """

    s_churn: float = 3.0
    reference = "Karras et al. 2022, arXiv:2206.00364, algorithm 2"

    def __post_init__(self):
        self._check("s_churn", self.s_churn, 1e6)

    @property
    def weak_order(self) -> int:
        return 2 if self.s_noise == 1.0 else 0

    @property
    def order(self) -> int:
        return self.weak_order

    def sample(self, model, x, grid: Sequence[float], noise=None):
        gamma = min(self.s_churn / (len(grid) - 1), MOST)
        body = EDMStochasticGamma(self.s_noise, self.s_min, self.s_max, gamma)
        return cross(body, model, x, grid, (), noise)
