"""What a student has of its teacher: the network's architecture, kind, schedule and times, and the weights it begins with."""

import copy
from collections.abc import Callable
from dataclasses import fields, replace
from math import hypot, isclose
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sdebench._support.errors import UsageError
from sdebench._support.float32 import full_float32
from sdebench.data import Images
from sdebench.networks import NetworkProblem, Scaled, get_network
from sdebench.networks.parametrisation import schedule_of
from sdebench.training.denoiser import Denoiser
from sdebench.training.recipe import Recipe

_CHECKED = 8  # lessons of the validation loss, at most


class BatchLevel(NamedTuple):
    """The times of a batch with their signal and noise, each (B, 1, 1, 1)."""

    t: Tensor
    alpha: Tensor
    sigma: Tensor


def ddim(x: Tensor, x0: Tensor, s: BatchLevel, t: BatchLevel) -> Tensor:
    """`alpha_t x0 + sigma_t/sigma_s (x - alpha_s x0)`: a step of `solvers.ddim`, but from and to a time for each image."""
    return t.alpha * x0 + t.sigma / s.sigma * (x - s.alpha * x0)


def missed(x0: Tensor, target: Tensor, at: BatchLevel) -> Tensor:
    """`max(alpha^2/sigma^2, 1) |x0 - target|^2/d` of each image, (B,): arXiv:2202.00512, section 4, truncated SNR.

    For a network of v, x0 - target = -sigma (v - v~): where alpha^2 + sigma^2 = 1 the weight of v stays within 1/2 and 1.
    """
    weight = (at.alpha / at.sigma).square().clamp(min=1)
    return (weight * (x0 - target).square()).flatten(1).mean(1)


def get_teacher(spec: str, shape: tuple[int, ...], device: str = "cpu") -> NetworkProblem:
    """The network of that spec.  Raises UsageError where it cannot teach: it has no card of continuous time, predicts something
    else than v, or makes images of another shape.
    """
    problem = get_network(spec, device=device)
    if not isinstance(problem.time, Scaled):
        raise UsageError(f"the teacher {spec!r} has no card of continuous time: give a network that 'sdebench train' made")
    if problem.kind != "v":
        raise UsageError(f"the teacher {spec!r} predicts {problem.kind}: give one that predicts v")
    if tuple(problem.shape) != tuple(shape):
        raise UsageError(
            f"the teacher {spec!r} makes images {tuple(problem.shape)}, and the data has {tuple(shape)}: give a "
            "teacher and data of one shape"
        )
    return problem


def taught(recipe: Recipe, teacher: NetworkProblem) -> Recipe:
    """The recipe with what is the teacher's.  Raises UsageError where the recipe says something else."""
    its = {name: teacher.card[name] for name in ("kind", "schedule", "lams")} | {"time_scale": teacher.time.scale}  # type: ignore[union-attr]  # a teacher's, checked when it was loaded
    its["lams"] = tuple(its["lams"])
    for part in fields(Recipe):
        mine = getattr(recipe, part.name)
        same = mine in (part.default, its.get(part.name))
        if part.name == "schedule":
            same = same or schedule_of(mine) == teacher.schedule
        if part.name in its and not same:
            raise UsageError(
                f"{part.name} of recipe {recipe.name!r} is {mine!r}, and of its teacher {its[part.name]!r}: leave it out"
            )
    return replace(recipe, **its)


def check_sampled(teacher: NetworkProblem | None, spec: str, steps: int = 0) -> None:
    """Raise UsageError where the teacher is a student itself, unless it is one for just so many steps of DDIM."""
    sampled = teacher.card.get("sampled") if teacher else None
    if sampled and not (steps and sampled == {"solver": "ddim", "grid": "uniform_t", "steps": steps}):
        more = ", or to one of ddim halvings that begin with half its steps" if steps else ""
        raise UsageError(f"the teacher {spec!r} is a student itself, for {sampled} alone: give its own teacher{more}")


class Student(Denoiser):
    """A network that is taught lessons: times that follow each other, of which a batch begins at the first.

    With a teacher it has the teacher's architecture and begins with its weights.  What it is taught, and by which `_errors`, a
    task says.
    """

    def __init__(self, recipe: Recipe, data: Images, device: str = "cpu", teacher: str = ""):
        self.spec = spec = teacher or recipe.teacher
        self.teacher = get_teacher(spec, data.shape, device) if spec else None
        self.teacher_sha256 = self.teacher.sha256 if self.teacher else ""
        self.teaches: Callable | None = self.teacher.model.net if self.teacher else None
        super().__init__(taught(recipe, self.teacher) if self.teacher else recipe, data, device)
        ns = self.schedule
        if not all(isclose(hypot(ns.alpha(t), ns.sigma(t)), 1) for t in map(ns.t, self.recipe.lams)):
            raise UsageError(
                f"the schedule {ns} of a student does not preserve variance: give VPCosine or VPLinear, to the teacher too"
            )

    def _prepare(self, *times: tuple[float, ...]) -> None:
        """Lesson i is of the times `times[0][i]`, `times[1][i]`, ...; each stands with its alpha and sigma in column i."""
        self.table = torch.cat([self._levels(list(each)) for each in times])
        n = len(times[0])
        checked = sorted({round(k * (n - 1) / (_CHECKED - 1)) for k in range(_CHECKED)})
        self.lams, self.checked = [self.schedule.lam(times[0][i]) for i in checked], self.table[:, checked]

    def network(self) -> nn.Module:
        """The teacher's network, to be trained on; without a teacher, a new one."""
        return copy.deepcopy(self.teaches).requires_grad_(True) if self.teacher else super().network()  # type: ignore[union-attr]  # a teacher's, checked when it was loaded

    def _x0(self, net: Callable, x: Tensor, at: BatchLevel) -> Tensor:
        """What a network of kind v says of x_0, (alpha x - sigma v)/(alpha^2 + sigma^2): at sigma = 0 it is x_0 itself."""
        v = self._value(net, x, at.t)
        return (at.alpha * x - at.sigma * v) / (at.alpha.square() + at.sigma.square())

    def _told(self, x: Tensor, at: BatchLevel) -> Tensor:
        """What the teacher says of x_0, in the float32 in which it samples."""
        with full_float32():
            return self._x0(self.teaches, x, at)  # type: ignore[arg-type]  # a teacher's, checked when it was loaded

    def card(self, figures: dict[str, float]) -> dict[str, Any]:
        """What a reader of the weights must know, with the teacher, its weights' hash, and the teacher's own teacher."""
        card = super().card(figures) | {"name": self.recipe.name}
        if self.teacher is None:
            return card
        its = {key: self.teacher.card[key] for key in ("teacher",) if key in self.teacher.card}
        its |= {"spec": self.spec} if self.spec == self.recipe.teacher else {}  # not where a round before lies
        return card | {"teacher": {"name": self.teacher.name, "sha256": self.teacher_sha256} | its}


def levels(level: Tensor) -> list[BatchLevel]:
    """The levels of a batch of columns of a student's table, (3 k, B): k of them."""
    rows = [row.reshape(-1, 1, 1, 1) for row in level]
    return [BatchLevel(*rows[i : i + 3]) for i in range(0, len(rows), 3)]
