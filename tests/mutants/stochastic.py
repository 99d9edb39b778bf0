"""Stochastic methods broken on purpose.  Each docstring says what is wrong; `test_rejected_stochastic` names the test."""

from dataclasses import dataclass
from math import expm1, sqrt

from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Node, Step, remember
from sdebench.noise import DATA, TIME, Power
from sdebench.noise.brownian import BrownianPath
from sdebench.solvers.consistency import Consistency
from sdebench.solvers.ddpm import DDPM
from sdebench.solvers.euler_maruyama import EulerMaruyama, SRKAdditive
from sdebench.solvers.sde_dpm_solver import SDEDPMSolver2M
from sdebench.solvers.shared.linear import combine


@dataclass(frozen=True)
class VarianceOffByAFactor(EulerMaruyama):
    """g^2 doubled in the noise, not in the drift: the noise of a convention in which g^2 = beta/2."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns, h = model.schedule, s - t
        a, b = self.drift(ns, s)
        return Step(combine(1 - h * a, x, (-h * b, model(x, s)), (sqrt(2 * ns.g2(s) * h), noise.normal(s, t, TIME))))


@dataclass(frozen=True)
class DriftOfTheFlow(EulerMaruyama):
    """The noise of the reverse SDE with the drift of the probability flow, which has half of the score."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns, h = model.schedule, s - t
        b = ns.g2(s) / (2 * ns.sigma(s))
        return Step(combine(1 - h * ns.f(s), x, (-h * b, model(x, s)), (sqrt(ns.g2(s) * h), noise.normal(s, t, TIME))))


@dataclass(frozen=True)
class NoiseOfAnotherStep(EulerMaruyama):
    """The increment's size is that of the whole step's square, h instead of sqrt(h)."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns, h = model.schedule, s - t
        a, b = self.drift(ns, s)
        return Step(combine(1 - h * a, x, (-h * b, model(x, s)), (sqrt(ns.g2(s)) * h, noise.normal(s, t, TIME))))


@dataclass(frozen=True)
class WrongSignOfTheNoise(EulerMaruyama):
    """The right law, for normals are symmetric; but not the solution on this path."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns, h = model.schedule, s - t
        a, b = self.drift(ns, s)
        return Step(combine(1 - h * a, x, (-h * b, model(x, s)), (-sqrt(ns.g2(s) * h), noise.normal(s, t, TIME))))


@dataclass(frozen=True)
class FreshNoise(DDPM):
    """A new normal where the formula has the path's integral: right in law, no strong order."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns, h = model.schedule, model.schedule.lam(t) - model.schedule.lam(s)
        mean = (ns.sigma(t) / ns.sigma(s)) ** 2 * ns.alpha(s) / ns.alpha(t)
        x0 = model(x, s).x0
        return Step(lincomb(mean, x, -ns.alpha(t) * expm1(-2 * h), x0, ns.sigma(t) * sqrt(-expm1(-2 * h)), noise.fresh(t)))


@dataclass(frozen=True)
class TwoDrawsForOnePair(SRKAdditive):
    """I_1 and I_10 are drawn independently of each other, where they belong to one path."""

    def step(self, model, x, s, t, past=(), noise=None):
        class Independent:
            schedule = noise.schedule

            @staticmethod
            def integral(s, t, *weights):
                return (*noise.integral(s, t, TIME, tag=1), noise.fresh(t, 7) * sqrt((s - t) ** 3 / 3))

        assert Power(1)
        return super().step(model, x, s, t, past, Independent)


@dataclass(frozen=True)
class StagesShareANoise(SRKAdditive):
    """The second integral is taken for a multiple of the first, I_10 = h I_1/2: its mean given I_1, without its own noise."""

    def step(self, model, x, s, t, past=(), noise=None):
        class Shared:
            schedule = noise.schedule

            @staticmethod
            def integral(s, t, *weights):
                (one,) = noise.integral(s, t, TIME)
                return one, one * ((s - t) / 2)

        return super().step(model, x, s, t, past, Shared)


@dataclass(frozen=True)
class StalePrediction(SDEDPMSolver2M):
    """What is handed on is the past node, not the one at s: the second step's difference spans no step, all later ones two."""

    def step(self, model, x, s, t, past=(), noise=None):
        out = super().step(model, x, s, t, past, noise)
        return Step(out.x, past or out.past)


@dataclass(frozen=True)
class SlopeOfTheOde(SDEDPMSolver2M):
    """The difference's weight is that of the ODE's 2M, half of the SDE's 1 - e^{-2h}: order 1."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns, m_0 = model.schedule, model(x, s)
        h = ns.lam(t) - ns.lam(s)
        c = -ns.alpha(t) * expm1(-2 * h)
        d = -0.5 * ns.alpha(t) * expm1(-h) if past else 0.0
        r = (ns.lam(s) - ns.lam(past[0].t)) / h if past else 1.0
        m_1 = past[0].prediction if past else m_0
        a = (ns.sigma(t) / ns.sigma(s)) ** 2 * ns.alpha(s) / ns.alpha(t)
        z = noise.normal(s, t, DATA)
        terms = (c + d / r, m_0.x0, -d / r, m_1.x0, ns.sigma(t) * sqrt(-expm1(-2 * h)), z)
        return Step(lincomb(a, x, *terms), remember(Node(s, m_0), past, 1))


@dataclass(frozen=True)
class DrawsByItself(EulerMaruyama):
    """A step that draws its own numbers: another run, other bits."""

    def step(self, model, x, s, t, past=(), noise=None):
        import torch

        out = super().step(model, x, s, t, past, noise).x
        return Step(out + 1e-3 * torch.randn_like(out) if isinstance(out, torch.Tensor) else out)


@dataclass(frozen=True)
class NoiseOverTheBatch(EulerMaruyama):
    """The noise is centred over the batch: a sample then knows how many there are."""

    def step(self, model, x, s, t, past=(), noise=None):
        class Centred:
            schedule = noise.schedule

            @staticmethod
            def normal(*args):
                z = noise.normal(*args)
                return z - z.mean(0)

        return super().step(model, x, s, t, past, Centred)


@dataclass(frozen=True)
class NoiseOfTheReverseProcess(Consistency):
    """The noise that a step of the reverse SDE adds, sigma_t sqrt(1 - e^{-2h}), where all of sigma_t is new."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        sigma = ns.sigma(t) * sqrt(-expm1(-2 * (ns.lam(t) - ns.lam(s))))
        return Step(lincomb(ns.alpha(t), model(x, s).x0, sigma, noise.fresh(t)))


@dataclass(frozen=True)
class JumpByTheNextTime(Consistency):
    """f is asked at t, where the state is going, and not at s, where it is."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        return Step(lincomb(ns.alpha(t), model(x, t).x0, ns.sigma(t), noise.fresh(t)))


class ForgetfulPath(BrownianPath):
    """A path whose normals depend on the interval that is asked for, not on the cell: parts do not add up to the whole."""

    def integral(self, s, t, *weights, tag=0):
        self.seed = hash((s, t)) % 1000
        self._kept.clear()
        return super().integral(s, t, *weights, tag=tag)
