"""How SDEs are solved: Euler's method, Euler-Maruyama."""

from math import sin, sqrt

from torch import Tensor

from .numeric import MEAN, NS, VAR, biggest, controlled, integral, misses, points, score, solved
from .statement import ROUNDING, Chapter, Outcome, holds, holds_to_order

chapter = Chapter("Numerical solution")
chapter.section("Numerical solution of SDEs")


def _slope(x: Tensor, t: float) -> Tensor:
    return NS.f(t) * x - 0.5 * NS.g2(t) * score(x, t)


@chapter(
    "euler-integral", "The integral that Euler replaces",
    printed="y(x_{n+1}) = y(x_n) + int f(x, y(x)) dx over the step",
)
def euler_integral() -> Outcome:
    """The probability flow of the mixture as the ODE, its exact solution by quantiles, the integral by quadrature."""
    s, t = 0.5, 0.3
    moved = integral(lambda u: _slope(solved(s, u), u), s, t, 16)
    return holds(biggest(solved(s, t) - points(s) - moved), ROUNDING)


@chapter(
    "euler", "Euler's method",
    printed="y_{n+1} = y_n + h f(x_n, y_n)",
)
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
    "euler-maruyama", "Euler-Maruyama",
    printed="Y_{n+1} = Y_n + a(Y_n, tau_n) dt + b(Y_n, tau_n) dW_n, dW_n = W_{n+1} - W_n",
)
def euler_maruyama() -> Outcome:
    """Mean and variance of the chain on the VP SDE, by their recursions: distance of the weak order from 1."""
    mean, var = NS.alpha(0.6) * MEAN, NS.alpha(0.6) ** 2 * VAR + NS.sigma(0.6) ** 2
    gaps = [misses(lambda h, i=i, exact=exact: abs(_chain(round(0.6 / h))[i] - exact), 1, 0.0125)
            for i, exact in enumerate((mean, var))]  # fmt: skip
    return holds_to_order(max(gaps))


def _driven(n: int) -> float:
    """Euler-Maruyama for (1) along the smooth path w = sin 5s, n steps from x = 1 at 0.1 to 0.6."""
    x, dt = 1.0, 0.5 / n
    for i in range(n):
        s = 0.1 + i * dt
        x += NS.f(s) * x * dt + sqrt(NS.g2(s)) * (sin(5 * (s + dt)) - sin(5 * s))
    return x


@chapter(
    "euler-maruyama-path", "Euler-Maruyama follows a given path",
    printed="dW_n = W_{tau_{n+1}} - W_{tau_n}",
)
def euler_maruyama_path() -> Outcome:
    """Increments of the smooth path w = sin 5s: distance of the order from 1 (the strong order of additive noise)."""
    gap = misses(lambda h: abs(_driven(round(0.5 / h)) - controlled(0.6)), 1, 0.0125)
    return holds_to_order(gap)
