"""Progressive distillation: its formulas and both algorithms."""

from collections.abc import Callable
from itertools import pairwise
from math import log

import torch
from torch import Tensor

from sdebench.problems import GaussianMixture, exact_model
from sdebench.schedules import VPCosine
from sdebench.solvers.ddim import DDIM
from sdebench.survey.numeric import LAW, Average, biggest, points, posterior
from sdebench.survey.statement import ROUNDING, Chapter, Outcome, holds, outcome

chapter = Chapter("Consistency and distillation")
_FINE = 1e-11  # what Bayes by quadrature leaves
chapter.section("Progressive distillation")
_COSINE = VPCosine(0.0)  # alpha = cos(pi t/2): the schedule of progressive distillation


def _x0(z: Tensor, t: float) -> Tensor:
    """The teacher: the exact prediction E[x_0 given z_t] of the mixture, by Bayes and quadrature."""
    return posterior(z, t, _COSINE)


def _ddim(z: Tensor, x0: Tensor, s: float, t: float) -> Tensor:
    """alpha_t x0 + sigma_t/sigma_s (z - alpha_s x0), from time s to t."""
    return _COSINE.alpha(t) * x0 + _COSINE.sigma(t) / _COSINE.sigma(s) * (z - _COSINE.alpha(s) * x0)


def _suite(z: Tensor, s: float, t: float) -> Tensor:
    """The suite's ddim on the exact model of the mixture, from time s to t."""
    return DDIM().step(exact_model(LAW, _COSINE), z[:, None], s, t).x[:, 0]


@chapter("pd-noise", "Noise added to data", printed="z_t = alpha_t x + sigma_t eps")
def pd_noise() -> Outcome:
    """Mean and variance of z_t for a 1-D mixture on the cosine schedule, against those of its exact marginal."""
    t = 0.4
    data, noise = Average(LAW), Average(GaussianMixture([1.0], [[0.0]], [1.0]))
    mean = _COSINE.alpha(t) * data(data.x) + _COSINE.sigma(t) * noise(noise.x)
    second = (
        _COSINE.alpha(t) ** 2 * data(data.x**2)
        + _COSINE.sigma(t) ** 2 * noise(noise.x**2)
        + 2 * _COSINE.alpha(t) * _COSINE.sigma(t) * data(data.x) * noise(noise.x)
    )
    law = LAW.marginal(_COSINE, t)
    return holds(biggest(mean - float(law.mean()), second - mean**2 - float(law.cov())), ROUNDING)


@chapter(
    "pd-lambda",
    "The log signal-to-noise ratio of distillation",
    printed="lambda_t = log(alpha_t^2/sigma_t^2), beside lambda_t = log(alpha_t/sigma_t) before",
    right="the first is twice the second: each is right in its own formulas",
    correction="f",
)
def pd_lambda() -> Outcome:
    """The two on the cosine schedule at three times."""
    pairs = [(log(_COSINE.alpha(t) ** 2 / _COSINE.sigma(t) ** 2), _COSINE.lam(t)) for t in (0.2, 0.4, 0.7)]
    return outcome(biggest(*(a - b for a, b in pairs)), biggest(*(a - 2 * b for a, b in pairs)), ROUNDING)


def _posterior_law(z: float, t: float) -> tuple[Tensor, Tensor]:
    """Nodes and weights of p(x_0 given z_t = z)."""
    data = Average(LAW)
    w = data.w * torch.exp(-0.5 * ((z - _COSINE.alpha(t) * data.x) / _COSINE.sigma(t)) ** 2)
    return data.x, w / w.sum()


@chapter("pd-training", "Standard training (Algorithm 1)", printed="x~ = x,  L = w(lambda_t) norm(x~ - x^_theta(z_t))^2")
def pd_training() -> Outcome:
    """Derivative of this loss over p(x_0 given z_t), at the prediction E[x_0 given z_t] that follows from the exact score: it
    must be 0. Five z, 1-D mixture.
    """
    t, z = 0.4, torch.tensor([-1.5, -0.6, 0.1, 0.7, 1.6], dtype=torch.float64)
    due = exact_model(LAW, _COSINE)(z[:, None], t).x0[:, 0]
    gaps = []
    for value, guess in zip(z.tolist(), due.tolist()):
        x, w = _posterior_law(value, t)
        gaps.append(float(w @ (2 * (guess - x))))
    return holds(biggest(*gaps), _FINE)


@chapter("pd-times", "The steps of teacher and student", printed="t' = t - 0.5/N, t'' = t - 1/N, t = i/N")
def pd_times() -> Outcome:
    """Two steps of a teacher of 2N end where one of a student of N does, for every i, down to 0: N = 1 to 16."""
    gaps = []
    for n in range(1, 17):
        mine, theirs = [i / n for i in range(n, -1, -1)], [i / (2 * n) for i in range(2 * n, -1, -1)]
        gaps += [t - 1 / n - later for t, later in pairwise(mine)]
        gaps += [t - 0.5 / n - theirs[2 * i + 1] for i, t in enumerate(mine[:-1])]
        gaps += [a - b for a, b in zip(mine, theirs[::2], strict=True)]
    return holds(biggest(*gaps), ROUNDING)


_T, _T1, _T2 = 0.6, 0.6 - 0.5 / 4, 0.6 - 1 / 4


@chapter("pd-first", "The teacher's first step", printed="z_t' = alpha_t' x^(z_t) + (sigma_t'/sigma_t) (z_t - alpha_t x^(z_t))")
def pd_first() -> Outcome:
    """Against the suite's ddim on the exact model of a 1-D mixture, cosine schedule."""
    z = points()
    return holds(biggest(_ddim(z, _x0(z, _T), _T, _T1) - _suite(z, _T, _T1)), _FINE)


def _teacher(z: Tensor) -> Tensor:
    """The teacher's two steps from _T to _T2."""
    middle = _ddim(z, _x0(z, _T), _T, _T1)
    return _ddim(middle, _x0(middle, _T1), _T1, _T2)


@chapter(
    "pd-second",
    "The teacher's second step",
    printed="z_t'' = alpha_t'' x^(z_t) + (sigma_t''/sigma_t') (z_t' - alpha_t' x^(z_t'))",
    right="z_t'' = alpha_t'' x^(z_t') + (sigma_t''/sigma_t') (z_t' - alpha_t' x^(z_t')), with x^(z_t') as Algorithm 2 has it",
    correction="11",
)
def pd_second() -> Outcome:
    """Against two steps of the suite's ddim on the exact model of a 1-D mixture."""
    z = points()
    middle = _suite(z, _T, _T1)
    due = _suite(middle, _T1, _T2)
    rest = _COSINE.sigma(_T2) / _COSINE.sigma(_T1) * (middle - _COSINE.alpha(_T1) * _x0(middle, _T1))
    return outcome(biggest(_COSINE.alpha(_T2) * _x0(z, _T) + rest - due), biggest(_teacher(z) - due), _FINE)


def _target(z: Tensor, end: Tensor, s: float, t: float) -> Tensor:
    """x~: what a student must predict at z to be at `end` after one step from s to t."""
    ratio = _COSINE.sigma(t) / _COSINE.sigma(s)
    return (end - ratio * z) / (_COSINE.alpha(t) - ratio * _COSINE.alpha(s))


@chapter("pd-student", "The student's step", printed="z~_t'' = alpha_t'' x~ + (sigma_t''/sigma_t) (z_t - alpha_t x~) = z_t''")
def pd_student() -> Outcome:
    """One DDIM step with the target x~ against the teacher's two, 1-D mixture; and its second form, (alpha_t'' - (sigma_t''/
    sigma_t) alpha_t) x~ + (sigma_t''/sigma_t) z_t.
    """
    z = points()
    target, ratio = _target(z, _teacher(z), _T, _T2), _COSINE.sigma(_T2) / _COSINE.sigma(_T)
    other = (_COSINE.alpha(_T2) - ratio * _COSINE.alpha(_T)) * target + ratio * z
    return holds(biggest(_ddim(z, target, _T, _T2) - _teacher(z), other - _teacher(z)), ROUNDING)


@chapter(
    "pd-target",
    "The student's target",
    printed="x~ = (z_t'' - (sigma_t''/sigma_t) z_t) / (alpha_t'' - (sigma_t''/sigma_t) alpha_t)",
)
def pd_target() -> Outcome:
    """Where the data are a single point, and so the teacher's prediction in both steps, x~ must be that point."""
    z, x0 = points(), torch.full((9,), 0.9, dtype=torch.float64)
    middle = _ddim(z, x0, _T, _T1)
    same = _target(z, _ddim(middle, x0, _T1, _T2), _T, _T2) - x0
    return holds(biggest(same), ROUNDING)


@chapter(
    "pd-loss",
    "Distillation loss",
    printed="L = w(lambda) norm(x~ - x^_theta(z_t))",
    right="L = w(lambda) norm(x~ - x^_theta(z_t))^2, as Algorithm 2 has it",
    correction="11",
)
def pd_loss() -> Outcome:
    """Where the target is not a function of z_t, as in training (x~ = x), the minimisers of the norm and of its square are the
    median and the mean of p(x_0 given z_t): how far each is from E[x_0 given z_t], at z = 0.1 on the cosine schedule.
    """
    t, z = 0.7, 0.1
    x, w = _posterior_law(z, t)
    i = int(torch.searchsorted(w.cumsum(0), 0.5))
    due = float(exact_model(LAW, _COSINE)(torch.tensor([[z]], dtype=torch.float64), t).x0)
    return outcome(float(x[i]) - due, float(w @ x) - due, _FINE)


@chapter(
    "pd-algorithm-first",
    "The teacher's first step in Algorithm 2",
    printed="z_t' = alpha_t x(z_t) + (sigma_t/sigma_t) (z_t - alpha_t x^(z_t)), as the text has it",
    right="z_t' = alpha_t' x^(z_t) + (sigma_t'/sigma_t) (z_t - alpha_t x^(z_t)), as on the slide before",
    correction="n17",
)
def pd_algorithm_first() -> Outcome:
    """Against the suite's ddim on the exact model of a 1-D mixture, cosine schedule. (As printed it is z_t.)"""
    z = points()
    x0, due = _x0(z, _T), _suite(z, _T, _T1)
    printed = _COSINE.alpha(_T) * x0 + _COSINE.sigma(_T) / _COSINE.sigma(_T) * (z - _COSINE.alpha(_T) * x0)
    return outcome(biggest(printed - due), biggest(_ddim(z, x0, _T, _T1) - due), _FINE)


@chapter(
    "pd-algorithm-second",
    "The teacher's second step in Algorithm 2",
    printed="z_t'' = alpha_t'' x^(z_t') + (x^_t''/sigma_t') (z_t' - alpha_t' x^(z_t')), as the text has it",
    right="z_t'' = alpha_t'' x^(z_t') + (sigma_t''/sigma_t') (z_t' - alpha_t' x^(z_t'))",
    correction="n17",
)
def pd_algorithm_second() -> Outcome:
    """Against two steps of the suite's ddim on the exact model of a 1-D mixture; x^_t'' read as x^(z_t')."""
    z = points()
    middle = _suite(z, _T, _T1)
    due, x0 = _suite(middle, _T1, _T2), _x0(middle, _T1)
    printed = _COSINE.alpha(_T2) * x0 + x0 / _COSINE.sigma(_T1) * (middle - _COSINE.alpha(_T1) * x0)
    return outcome(biggest(printed - due), biggest(_ddim(middle, x0, _T1, _T2) - due), _FINE)


@chapter(
    "pd-algorithm-target",
    "The student's target in Algorithm 2",
    printed="x~ = (z_t'' - (sigma_t''/sigma_t) z_t) / sigma_t'', as the text has it",
    right="x~ = (z_t'' - (sigma_t''/sigma_t) z_t) / (alpha_t'' - (sigma_t''/sigma_t) alpha_t), as on the slide before",
    correction="n17",
)
def pd_algorithm_target() -> Outcome:
    """One ddim step with x~ against the teacher's two, 1-D mixture."""
    z = points()
    end, ratio = _teacher(z), _COSINE.sigma(_T2) / _COSINE.sigma(_T)
    printed = _ddim(z, (end - ratio * z) / _COSINE.sigma(_T2), _T, _T2) - end
    return outcome(biggest(printed), biggest(_ddim(z, _target(z, end, _T, _T2), _T, _T2) - end), _FINE)


@chapter(
    "pd-algorithm-loss",
    "The loss of Algorithm 2",
    printed="L = w(lambda_t) norm(x^ - x^_theta(z_t))^2, as the text has it",
    right="L = w(lambda_t) norm(x~ - x^_theta(z_t))^2",
    correction="n17",
)
def pd_algorithm_loss() -> Outcome:
    """One ddim step with what makes the loss 0, x^ read as the teacher's x^(z_t), or x~, against the teacher's two."""
    z = points()
    steps = [_ddim(z, x0, _T, _T2) - _teacher(z) for x0 in (_x0(z, _T), _target(z, _teacher(z), _T, _T2))]
    return outcome(*map(biggest, steps), _FINE)  # type: ignore[call-arg]  # of two steps


@chapter(
    "pd-update",
    "The step of the optimiser",
    printed="theta <- theta - gamma Theta L in Algorithm 1, theta <- theta - grad_theta L in Algorithm 2, as the text has it",
    right="theta <- theta - gamma grad_theta L in both",
    correction="n17",
)
def pd_update() -> Outcome:
    """80 steps from 2 for a student that is one number, against the least E[w (x~ - theta)^2] for x~ = x and w = SNR(0.4): the
    nearer of the two printed ones, with Theta read as theta, and the right one; gamma w = 0.2.
    """
    data, weight = Average(LAW), _COSINE.alpha(0.4) ** 2 / _COSINE.sigma(0.4) ** 2
    mean, gamma = data(data.x), 0.2 / weight

    def after(step: Callable[[float], float]) -> float:
        theta = 2.0
        for _ in range(80):
            theta -= step(theta)
        return abs(theta - mean)

    def grad(theta: float) -> float:
        return data(2 * weight * (theta - data.x))

    printed = after(lambda theta: gamma * theta * data(weight * (theta - data.x) ** 2)), after(grad)
    return outcome(min(printed), after(lambda theta: gamma * grad(theta)), _FINE)


@chapter("pd-algorithm", "Progressive distillation (Algorithm 2)", printed="eta <- theta, N <- N/2, for K iterations")
def pd_algorithm() -> Outcome:
    """A teacher of 16 steps halved three times, each student the exact map of its targets: 8, 4 and 2 steps end where the 16
    do, on a 1-D mixture from 0.9 to 1/16. (With the lines above put right.)
    """

    def exact(z: Tensor, s: float, t: float) -> Tensor:
        return _x0(z, s)

    def halved(teacher: Callable) -> Callable:
        def student(z: Tensor, s: float, t: float) -> Tensor:
            middle = 0.5 * (s + t)
            y = _ddim(z, teacher(z, s, middle), s, middle)
            return _target(z, _ddim(y, teacher(y, middle, t), middle, t), s, t)

        return student

    predict, ends = exact, []
    for n in (16, 8, 4, 2):
        z = points()
        for s, t in pairwise([0.9 + (1 / 16 - 0.9) * i / n for i in range(n + 1)]):
            z = _ddim(z, predict(z, s, t), s, t)
        ends.append(z)
        predict = halved(predict)
    return holds(biggest(*(end - ends[0] for end in ends[1:])), _FINE)
