"""DPM-Solver: equations (16) to (19), its first order, and DDIM, (20) and (21)."""

from collections.abc import Callable
from itertools import pairwise
from math import exp, expm1, factorial, inf, sqrt

import torch
from torch import Tensor

from ..errors import UsageError
from ..phi import phis
from ..problems import exact_model
from ..schedules import NoiseSchedule
from ..solvers.ddim import DDIM
from ..solvers.dpm_solver import DPMSolver1
from .flow import along, by_lambda
from .numeric import LAW, NS, S, T, biggest, derivative, flow, integral, misses, points, score
from .statement import ROUNDING, Chapter, Outcome, holds, holds_to_order, outcome

chapter = Chapter("DPM-Solver and DDIM")
chapter.section("Observations on the probability flow ODE")
_QUADRATURE = 1e-11


@chapter(
    "eq-16", "The solution from step to step", equation="(16)",
    printed="x_{t_i} = (alpha_{t_i}/alpha_{t_{i-1}}) x_{t_{i-1}} - alpha_{t_i} int e^{-lambda} eps^_theta dlambda over [lambda_{t_{i-1}},"
            " lambda_{t_i}]",
)
def step_by_step() -> Outcome:
    """Four steps of unequal length along the exact flow of a 1-D mixture, from 0.5 to 0.2."""
    x = start = points()
    for s, t in pairwise((S, 0.44, 0.31, 0.28, T)):
        x = by_lambda(x, s, t)
    return holds(biggest(x - flow(start, S, T)), _QUADRATURE)


@chapter(
    "last-time", "The grid ends at 0",
    printed="t_0 = T, ..., t_M = 0, with h_i = lambda_{t_i} - lambda_{t_{i-1}} for every i",
    right="t_M > 0: lambda is infinite at 0, and so is h_M",
    correction="g",
)
def last_time() -> Outcome:
    """h_M for the last step from 0.2; and (16) for the same step to 10^-3."""
    try:
        printed = NS.lam(0.0) - NS.lam(T)
    except UsageError:  # the schedule says that lam is infinite there
        printed = inf
    x = points(T)
    return outcome(printed, biggest(by_lambda(x, T, 1e-3) - flow(x, T, 1e-3)), 1e-9)


def _series(lam: float, x: Tensor, s: float, k: int) -> Tensor:
    """The first k terms of (17) at lam: derivatives in lambda along the exact solution through the state x of time s."""
    def eps(mu: float) -> Tensor:
        return along(x, s, NS.t(mu))

    def second(mu: float) -> Tensor:
        return derivative(lambda nu: derivative(eps, nu, 0.1), mu, 0.1)

    start, terms = NS.lam(s), [eps, lambda mu: derivative(eps, mu, 0.1), second]
    return sum((lam - start) ** n / factorial(n) * terms[n](start) for n in range(k))


@chapter(
    "eq-17", "Taylor's formula", equation="(17)",
    printed="eps^(x^_lambda, lambda) = sum_{n<k} (lambda - lambda_{i-1})^n/n! eps^^(n) + O((lambda - lambda_{i-1})^k)",
)
def taylor() -> Outcome:
    """Order of the remainder for k = 1, 2, 3, along the exact flow of a 1-D mixture: distance from k."""
    x = points()

    def remainder(h: float, k: int) -> float:
        lam = NS.lam(S) + h
        return biggest(along(x, S, NS.t(lam)) - _series(lam, x, S, k))

    return holds_to_order(max(misses(lambda h, k=k: remainder(h, k), k, 0.2, 4) for k in (1, 2, 3)))


def _moment(n: int, a: float, b: float) -> float:
    """int_a^b e^{-lambda} (lambda - a)^n/n! dlambda = e^{-b} h^{n+1} phi_{n+1}(h)."""
    return exp(-b) * (b - a) ** (n + 1) * phis(n + 1, b - a)[n + 1]


def _expanded(h: float, k: int, x: Tensor, s: float = S) -> Tensor:
    """The right side of (18) without its remainder, over a step h in lambda from the state x of time s."""
    a, b = NS.lam(s), NS.lam(s) + h
    alpha = NS.alpha(NS.t(b))
    terms = [_series(a + 1, x, s, n + 1) - _series(a + 1, x, s, n) if n else _series(a, x, s, 1) for n in range(k)]
    derivatives = [factorial(n) * term for n, term in enumerate(terms)]
    return alpha / NS.alpha(s) * x - alpha * sum(d * _moment(n, a, b) for n, d in enumerate(derivatives))


@chapter(
    "eq-18", "The expanded solution", equation="(18)",
    printed="x_{t_i} = (alpha_{t_i}/alpha_{t_{i-1}}) x_{t_{i-1}} - alpha_{t_i} sum_{n<k} eps^^(n) int e^{-lambda} (lambda -"
            " lambda_{i-1})^n/n! dlambda + O(h_i^{k+1})",
)
def expanded() -> Outcome:
    """Order of the error for k = 1, 2, 3 against the exact flow of a 1-D mixture: distance from k + 1."""
    x = points()

    def error(h: float, k: int) -> float:
        return biggest(_expanded(h, k, x) - flow(x, S, NS.t(NS.lam(S) + h)))

    return holds_to_order(max(misses(lambda h, k=k: error(h, k), k + 1, 0.2, 4) for k in (1, 2, 3)))


@chapter(
    "by-parts", "Integration by parts of the weighted integral",
    printed="int e^{-lambda} (lambda - l)^n/n! dlambda = -int (lambda - l)^n/n! d(e^{-lambda}) = [-(lambda - l)^n/n! e^{-lambda}]"
            " + int e^{-lambda} (lambda - l)^{n-1}/(n-1)! dlambda",
)
def by_parts() -> Outcome:
    """n = 1 to 4 over lambda from -0.5 to 0.9, integrals by quadrature; and n steps of it down to n = 0 against the phi functions
    of the suite.
    """
    a, b = -0.5, 0.9

    def moment(n: int) -> float:
        return integral(lambda lam: exp(-lam) * (lam - a) ** n / factorial(n), a, b)

    def end(n: int) -> float:
        return -((b - a) ** n) / factorial(n) * exp(-b)

    by_exponential = [moment(n) + integral(lambda v, n=n: (b + v) ** n / factorial(n), 0, 0) for n in ()]
    gaps = [moment(n) - end(n) - moment(n - 1) for n in range(1, 5)]
    down = [sum(end(j) for j in range(1, n + 1)) + exp(-a) - exp(-b) - _moment(n, a, b) for n in range(5)]
    return holds(biggest(*by_exponential, *gaps, *down), ROUNDING)
