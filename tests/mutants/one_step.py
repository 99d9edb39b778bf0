"""One-step methods broken on purpose.  Each docstring says what is wrong; `test_rejected` names the test that must see it."""

from dataclasses import dataclass
from math import expm1

import torch

from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Solver, Step
from sdebench.phi import phi, phis
from sdebench.solvers.ddim import DDIM
from sdebench.solvers.dpm_solver import DPMSolver1, DPMSolver2, DPMSolver3
from sdebench.solvers.dpm_solver_pp import DPMSolverPP2S
from sdebench.solvers.edm import HeunEDM
from sdebench.solvers.exponential_rk import Krogstad4


@dataclass(frozen=True)
class MeanOfTimes(DPMSolverPP2S):
    """DPM-Solver++(2S) with its middle at the mean of the times instead of the lams: the order stays, the constant does not."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns, m = model.schedule, 0.5 * (s + t)
        h = ns.lam(t) - ns.lam(s)
        x0_s = model(x, s).x0
        u = lincomb(ns.sigma(m) / ns.sigma(s), x, -ns.alpha(m) * expm1(-0.5 * h), x0_s)
        c = -ns.alpha(t) * expm1(-h)
        return Step(lincomb(ns.sigma(t) / ns.sigma(s), x, c, model(u, m).x0))


@dataclass(frozen=True)
class ThirdsOfTime(DPMSolver3):
    """DPM-Solver-3 with its nodes at thirds of the time instead of lam, and the weights for thirds of lam."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        h, alpha_s = ns.lam(t) - ns.lam(s), ns.alpha(s)
        s_1, s_2 = s + (t - s) / 3, s + 2 * (t - s) / 3
        h_1, h_2 = ns.lam(s_1) - ns.lam(s), ns.lam(s_2) - ns.lam(s)
        eps_s = model(x, s).eps
        eps_1 = model(lincomb(ns.alpha(s_1) / alpha_s, x, -ns.sigma(s_1) * expm1(h_1), eps_s), s_1).eps
        d = -ns.sigma(s_2) * 2 * h_2 * phi(2, h_2)
        eps_2 = model(lincomb(ns.alpha(s_2) / alpha_s, x, -ns.sigma(s_2) * expm1(h_2) - d, eps_s, d, eps_1), s_2).eps
        d = -ns.sigma(t) * 1.5 * h * phi(2, h)
        return Step(lincomb(ns.alpha(t) / alpha_s, x, -ns.sigma(t) * expm1(h) - d, eps_s, d, eps_2))


@dataclass(frozen=True)
class WrongSign(DPMSolver2):
    """DPM-Solver-2 at r = 1/3 that takes its correction (eps_m - eps_s)/(2 r) away instead of adding it."""

    r: float = 1 / 3

    def step(self, model, x, s, t, past=(), noise=None):
        ns, r = model.schedule, self.r
        h = ns.lam(t) - ns.lam(s)
        m = ns.t(ns.lam(s) + r * h)
        eps_s = model(x, s).eps
        eps_m = model(lincomb(ns.alpha(m) / ns.alpha(s), x, -ns.sigma(m) * expm1(r * h), eps_s), m).eps
        c = -ns.sigma(t) * expm1(h)
        return Step(lincomb(ns.alpha(t) / ns.alpha(s), x, c * (1 + 0.5 / r), eps_s, -c * 0.5 / r, eps_m))


@dataclass(frozen=True)
class PhiTwoForPhiOne(DPMSolver1):
    """DPM-Solver-1 with phi_2(h) where phi_1(h) belongs: half of the noise prediction is lost."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        h = ns.lam(t) - ns.lam(s)
        return Step(lincomb(ns.alpha(t) / ns.alpha(s), x, -ns.sigma(t) * h * phi(2, h), model(x, s).eps))


@dataclass(frozen=True)
class PhiOfTheWholeStep(Krogstad4):
    """Krogstad's method whose third stage uses phi_2(z) instead of phi_2(z/2)."""

    @staticmethod
    def rows(z):
        _, _, phi_2, phi_3 = phis(3, z)
        middle = 2 * phi_2 - 4 * phi_3
        return [{}, {}, {1: phi_2}, {2: 2 * phi_2}, {1: middle, 2: middle, 3: 4 * phi_3 - phi_2}]


@dataclass(frozen=True)
class CancellingCoefficient(DPMSolver1):
    """DPM-Solver-1 with exp(h) - 1 computed in the precision of the state, where nearly all of its digits cancel."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        lam_s, lam_t = (torch.tensor(ns.lam(u), dtype=x.dtype) for u in (s, t))
        growth = float(torch.exp(lam_t - lam_s) - 1)
        return Step(lincomb(ns.alpha(t) / ns.alpha(s), x, -ns.sigma(t) * growth, model(x, s).eps))


@dataclass(frozen=True)
class OtherMiddle(DPMSolver2):
    """DPM-Solver-2 at r = 0.55 under the name of r = 1/2: of the same order, and another method."""

    r: float = 0.55


@dataclass(frozen=True)
class ModelAtTheWrongEnd(DDIM):
    """DDIM that tells the model the time where it goes instead of the time where it stands."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        return Step(lincomb(ns.alpha(t) / ns.alpha(s), x, ns.alpha(t) * (ns.rho(t) - ns.rho(s)), model(x, t).eps))


@dataclass(frozen=True)
class MutatesItsInput(DDIM):
    """DDIM in place: the caller's state is overwritten."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns, eps = model.schedule, model(x, s).eps
        return Step(x.mul_(ns.alpha(t) / ns.alpha(s)).add_(eps, alpha=ns.alpha(t) * (ns.rho(t) - ns.rho(s))))


@dataclass(frozen=True)
class MisstatesItsCost(HeunEDM):
    """Heun's method that says it needs one evaluation a step."""

    nfe_per_step = 1


@dataclass(frozen=True)
class ChangesTheDtype(DDIM):
    """DDIM with its coefficients in float64 tensors, which take the state along."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        ratio = torch.full((1,), ns.alpha(t) / ns.alpha(s), dtype=torch.float64)
        return Step(ratio * x + ns.alpha(t) * (ns.rho(t) - ns.rho(s)) * model(x, s).eps)


@dataclass(frozen=True)
class NotAffine(DDIM):
    """DDIM that clips what it denoises: no longer linear in its vectors, and another limit."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns, x0 = model.schedule, model(x, s).x0.clamp(-1, 1)
        return Step(lincomb(ns.sigma(t) / ns.sigma(s), x, ns.alpha(t) - ns.alpha(s) * ns.sigma(t) / ns.sigma(s), x0))


class NotFrozen(Solver):
    """A solver that is no frozen dataclass, and so can be written on."""

    order, nfe_per_step, family, reference = 1, 1, "mutant", "none"

    def step(self, model, x, s, t, past=(), noise=None):
        return DDIM().step(model, x, s, t)
