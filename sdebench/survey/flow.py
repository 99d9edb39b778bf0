"""The semilinear form of the probability flow, equations (10) to (15), and lambda in the place of time."""

from collections.abc import Callable
from functools import cache
from itertools import pairwise
from math import exp, log

from torch import Tensor

from sdebench.schedules import NoiseSchedule
from sdebench.survey.numeric import (
    NS,
    SCHEDULES,
    TIMES,
    S,
    T,
    biggest,
    derivative,
    integral,
    log_alpha,
    misses,
    points,
    posterior,
    score,
    solved,
)
from sdebench.survey.statement import ROUNDING, Chapter, Outcome, holds, holds_to_order, outcome

chapter = Chapter("Semilinear form")
chapter.section("Semilinear structure")
_FINE = 1e-9  # what numerical differentiation leaves
_QUADRATURE = 1e-11  # integrals along the flow of a mixture


def eps(x: Tensor, t: float, ns: NoiseSchedule = NS) -> Tensor:
    """The exact noise prediction of the mixture, E[eps given x_t], by Bayes and quadrature: it never meets a score."""
    return (x - ns.alpha(t) * posterior(x, t, ns)) / ns.sigma(t)


@cache
def along(s: float, u: float) -> Tensor:
    """eps at time u on the exact solutions through `points(s)` of time s."""
    return -NS.sigma(u) * score(solved(s, u), u)


@chapter(
    "score-eps",
    "Score by noise prediction",
    printed="grad log p(x, t) = s_theta(x, t) = -eps_theta(x_t, t) / (2 sigma_t)",
    right="grad log p(x, t) = -eps(x_t, t) / sigma_t",
    correction="5",
)
def score_eps() -> Outcome:
    """Exact score of a 1-D mixture against E[eps given x_t], by Bayes and quadrature."""
    x, t = points(), S
    truth, by_noise = score(x, t), -eps(x, t) / NS.sigma(t)
    return outcome(biggest(truth - by_noise / 2), biggest(truth - by_noise), ROUNDING)


def slope(x: Tensor, t: float) -> Tensor:
    """The right side of (10)."""
    return NS.f(t) * x + NS.g2(t) / (2 * NS.sigma(t)) * eps(x, t)


@chapter("eq-10", "Semilinear ODE", equation="(10)", printed="dx_t/dt = f(t) x_t + g^2(t)/(2 sigma_t) eps_theta(x_t, t)")
def semilinear() -> Outcome:
    """Derivative in time of the exact flow of a 1-D mixture. The 2 comes from g^2/2 in (9): (10) is right, though the score
    that is put into it is not.
    """
    return holds(biggest(*(derivative(lambda u: solved(S, u), t) - slope(solved(S, t), t) for t in TIMES)), _FINE)


@chapter(
    "eq-11",
    "Variation of constants",
    equation="(11)",
    printed="x_t = e^{int_s^t f} x_s + int_s^t (e^{int_tau^t f} g^2(tau)/(2 sigma_tau) eps_theta(x_tau, tau)) dtau",
)
def variation_of_constants() -> Outcome:
    """The exact flow of a 1-D mixture from 0.5 to 0.2, both integrals by quadrature. (tau is also the variable of the inner
    integral, as printed.)
    """
    x = points()

    def weight(u: float) -> float:
        return exp(integral(NS.f, u, T)) * NS.g2(u) / (2 * NS.sigma(u))

    found = exp(integral(NS.f, S, T)) * x + integral(lambda u: weight(u) * along(S, u), S, T)
    return holds(biggest(found - solved(S, T)), _QUADRATURE)


chapter.section("Black-box ODE solvers")


@chapter(
    "eq-12",
    "Integral form",
    equation="(12)",
    printed="x_t = x_s + int_s^t h_theta(x_tau, tau) dtau = x_s + int_s^t (f x_tau + g^2/(2 sigma_tau) eps_theta) dtau",
)
def black_box_integral() -> Outcome:
    """The exact flow of a 1-D mixture from 0.5 to 0.2, by quadrature."""
    x = points()
    moved = integral(lambda u: NS.f(u) * solved(S, u) + NS.g2(u) / (2 * NS.sigma(u)) * along(S, u), S, T)
    return holds(biggest(x + moved - solved(S, T)), _QUADRATURE)


def _many(step: Callable[[Tensor, float, float], Tensor], n: int) -> float:
    """Error of n equal steps in time from 0.5 to 0.2."""
    x = points()
    grid = [S + (T - S) * i / n for i in range(n + 1)]
    for a, b in pairwise(grid):
        x = step(x, a, b)
    return biggest(x - solved(S, T))


def _runge_kutta_3(x: Tensor, s: float, t: float) -> Tensor:
    h = t - s
    a = slope(x, s)
    b = slope(x + h / 2 * a, s + h / 2)
    return x + h / 6 * (a + 4 * b + slope(x - h * a + 2 * h * b, t))


@chapter("black-box", "Euler and Runge-Kutta for (12)", printed="Euler's and Runge-Kutta methods solve (12)")
def black_box() -> Outcome:
    """Global orders of Euler's and of Kutta's third-order method on the flow of a 1-D mixture: 1 and 3."""
    euler = misses(lambda h: _many(lambda x, s, t: x + (t - s) * slope(x, s), round((S - T) / h)), 1, 0.01875)
    return holds_to_order(max(euler, misses(lambda h: _many(_runge_kutta_3, round((S - T) / h)), 3, 0.0375)))


@chapter(
    "black-box-cost",
    "A black box takes more steps",
    printed="the linear term has an exponential solution, so a black box needs smaller steps than a semilinear method",
    instead="it depends on the data: in one step DPM-Solver-1 is exact for a single point, Euler in t for N(0, 1) on VP",
    correction="n10",
)
def black_box_cost() -> Outcome:
    """One step from 0.5 to 0.2 on VPLinear: by how much DPM-Solver-1 errs more than Euler's method for (12) where the data are
    N(0, 1); and that each is exact on the data named for it.
    """
    x, ratio = points(), NS.alpha(T) / NS.alpha(S)

    def euler(eps_s: Tensor) -> Tensor:
        return x + (T - S) * (NS.f(S) * x + NS.g2(S) / (2 * NS.sigma(S)) * eps_s)

    def semilinear(eps_s: Tensor) -> Tensor:
        return ratio * x + (NS.sigma(T) - ratio * NS.sigma(S)) * eps_s

    normal = NS.sigma(S) * x  # eps of N(0, 1), whose flow is the identity
    point = (x - NS.alpha(S) * 0.9) / NS.sigma(S)  # of the point 0.9, along whose flow eps stays as it is
    right = euler(normal) - x, semilinear(point) - NS.alpha(T) * 0.9 - NS.sigma(T) * point
    return outcome(biggest(semilinear(normal) - x) - biggest(euler(normal) - x), biggest(*right), ROUNDING)


chapter.section("Observations on the probability flow ODE")


@chapter(
    "linear-part",
    "The linear part is known exactly",
    printed="e^{int_s^t f} x_s in (11) has no estimate in it and is computed exactly, as alpha_t/alpha_s x_s",
)
def linear_part() -> Outcome:
    """Quadrature of f against alpha_t/alpha_s, five schedules."""
    gaps = [exp(integral(ns.f, 0.7, 0.15)) / (ns.alpha(0.15) / ns.alpha(0.7)) - 1 for ns in SCHEDULES]
    return holds(biggest(*gaps), ROUNDING)


@chapter(
    "lambda",
    "Half log signal-to-noise ratio",
    printed="lambda_t := log(alpha_t/sigma_t) is half of log SNR, falls in t, and has an inverse t_lambda",
)
def half_log_snr() -> Outcome:
    """Five schedules at 19 times: lambda against log SNR / 2, any rise, and t_lambda(lambda(t)) against t."""
    grid = [0.05 * i for i in range(1, 20)]
    gaps = [ns.lam(t) - 0.5 * log(ns.alpha(t) ** 2 / ns.sigma(t) ** 2) for ns in SCHEDULES for t in grid]
    gaps += [max(0.0, ns.lam(b) - ns.lam(a)) for ns in SCHEDULES for a, b in pairwise(grid)]
    return holds(biggest(*gaps, *(ns.t(ns.lam(t)) - t for ns in SCHEDULES for t in grid)), ROUNDING)


@chapter(
    "eq-13",
    "g^2 by lambda",
    equation="(13)",
    printed="g^2 = d(sigma^2)/dt - 2 (d log alpha/dt) sigma^2 = 2 sigma^2 (d log sigma/dt - d log alpha/dt)"
    " = -2 sigma^2 d lambda/dt",
)
def g2_by_lambda() -> Outcome:
    """All three expressions by numerical derivatives against the schedules' g^2, relative, five schedules."""
    gaps = []
    for ns in SCHEDULES:
        for t in TIMES:
            f, var = derivative(log_alpha(ns), t), ns.sigma(t) ** 2
            sides = (
                derivative(lambda u, ns=ns: ns.sigma(u) ** 2, t) - 2 * f * var,
                2 * var * (derivative(lambda u, ns=ns: log(ns.sigma(u)), t) - f),
                -2 * var * derivative(ns.lam, t),
            )
            gaps += [side / ns.g2(t) - 1 for side in sides]
    return holds(biggest(*gaps), _FINE)


@chapter(
    "eq-14",
    "The solution with lambda's derivative",
    equation="(14)",
    printed="x_t = (alpha_t/alpha_s) x_s - alpha_t int_s^t (d lambda/dtau) (sigma_tau/alpha_tau) eps_theta(x_tau, tau) dtau",
)
def with_lambda_rate() -> Outcome:
    """The exact flow of a 1-D mixture from 0.5 to 0.2, quadrature in time, lambda differentiated numerically."""
    x = points()
    part = integral(lambda u: derivative(NS.lam, u, 0.01) * NS.rho(u) * along(S, u), S, T)
    return holds(biggest(NS.alpha(T) / NS.alpha(S) * x - NS.alpha(T) * part - solved(S, T)), _FINE)


def weighted(s: float, t: float) -> Tensor:
    """The exponentially weighted integral of (15) along the exact solutions through `points(s)`."""
    return integral(lambda lam: exp(-lam) * along(s, NS.t(lam)), NS.lam(s), NS.lam(t))


def by_lambda(s: float, t: float) -> Tensor:
    """The right side of (15) from `points(s)`."""
    return NS.alpha(t) / NS.alpha(s) * points(s) - NS.alpha(t) * weighted(s, t)


@chapter(
    "lambda-recalled",
    "lambda, recalled before (15)",
    printed="lambda(t) = log(sigma_tau/alpha_tau)",
    right="lambda(t) = log(alpha_t/sigma_t), as it was defined",
    correction="6",
)
def lambda_recalled() -> Outcome:
    """(15) for the exact flow of a 1-D mixture from 0.5 to 0.2, with either lambda."""
    x = points()
    other = integral(lambda mu: exp(-mu) * along(S, NS.t(-mu)), -NS.lam(S), -NS.lam(T))
    printed = NS.alpha(T) / NS.alpha(S) * x - NS.alpha(T) * other
    return outcome(biggest(printed - solved(S, T)), biggest(by_lambda(S, T) - solved(S, T)), _QUADRATURE)


@chapter(
    "eq-15",
    "The solution in lambda",
    equation="(15)",
    printed="x_t = (alpha_t/alpha_s) x_s - alpha_t int_{lambda_s}^{lambda_t} e^{-lambda} eps^_theta(x^_lambda, lambda) dlambda",
)
def in_lambda() -> Outcome:
    """The exact flow of a 1-D mixture over two intervals, quadrature in lambda (with the lambda that was defined)."""
    gaps = [by_lambda(s, t) - solved(s, t) for s, t in ((S, T), (0.8, 0.5))]
    return holds(biggest(*gaps), _QUADRATURE)
