r"""One model call, read as `x0`, `eps`, `v`, `score` or `velocity`.

All readings follow from ONE definition of their equivalence.  With `x = alpha x0 + sigma eps` each of them is
`p x0 + q eps` for known (p, q):

    x0: (1, 0)   eps: (0, 1)   v: (-sigma, alpha)   score: (0, -1/sigma)   velocity: (-1, 1)

so any one of them is a linear combination of the state and of any other.  (`v`: Salimans and Ho 2022, arXiv:2202.00512,
appendix D; `score = -eps/sigma`: Song et al. 2021.  `velocity` is dx/dt of the Rectified schedule only.)
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, shown
from sdebench.schedules import NoiseSchedule, check_schedule

_PARTS: dict[str, Callable[[Any, Any], tuple[Any, Any]]] = {  # of numbers, or of tensors
    "x0": lambda alpha, sigma: (1.0, 0.0),
    "eps": lambda alpha, sigma: (0.0, 1.0),
    "v": lambda alpha, sigma: (-sigma, alpha),
    "score": lambda alpha, sigma: (0.0, -1.0 / sigma),
    "velocity": lambda alpha, sigma: (-1.0, 1.0),
}
KINDS = tuple(_PARTS)
_ZERO = torch.zeros(())
_ROUNDING = 2.0**-52  # a level below it is 0: cos(pi/2) is 6e-17


class Untold(UsageError):
    """A reading that a prediction does not tell: x0 from noise where alpha = 0, noise from x0 where sigma = 0.

    `what` is told by no model of that kind, `where` says at which levels, or which method begins or ends there.
    """

    def __init__(self, what: str, where: str, advice: str):
        super().__init__(f"{what} {where}: {advice}" if where.startswith("where ") else f"{where}, where {what}: {advice}")
        self.what, self.advice = what, advice


def conversion(source: str, target: str, alpha: float, sigma: float) -> tuple[float, float]:
    """`(c, d)` with `target = c x + d source` at signal `alpha` and noise `sigma`.  Raises Untold at an end."""
    try:
        p, q = _PARTS[source](alpha, sigma)
        p_new, q_new = _PARTS[target](alpha, sigma)
    except ZeroDivisionError:  # a score, where sigma = 0
        if source != "score" or target == "score":
            raise _untold(source, target, alpha, sigma) from None
        return conversion("eps", target, alpha, sigma)[0], 0.0  # eps = -sigma score
    det = alpha * q - sigma * p
    if -_ROUNDING < det < _ROUNDING:
        raise _untold(source, target, alpha, sigma)
    return (p_new * q - q_new * p) / det, (alpha * q_new - sigma * p_new) / det


def _untold(source: str, target: str, alpha: float, sigma: float) -> Untold:
    advice = "end the grid before" if alpha > sigma else "give a model that predicts x0, v or velocity, or begin the grid later"
    return Untold(f"{source} does not tell {target}", f"where alpha = {alpha:g} and sigma = {sigma:g}", advice)


def target(kind: str, x0: Tensor, eps: Tensor, alpha: Tensor | float, sigma: Tensor | float) -> Tensor:
    """What a perfect memory would answer: `p x0 + q eps`.  `alpha`, `sigma`: numbers, or tensors that broadcast."""
    p, q = _PARTS[kind](alpha, sigma)
    return p * x0 + q * eps  # type: ignore[no-any-return]  # of the types of its arguments


def lincomb(a: float, x: Tensor, *rest: Any) -> Tensor:
    """`a x + b y + c z + ...` from alternating coefficients and vectors, in one new tensor of x's dtype.

    One pass a term and one allocation in all: the line of the paper, without its temporaries.
    """
    if not isinstance(x, Tensor):  # a symbol: see `tableau`
        return sum((c * v for c, v in zip(rest[::2], rest[1::2])), a * x)
    terms = iter(rest)
    if a == 1.0 and rest:
        c = next(terms)
        out = x.add(next(terms), alpha=c)
    elif x.dtype is torch.float32:  # a * x, but torch casts a float64 factor of it in a pass of its own
        out = _ZERO.add(x, alpha=a)
    else:
        out = a * x
    for c, v in zip(terms, terms):
        out.add_(v, alpha=c)
    return out


class Prediction:
    """What the model said of `x` at time `t`: `value`, of the given `kind`; every other reading is derived on demand.

    Tensors are `(B, *D)` and keep their dtype; a derived reading is computed once.
    """

    __slots__ = ("_read", "kind", "schedule", "t", "value", "x")

    def __init__(self, kind: str, value: Tensor, x: Tensor, t: float, schedule: NoiseSchedule):
        self.kind, self.value, self.x, self.t, self.schedule = kind, value, x, t, schedule
        self._read = {kind: value}

    def read(self, kind: str) -> Tensor:
        """The reading named `kind`."""
        value = self._read.get(kind)
        if value is None:
            c, d, value = self.parts(kind)
            value = lincomb(d, value) if c == 0.0 else lincomb(c, self.x, d, value)
            self._read[kind] = value
        return value

    def parts(self, kind: str) -> tuple[float, float, Tensor]:
        """`(c, d, value)` with `c x + d value` the reading named `kind`, which is not formed."""
        known = self._read.get(kind)
        if known is not None:
            return 0.0, 1.0, known
        c, d = conversion(self.kind, kind, *self.schedule.levels(self.t))
        return c, d, self.value

    @property
    def held(self) -> tuple[Tensor, ...]:
        """The tensors that it keeps: the state, and the readings that were formed so far."""
        return (self.x, *self._read.values())

    @property
    def x0(self) -> Tensor:
        """Denoised data, E[x_0 | x_t]."""
        return self.read("x0")

    @property
    def eps(self) -> Tensor:
        """Noise, -sigma score."""
        return self.read("eps")

    @property
    def v(self) -> Tensor:
        """alpha eps - sigma x0."""
        return self.read("v")

    @property
    def score(self) -> Tensor:
        """grad log p_t."""
        return self.read("score")


def name_not_finite(x: Tensor) -> str:
    """Which sample of a batch, (B, *D), is the first with a NaN or an infinity, and how many there are; "" for none."""
    bad = ~x.isfinite().flatten(1).all(1)
    if not bool(bad.any()):
        return ""
    first, many = int(bad.int().argmax()), int(bad.sum())
    return f"sample {first} is not finite" + (f", as are {many - 1} more of {len(x)}" if many > 1 else "")


def not_like(value: Any, x: Tensor, who: str) -> UsageError:
    """The error of somebody who gave `value` where a tensor of the shape of the state `x` was due."""
    what = f"a tensor {tuple(value.shape)}" if isinstance(value, Tensor) else shown(value)
    return UsageError(f"{who} gave {what} for a state {tuple(x.shape)}: return a tensor of the state's shape")


class ModelLike(Protocol):
    """What a solver needs of a model: its schedule, and a call that makes a Prediction."""

    schedule: NoiseSchedule

    def __call__(self, x: Tensor, t: float) -> Prediction:
        """Evaluate at the state `x` of time `t`."""


class Model:
    """A function `fn(x, t) -> tensor` that predicts `kind`, made into a model on a schedule.

    `gamma(t)`, the mean E|eps(x_t, t)|^2/d over samples, is what Analytic-DPM needs to know besides.  Raises UsageError for an
    answer that is no tensor of the state's shape.
    """

    def __init__(
        self,
        fn: Callable[[Tensor, float], Tensor],
        schedule: NoiseSchedule,
        kind: str,
        gamma: Callable[[float], float] | None = None,
    ):
        if kind not in KINDS:
            raise UsageError(f"unknown kind of prediction {kind!r}: give one of {', '.join(KINDS)}")
        if not callable(fn):
            raise UsageError(f"a model of {shown(fn)}: give a function fn(x, t) -> tensor")
        check_schedule(schedule)
        self.fn, self.schedule, self.kind, self.gamma = fn, schedule, kind, gamma

    def __call__(self, x: Tensor, t: float) -> Prediction:
        value = self.fn(x, t)
        if not (isinstance(value, Tensor) and value.shape == x.shape):
            raise not_like(value, x, "the model")
        return Prediction(self.kind, value, x, t, self.schedule)


def check_model(model: Any) -> None:
    """Raise UsageError unless it is a model: a function that has a schedule."""
    if not (hasattr(model, "schedule") and callable(model)):
        raise UsageError(f"{shown(model)} is not a model: give sdebench.Model(fn, schedule, kind), or a problem's .model")


class Counted:
    """A model that counts its calls: `nfe` is the number of network evaluations that were really made."""

    def __init__(self, model: ModelLike):
        self.model, self.schedule, self.nfe = model, model.schedule, 0
        self.kind, self.gamma = getattr(model, "kind", "eps"), getattr(model, "gamma", None)

    def __call__(self, x: Tensor, t: float) -> Prediction:
        self.nfe += 1
        return self.model(x, t)
