"""Multistep methods started by a one-step method of their own order: then a whole run shows the main scheme's order."""

from dataclasses import dataclass

from sdebench._support.registry import Name, register_solver
from sdebench.integration.prediction import ModelLike, Prediction
from sdebench.integration.solver import Node, Solver, Step


class _Known:
    """A model whose prediction at one state is known already: the start's first evaluation is the node to remember."""

    def __init__(self, model: ModelLike, prediction: Prediction):
        self.model, self.schedule, self.prediction = model, model.schedule, prediction

    def __call__(self, x, t):
        known = self.prediction
        return known if x is known.x and t == known.t else self.model(x, t)


@dataclass(frozen=True)
class Started(Solver):
    """`method`, with its first steps taken by the one-step method `start` (Hairer, Norsett and Wanner 1993, section III.1).

    So it leaves alpha = 0 as `start` does, and reaches sigma = 0 as `method`.
    """

    method: Solver
    start: Solver

    @property
    def from_noise(self) -> str:
        return self.start.from_noise

    @property
    def to_data(self) -> str:
        return self.method.to_data

    @property
    def remembers_noise(self) -> bool:
        return self.method.remembers_noise

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
        return self._started(model, x, s, t, past)

    def _started(self, model, x, s, t, past):
        node = Node(s, model(x, s))
        x_t = self.start.step(_Known(model, node.prediction), x, s, t).x
        return Step(x_t, self._remembered(model.schedule, node, past))

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        return self._started(model, x, s, t, past)

    def reach_data(self, model, x, s, t, past=(), noise=None):
        method = self.method if len(past) >= self.memory else self.start
        return Step(method.step(model, x, s, t, past).x, past)


register_solver("dpm-solver-3m-rk-start", method=Name("dpm-solver-3m"), start=Name("dpm-solver-3"))(Started)
register_solver("dpm-solver++-3m-rk-start", method=Name("dpm-solver++-3m"), start=Name("dpm-solver++-3s"))(Started)
register_solver("lms-3-rk-start", method=Name("lms-3"), start=Name("deis-rhork-3"))(Started)
register_solver("lms-4-rk-start", method=Name("lms-4"), start=Name("deis-rhork-4"))(Started)
register_solver("deis-rhoab-3-rk-start", method=Name("deis-rhoab-3"), start=Name("deis-rhork-3"))(Started)
register_solver("deis-rhoab-4-rk-start", method=Name("deis-rhoab-4"), start=Name("deis-rhork-4"))(Started)
register_solver("deis-tab-3-rk-start", method=Name("deis-tab-3"), start=Name("deis-rhork-3"))(Started)
register_solver("deis-tab-4-rk-start", method=Name("deis-tab-4"), start=Name("deis-rhork-4"))(Started)
register_solver("unip-3-rk-start", method=Name("unip-3"), start=Name("dpm-solver++-3s"))(Started)
register_solver("unip-4-rk-start", method=Name("unip-4"), start=Name("krogstad-4"))(Started)
register_solver("unip-3-bh1-rk-start", method=Name("unip-3-bh1"), start=Name("dpm-solver++-3s"))(Started)
register_solver("unip-4-bh1-rk-start", method=Name("unip-4-bh1"), start=Name("krogstad-4"))(Started)
register_solver("unipc-3-rk-start", method=Name("unipc-3"), start=Name("krogstad-4"))(Started)
register_solver("unipc-4-rk-start", method=Name("unipc-4"), start=Name("exprk5s8"))(Started)
register_solver("unipc-3-bh1-rk-start", method=Name("unipc-3-bh1"), start=Name("krogstad-4"))(Started)
register_solver("unipc-4-bh1-rk-start", method=Name("unipc-4-bh1"), start=Name("exprk5s8"))(Started)
