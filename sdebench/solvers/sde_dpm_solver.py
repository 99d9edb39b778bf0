r"""Lu et al. 2022b, SDE-DPM-Solver and SDE-DPM-Solver++: exponential multistep methods of the reverse SDE.

With h = lam_t - lam_s, B Brownian in the clock of lam and tau the noise as a multiple of g (tau = 1: the reverse SDE),

    eps form   x_t = alpha_t/alpha_s x - (1 + tau^2) sigma_t int e^{lam_t - lam} eps dlam
                     + tau sigma_t sqrt(2) int e^{lam_t - lam} dB
    x0 form    x_t = sigma_t/sigma_s e^{-tau^2 h} x + (1 + tau^2) alpha_t int e^{(1 + tau^2)(lam - lam_t)} x0 dlam
                     + tau sigma_t sqrt(2) int e^{tau^2 (lam - lam_t)} dB

are exact (Lu et al. 2022, arXiv:2211.01095, section 5; for any tau, Xue et al. 2023, arXiv:2309.05019);
the noise is a normal of known variance, and the rest reads `a x + b h sum_k phi_{k+1}(z) h^k m^(k)` as for the ODE.

No Adams method is of weak order 3 here, predictor or corrector, whatever it interpolates.  On `m = K x + ...` the response g_k
of the state, k steps later, to the noise of one step tends to `e^{K k h} (1 + K h/2 + (K h)^2/12 + ...)` for each of order 3 or
more.  The first few differ from it by `K h d_k`, `sum_k d_k = -1/12` (without a corrector g_0 = 1 and d_0 = -1/2: m sees an
increment one step late).  So `h sum_k g_k^2` is less than `int e^{2 K u} du` over a span T by
`K h^2/2 ((e^{2 K T} - 1)/4 + 1/3)`, the same for all of them and never 0, already on Gaussian data.

Of order 2 they are on any data: `x` plus what is still due of the last increment, `h_{n+1}^2/(2 h_n) dm/dx dB_n`, is a one-step
method with moments right to O(h^3), with unequal steps up to terms that telescope.  Pathwise the delay costs O(h): order 1.
"""

from dataclasses import dataclass
from math import exp, expm1, sqrt
from typing import NamedTuple

from sdebench._support.registry import register_solver
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Node, Step, StochasticSolver, remember
from sdebench.noise import EPS, Exponential, Weight
from sdebench.phi import phis
from sdebench.schedules import NoiseSchedule
from sdebench.solvers.shared.linear import Linear


class Noisy(NamedTuple):
    """`x_t = a x + b h sum_k phi_{k+1}(z) h^k m^(k) + c xi`, xi the standard normal of that weight."""

    line: Linear
    c: float
    weight: Weight


def noisy(form: str, ns: NoiseSchedule, s: float, t: float, tau: float = 1.0) -> Noisy:
    """The coefficients of the interval s -> t; `form` is the prediction that is interpolated, `eps` or `x0`."""
    h, q = ns.lam(t) - ns.lam(s), tau * tau
    if form == "eps":
        line = Linear(ns.alpha(t) / ns.alpha(s), -(1 + q) * ns.sigma(t), h, h)
        return Noisy(line, tau * ns.sigma(t) * sqrt(expm1(2 * h)), EPS)
    line = Linear(ns.sigma(t) / ns.sigma(s) * exp(-q * h), (1 + q) * ns.alpha(t), h, -(1 + q) * h)
    return Noisy(line, ns.sigma(t) * sqrt(-expm1(-2 * q * h)), Exponential(q))


class _SDEDPMSolver(StochasticSolver):
    """The ends: in x0 the first step from alpha = 0 has the limit `alpha_t x0 + sigma_t z`, which is taken in eps too, where
    there is none.  The last step to sigma = 0 is `alpha_t x0`: in x0 as in k-diffusion and diffusers.  Diffusers refuses
    the eps form there, whose limit adds new noise of size sigma_s for good.
    """

    form: str
    strong_order, nfe_per_step = 1, 1

    @property
    def from_noise(self) -> str:
        return "limit" if self.form == "x0" else "first-order"

    @property
    def to_data(self) -> str:
        return "paper" if self.form == "x0" else "first-order"

    @property
    def family(self) -> str:
        return "SDE-DPM-Solver++" if self.form == "x0" else "SDE-DPM-Solver"


@dataclass(frozen=True)
class SDEDPMSolver1(_SDEDPMSolver):
    r"""One step of exponential Euler.  Lu et al. 2022, arXiv:2211.01095, section 5.

        eps   x_t = alpha_t/alpha_s x - 2 sigma_t (e^h - 1) eps_s + sigma_t sqrt(e^{2h} - 1) z
        x0    x_t = sigma_t/sigma_s e^{-h} x + alpha_t (1 - e^{-2h}) x0_s + sigma_t sqrt(1 - e^{-2h}) z

    The second is ancestral sampling with the small variance, which is DDIM with eta = 1; the first is SEEDS-1.
    """

    form: str
    weak_order = 1
    reference = "Lu et al. 2022, arXiv:2211.01095, section 5"

    def step(self, model, x, s, t, past=(), noise=None):
        (a, b, h, z), c, weight = noisy(self.form, model.schedule, s, t)
        m_0 = model(x, s).read(self.form)
        return Step(lincomb(a, x, b * h / z * expm1(z), m_0, c, noise.normal(s, t, weight)))


@dataclass(frozen=True)
class SDEDPMSolver2M(_SDEDPMSolver):
    r"""Two-step method.  Lu et al. 2022, arXiv:2211.01095, section 5; both are in diffusers, of x0 in k-diffusion too.

        x_t = a x + b h [phi_1 m_0 + w (m_0 - m_1)/r] + c z,   r = (lam_s - lam_1)/h,   w = phi_1/2 (midpoint), phi_2 (heun)

    (phi at z; coefficients of `noisy`.)  The paper has the midpoint kind; heun is the interpolatory one: `sa-solver-p2`.
    The first step is of order 1, which costs O(h^2) once.
    """

    form: str
    kind: str
    weak_order, memory = 2, 1
    reference = "Lu et al. 2022, arXiv:2211.01095, section 5; diffusers and k-diffusion (heun)"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, m_0 = model.schedule, model(x, s)
        (a, b, h, z), c, weight = noisy(self.form, ns, s, t)
        xi, new = (c, noise.normal(s, t, weight)), remember(Node(s, m_0), past, 1)
        _, phi_1, phi_2 = phis(2, z)
        if not past:
            return Step(lincomb(a, x, b * h * phi_1, m_0.read(self.form), *xi), new)
        r = (ns.lam(s) - ns.lam(past[0].t)) / h
        w = b * h * (phi_2 if self.kind == "heun" else 0.5 * phi_1) / r
        m_1 = past[0].prediction.read(self.form)
        return Step(lincomb(a, x, b * h * phi_1 + w, m_0.read(self.form), -w, m_1, *xi), new)


@register_solver("sde-dpm-solver++-3m")
@dataclass(frozen=True)
class SDEDPMSolver3M(_SDEDPMSolver):
    r"""Three-step method: `dpm-solver++-3m` with the noise, as k-diffusion's 3M SDE and diffusers' set out to be.

        d_0 = (m_0 - m_1)/r_0,  d_1 = (m_1 - m_2)/r_1,  q = 1/(r_0 + r_1)
        x_t = a x + b h [phi_1 m_0 + phi_2 (d_0 + r_0 q (d_0 - d_1)) + 2 phi_3 q (d_0 - d_1)] + c z

    (phi at z = -2h.)  Its name counts 3; without noise it would be of order 3, with it of weak order 2 (see above), so that
    no start is worth more than its own: steps of order 1 and 2.
    """

    form = "x0"
    weak_order, claimed_order, memory = 2, 3, 2
    reference = "k-diffusion (2023) and diffusers, after Lu et al. 2022, arXiv:2211.01095"
    _second = "midpoint"

    @staticmethod
    def _curvature(h: float, phi: tuple[float, ...]) -> float:
        """The weight of `q (d_0 - d_1)`, which is h^2 m''/2, in units of b h."""
        return 2 * phi[3]

    def step(self, model, x, s, t, past=(), noise=None):
        if len(past) < 2:
            started = SDEDPMSolver2M(self.form, self._second).step(model, x, s, t, past, noise)
            return Step(started.x, remember(started.past[0], past, 2))
        ns, m_0 = model.schedule, model(x, s)
        (a, b, h, z), c, weight = noisy(self.form, ns, s, t)
        phi = phis(3, z)
        lam_s, lam_1, lam_2 = ns.lam(s), ns.lam(past[0].t), ns.lam(past[1].t)
        r_0, r_1 = (lam_s - lam_1) / h, (lam_1 - lam_2) / h
        curve = (r_0 * phi[2] + self._curvature(h, phi)) / (r_0 + r_1)
        w_0, w_1 = b * h * (phi[2] + curve) / r_0, -b * h * curve / r_1  # of m_0 - m_1 and of m_1 - m_2
        m = [m_0.x0, *(node.prediction.x0 for node in past[:2])]
        x_t = lincomb(a, x, b * h * phi[1] + w_0, m[0], w_1 - w_0, m[1], -w_1, m[2], c, noise.normal(s, t, weight))
        return Step(x_t, remember(Node(s, m_0), past, 2))


@register_solver("sde-dpm-solver++-3m-shipped")
@dataclass(frozen=True)
class SDEDPMSolver3MShipped(SDEDPMSolver3M):
    """3M SDE as in k-diffusion (`sample_dpmpp_3m_sde`): without the factor 2 before phi_3.

    Its second step is 2M's of the heun kind.
    """

    reference = "k-diffusion, sample_dpmpp_3m_sde"
    _second = "heun"

    @staticmethod
    def _curvature(h: float, phi: tuple[float, ...]) -> float:
        return phi[3]


@register_solver("sde-dpm-solver++-3m-diffusers-shipped")
@dataclass(frozen=True)
class SDEDPMSolver3MDiffusers(SDEDPMSolver3M):
    r"""3M SDE as in diffusers (`sde-dpmsolver++` of order 3), which has the sign of one phi_2 wrong.

        alpha_t ((1 - e^{-2h} - 2h)/(2h)^2 - 1/2) = -alpha_t (phi_2 + 1/2)    for    alpha_t (1/2 - phi_2) = 2h alpha_t phi_3

    The weight of the second difference tends to -alpha_t instead of 0.  Where all steps are equal, the noise of that difference
    telescopes and the method is of weak order 1; where they are not, a part of every increment stays in the state, and its law
    tends to another one than the data's.
    """

    weak_order, order_irregular = 1, 0
    strong_order = None
    reference = "diffusers, DPMSolverMultistepScheduler, sde-dpmsolver++ of order 3"

    @staticmethod
    def _curvature(h: float, phi: tuple[float, ...]) -> float:
        return -(phi[2] + 0.5) / (2 * h)


register_solver("sde-dpm-solver-1", form="eps")(SDEDPMSolver1)
register_solver("sde-dpm-solver++-1", form="x0")(SDEDPMSolver1)
register_solver("sde-dpm-solver-2m", form="eps", kind="midpoint")(SDEDPMSolver2M)
register_solver("sde-dpm-solver-2m-heun", form="eps", kind="heun")(SDEDPMSolver2M)
register_solver("sde-dpm-solver++-2m", form="x0", kind="midpoint")(SDEDPMSolver2M)
register_solver("sde-dpm-solver++-2m-heun", form="x0", kind="heun")(SDEDPMSolver2M)
