"""Whole-grid compositions: one method for most of the grid and others for its last intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from sdebench._support.errors import UsageError
from sdebench._support.registry import register_solver
from sdebench.integration.solver import Sampler, Solver
from sdebench.solvers.ddim import DDIM
from sdebench.solvers.dpm_solver import DPMSolver1, DPMSolver2, DPMSolver3
from sdebench.solvers.dpm_solver_pp import DPMSolver2M, DPMSolver3M
from sdebench.solvers.unipc import UniP, UniPC


@dataclass(frozen=True)
class Composition(Sampler):
    """`body` on all intervals but the last few, and the methods of `tail`, one an interval, on those.

    The past is handed on.  A first-order last step costs O(h^2), which nothing after it can undo.
    """

    body: Solver
    tail: tuple[Solver, ...]
    true_order: int
    claim: int
    family: str
    reference: str

    @property
    def inner(self) -> Solver:
        return self.body

    @property
    def closing(self) -> tuple[Solver, ...]:
        return self.tail

    @property
    def from_noise(self) -> str:
        return self.body.from_noise

    @property
    def to_data(self) -> str:
        return self.tail[-1].to_data

    @property
    def order(self) -> int:
        return self.true_order

    @property
    def claimed_order(self) -> int:
        return self.claim

    @property
    def main_order(self) -> int:
        return self.body.main_order

    @property
    def nfe_per_step(self) -> int:
        return self.body.nfe_per_step

    @property
    def memory(self) -> int:
        return self.body.memory

    def sample(self, model, x, grid: Sequence[float], noise=None):
        intervals = list(pairwise(grid))
        if len(intervals) < len(self.tail):
            raise UsageError(f"a grid of {len(intervals)} steps: the last {len(self.tail)} are special, give that many or more")
        past = ()
        methods = [self.body] * (len(intervals) - len(self.tail)) + list(self.tail)
        for method, (s, t) in zip(methods, intervals):
            x, past, _ = method.step(model, x, s, t, past, noise)
        return x


_FAST = "Lu et al. 2022, arXiv:2206.00927"
# A budget of NFE = 0, 1 or 2 modulo 3 ends in another way, and is another method.
register_solver(
    "dpm-solver-fast",
    body=DPMSolver3(),
    tail=(DPMSolver2(), DPMSolver1()),
    true_order=2,
    claim=3,
    family="DPM-Solver",
    reference=_FAST,
)(Composition)
register_solver(
    "dpm-solver-fast-3k1", body=DPMSolver3(), tail=(DPMSolver1(),), true_order=2, claim=3, family="DPM-Solver", reference=_FAST
)(Composition)
register_solver(
    "dpm-solver-fast-3k2", body=DPMSolver3(), tail=(DPMSolver2(),), true_order=3, claim=3, family="DPM-Solver", reference=_FAST
)(Composition)

# What diffusers calls `lower_order_final`, on by default there; for DPM-Solver++ it acts on runs of fewer than 15 steps.
_FINAL = "diffusers, lower_order_final of "
register_solver(
    "dpm-solver++-2m-lower-final",
    body=DPMSolver2M("x0"),
    tail=(DDIM(),),
    true_order=2,
    claim=2,
    family="DPM-Solver++",
    reference=_FINAL + "2M",
)(Composition)
register_solver(
    "dpm-solver++-3m-lower-final",
    body=DPMSolver3M("x0"),
    tail=(DPMSolver2M("x0"), DDIM()),
    true_order=2,
    claim=3,
    family="DPM-Solver++",
    reference=_FINAL + "3M",
)(Composition)
register_solver(
    "unipc-3-lower-final",
    body=UniPC(3),
    tail=(UniPC(2), UniP(1)),
    true_order=2,
    claim=4,
    family="UniPC",
    reference=_FINAL + "UniPC",
)(Composition)
