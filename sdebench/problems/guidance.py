"""Classifier-free guidance: one model made of two, or of one network that is told labels."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, is_number, real, shown
from sdebench.integration.prediction import KINDS, ModelLike, Prediction, check_model, lincomb, not_like
from sdebench.schedules import NoiseSchedule, check_schedule

Labels = int | Tensor
EVERYWHERE = (0.0, inf)


@dataclass(frozen=True, eq=False)
class Conditional:
    """A network `fn(x, t, labels)` that predicts `kind`: the model of `label`, and beside it that of the label for none.

    `label` is a whole number, or one a sample, (B,); `null` is what the network was trained to take for "no label".  `fn`
    gets labels as a tensor (B,), int64.  `both` asks for the two in ONE call, of a batch (2B, *D): first half with the label.
    """

    fn: Callable[[Tensor, float, Tensor], Tensor]
    schedule: NoiseSchedule
    kind: str
    label: Labels
    null: int

    gamma = None

    def __post_init__(self):
        if self.kind not in KINDS:
            raise UsageError(f"unknown kind of prediction {self.kind!r}: give one of {', '.join(KINDS)}")
        if not callable(self.fn):
            raise UsageError(f"a network of {shown(self.fn)}: give a function fn(x, t, labels) -> tensor")
        whole = type(self.label) is int or (isinstance(self.label, Tensor) and _are_labels(self.label))
        if not (whole and type(self.null) is int):
            what = f"label {shown(self.label)} and null {shown(self.null)}"
            raise UsageError(f"{what}: give whole numbers; of label also one a sample, an int64 tensor (B,)")
        check_schedule(self.schedule)

    def _labels(self, x: Tensor, label: Labels) -> Tensor:
        if isinstance(label, int):
            return torch.full((len(x),), label, dtype=torch.int64, device=x.device)
        if len(label) != len(x):
            raise UsageError(f"{len(label)} labels for {len(x)} states: give one label, or one a state")
        return label.to(x.device)

    def _ask(self, x: Tensor, t: float, labels: Tensor) -> Tensor:
        value = self.fn(x, t, labels)
        if not (isinstance(value, Tensor) and value.shape == x.shape):
            raise not_like(value, x, "the network")
        return value

    def __call__(self, x: Tensor, t: float) -> Prediction:
        return Prediction(self.kind, self._ask(x, t, self._labels(x, self.label)), x, t, self.schedule)

    def both(self, x: Tensor, t: float) -> tuple[Prediction, Prediction]:
        """(with the label, without one), of one call with twice the batch."""
        labels = torch.cat([self._labels(x, self.label), self._labels(x, self.null)])
        values = self._ask(torch.cat([x, x]), t, labels).chunk(2)
        cond, uncond = (Prediction(self.kind, value, x, t, self.schedule) for value in values)
        return cond, uncond


def _are_labels(label: Tensor) -> bool:
    return label.ndim == 1 and label.dtype == torch.int64


@dataclass(frozen=True, eq=False)
class Guided:
    """What `guided` makes: a model, pure, of the kind that `cond` predicts.  It has no gamma: it is no law's model."""

    cond: ModelLike
    uncond: ModelLike | None
    w: float
    interval: tuple[float, float] = EVERYWHERE
    rescale: float = 0.0

    gamma = None

    @property
    def schedule(self) -> NoiseSchedule:
        """That of both models."""
        return self.cond.schedule

    @property
    def kind(self) -> str:
        """What is predicted."""
        return getattr(self.cond, "kind", "eps")

    def is_guided(self, t: float) -> bool:
        """Whether w is in force at t; elsewhere `uncond` is not asked."""
        if self.w == 0.0:
            return False
        alpha, sigma = self.schedule.levels(t)
        low, high = self.interval
        return (low, high) == EVERYWHERE or low * alpha < sigma <= high * alpha

    def __call__(self, x: Tensor, t: float) -> Prediction:
        if not self.is_guided(t):
            return self.cond(x, t)
        if isinstance(self.cond, Conditional) and self.uncond is None:
            cond, uncond = self.cond.both(x, t)
        else:
            cond, uncond = self.cond(x, t), self.uncond(x, t)  # type: ignore[misc]  # `guided` has seen that there are two
        with_label, without = cond.value, uncond.read(cond.kind)
        value = lincomb(1.0, with_label, self.w, with_label - without)
        if self.rescale:
            value = _rescaled(value, with_label, self.rescale)
        return Prediction(cond.kind, value, x, t, self.schedule)


def _rescaled(value: Tensor, cond: Tensor, phi: float) -> Tensor:
    """`value (1 - phi + phi std(cond)/std(value))`, with standard deviations over the entries of each sample."""
    wide, right = (v.flatten(1).std(1, correction=0) for v in (value, cond))
    factor = 1 - phi + phi * torch.where(wide > 0, right / wide, torch.ones_like(wide))
    return value * factor.view(-1, *[1] * (value.ndim - 1))


def guided(cond: Any, uncond: Any, w: float, interval: tuple[float, float] = EVERYWHERE, rescale: float = 0.0) -> Guided:
    r"""The guided model of two models, or of one `Conditional` network (then `uncond` is None).

        eps = (1 + w) eps_cond - w eps_uncond

    Ho and Salimans 2022, arXiv:2207.12598, eq. 6.  States are (B, *D); the prediction is of the kind of `cond`.  The weights
    sum to one and every reading is `c x + d eps` at one (x, t), so the same line holds for x0, v, score and velocity, and
    it is the prediction of `cond` that is combined: so a model of x0, v or velocity is guided where alpha = 0, too.

    `w = 0` is `cond` to the bit, `w = -1` is `uncond` to rounding.  **The trap**: libraries have a scale of 1 + w, with
    uncond + scale (cond - uncond): their `guidance_scale=7.5` is `w = 6.5` here.

    `interval = (low, high)` guides where low < sigma/alpha <= high alone, and asks `uncond` nowhere else: Kynkaanniemi et
    al. 2024, arXiv:2404.07724, section 3; sigma/alpha is the sigma of EDM.  It has a kink at both ends, which costs the order.
    Methods that evaluate before the end of their step alone, as `dpm-solver-3`, keep it if both ends are times of the grid.

    `rescale = phi` multiplies each sample by 1 - phi + phi std(cond)/std(guided), over the entries of a sample: Lin et al.
    2023, arXiv:2305.08891, section 3.4 (they take phi = 0.7).  It is not linear in w, and NOT the same in all readings:
    it acts on what `cond` predicts, as in libraries, and is another model for eps than for v.

    **Evaluations**: a guided step costs two, or one of double batch, which is how `Conditional` asks.  `sb.Counted` around
    the guided model counts the calls of double batch; around `cond` and `uncond`, every single evaluation.

    Raises UsageError, in one line, for what is no model, two schedules, and numbers outside of their range.
    """
    check_model(cond)
    if uncond is None and not isinstance(cond, Conditional):
        raise UsageError(f"uncond is None and cond is {shown(cond)}: give two models, or one sdebench.problems.Conditional")
    if uncond is not None:
        check_model(uncond)
        if uncond.schedule != cond.schedule:
            raise UsageError(f"cond is on {cond.schedule} and uncond on {uncond.schedule}: give two models on one schedule")
    return Guided(cond, uncond, check_weight(w), _interval(interval), real(rescale, "rescale", 0.0, 1.0))


def check_weight(w: Any) -> float:
    """The weight as a float.  Raises UsageError for what is not one finite number."""
    if not (is_number(w) and isfinite(float(w))):
        raise UsageError(f"w is {shown(w)}: give a finite number, 0 for no guidance; a library's guidance_scale is 1 + w")
    return float(w)


def _interval(interval: Any) -> tuple[float, float]:
    is_pair = isinstance(interval, tuple | list) and len(interval) == 2 and all(map(is_number, interval))
    low, high = map(float, interval) if is_pair else (inf, inf)
    if not 0.0 <= low < high:
        raise UsageError(f"interval is {shown(interval)}: give (low, high) of sigma/alpha, 0 <= low < high")
    return low, high
