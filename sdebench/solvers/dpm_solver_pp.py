"""Lu et al. 2022b, DPM-Solver++: multistep methods (in eps and in x0) and singlestep methods in x0."""

from dataclasses import dataclass
from math import expm1

from sdebench._support.registry import register_solver
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Node, Solver, Step, remember
from sdebench.phi import phi, phis
from sdebench.solvers.shared.linear import check_fraction, linear


@dataclass(frozen=True)
class DPMSolver2M(Solver):
    r"""Two-step exponential Adams method.  Lu et al. 2022, arXiv:2211.01095, algorithm 2 (x0 form) and its eps twin.

        x_t = a x + b h phi_1(z) [(1 + 1/(2 r)) m_0 - 1/(2 r) m_1],   r = (lam_s - lam_1)/h

    (a, b, z as in `linear`.)  `m''` is neglected, and `phi_2` replaced by `phi_1/2`: both errors are O(h^3).
    The first step is of order 1, which costs O(h^2) once; from alpha = 0 it is DDIM's.  The step to sigma = 0 is DDIM's in the
    official code (`denoise_to_zero`), k-diffusion and diffusers: what extrapolates in lam to infinity has no limit.
    """

    form: str
    order, nfe_per_step, memory = 2, 1, 1
    from_noise, to_data = "limit", "paper"
    reference = "Lu et al. 2022, arXiv:2211.01095, algorithm 2"

    @property
    def family(self) -> str:
        return "DPM-Solver++" if self.form == "x0" else "DPM-Solver"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, m_0 = model.schedule, model(x, s)
        a, b, h, z = linear(self.form, ns, s, t)
        c = b * h / z * expm1(z)
        new = remember(Node(s, m_0), past, 1)
        if not past:
            return Step(lincomb(a, x, c, m_0.read(self.form)), new)
        r = (ns.lam(s) - ns.lam(past[0].t)) / h
        m_1 = past[0].prediction.read(self.form)
        return Step(lincomb(a, x, c * (1 + 0.5 / r), m_0.read(self.form), -c * 0.5 / r, m_1), new)


@dataclass(frozen=True)
class DPMSolver3M(Solver):
    r"""Three-step exponential Adams method, DPM-Solver(++) 3M: what the official code of arXiv:2211.01095 sets out to be.

        d_0 = (m_0 - m_1)/r_0,  d_1 = (m_1 - m_2)/r_1,  q = 1/(r_0 + r_1)
        x_t = a x + b h [phi_1 m_0 + phi_2 (d_0 + r_0 q (d_0 - d_1)) + 2 phi_3 q (d_0 - d_1)]

    The bracket's last difference is `h^2 m''/2`: the factor 2 in front of phi_3 is Taylor's, and is what the code in use
    lacks (`dpm-solver++-3m-shipped`).  Started by steps of order 1 and 2, so that a whole run is of order 2.  The ends as 2M.
    """

    form: str
    order, claimed_order, main_order, nfe_per_step, memory = 2, 3, 3, 1, 2
    from_noise, to_data = "limit", "paper"
    reference = "official code, after Lu et al. 2022, arXiv:2211.01095"
    _taylor = 2.0

    @property
    def family(self) -> str:
        return "DPM-Solver++" if self.form == "x0" else "DPM-Solver"

    def step(self, model, x, s, t, past=(), noise=None):
        if len(past) < 2:
            started = DPMSolver2M(self.form).step(model, x, s, t, past)
            return Step(started.x, remember(started.past[0], past, 2))
        ns, m_0 = model.schedule, model(x, s)
        a, b, h, z = linear(self.form, ns, s, t)
        _, phi_1, phi_2, phi_3 = phis(3, z)
        lam_s, lam_1, lam_2 = ns.lam(s), ns.lam(past[0].t), ns.lam(past[1].t)
        r_0, r_1 = (lam_s - lam_1) / h, (lam_1 - lam_2) / h
        q = 1 / (r_0 + r_1)
        curve = q * (r_0 * phi_2 + self._taylor * phi_3)
        w_0, w_1 = b * h * (phi_2 + curve) / r_0, -b * h * curve / r_1  # of m_0 - m_1 and of m_1 - m_2
        m = [m_0.read(self.form), *(node.prediction.read(self.form) for node in past[:2])]
        x_t = lincomb(a, x, b * h * phi_1 + w_0, m[0], w_1 - w_0, m[1], -w_1, m[2])
        return Step(x_t, remember(Node(s, m_0), past, 2))


@dataclass(frozen=True)
class DPMSolver3MShipped(DPMSolver3M):
    r"""3M as shipped in the official code and in two schedulers of diffusers: without the factor 2 before phi_3.

    The second difference, `h^2 m''/2`, is used as if it were `h^2 m''`; the main scheme falls to order 2.
    """

    main_order = 2
    _taylor = 1.0


@register_solver("dpm-solver++-2s")
@dataclass(frozen=True)
class DPMSolverPP2S(Solver):
    r"""DPM-Solver++(2S): one intermediate evaluation, in x0.  Lu et al. 2022, arXiv:2211.01095, algorithm 1.

    u   = sigma_m/sigma_s x - alpha_m (e^{-r h} - 1) x0_s
    x_t = sigma_t/sigma_s x - alpha_t (e^{-h} - 1) [(1 - 1/(2 r)) x0_s + 1/(2 r) x0_m]

    From alpha = 0 the stage tends to the start, x0_m to x0_s, and the step to DDIM's, for one evaluation.  To sigma = 0 DDIM's
    step is the official code's (`denoise_to_zero`), and the limit too.
    """

    r: float = 0.5
    order, nfe_per_step = 2, 2
    from_noise, to_data = "limit", "paper"
    family = "DPM-Solver++"
    reference = "Lu et al. 2022, arXiv:2211.01095, algorithm 1"

    def __post_init__(self):
        check_fraction("r", self.r)

    def step(self, model, x, s, t, past=(), noise=None):
        ns, r = model.schedule, self.r
        h = ns.lam(t) - ns.lam(s)
        m = ns.t(ns.lam(s) + r * h)
        x0_s = model(x, s).x0
        u = lincomb(ns.sigma(m) / ns.sigma(s), x, -ns.alpha(m) * expm1(-r * h), x0_s)
        x0_m = model(u, m).x0
        c = -ns.alpha(t) * expm1(-h)
        return Step(lincomb(ns.sigma(t) / ns.sigma(s), x, c * (1 - 0.5 / r), x0_s, c * 0.5 / r, x0_m))


@register_solver("dpm-solver++-3s")
@dataclass(frozen=True)
class DPMSolverPP3S(Solver):
    r"""DPM-Solver++(3S): two intermediate evaluations, in x0: `dpm-solver-3` (Lu et al. 2022, arXiv:2206.00927, algorithm 2)
    on the data prediction, as in the official code of arXiv:2211.01095.

        u_1 = sigma_1/sigma_s x - alpha_1 (e^{-r1 h} - 1) x0_s
        u_2 = sigma_2/sigma_s x - alpha_2 (e^{-r2 h} - 1) x0_s + alpha_2 r2/r1 ((e^{-r2 h} - 1)/(r2 h) + 1) D_1
        x_t = sigma_t/sigma_s x - alpha_t (e^{-h} - 1) x0_s + alpha_t/r2 ((e^{-h} - 1)/h + 1) D_2,   D_i = x0_i - x0_s

    The ends as `dpm-solver++-2s`.
    """

    r1: float = 1 / 3
    order, nfe_per_step = 3, 3
    from_noise, to_data = "limit", "paper"
    family = "DPM-Solver++"
    reference = "official code, after Lu et al. 2022, arXiv:2211.01095"

    def __post_init__(self):
        check_fraction("r1", self.r1)

    def step(self, model, x, s, t, past=(), noise=None):
        ns, r1, r2 = model.schedule, self.r1, 2 / 3
        h, sigma_s = ns.lam(t) - ns.lam(s), ns.sigma(s)
        s_1, s_2 = ns.t(ns.lam(s) + r1 * h), ns.t(ns.lam(s) + r2 * h)
        x0_s = model(x, s).x0
        x0_1 = model(lincomb(ns.sigma(s_1) / sigma_s, x, -ns.alpha(s_1) * expm1(-r1 * h), x0_s), s_1).x0
        d = ns.alpha(s_2) * r2 / r1 * r2 * h * phi(2, -r2 * h)
        u_2 = lincomb(ns.sigma(s_2) / sigma_s, x, -ns.alpha(s_2) * expm1(-r2 * h) - d, x0_s, d, x0_1)
        x0_2 = model(u_2, s_2).x0
        d = ns.alpha(t) / r2 * h * phi(2, -h)
        return Step(lincomb(ns.sigma(t) / sigma_s, x, -ns.alpha(t) * expm1(-h) - d, x0_s, d, x0_2))


register_solver("dpm-solver-2m", form="eps")(DPMSolver2M)
register_solver("dpm-solver-3m", form="eps")(DPMSolver3M)
register_solver("dpm-solver-3m-shipped", form="eps")(DPMSolver3MShipped)
register_solver("dpm-solver++-2m", form="x0")(DPMSolver2M)
register_solver("dpm-solver++-3m", form="x0")(DPMSolver3M)
register_solver("dpm-solver++-3m-shipped", form="x0")(DPMSolver3MShipped)
