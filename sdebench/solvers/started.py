"""Multistep methods started by a one-step method of their own order: then a whole run shows the main scheme's order."""

from dataclasses import dataclass

from ..prediction import ModelLike, Prediction
from ..registry import SOLVERS, register_solver
from ..solver import Node, Solver, Step, remember


class _Known:
    """A model whose prediction at one state is known already: the start's first evaluation is the node to remember."""

    def __init__(self, model: ModelLike, prediction: Prediction):
        self.model, self.schedule, self.prediction = model, model.schedule, prediction

    def __call__(self, x, t):
        known = self.prediction
        return known if x is known.x and t == known.t else self.model(x, t)


@dataclass(frozen=True)
class Started(Solver):
    """`method`, with its first steps taken by the one-step method `start` (Hairer, Norsett and Wanner 1993, section III.1)."""

    method: Solver
    start: Solver

    @property
    def order(self) -> int:
        return min(self.method.main_order, self.start.order + 1)  # the start's O(h^(p+1)) enters finitely often

    @property
    def main_order(self) -> int:
        return self.method.main_order

    @property
    def claimed_order(self) -> int:
        return self.method.claimed_order

    @property
    def nfe_per_step(self) -> int:
        return self.method.nfe_per_step

    @property
    def memory(self) -> int:
        return self.method.memory

    @property
    def family(self) -> str:
        return self.method.family

    @property
    def reference(self) -> str:
        return self.method.reference

    def step(self, model, x, s, t, past=(), noise=None):
        if len(past) >= self.memory:
            return self.method.step(model, x, s, t, past, noise)
        m_s = model(x, s)
        x_t = self.start.step(_Known(model, m_s), x, s, t).x
        return Step(x_t, remember(Node(s, m_s), past, self.memory))


for _name, _start in {
    "dpm-solver-3m": "dpm-solver-3",
    "dpm-solver++-3m": "dpm-solver++-3s",
    "lms-3": "deis-rhork-3",
    "lms-4": "deis-rhork-4",
    "deis-rhoab-3": "deis-rhork-3",
    "deis-rhoab-4": "deis-rhork-4",
    "deis-tab-3": "deis-rhork-3",
    "deis-tab-4": "deis-rhork-4",
    "unip-3": "dpm-solver++-3s",
    "unip-4": "krogstad-4",
    "unip-3-bh1": "dpm-solver++-3s",
    "unip-4-bh1": "krogstad-4",
    "unipc-3": "krogstad-4",
    "unipc-4": "exprk5s8",
    "unipc-3-bh1": "krogstad-4",
    "unipc-4-bh1": "exprk5s8",
}.items():
    register_solver(f"{_name}-rk-start", method=SOLVERS.get(_name), start=SOLVERS.get(_start))(Started)
