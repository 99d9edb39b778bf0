"""Consistency models: the function that takes a point of a path to the path's end, and its loss."""

from collections.abc import Callable

from torch import Tensor

from sdebench.survey.flow import slope
from sdebench.survey.numeric import LAW, NS, biggest, derivative, flow, misses, points
from sdebench.survey.statement import Chapter, Outcome, holds, outcome, to_order

chapter = Chapter("Consistency and distillation")
chapter.section("Consistency model")
_END = 1e-3  # the epsilon of consistency models: where paths end
_FINE = 1e-11  # two maps of quantiles, one after the other
_FROM, _START = 0.4, 0.8


def _solution(x: Tensor, t: float) -> Tensor:
    """The exact consistency function f(x, t): where the path through x at time t ends."""
    return flow(x, t, _END)


@chapter("boundary", "Boundary condition", printed="f(x_epsilon, epsilon) = x_epsilon, epsilon -> 0")
def boundary() -> Outcome:
    """The exact solution of the flow of a 1-D mixture, which ends at epsilon = 10^-3: f(x, epsilon), and f(x, t) at
    t = epsilon + 10^-8, against x.
    """
    x = points(_END)
    return holds(biggest(_solution(x, _END) - x, _solution(x, _END + 1e-8) - x), 1e-7)


@chapter("one-path", "One path, one end", printed="f takes the same value at all points of one path of the probability flow")
def one_path() -> Outcome:
    """f(x_t, t) at five times along exact paths of a 1-D mixture, against the end of the path."""
    x = points(_START)
    end = _solution(x, _START)
    return holds(biggest(*(_solution(flow(x, _START, t), t) - end for t in (0.6, 0.4, 0.2, 0.05, 0.01))), 1e-9)


@chapter(
    "consistency-path",
    "What f is",
    printed="f(x, t), t in (epsilon, T], is a path from image x_0 to noise x_T, so that f(x_epsilon, epsilon) = x_epsilon",
    right="f(x_t, t) = x_epsilon for t in [epsilon, T]: the image at the end of the path through x_t",
    correction="n15",
)
def consistency_path() -> Outcome:
    """Rate of f along a path, df/dt + (df/dx) dx/dt with dx/dt from (10), at three times on a 1-D mixture: against dx/dt, which
    is what f would have as a path, and against 0.
    """
    printed, right = [], []
    for t in (0.2, 0.4, 0.7):
        x = points(t)
        moving = slope(x, t)
        rate = derivative(lambda u, x=x: _solution(x, u), t) + derivative(lambda d, x=x, t=t: _solution(x + d, t), 0.0) * moving
        printed.append(rate - moving)
        right.append(rate)
    return outcome(biggest(*printed), biggest(*right), 1e-8)


def _euler(x: Tensor, t: float, h: float) -> Tensor:
    """x^ at t - h: one step of Euler's method for the probability flow."""
    return x - h * slope(x, t)


def _same(x: Tensor, t: float) -> Tensor:
    """f(x, t) = x, which is right at epsilon and nowhere else."""
    return x


@chapter(
    "consistency-loss",
    "Consistency loss",
    printed="L = lambda(t) E norm(f_theta(x_t, t) - f_theta(x^_t, t))",
    right="L = lambda(t_n) E norm(f_theta(x_{t_{n+1}}, t_{n+1}) - f_ema(x^_{t_n}, t_n)), x^ one solver's step from x_{t_{n+1}}",
    correction="12",
)
def consistency_loss() -> Outcome:
    """The printed loss, with x^_t by one step h of Euler from x_{t+h} of the same path, is O(h^2) for the exact f and for
    f(x, t) = x alike, and 0 for a constant: how far f(x, t) = x, which it does not tell from the exact f, is from that. The
    right loss is O(h^2) for the exact f, and O(h) for f(x, t) = x.
    """

    def as_printed(f: Callable[[Tensor, float], Tensor], h: float) -> float:
        x = points(_FROM)
        return biggest(f(x, _FROM) - f(_euler(flow(x, _FROM, _FROM + h), _FROM + h, h), _FROM))

    def as_right(f: Callable[[Tensor, float], Tensor], h: float) -> float:
        x = points(_FROM)
        return biggest(f(x, _FROM) - f(_euler(x, _FROM, h), _FROM - h))

    claims = (as_printed, _solution, 2), (as_printed, _same, 2), (as_right, _solution, 2), (as_right, _same, 1)
    missed = [misses(lambda h, loss=loss, f=f: loss(f, h), claim, 0.02) for loss, f, claim in claims]
    return to_order(biggest(points(_FROM) - _solution(points(_FROM), _FROM)), max(missed))


@chapter(
    "consistency-one-step",
    "One step to the noise or to the data",
    printed="from any image of a path, f finds in one step the noise image or the original image that belongs to it",
    right="f finds the original image; the noise image is no value of f, which is constant on a path, but of f's inverse",
    correction="n16",
)
def consistency_one_step() -> Outcome:
    """Distance of f(x_t, t) at t = 0.4 from the noise image at 0.8 on the same path of a 1-D mixture. And the law of f(x_t, t)
    for x_t from the exact law at 0.8: its density at the end times the derivative of f, against that at the start.
    """
    x = points(_START)
    noise = _solution(flow(x, _START, _FROM), _FROM) - x
    stretch = derivative(lambda d: _solution(x + d, _START), 0.0)
    end, start = LAW.marginal(NS, _END), LAW.marginal(NS, _START)
    ratio = (end.log_prob(_solution(x, _START)[:, None]) - start.log_prob(x[:, None])).exp()
    return outcome(biggest(noise), biggest(ratio * stretch - 1), 1e-8)
