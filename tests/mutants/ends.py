"""Methods broken where alpha = 0 or sigma = 0.  Each docstring says what is wrong; `test_rejected_ends` names the test."""

from dataclasses import dataclass
from typing import ClassVar

from sdebench.integration.ends import ddim
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Node, Step, remember
from sdebench.noise import DATA
from sdebench.solvers.ddim import DDIM, DDIMEta
from sdebench.solvers.ddpm import DDPM, DDPMLarge
from sdebench.solvers.dpm_solver import DPMSolver2
from sdebench.solvers.edm import HeunEDM
from sdebench.solvers.exponential_rk import Krogstad4
from sdebench.solvers.lms import LMS
from sdebench.solvers.ncsn import AnnealedLangevin
from sdebench.solvers.pndm import PLMS
from sdebench.solvers.sa_solver import SASolver
from sdebench.solvers.unipc import UniPC


@dataclass(frozen=True)
class AsksAtSigmaZero(HeunEDM):
    """Heun's corrector in the last step too: what `heun-edm` did before its ends were those of algorithm 1."""

    to_data = "formula"


@dataclass(frozen=True)
class CorrectsWithoutCounting(HeunEDM):
    """The last step evaluates twice and drops the second: right, and one evaluation too many."""

    def reach_data(self, model, x, s, t, past=(), noise=None):
        model(x, 0.5 * s)
        return self.first_order(model, x, s, t)


@dataclass(frozen=True)
class StatesAFormulaThatDivides(DDIM):
    """ "formula" where the formula divides by alpha_s."""

    from_noise = "formula"


@dataclass(frozen=True)
class StatesNothing(DPMSolver2):
    """No word about its ends: the formula asks for a stage at lam = infinity."""

    from_noise, to_data = "not stated", "not stated"


@dataclass(frozen=True)
class LeavesTheNoise(DDIM):
    """The last step rescales and does not denoise."""

    def reach_data(self, model, x, s, t, past=(), noise=None):
        model(x, s)
        return Step(lincomb(model.schedule.alpha(t) / model.schedule.alpha(s), x))


@dataclass(frozen=True)
class ForgetsTheNoise(DDIM):
    """The first step is alpha_t x0: as if eps were 0 where it is x/sigma."""

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        return Step(lincomb(model.schedule.alpha(t), model(x, s).x0))


@dataclass(frozen=True)
class KeepsTheNoisesSize(DDIM):
    """The first step adds alpha_t x0 and leaves the noise at sigma_s."""

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        return Step(lincomb(1.0, x, model.schedule.alpha(t), model(x, s).x0))


@dataclass(frozen=True)
class AddsNoiseAtTheEnd(DDPM):
    """z in the last step too, of the size of the level before."""

    def reach_data(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        return Step(lincomb(ns.alpha(t), model(x, s).x0, ns.sigma(s), noise.normal(s, t, DATA)))


@dataclass(frozen=True)
class OldNoiseAndNew(DDPM):
    """The first step from alpha = 0 adds new noise to all of the old."""

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        return Step(lincomb(1.0, ddim(ns, model(x, s), x, s, t), ns.sigma(t), noise.normal(s, t, DATA)))


@dataclass(frozen=True)
class NewNoiseByEta(DDIMEta):
    """eta^2 for eta in the noise that is kept: seen at eta between 0 and 1 only."""

    eta: float = 0.6

    def kept_noise(self, ns, s, t):
        return (1 - self.eta**4) ** 0.5


@dataclass(frozen=True)
class SmallVarianceForLarge(DDPMLarge):
    """The first step from alpha = 0 has the noise of DDPM's small variance: a better law, and another method."""

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        return self.first_order(model, x, s, t, past, noise)


@dataclass(frozen=True)
class CorrectsByOneSide(UniPC):
    """The corrected first step from alpha = 0 with all the weight on its end."""

    k: int = 2

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        m_t = model(ddim(ns, model(x, s), x, s, t), t)
        return Step(lincomb(ns.sigma(t) / ns.sigma(s), x, ns.alpha(t), m_t.x0), (Node(t, m_t),))


@dataclass(frozen=True)
class EvaluatesAgain(UniPC):
    """The last step evaluates at s, though the past holds what was predicted there."""

    k: int = 2

    def reach_data(self, model, x, s, t, past=(), noise=None):
        return self.first_order(model, x, s, t, past[1:], noise)


@dataclass(frozen=True)
class StageForgotten(Krogstad4):
    """The first step from alpha = 0 without the stage that stands at t: DDIM's."""

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        return self.first_order(model, x, s, t, past, noise)


@dataclass(frozen=True)
class Uncorrected(SASolver):
    """The first step from alpha = 0 is the predictor's."""

    p: int = 2
    c: int = 2

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        return self.first_order(model, x, s, t, past, noise)


@dataclass(frozen=True)
class RemembersInfinity(LMS):
    """Keeps the node at alpha = 0, whose rho is infinite."""

    k: int = 3
    remembers_noise = True


@dataclass(frozen=True)
class ImprovedEulerToZero(PLMS):
    """A start-up step to sigma = 0 asks the model there."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns, node = model.schedule, Node(s, model(x, s))
        u = ddim(ns, node.prediction, x, s, t)
        eps = lincomb(0.5, node.prediction.eps, 0.5, model(u, t).eps)
        alpha_t = ns.alpha(t)
        return Step(
            lincomb(alpha_t / ns.alpha(s), x, alpha_t * (ns.rho(t) - ns.rho(s)), eps), remember(node, past, self.memory)
        )


@dataclass(frozen=True)
class LangevinAtZero(AnnealedLangevin):
    """k steps of no size at sigma = 0, each with its evaluation."""

    to_data = "formula"


@dataclass(frozen=True)
class NotAWord(DDIM):
    """A claim that is no word of the vocabulary."""

    to_data: ClassVar[str] = "euler"
