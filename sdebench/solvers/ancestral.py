r"""k-diffusion 2022: ancestral sampling with ODE solvers, and DPM++ SDE.

All act on y = x/alpha at the noise level rho = sigma/alpha (k-diffusion's sigma), so on any schedule.  "Ancestral": solve the
probability flow to a level below the one that is wanted, then add the noise that is missing,

    rho_up^2 = eta^2 rho_t^2 (1 - rho_t^2/rho_s^2),     rho_down^2 = rho_t^2 - rho_up^2

If x_s has the exact marginal, so has the flow at rho_down, and so has the sum at rho_t: all that a law loses is the error of
the ODE solver.  Started from the marginal the weak order is therefore that of the ODE solver, on any data; from another law,
and path by path, it is 1.
"""

from dataclasses import dataclass
from math import exp, expm1, log1p, sqrt

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_solver
from sdebench.integration.ends import ddim
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Step, StochasticSolver
from sdebench.noise import DATA, Exponential
from sdebench.schedules import NoiseSchedule
from sdebench.solvers.shared.linear import check_fraction, combine


def split_level(ns: NoiseSchedule, s: float, t: float, eta: float = 1.0) -> tuple[float, float]:
    """(lam_down, rho_up): `lam_down = lam_t - log(1 - eta^2 (1 - e^{-2h}))/2`, which is lam_t + h at eta = 1."""
    h = ns.lam(t) - ns.lam(s)
    new = -eta * eta * expm1(-2 * h)
    return (ns.lam(t) + h if eta == 1.0 else ns.lam(t) - 0.5 * log1p(-new)), ns.rho(t) * sqrt(new)


@dataclass(frozen=True)
class _Ancestral(StochasticSolver):
    """`x_t = alpha_t (y_down + rho_up z)`; `eta` in [0, 1] is the part of the noise that is new.

    The step to sigma = 0 is Euler's, `alpha_t x0`, in k-diffusion.  Where one begins at rho_s = inf, rho_up = eta rho_t.
    """

    eta: float = 1.0
    to_data = "paper"
    strong_order = 1
    family = "k-diffusion"

    def __post_init__(self):
        if not 0.0 <= self.eta <= 1.0:
            raise UsageError(f"eta = {self.eta!r}: give the part of the noise that is new, 0 to 1")

    def noise_scale(self, ns):
        return self.eta

    def kept_noise(self, ns, s, t):
        return sqrt(1 - self.eta * self.eta)


@register_solver("euler-ancestral")
@dataclass(frozen=True)
class EulerAncestral(_Ancestral):
    r"""Euler's method in rho down to rho_down, then noise.  k-diffusion 2022, `sample_euler_ancestral`.

        x_t = alpha_t [x/alpha_s + (rho_down - rho_s) eps_s + rho_up z]

    Euler in rho is DDIM, so this is `ddim-eta`, and at eta = 1 `ddpm`, on every schedule.
    """

    from_noise = "limit"
    weak_order, nfe_per_step = 1, 1
    reference = "k-diffusion 2022, sample_euler_ancestral"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, alpha = model.schedule, model.schedule.alpha(t)
        down, up = split_level(ns, s, t, self.eta)
        z = noise.normal(s, t, DATA)
        return Step(combine(alpha / ns.alpha(s), x, (alpha * (exp(-down) - ns.rho(s)), model(x, s)), (alpha * up, z)))


@register_solver("dpm2-ancestral")
@dataclass(frozen=True)
class DPM2Ancestral(_Ancestral):
    r"""The midpoint method in log rho down to rho_down, then noise.  k-diffusion 2022, `sample_dpm_2_ancestral`.

    u   = alpha_m [x/alpha_s + (rho_m - rho_s) eps_s],     rho_m = sqrt(rho_s rho_down), rho_t itself at eta = 1
    x_t = alpha_t [x/alpha_s + (rho_down - rho_s) eps_m + rho_up z]

    From alpha = 0 rho_s (eps_m - eps_s) has no limit, and the step is `euler-ancestral`'s.
    """

    from_noise = "first-order"
    weak_order, nfe_per_step = 2, 2
    reference = "k-diffusion 2022, sample_dpm_2_ancestral"

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        down, up = split_level(ns, s, t, self.eta)
        m = middle(ns, s, t, down, self.eta)
        u = combine(ns.alpha(m) / ns.alpha(s), x, (ns.alpha(m) * (ns.rho(m) - ns.rho(s)), model(x, s)))
        a, b = ns.alpha(t) / ns.alpha(s), ns.alpha(t) * (exp(-down) - ns.rho(s))
        return Step(combine(a, x, (b, model(u, m)), (ns.alpha(t) * up, noise.normal(s, t, DATA))))


def middle(ns: NoiseSchedule, s: float, t: float, down: float, eta: float) -> float:
    """The time in the middle of lam_s and lam_down: at eta = 1 it is t, to the bit."""
    return t if eta == 1.0 else ns.t(0.5 * (ns.lam(s) + down))


@register_solver("dpm++-2s-ancestral")
@dataclass(frozen=True)
class DPMPP2SAncestral(_Ancestral):
    r"""DPM-Solver++(2S) with r = 1/2 down to rho_down, then noise.  k-diffusion 2022, `sample_dpmpp_2s_ancestral`.

        u   = alpha_m [e^{-q/2} x/alpha_s - (e^{-q/2} - 1) x0_s],     q = lam_down - lam_s, lam_m = lam_s + q/2
        x_t = alpha_t [e^{-q} x/alpha_s - (e^{-q} - 1) x0_m + rho_up z]

    rho_down/rho_s = e^{-q}; q = 2h and m = t at eta = 1.  From alpha = 0 then u is DDIM's state at t, and the step
    `alpha_t x0_m + sigma_t z`; for eta < 1 the stage tends to the start, and the step to `euler-ancestral`'s.
    """

    from_noise = "limit"
    weak_order, nfe_per_step = 2, 2
    reference = "k-diffusion 2022, sample_dpmpp_2s_ancestral"

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        down, up = split_level(ns, s, t, self.eta)
        m, q = middle(ns, s, t, down, self.eta), down - ns.lam(s)
        u = combine(exp(-q / 2) * ns.alpha(m) / ns.alpha(s), x, (-ns.alpha(m) * expm1(-q / 2), model(x, s).x0))
        a, b = exp(-q) * ns.alpha(t) / ns.alpha(s), -ns.alpha(t) * expm1(-q)
        return Step(combine(a, x, (b, model(u, m).x0), (ns.alpha(t) * up, noise.normal(s, t, DATA))))

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        if self.eta < 1.0:
            return self.first_order(model, x, s, t, past, noise)
        ns = model.schedule
        x0_m = model(ddim(ns, model(x, s), x, s, t), t).x0
        return Step(lincomb(ns.alpha(t), x0_m, ns.sigma(t), noise.normal(s, t, DATA)))


SIGMA = Exponential(-0.5)  # the plain increment in the clock of rho: drho = -rho dlam


@register_solver("dpm++-sde")
@dataclass(frozen=True)
class DPMPPSDE(StochasticSolver):
    r"""DPM++ SDE: an exponential Runge-Kutta step in x0 of the reverse SDE.  k-diffusion 2022, `sample_dpmpp_sde`.

        u   = alpha_m [e^{-2rh} x/alpha_s + (1 - e^{-2rh}) x0_s + rho_m sqrt(1 - e^{-2rh}) z_1],     lam_m = lam_s + r h
        x_t = alpha_t [e^{-2h} x/alpha_s + (1 - e^{-2h}) ((1 - 1/(2r)) x0_s + 1/(2r) x0_m) + rho_t sqrt(1 - e^{-2h}) z_2]

    z_1 and z_2 are increments, over [s, m] and over [s, t], of ONE path that is Brownian in the clock of rho (its Brownian
    tree), each over its standard deviation: their correlation is sqrt((rho_s - rho_m)/(rho_s - rho_t)), which tends to sqrt(r).
    The second order rests on that limit: with independent ones (`dpm++-sde-independent-shipped`) it is lost.

    To sigma = 0 k-diffusion takes Euler's step, alpha_t x0.  From alpha = 0 the formula tends to a step from other noise than
    x, `alpha_t x0(sigma_s z) + sigma_t z` at r = 1/2; taken is `alpha_t x0 + sigma_t z`, whose law is the same where x0 is
    the mean.
    """

    from_noise, to_data = "first-order", "paper"
    r: float = 0.5
    weak_order, strong_order, nfe_per_step = 2, 1, 2
    family = "k-diffusion"
    reference = "k-diffusion 2022, sample_dpmpp_sde"

    def __post_init__(self):
        check_fraction("r", self.r)

    def _noises(self, ns, s, m, t, noise):
        """z_1 and the terms of z_2, (weight, vector) pairs: [s, t] is asked for as [s, m] and [m, t], which do not overlap."""
        z_1 = noise.normal(s, m, SIGMA)
        first, whole = ns.rho(s) - ns.rho(m), ns.rho(s) - ns.rho(t)
        if self.r == 1.0:
            return z_1, ((1.0, z_1),)
        return z_1, ((sqrt(first / whole), z_1), (sqrt(1 - first / whole), noise.normal(m, t, SIGMA)))

    def step(self, model, x, s, t, past=(), noise=None):
        ns, r, h = model.schedule, self.r, model.schedule.lam(t) - model.schedule.lam(s)
        m = t if r == 1.0 else ns.t(ns.lam(s) + r * h)
        z_1, z_2 = self._noises(ns, s, m, t, noise)
        x0_s = model(x, s).x0
        gone_m, gone = -expm1(-2 * r * h), -expm1(-2 * h)
        a, up = exp(-2 * r * h) * ns.alpha(m) / ns.alpha(s), ns.sigma(m) * sqrt(gone_m)
        u = combine(a, x, (ns.alpha(m) * gone_m, x0_s), (up, z_1))
        w = ns.alpha(t) * gone / (2 * r)
        drift = ((ns.alpha(t) * gone - w, x0_s), (w, model(u, m).x0))
        a, up = exp(-2 * h) * ns.alpha(t) / ns.alpha(s), ns.sigma(t) * sqrt(gone)
        return Step(combine(a, x, *drift, *((up * c, z) for c, z in z_2)))


@register_solver("dpm++-sde-independent-shipped")
@dataclass(frozen=True)
class DPMPPSDEIndependent(DPMPPSDE):
    r"""DPM++ SDE with two independent noises, as it is where no Brownian tree is given: a plain `noise_sampler` in k-diffusion.

    Its claim of order 2 fails: x0_m then knows nothing of the noise that the step ends with.  What that costs path by path is
    h^(3/2) a step, of mean zero, so that the strong order is still 1.
    """

    weak_order, claimed_order, strong_order = 1, 2, 1

    def _noises(self, ns, s, m, t, noise):
        return noise.fresh(m, 1), ((1.0, noise.normal(s, t, DATA)),)
