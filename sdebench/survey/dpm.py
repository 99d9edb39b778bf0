"""DPM-Solver: equations (16) to (19), its first order, and DDIM, (20) and (21)."""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from math import exp, factorial, inf, log, sqrt

import torch
from torch import Tensor

from sdebench._support.errors import UsageError
from sdebench.phi import phis
from sdebench.problems import exact_model
from sdebench.solvers.ddim import DDIM
from sdebench.solvers.dpm_solver import DPMSolver1
from sdebench.survey.flow import along, by_lambda
from sdebench.survey.numeric import LAW, NS, SCHEDULES, TIMES, S, T, biggest, derivative, integral, misses, points, solved
from sdebench.survey.statement import ORDER, ROUNDING, Chapter, Outcome, holds, holds_to_order, outcome, to_order

chapter = Chapter("DPM-Solver and DDIM")
chapter.section("Observations on the probability flow ODE")
_QUADRATURE = 1e-11


@chapter(
    "eq-16",
    "The solution from step to step",
    equation="(16)",
    printed="x_{t_i} = (alpha_{t_i}/alpha_{t_{i-1}}) x_{t_{i-1}} - alpha_{t_i} int e^{-lambda} eps^_theta dlambda"
    " over [lambda_{t_{i-1}}, lambda_{t_i}]",
)
def step_by_step() -> Outcome:
    """Each of four unequal steps along the exact flow of a 1-D mixture from 0.5 to 0.2: quadrature in lambda, from the exact
    state at its start.
    """
    gaps = []
    for s, t in pairwise((S, 0.44, 0.31, 0.28, T)):
        part = integral(lambda lam: exp(-lam) * along(S, NS.t(lam)), NS.lam(s), NS.lam(t), 10)
        gaps.append(NS.alpha(t) / NS.alpha(s) * solved(S, s) - NS.alpha(t) * part - solved(S, t))
    return holds(biggest(*gaps), _QUADRATURE)


@chapter(
    "last-time",
    "The grid ends at 0",
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
    return outcome(printed, biggest(by_lambda(T, 1e-3) - solved(T, 1e-3)), _QUADRATURE)


def _eps(lam: float) -> Tensor:
    """eps^ at lambda, along the exact solutions through `points(S)`."""
    return along(S, NS.t(lam))


@cache
def _derivatives() -> tuple[Tensor, ...]:
    """eps^ and its first two derivatives in lambda, at the start S."""
    start = NS.lam(S)
    return _eps(start), derivative(_eps, start, 0.1), derivative(lambda lam: derivative(_eps, lam, 0.1), start, 0.1)


@chapter(
    "eq-17",
    "Taylor's formula",
    equation="(17)",
    printed="eps^(x^_lambda, lambda) = sum_{n<k} (lambda - lambda_{i-1})^n/n! eps^^(n) + O((lambda - lambda_{i-1})^k)",
)
def taylor() -> Outcome:
    """Order of the remainder along the exact flow of a 1-D mixture for k = 1, 2, 3, which must be k."""

    def remainder(h: float, k: int) -> float:
        return biggest(_eps(NS.lam(S) + h) - sum(h**n / factorial(n) * d for n, d in enumerate(_derivatives()[:k])))

    return holds_to_order(max(misses(lambda h, k=k: remainder(h, k), k, 0.2, 4) for k in (1, 2, 3)))


def _moment(n: int, a: float, b: float) -> float:
    """int_a^b e^{-lambda} (lambda - a)^n/n! dlambda, by phi functions."""
    return exp(-b) * (b - a) ** (n + 1) * phis(n + 1, b - a)[n + 1]


def _expanded(h: float, k: int) -> Tensor:
    """The right side of (18) without its remainder, over a step h in lambda from `points(S)`."""
    a = NS.lam(S)
    alpha = NS.alpha(NS.t(a + h))
    return alpha / NS.alpha(S) * points() - alpha * sum(d * _moment(n, a, a + h) for n, d in enumerate(_derivatives()[:k]))


def _missed(k: int, guess: Callable[[float], Tensor]) -> float:
    """By how much the local order of a step h in lambda from `points(S)` misses k."""
    return misses(lambda h: biggest(guess(h) - solved(S, NS.t(NS.lam(S) + h))), k, 0.2, 4)


@chapter(
    "eq-18",
    "The expanded solution",
    equation="(18)",
    printed="x_{t_i} = (alpha_{t_i}/alpha_{t_{i-1}}) x_{t_{i-1}} - alpha_{t_i} sum_{n<k} eps^^(n) int e^{-lambda}"
    " (lambda - lambda_{i-1})^n/n! dlambda + O(h_i^{k+1})",
)
def expanded() -> Outcome:
    """Order of the error against the exact flow of a 1-D mixture for k = 1, 2, 3, which must be k + 1."""
    return holds_to_order(max(_missed(k + 1, lambda h, k=k: _expanded(h, k)) for k in (1, 2, 3)))


@chapter(
    "by-parts",
    "Integration by parts of the weighted integral",
    printed="int e^{-lambda} (lambda - l)^n/n! dlambda = -int (lambda - l)^n/n! d(e^{-lambda})"
    " = [-(lambda - l)^n/n! e^{-lambda}] + int e^{-lambda} (lambda - l)^{n-1}/(n-1)! dlambda",
)
def by_parts() -> Outcome:
    """n = 1 to 4 over lambda from -0.5 to 0.9: the three forms by quadrature, the second in the variable e^{-lambda}; and the
    whole recursion, down to n = 0, against the phi functions of the suite.
    """
    a, b = -0.5, 0.9

    def first(n: int) -> float:
        return integral(lambda lam: exp(-lam) * (lam - a) ** n / factorial(n), a, b)

    def second(n: int) -> float:
        return -integral(lambda v: (-log(v) - a) ** n / factorial(n), exp(-a), exp(-b), 48)

    def end(n: int) -> float:
        return -((b - a) ** n) / factorial(n) * exp(-b)

    gaps = [side - first(n) for n in range(1, 5) for side in (second(n), end(n) + first(n - 1))]
    down = [sum(end(j) for j in range(1, n + 1)) + exp(-a) - exp(-b) - _moment(n, a, b) for n in range(5)]
    return holds(biggest(*gaps, *down), ROUNDING)


@chapter(
    "difference",
    "A derivative by a difference",
    printed="eps^^(1) = [eps^(x^_{s_i}, s_i) - eps^(x^_{i-1}, lambda_{i-1})] / (s_i - lambda_{i-1})",
    right="eps^^(1) = [eps^(x^_{s_i}, lambda_{s_i}) - eps^(x^_{i-1}, lambda_{i-1})] / (lambda_{s_i} - lambda_{i-1}) + O(h)",
    correction="13",
)
def difference() -> Outcome:
    """Along the exact flow of a 1-D mixture, s_i a time that tends to t_{i-1}: by how much each order misses 1. (The
    printed one does not converge: its denominator tends to t_{i-1} - lambda_{i-1}.)
    """

    def error(h: float, printed: bool) -> float:
        lam = NS.lam(S)
        apart = NS.t(lam + h) - lam if printed else h
        return biggest((_eps(lam + h) - _eps(lam)) / apart - _derivatives()[1])

    printed, right = (misses(lambda h, p=p: error(h, p), 1, 0.2, 4) for p in (True, False))
    return to_order(printed, right, ORDER)


chapter.section("DPM-Solver-1 and DDIM")
_SIGMA = 0.15  # the noise that (20) adds


@chapter(
    "eq-19",
    "The solution for k = 1",
    equation="(19)",
    printed="x_{t_i} = (alpha_{t_i}/alpha_{t_{i-1}}) x_{t_{i-1}} - alpha_{t_i} eps_theta int e^{-lambda} dlambda"
    " + O((lambda_{t_i} - lambda_{t_{i-1}})^2)",
)
def first_order() -> Outcome:
    """Order of the error against the exact flow of a 1-D mixture, which must be 2."""
    return holds_to_order(_missed(2, lambda h: _expanded(h, 1)))


def _dpm_1(h: float, noise: float) -> Tensor:
    """The update with alpha_t times `noise` before eps, over a step h in lambda from `points(S)`."""
    alpha = NS.alpha(NS.t(NS.lam(S) + h))
    return alpha / NS.alpha(S) * points() - alpha * noise * along(S, S)


@chapter("exp-lambda", "lambda in DPM-Solver-1", printed="sigma_{t_{i-1}}/alpha_{t_{i-1}} = e^{-lambda_{t_{i-1}}}")
def exp_lambda() -> Outcome:
    """Five schedules at three times, relative."""
    return holds(biggest(*(ns.sigma(t) / ns.alpha(t) * exp(ns.lam(t)) - 1 for ns in SCHEDULES for t in TIMES)), ROUNDING)


@chapter(
    "dpm-solver-1",
    "DPM-Solver-1",
    printed="x^_{t_i} = (alpha_{t_i}/alpha_{t_{i-1}}) x^_{t_{i-1}} - alpha_{t_i} (sigma_{t_i}/alpha_{t_i}"
    " - sigma_{t_i}/alpha_{t_i}) eps",
    right="x^_{t_i} = (alpha_{t_i}/alpha_{t_{i-1}}) x^_{t_{i-1}} - alpha_{t_i} (sigma_{t_{i-1}}/alpha_{t_{i-1}}"
    " - sigma_{t_i}/alpha_{t_i}) eps",
    correction="7",
)
def dpm_solver_1() -> Outcome:
    """Local order against the exact flow of a 1-D mixture, which must be 2; by how much each misses it. The right one is also
    compared with the suite's dpm-solver-1.
    """

    def drop(h: float) -> float:
        return NS.rho(S) - NS.rho(NS.t(NS.lam(S) + h))

    model, x = exact_model(LAW, NS), points()[:, None]
    ours = DPMSolver1().step(model, x, S, T).x[:, 0]
    same = biggest(ours - _dpm_1(NS.lam(T) - NS.lam(S), NS.rho(S) - NS.rho(T))) <= ROUNDING
    right = _missed(2, lambda h: _dpm_1(h, drop(h)))
    return to_order(_missed(2, lambda h: _dpm_1(h, 0.0)), right if same else 1.0, ORDER)


def _ddim(x: Tensor, eps: Tensor, a: float, b: float, sigma: float = 0.0) -> Tensor:
    """(20) without its noise: from alpha_t = a to alpha_{t-1} = b, both as DDIM has them."""
    return sqrt(b) * (x - sqrt(1 - a) * eps) / sqrt(a) + sqrt(1 - b - sigma**2) * eps


@chapter(
    "eq-20",
    "DDIM",
    equation="(20)",
    printed="x_{t-1} = sqrt(alpha_{t-1}) (x_t - sqrt(1 - alpha_t) eps)/sqrt(alpha_t) + sqrt(1 - alpha_{t-1} - sigma_t^2) eps"
    " + sigma_t eps_t",
)
def ddim_noisy() -> Outcome:
    """With the true eps it must give N(sqrt(alpha_{t-1}) x_0, 1 - alpha_{t-1}) for any sigma_t; and with the sigma_t of DDPM
    the mean of q(x_{t-1} given x_t, x_0), by Bayes. (This sigma_t is not the noise level, and this alpha_t is a square.)
    """
    a, b = NS.alpha(S) ** 2, NS.alpha(T) ** 2
    # x_t = sqrt(a) x_0 + sqrt(1 - a) z and eps = z: the factors of x_0 and z, as two states.
    states, noise = (torch.tensor(z, dtype=torch.float64) for z in ((sqrt(a), sqrt(1 - a)), (0.0, 1.0)))
    gaps = []
    for sigma in (0.0, _SIGMA, 0.3):
        moved = _ddim(states, noise, a, b, sigma)
        gaps += [moved[0] - sqrt(b), moved[1] ** 2 + sigma**2 - (1 - b)]
    ratio = a / b
    least = (1 - b) / (1 - a) * (1 - ratio)  # variance of q(x_{t-1} given x_t, x_0)
    x, x0 = torch.linspace(-2, 2, 9, dtype=torch.float64), 0.7
    mean = least * (x * sqrt(ratio) / (1 - ratio) + x0 * sqrt(b) / (1 - b))
    gaps.append(_ddim(x, (x - sqrt(a) * x0) / sqrt(1 - a), a, b, sqrt(least)) - mean)
    return holds(biggest(*gaps), ROUNDING)


@chapter(
    "eq-21",
    "DDIM without noise",
    equation="(21)",
    printed="x_{t-1} = sqrt(alpha_{t-1}) (x_t - sqrt(1 - alpha_t) eps)/sqrt(alpha_t) + sqrt(1 - alpha_{t-1}) eps,"
    " which is (20) at sigma_t = 0",
)
def ddim() -> Outcome:
    """Against the suite's ddim on the exact model of a 1-D mixture, from 0.5 to 0.2."""
    x = points()
    due = DDIM().step(exact_model(LAW, NS), x[:, None], S, T).x[:, 0]
    return holds(biggest(_ddim(x, along(S, S), NS.alpha(S) ** 2, NS.alpha(T) ** 2) - due), ROUNDING)


@chapter(
    "ddim-is-dpm-1",
    "DDIM is DPM-Solver-1",
    printed="(21) is DPM-Solver-1 with sigma_t = 1 - alpha_t",
    right="(21) is DPM-Solver-1 with alpha_t = sqrt(alpha_t of DDIM) and sigma_t = sqrt(1 - alpha_t of DDIM)",
    correction="8",
)
def ddim_is_dpm_1() -> Outcome:
    """One step on a 1-D mixture from 0.5 to 0.2, either way of reading alpha and sigma."""
    x, eps = points(), along(S, S)
    a, b = NS.alpha(S) ** 2, NS.alpha(T) ** 2

    def dpm_1(alpha_s: float, sigma_s: float, alpha_t: float, sigma_t: float) -> Tensor:
        return alpha_t / alpha_s * x - alpha_t * (sigma_s / alpha_s - sigma_t / alpha_t) * eps

    due = _ddim(x, eps, a, b)
    return outcome(
        biggest(dpm_1(a, 1 - a, b, 1 - b) - due), biggest(dpm_1(sqrt(a), sqrt(1 - a), sqrt(b), sqrt(1 - b)) - due), ROUNDING
    )
