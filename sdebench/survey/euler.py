"""How SDEs are solved: Euler's method, Euler-Maruyama."""

from math import exp, sqrt

from torch import Tensor

from sdebench.survey.numeric import MEAN, NS, VAR, biggest, integral, misses, points, score, solved
from sdebench.survey.statement import ROUNDING, Chapter, Outcome, holds, holds_to_order

chapter = Chapter("Numerical solution")
chapter.section("Numerical solution of SDEs")


def _slope(x: Tensor, t: float) -> Tensor:
    return NS.f(t) * x - 0.5 * NS.g2(t) * score(x, t)


@chapter("euler-integral", "The integral that Euler replaces", printed="y(x_{n+1}) = y(x_n) + int f(x, y(x)) dx over the step")
def euler_integral() -> Outcome:
    """The probability flow of the mixture as the ODE, its exact solution by quantiles, the integral by quadrature."""
    s, t = 0.5, 0.3
    moved = integral(lambda u: _slope(solved(s, u), u), s, t, 16)
    return holds(biggest(solved(s, t) - points(s) - moved), ROUNDING)


@chapter("euler", "Euler's method", printed="y_{n+1} = y_n + h f(x_n, y_n)")
def euler() -> Outcome:
    """Global order on the probability flow of the mixture: distance from 1."""
    x, s, t = points(0.5), 0.5, 0.3

    def error(h: float) -> float:
        y, n = x, round((s - t) / h)
        for i in range(n):
            y = y - h * _slope(y, s - i * h)
        return biggest(y - solved(s, t))

    return holds_to_order(misses(error, 1, 0.0125))


def _chain(n: int) -> tuple[float, float]:
    """Mean and variance of Euler-Maruyama's chain at time 0.6, n steps from N(MEAN, VAR) at time 0: exact recursions."""
    mean, var, dt = MEAN, VAR, 0.6 / n
    for i in range(n):
        a, b2 = 1 + NS.f(i * dt) * dt, NS.g2(i * dt) * dt
        mean, var = a * mean, a * a * var + b2
    return mean, var


@chapter(
    "euler-maruyama", "Euler-Maruyama", printed="Y_{n+1} = Y_n + a(Y_n, tau_n) dt + b(Y_n, tau_n) dW_n, dW_n = W_{n+1} - W_n"
)
def euler_maruyama() -> Outcome:
    """Mean and variance of the chain on the VP SDE, by their recursions: distance of the weak order from 1."""
    mean, var = NS.alpha(0.6) * MEAN, NS.alpha(0.6) ** 2 * VAR + NS.sigma(0.6) ** 2
    gaps = [
        misses(lambda h, i=i, exact=exact: abs(_chain(round(0.6 / h))[i] - exact), 1, 0.0125)
        for i, exact in enumerate((mean, var))
    ]
    return holds_to_order(max(gaps))


_PULL, _PUSH = 0.5, 0.8  # a(x, t) = 0.5 x and b(x, t) = 0.8 x


def _geometric(h: float) -> float:
    """Root mean square error at 1 for dx = a x dt + b x dw, x_0 = 1, whose solution is exp((a - b^2/2) t + b w_t).

    E[X^2], E[X Y], E[Y^2] of the exact X and the chain Y on one Brownian path are products of those of one step.
    """
    a, b2, n = _PULL, _PUSH**2, round(1 / h)
    exact, mixed, chain = exp((2 * a + b2) * h), exp(a * h) * (1 + a * h + b2 * h), (1 + a * h) ** 2 + b2 * h
    return sqrt(exact**n - 2 * mixed**n + chain**n)


def _additive(h: float) -> float:
    """The same at 0.6 for (1) on VPLinear from x = 1 at 0.1: E[X^2], E[X Y], E[Y^2] by their recursions."""
    exact = mixed = chain = 1.0
    for i in range(round(0.5 / h)):
        s = 0.1 + i * h
        grow, a, g = NS.alpha(s + h) / NS.alpha(s), 1 + NS.f(s) * h, sqrt(NS.g2(s))
        noise = integral(lambda u, t=s + h: NS.alpha(t) / NS.alpha(u) * sqrt(NS.g2(u)), s, s + h, 6)
        exact = grow * grow * exact + NS.sigma(s + h) ** 2 - (grow * NS.sigma(s)) ** 2
        mixed, chain = grow * a * mixed + g * noise, a * a * chain + g * g * h
    return sqrt(exact - 2 * mixed + chain)


@chapter(
    "euler-maruyama-path",
    "Euler-Maruyama follows a given path",
    printed="dW_n = W_{tau_{n+1}} - W_{tau_n}, of the Brownian motion that drives the SDE",
)
def euler_maruyama_path() -> Outcome:
    """Root mean square error at the end on one Brownian path, in closed form: strong order 1/2 for b(x, t) = 0.8 x, geometric
    Brownian motion, and 1 for the additive noise of (1).
    """
    return holds_to_order(max(misses(_geometric, 0.5, 0.0125), misses(_additive, 1, 0.0125)))
