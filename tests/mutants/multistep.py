"""Multistep methods broken on purpose.  Each docstring says what is wrong; `test_rejected` names the test that must see it."""

from dataclasses import dataclass, field
from math import expm1

from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Node, Step, remember
from sdebench.solvers.dpm_solver_pp import DPMSolver2M, DPMSolver3M
from sdebench.solvers.lms import LMS
from sdebench.solvers.pndm import PLMS
from sdebench.solvers.shared.linear import linear, transfer
from sdebench.solvers.shared.weights import adams
from sdebench.solvers.unipc import UniPC


@dataclass(frozen=True)
class InvertedRatio(DPMSolver2M):
    """2M with the ratio of its two steps upside down: the same where they are equal, and a wrong slope where they are not."""

    form: str = "x0"

    def step(self, model, x, s, t, past=(), noise=None):
        if not past:
            return super().step(model, x, s, t)
        ns, m_0 = model.schedule, model(x, s)
        a, b, h, z = linear(self.form, ns, s, t)
        r = h / (ns.lam(s) - ns.lam(past[0].t))
        c, m_1 = b * h / z * expm1(z), past[0].prediction.read(self.form)
        return Step(lincomb(a, x, c * (1 + 0.5 / r), m_0.read(self.form), -c * 0.5 / r, m_1), (Node(s, m_0),))


@dataclass(frozen=True)
class MissingFactor(DPMSolver3M):
    """3M without the factor 2 of its second difference, and still claiming a main scheme of order 3."""

    form: str = "x0"
    _taylor = 1.0


@dataclass(frozen=True)
class WrongSignOfTheSlope(DPMSolver2M):
    """2M that extrapolates backwards: its correction has the wrong sign."""

    form: str = "x0"

    def step(self, model, x, s, t, past=(), noise=None):
        right = super().step(model, x, s, t, past)
        plain = super().step(model, x, s, t)
        return Step(2 * plain.x - right.x, right.past)


@dataclass(frozen=True)
class StartOfOrderZero(DPMSolver2M):
    """2M whose first step drops the prediction, as if the data were not there."""

    form: str = "x0"

    def step(self, model, x, s, t, past=(), noise=None):
        right = super().step(model, x, s, t, past)
        return right if past else Step(linear(self.form, model.schedule, s, t).a * x, right.past)


@dataclass(frozen=True)
class FirstStepSkipped(LMS):
    """LMS-2 that only looks at the model in its first interval, and does not move."""

    k: int = 2

    def step(self, model, x, s, t, past=(), noise=None):
        right = super().step(model, x, s, t, past)
        return right if past else Step(x, right.past)


@dataclass(frozen=True)
class StaleHistory(DPMSolver2M):
    """2M that never replaces its node: from the third step on, its slope reaches back to the start of the run."""

    form: str = "x0"

    def step(self, model, x, s, t, past=(), noise=None):
        right = super().step(model, x, s, t, past)
        return Step(right.x, past or right.past)


@dataclass(frozen=True)
class WeightsInTheWrongOrder(LMS):
    """LMS-3 with the weights of its two past nodes exchanged."""

    k: int = 3

    def step(self, model, x, s, t, past=(), noise=None):
        if len(past) < 2:
            return super().step(model, x, s, t, past)
        ns, nodes = model.schedule, (Node(s, model(x, s)), *past[:2])
        rho_s, drho, alpha_t = ns.rho(s), ns.rho(t) - ns.rho(s), ns.alpha(t)
        w_0, w_1, w_2 = adams([(ns.rho(node.t) - rho_s) / drho for node in nodes])
        terms = [term for w, node in zip((w_0, w_2, w_1), nodes) for term in (alpha_t * drho * w, node.prediction.eps)]
        return Step(lincomb(alpha_t / ns.alpha(s), x, *terms), remember(nodes[0], past, 2))


@dataclass(frozen=True)
class PastOffByOne(UniPC):
    """UniPC-3 that takes the older nodes of its next step one too late from its past: the node where it stood is lost."""

    k: int = 3

    def step(self, model, x, s, t, past=(), noise=None):
        right = super().step(model, x, s, t, past)
        return Step(right.x, (right.past[0], *past[1:3])) if len(past) >= 3 else right


@dataclass(frozen=True)
class PredictionOfAnotherState(UniPC):
    """UniPC-2 that hands on the prediction made at s as if it were made at t: a node one step late."""

    k: int = 2

    def step(self, model, x, s, t, past=(), noise=None):
        right = super().step(model, x, s, t, past)
        late = past[0] if past and past[0].t == s else right.past[1]
        return Step(right.x, (Node(t, late.prediction), *right.past[1:]))


@dataclass(frozen=True)
class EvaluatesTheCorrectedState(UniPC):
    """UniPC-2 that evaluates again at the corrected state instead of handing on what it has: twice the stated cost."""

    k: int = 2

    def step(self, model, x, s, t, past=(), noise=None):
        right = super().step(model, x, s, t, past)
        return Step(right.x, (Node(t, model(right.x, t)), *right.past[1:]))


@dataclass(frozen=True)
class WeightsNotSummingToOne(PLMS):
    """PLMS with 58 in place of the 59 of its second weight."""

    def step(self, model, x, s, t, past=(), noise=None):
        if len(past) < 3:
            return super().step(model, x, s, t, past)
        node = Node(s, model(x, s))
        e_0, e_1, e_2, e_3 = (n.prediction.eps for n in (node, *past[:3]))
        eps = lincomb(55 / 24, e_0, -58 / 24, e_1, 37 / 24, e_2, -9 / 24, e_3)
        return Step(transfer(model.schedule, x, eps, s, t), remember(node, past, 3))


@dataclass(frozen=True)
class KeepsState(DPMSolver2M):
    """2M that keeps its node on itself, where the next run finds it."""

    form: str = "x0"
    kept: dict = field(default_factory=dict, hash=False)

    def step(self, model, x, s, t, past=(), noise=None):
        old = self.kept.get("past", ())
        if old and old[0].prediction.x.shape == x.shape and old[0].t != s:
            past = old
        right = super().step(model, x, s, t, past)
        self.kept["past"] = right.past
        return right


@dataclass(frozen=True)
class MisstatesItsMemory(DPMSolver3M):
    """3M that says it wants one past node, and uses two."""

    form: str = "x0"
    memory = 1
