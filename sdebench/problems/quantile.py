r"""Independent one-dimensional Gaussian mixtures, one a coordinate: densities, scores, the flow that keeps quantiles.

    F(x) = sum_k w_k Phi((x - m_k)/s_k),        x_t = F_t^{-1}(F_s(x_s))

In one dimension the probability flow is increasing in x and transports the marginals, so it keeps quantiles.  Which
tail is inverted matters: near x = +inf, F is 1 up to rounding and holds no information, so each point uses its smaller.
"""

from math import log, pi

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, shown
from sdebench.schedules import NoiseSchedule

_EPS = torch.finfo(torch.float64).eps
_MAX_ITERATIONS = 200  # bisection alone needs about 60 + log2(width/eps); Newton takes 5 to 10


def times(x: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`a b`, in the memory of `a` unless x is differentiated: autograd still needs `a` as it is."""
    return a * b if x.requires_grad else a.mul_(b)


class Coordinates:
    """`d` independent mixtures of `K` normals: `log_weights`, `means`, `sd`, each (K, d).  Points are (n, d).

    Components come first in every array, (K, n, d): reductions over them then run along contiguous memory.
    """

    def __init__(self, log_weights: Tensor, means: Tensor, sd: Tensor):
        self.log_weights, self.means, self.sd = log_weights.unsqueeze(1), means.unsqueeze(1), sd.unsqueeze(1)
        self.precision_root = self.sd.reciprocal()
        self.slope = -self.precision_root
        self.constant = self.log_weights - self.sd.log() - 0.5 * log(2 * pi)

    def _terms(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(z, log of each component's weighted density), (K, n, d)."""
        z = (x - self.means).mul_(self.precision_root)
        return z, torch.addcmul(self.constant, z, z, value=-0.5)

    def log_densities(self, x: Tensor) -> Tensor:
        """Log density of each coordinate, (n, d)."""
        return torch.logsumexp(self._terms(x)[1], 0)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density of the point, (n,)."""
        return self.log_densities(x).sum(-1)

    def score(self, x: Tensor) -> Tensor:
        """Derivative of the log density in each coordinate, (n, d)."""
        z, q = self._terms(x)
        return times(x, torch.softmax(q, 0), z).mul_(self.slope).sum(0)

    def log_tail(self, x: Tensor, sign: Tensor) -> Tensor:
        """log P(sign X < sign x): the lower tail where sign is 1, the upper one where it is -1.  (n, d)."""
        z = (x - self.means).mul_(self.precision_root).mul_(sign)
        return torch.logsumexp(torch.special.log_ndtr(z).add_(self.log_weights), 0)

    def smaller_tail(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(log of the smaller tail, its sign: 1 lower, -1 upper), each (n, d)."""
        one = torch.ones_like(x)
        lower, upper = self.log_tail(x, one), self.log_tail(x, -one)
        return torch.minimum(lower, upper), torch.where(lower <= upper, one, -one)

    def quantile(self, log_tail: Tensor, sign: Tensor, low: Tensor, high: Tensor, start: Tensor) -> Tensor:
        """The x in [low, high] with `self.log_tail(x, sign) = log_tail`, by safeguarded Newton; all (n, d).

        Newton on the LOG of the tail (nearly linear where the tail itself underflows), in a bracket that shrinks at
        every evaluation; a step that leaves the bracket, or a bracket that shrinks too slowly, is bisected.
        """
        x, width = start.clamp(low, high), high - low
        for i in range(_MAX_ITERATIONS):
            gap = self.log_tail(x, sign) - log_tail
            below = gap * sign < 0
            low, high = torch.where(below, x, low), torch.where(below, high, x)
            # d log_tail / dx = sign * density / tail
            step = sign * gap * torch.exp(gap + log_tail - self.log_densities(x))
            new = x - step
            slow = (high - low > 0.5 * width) & (i % 4 == 3)
            new = torch.where((new >= low) & (new <= high) & ~slow, new, 0.5 * (low + high))
            width = high - low if i % 4 == 3 else width
            moved = (new - x).abs()
            x = new
            if bool((moved <= 2 * _EPS * x.abs().maximum(self.sd.amin(0))).all()):
                return x
        return x

    def flow_to(self, other: "Coordinates", x: Tensor) -> tuple[Tensor, Tensor]:
        """(the points of `other` at the same quantiles as `x` has here, their error bound), each (n, d).

        The bound is `4 eps (1 + |log p|) p / density` at the target, p the smaller tail: a relative error of a few eps
        in p, moved through the inverse.  It is the conditioning of the problem, so no method could do better.
        """
        log_p, sign = self.smaller_tail(x)
        z, q = self._terms(x)
        # F(x) is a weighted mean of Phi(z_k): its normal quantile lies between the smallest and the largest z_k.
        low = (other.means + other.sd * z.amin(0)).amin(0)
        high = (other.means + other.sd * z.amax(0)).amax(0)
        pad = 8 * _EPS * low.abs().maximum(high.abs())
        start = (other.means + other.sd * z).gather(0, q.argmax(0, keepdim=True)).squeeze(0)
        y = other.quantile(log_p, sign, low - pad, high + pad, start)
        bound = 4 * _EPS * (1 + log_p.abs()) * torch.exp(log_p - other.log_densities(y))
        return y, bound + _EPS * y.abs()


def rms(values: Tensor) -> float:
    """Root mean square of all entries."""
    return float(values.square().mean().sqrt())


def as_float64(values, name: str, shape: tuple[int, ...] | None = None) -> Tensor:
    """The values as a new float64 tensor; raises UsageError unless they are finite numbers of the given shape."""
    try:
        out = torch.as_tensor(values, dtype=torch.float64).detach().clone()
    except (TypeError, ValueError, RuntimeError) as error:
        raise UsageError(f"{name} cannot be read as numbers ({error}): give a tensor or even nested lists") from None
    if shape is not None and tuple(out.shape) != shape:
        raise UsageError(f"{name} has shape {tuple(out.shape)}: give {shape}")
    if not bool(torch.isfinite(out).all()):
        raise UsageError(f"{name} contains inf or NaN: give finite numbers")
    return out


def amplitudes(ns: NoiseSchedule, t: float) -> tuple[float, float]:
    """(alpha, sigma) at t; raises UsageError for what is no schedule, or no time."""
    try:
        return ns.alpha(t), ns.sigma(t)
    except (AttributeError, TypeError) as error:
        what = f"the marginal on {shown(ns)} at the time {shown(t)}"
        raise UsageError(f"{what}: give a schedule and a number, as (sdebench.schedules.VPLinear(), 0.5)") from error


def check_states(x: Tensor, d: int) -> None:
    """Raises UsageError unless x is a floating (n, d) tensor."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        what = f"dtype {x.dtype}" if isinstance(x, Tensor) else type(x).__name__
        raise UsageError(f"states are {what}: give a tensor of float64, float32, float16 or bfloat16")
    if x.ndim != 2 or x.shape[1] != d:
        raise UsageError(f"states have shape {tuple(x.shape)}: give (n, {d})")


def check_weights(weights: Tensor) -> None:
    """Raises UsageError unless the last axis is positive and sums to one."""
    total = weights.sum(-1).flatten()
    worst = float(total[(total - 1).abs().argmax()])
    if abs(worst - 1) > 1e-9:
        raise UsageError(f"weights sum to {worst:.10g}: give positive weights that sum to 1 (divide them by their sum)")
    if not bool((weights > 0).all()):
        least = float(weights.min())
        raise UsageError(f"the smallest weight is {least:g}: give positive weights (leave empty components out)")
