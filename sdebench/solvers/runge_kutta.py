"""Runge-Kutta methods of the classics, blind to the semilinear structure, in t or in lam."""

from dataclasses import dataclass
from math import isclose, log

from torch import Tensor

from sdebench._support.registry import register_solver
from sdebench.integration.ends import is_noise
from sdebench.integration.prediction import ModelLike, lincomb
from sdebench.integration.solver import Solver, Step
from sdebench.schedules import NoiseSchedule


@dataclass(frozen=True)
class ButcherTableau:
    """An explicit Butcher tableau; refuses one whose rows do not sum to their nodes, or its weights to one."""

    c: tuple[float, ...]
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    order: int
    reference: str

    def __post_init__(self):
        for c, row in zip(self.c, self.a, strict=True):
            assert isclose(sum(row), c, abs_tol=1e-15), f"row {row} does not sum to its node {c}"
        assert isclose(sum(self.b), 1.0, abs_tol=1e-15), f"weights {self.b} do not sum to 1"


EULER = ButcherTableau((0.0,), ((),), (1.0,), 1, "Euler 1768")
MIDPOINT = ButcherTableau((0.0, 0.5), ((), (0.5,)), (0.0, 1.0), 2, "Runge 1895")
HEUN = ButcherTableau((0.0, 1.0), ((), (1.0,)), (0.5, 0.5), 2, "Heun 1900")
KUTTA3 = ButcherTableau((0.0, 0.5, 1.0), ((), (0.5,), (-1.0, 2.0)), (1 / 6, 2 / 3, 1 / 6), 3, "Kutta 1901")
RK4 = ButcherTableau(
    (0.0, 0.5, 0.5, 1.0), ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), 4, "Kutta 1901"
)
TABLEAUS = {"euler": EULER, "midpoint": MIDPOINT, "heun": HEUN, "kutta3": KUTTA3, "rk4": RK4}


def slope_t(model: ModelLike, x: Tensor, t: float) -> Tensor:
    """dx/dt = f x + g^2/(2 sigma) eps (the seed's eq. 10; Song et al. 2021, arXiv:2011.13456, eq. 13).

    At alpha = 0, where f is infinite, it is `alpha' x0 + sigma' eps`, eps = x/sigma: the velocity of a flow.
    """
    ns = model.schedule
    if t >= ns.t_max and is_noise(ns, t):
        (d_alpha, d_sigma), (c, d, value) = ns.slopes(t), model(x, t).parts("x0")
        return lincomb(d_alpha * c + d_sigma / ns.sigma(t), x, d_alpha * d, value)
    return lincomb(ns.f(t), x, ns.g2(t) / (2 * ns.sigma(t)), model(x, t).eps)


def slope_lam(model: ModelLike, x: Tensor, t: float) -> Tensor:
    """dx/dlam = (dt/dlam) dx/dt = -2 sigma^2 f/g^2 x - sigma eps."""
    ns = model.schedule
    sigma = ns.sigma(t)
    return lincomb(-2 * sigma**2 * ns.f(t) / ns.g2(t), x, -sigma, model(x, t).eps)


def _times(variable: str, ns: NoiseSchedule, s: float, t: float, c: tuple[float, ...]) -> tuple[float, list[float]]:
    """The step in the variable, and the times of the stages."""
    if variable == "t":
        return t - s, [t if q == 1 else s + q * (t - s) for q in c]
    lam, h = ns.lam(s), ns.lam(t) - ns.lam(s)
    return h, [s if q == 0 else t if q == 1 else ns.t(lam + q * h) for q in c]


class _ByTableau(Solver):
    """What the tableau of that name says of the method."""

    tableau: str

    @property
    def order(self) -> int:
        return TABLEAUS[self.tableau].order

    @property
    def nfe_per_step(self) -> int:
        return len(TABLEAUS[self.tableau].b)


@dataclass(frozen=True)
class RungeKutta(_ByTableau):
    r"""An explicit Runge-Kutta method for dx/du, u = t or u = lam.

        k_i = F(x + du sum_j a_ij k_j, u_i),   x_t = x + du sum_i b_i k_i

    The black box of Song et al. 2021, arXiv:2011.13456, section 4.3: the linear part is approximated with the rest.

    The ends: in t the slope is finite at alpha = 0, so the formula holds, as for flow models; at sigma = 0 it holds for a
    tableau without a stage there.  A stage there would ask the model where sigma = 0, so such a tableau ends with DDIM's step,
    which is Euler's on straight paths.  In lam a step is infinitely long: its limit leaves x where it is, or does not exist.
    """

    tableau: str
    variable: str
    family = "Runge-Kutta"

    @property
    def from_noise(self) -> str:
        return "formula" if self.variable == "t" else "first-order"

    @property
    def to_data(self) -> str:
        return "formula" if self.variable == "t" and 1.0 not in TABLEAUS[self.tableau].c else "first-order"

    @property
    def reference(self) -> str:
        return TABLEAUS[self.tableau].reference

    def step(self, model, x, s, t, past=(), noise=None):
        tableau, slope = TABLEAUS[self.tableau], slope_t if self.variable == "t" else slope_lam
        du, times = _times(self.variable, model.schedule, s, t, tableau.c)
        k: list[Tensor] = []
        for a_i, u_i in zip(tableau.a, times):
            k.append(slope(model, _plus(x, du, a_i, k), u_i))
        return Step(_plus(x, du, tableau.b, k))


def _plus(x: Tensor, du: float, weights: tuple[float, ...], k: list[Tensor]) -> Tensor:
    """x + du sum_j w_j k_j, without the terms that are zero."""
    terms = [term for w, k_j in zip(weights, k) if w for term in (du * w, k_j)]
    return lincomb(1.0, x, *terms) if terms else x


@dataclass(frozen=True)
class RhoRungeKutta(_ByTableau):
    r"""An explicit Runge-Kutta method for y = x/alpha in rho = sigma/alpha, where the flow is dy/drho = eps.

        y_i = y + drho sum_j a_ij eps_j,   y_t = y + drho sum_i b_i eps_i

    DEIS rhoRK: Zhang and Chen 2022, arXiv:2204.13902.  On EDM's schedule, rho is sigma.  From rho = inf there is no limit, for
    rho (eps_i - eps_s) grows; at rho = 0 the last stage would ask the model where sigma = 0: both steps are DDIM's.
    """

    tableau: str
    from_noise, to_data = "first-order", "first-order"
    family = "DEIS"
    reference = "Zhang and Chen 2022, arXiv:2204.13902"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, tableau = model.schedule, TABLEAUS[self.tableau]
        rho, drho, alpha = ns.rho(s), ns.rho(t) - ns.rho(s), ns.alpha(s)
        eps: list[Tensor] = []
        for c, a_i in zip((*tableau.c, 1.0), (*tableau.a, tableau.b)):
            t_i = s if c == 0 else t if c == 1 else ns.t(-log(rho + c * drho))
            ratio, scale = ns.alpha(t_i) / alpha, ns.alpha(t_i) * drho
            terms = [term for w, e in zip(a_i, eps) if w for term in (scale * w, e)]
            x_i = lincomb(ratio, x, *terms) if terms else x
            if len(eps) < len(tableau.b):
                eps.append(model(x_i, t_i).eps)
        return Step(x_i)


register_solver("euler-t", tableau="euler", variable="t")(RungeKutta)
register_solver("euler-lam", tableau="euler", variable="lam")(RungeKutta)
register_solver("midpoint-t", tableau="midpoint", variable="t")(RungeKutta)
register_solver("midpoint-lam", tableau="midpoint", variable="lam")(RungeKutta)
register_solver("heun-t", tableau="heun", variable="t")(RungeKutta)
register_solver("heun-lam", tableau="heun", variable="lam")(RungeKutta)
register_solver("kutta3-t", tableau="kutta3", variable="t")(RungeKutta)
register_solver("kutta3-lam", tableau="kutta3", variable="lam")(RungeKutta)
register_solver("rk4-t", tableau="rk4", variable="t")(RungeKutta)
register_solver("rk4-lam", tableau="rk4", variable="lam")(RungeKutta)
register_solver("deis-rhork-2", tableau="heun")(RhoRungeKutta)
register_solver("deis-rhork-3", tableau="kutta3")(RhoRungeKutta)
register_solver("deis-rhork-4", tableau="rk4")(RhoRungeKutta)
