r"""Reference solutions of the processes with equal marginals on ONE Brownian path, each with an error bar.

    dx = [f x - (g^2 + eta^2)/2 score] dt + eta dw,   time backwards,     eta = tau g

One Gaussian: the process is linear, and its solution in each eigendirection is one weighted integral of the path.  Elsewhere
two unrelated methods of strong order 1.5 on a fine grid, in two variables: Roessler's SRA1 in t, and the Taylor scheme
(Kloeden and Platen 1992, section 10.4) in lam; their difference is the error bar.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import sqrt

import torch
from torch import Tensor

from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import lincomb
from sdebench.laws.feasible import is_gaussian
from sdebench.laws.oracle import Reference
from sdebench.noise import Custom, Exponential
from sdebench.noise.brownian import BrownianPath
from sdebench.problems import Problem
from sdebench.solvers.euler_maruyama import SRKAdditive

Tau = Callable[[float], float]  # eta/g at a time


def on_path(problem: Problem, x: Tensor, grid: Sequence[float], path: BrownianPath, tau: Tau) -> Reference:
    """The state at grid[-1] from x at grid[0], on the path; `grid` is the fine grid that the two methods take.

    The linear solution of one Gaussian holds for tau = 1; else the two methods are used there too.
    """
    if is_gaussian(problem) and all(tau(t) == 1.0 for t in grid):
        exact = _linear(problem, x, grid[0], grid[-1], path)
        return Reference((exact,), (1e-13 * float(exact.square().mean().sqrt()),))
    one, other = sra1(problem, x, grid, path, tau), taylor(problem, x, grid, path, tau)
    return Reference((one,), (float((one - other).square().mean().sqrt()),))


def _linear(problem: Problem, x: Tensor, s: float, t: float, path: BrownianPath) -> Tensor:
    r"""tau = 1 on N(mu, C), per eigendirection of variance c, v = alpha^2 c + sigma^2:

        x_t - alpha_t mu = Phi(t, s) (x_s - alpha_s mu) + sqrt(2) int Phi(t, u) sigma_u dB_u
        Phi(t, u) = alpha_u v_t/(alpha_t v_u)

    for the reverse SDE has the paths of the forward one, whose covariance between two times is (alpha_u/alpha_t) v_t.
    """
    ns, law = problem.schedule, problem.law
    values, basis = torch.linalg.eigh(law.cov())
    mean = law.mean()

    def v(u: float) -> Tensor:
        return ns.alpha(u) ** 2 * values + ns.sigma(u) ** 2

    def weight(j: int) -> Custom:
        def phi(lam: float) -> float:
            u = ns.t(lam)
            return ns.alpha(u) * float(v(t)[j] / v(u)[j]) / ns.alpha(t) * sqrt(2) * ns.sigma(u)

        return Custom(phi)

    noises = path.integral(s, t, *(weight(j) for j in range(len(values))))
    noise = torch.stack([(z.double() @ basis)[:, j] for j, z in enumerate(noises)], 1)
    start = (x - ns.alpha(s) * mean) @ basis
    return ns.alpha(t) * mean + (ns.alpha(s) * v(t) / (ns.alpha(t) * v(s)) * start + noise) @ basis.T


def sra1(problem: Problem, x: Tensor, grid: Sequence[float], path: BrownianPath, tau: Tau) -> Tensor:
    """`srk-additive` with eta = tau g."""
    solver = SRKAdditive(lambda t: tau(t) * sqrt(problem.schedule.g2(t)))
    return integrate(solver, problem.model, x, grid, path)


def taylor(problem: Problem, x: Tensor, grid: Sequence[float], path: BrownianPath, tau: Tau) -> Tensor:
    r"""The strong Taylor scheme of order 1.5 for additive noise (Kloeden and Platen 1992, section 10.4), its derivatives as
    differences along the noise, in lam and for y = x/sigma: dy = a dlam + b dB.

        y_t = y + b_t I_1 + (b_s - b_t) I_10/h + h/2 (a_s + a_0) + h/2 (a_+ - a_-) + 3/4 h (a_+ - 2 a_0 + a_-)
        a_0 = a(y + h a_s, t),   a_+- = a(y + h a_s +- b I_10/h, t)

    I_10/h has the variance h/3: so the last term has the mean of the Ito correction h^2 b^2 a''/4.
    """
    ns, model = problem.schedule, problem.model

    def slope(y: Tensor, t: float) -> Tensor:
        # d(x/sigma)/dlam = (dlog(alpha) - dlog(sigma))/dlam x/sigma - (1 + tau^2) eps = x/sigma - (1 + tau^2) eps
        return lincomb(1.0, y, -(1 + tau(t) ** 2), model(ns.sigma(t) * y, t).eps)

    y = x / ns.sigma(grid[0])
    for s, t in pairwise(grid):
        end, h = ns.lam(t), ns.lam(t) - ns.lam(s)
        i_1, i_10 = path.integral(s, t, Exponential(0.0), Custom(lambda lam, end=end: end - lam))  # type: ignore[misc]  # a lambda that binds a loop variable
        b_s, b_t = sqrt(2) * tau(s), sqrt(2) * tau(t)
        a = slope(y, s)
        middle, shift = lincomb(1.0, y, h, a), i_10 * (0.5 * (b_s + b_t) / h)
        a_0, up, down = slope(middle, t), slope(middle + shift, t), slope(middle - shift, t)
        y = lincomb(1.0, y, h / 2, a, -h, a_0, 1.25 * h, up, 0.25 * h, down, b_t, i_1, (b_s - b_t) / h, i_10)
    return ns.sigma(grid[-1]) * y
