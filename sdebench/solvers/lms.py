"""Adams-Bashforth methods with variable-step weights: in sigma (LMS, DEIS rhoAB), and exponential in t (DEIS tAB)."""

from dataclasses import dataclass
from math import exp

from sdebench._support.registry import register_solver
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Node, Step, remember
from sdebench.solvers.shared.multistep import Adams
from sdebench.solvers.shared.weights import adams, quadrature

_AS_ZERO = 40  # of lam: beyond, rho is below the rounding of what it was


@dataclass(frozen=True)
class LMS(Adams):
    r"""Variable-step Adams-Bashforth for y = x/alpha in rho = sigma/alpha, where the flow is dy/drho = eps.

        x_t = alpha_t [ x/alpha_s + sum_j eps_j int_{rho_s}^{rho_t} l_j(rho) drho ]

    l_j the Lagrange polynomials of the last k noise levels.  Linear multistep sampler: Crowson 2022 (k-diffusion); Hairer,
    Norsett and Wanner 1993, section III.5.  The start-up uses as many nodes as there are: from alpha = 0, where rho is
    infinite, it is DDIM's step.  At sigma = 0 the formula holds, and k-diffusion uses it there.
    """

    k: int
    family = "LMS"
    from_noise, to_data = "limit", "formula"
    reference = "Hairer, Norsett and Wanner 1993, III.5; k-diffusion 2022"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, alpha_t = model.schedule, model.schedule.alpha(t)
        nodes = (Node(s, model(x, s)), *past[: self.memory])
        rho_s = ns.rho(s)
        drho = ns.rho(t) - rho_s
        w = adams([(ns.rho(node.t) - rho_s) / drho for node in nodes])
        terms = [term for w_j, node in zip(w, nodes) for term in (alpha_t * drho * w_j, node.prediction.eps)]
        return Step(lincomb(alpha_t / ns.alpha(s), x, *terms), remember(nodes[0], past, self.memory))


@dataclass(frozen=True)
class DEISRhoAB(LMS):
    r"""DEIS rhoAB-k: the polynomial in rho.  Zhang and Chen 2022, arXiv:2204.13902.  One map with `lms-k`."""

    family = "DEIS"
    reference = "Zhang and Chen 2022, arXiv:2204.13902"


@dataclass(frozen=True)
class DEISTimeAB(Adams):
    r"""DEIS tAB-k: eps is extrapolated by a polynomial in t.  Zhang and Chen 2022, arXiv:2204.13902.

        x_t = alpha_t/alpha_s x + sum_j C_j eps_j,   C_j = alpha_t int_s^t l_j(tau) drho(tau)

    The integrals are Gauss-Legendre sums in lam, where `drho = -e^{-lam} dlam` is smooth up to both ends of time (in t it is
    singular there): to rounding for steps up to 5 in lam.  The paper counts from 0: its tAB0 is k = 1, and DDIM.

    From alpha = 0 the first step is DDIM's, and its node serves later ones: t is finite there.  To sigma = 0 the integrals are
    finite: they are summed over steps of 2 in lam, as far as rho counts.
    """

    k: int
    family = "DEIS"
    from_noise, to_data, remembers_noise = "limit", "limit", True
    reference = "Zhang and Chen 2022, arXiv:2204.13902"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, alpha_t, lam_s = model.schedule, model.schedule.alpha(t), model.schedule.lam(s)
        nodes, h = (Node(s, model(x, s)), *past[: self.memory]), ns.lam(t) - lam_s

        def drho(q: float) -> tuple[float, float]:
            lam = lam_s + q * h
            return -h * exp(-lam), (ns.t(lam) - s) / (t - s)

        w = quadrature([(node.t - s) / (t - s) for node in nodes], drho, 12 if h < 1 else 24)
        terms = [term for w_j, node in zip(w, nodes) for term in (alpha_t * w_j, node.prediction.eps)]
        return Step(lincomb(alpha_t / ns.alpha(s), x, *terms), remember(nodes[0], past, self.memory))

    def reach_data(self, model, x, s, t, past=(), noise=None):
        ns, alpha_t, lam_s = model.schedule, model.schedule.alpha(t), model.schedule.lam(s)
        nodes = (Node(s, model(x, s)), *past[: self.memory])

        def drho(q: float) -> tuple[float, float]:
            lam = lam_s + q * _AS_ZERO
            return -_AS_ZERO * exp(-lam), (ns.t(lam) - s) / (t - s)

        w = quadrature([(node.t - s) / (t - s) for node in nodes], drho, 12, _AS_ZERO // 2)
        terms = [term for w_j, node in zip(w, nodes) for term in (alpha_t * w_j, node.prediction.eps)]
        return Step(lincomb(alpha_t / ns.alpha(s), x, *terms), remember(nodes[0], past, self.memory))


register_solver("lms-1", k=1)(LMS)
register_solver("lms-2", k=2)(LMS)
register_solver("lms-3", k=3)(LMS)
register_solver("lms-4", k=4)(LMS)
register_solver("deis-rhoab-1", k=1)(DEISRhoAB)
register_solver("deis-rhoab-2", k=2)(DEISRhoAB)
register_solver("deis-rhoab-3", k=3)(DEISRhoAB)
register_solver("deis-rhoab-4", k=4)(DEISRhoAB)
register_solver("deis-tab-1", k=1)(DEISTimeAB)
register_solver("deis-tab-2", k=2)(DEISTimeAB)
register_solver("deis-tab-3", k=3)(DEISTimeAB)
register_solver("deis-tab-4", k=4)(DEISTimeAB)
