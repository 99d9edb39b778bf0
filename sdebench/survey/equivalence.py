"""The three trainings, of the score, the noise and the data: which of their losses are equal, and up to what."""

from collections.abc import Callable
from math import pi, sqrt

import torch
from torch import Tensor

from sdebench.problems import GaussianMixture
from sdebench.survey.numeric import LAW, NS, Average, at, biggest, density, posterior, score
from sdebench.survey.statement import ROUNDING, Chapter, Outcome, holds, outcome
from sdebench.survey.training import fisher_loss, model

chapter = Chapter("Score matching")
chapter.section("Equivalence of the training objectives")
_AT = 0.3
_FINE = 1e-11  # sums over 60,000 nodes


def _pairs() -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor], float]]:
    """x_0, eps and x_t (n,) on a product grid, and the expectation over them."""
    data, noise = Average(LAW, 301), Average(GaussianMixture([1.0], [[0.0]], [1.0]), 201)
    x0, eps = (z.flatten() for z in torch.meshgrid(data.x, noise.x, indexing="ij"))
    w = (data.w[:, None] * noise.w).flatten()
    return x0, eps, NS.alpha(_AT) * x0 + NS.sigma(_AT) * eps, lambda values: float(w @ values)


@chapter(
    "scaled-loss",
    "The score loss, scaled",
    printed="L = E norm(grad log p(x, t) - s(x_t, t))^2 = E[(1/sigma_t^2) norm(sigma_t grad log p - sigma_t s)^2]",
)
def scaled_loss() -> Outcome:
    """Three models on a 1-D mixture, quadrature."""
    average, sigma = Average(at(_AT)), NS.sigma(_AT)
    truth = sigma * score(average.x, _AT)
    scaled = [average((truth - sigma * model(average.x, k)) ** 2 / sigma**2) for k in range(3)]
    return holds(biggest(*(a - fisher_loss(k) for k, a in enumerate(scaled))), ROUNDING)


@chapter(
    "marginal-law",
    "The law of a noised image",
    printed="p(x_t) = N(alpha_t x_0, sigma_t^2 I)",
    right="p(x_t given x_0) = N(alpha_t x_0, sigma_t^2 I); p(x_t) is its mean over x_0",
    correction="c",
)
def marginal_law() -> Outcome:
    """Density of x_t for a 1-D mixture against the Gaussian's at x_0 = 0.9, one of the modes, and against the mean of the
    Gaussians over x_0 by quadrature.
    """
    data, x, alpha, sigma = Average(LAW), torch.linspace(-2, 2, 41, dtype=torch.float64), NS.alpha(_AT), NS.sigma(_AT)

    def gaussian(x0: Tensor) -> Tensor:
        return torch.exp(-0.5 * ((x[:, None] - alpha * x0) / sigma) ** 2) / (sigma * sqrt(2 * pi))

    truth = density(x, _AT)
    printed = gaussian(torch.tensor([0.9], dtype=torch.float64))[:, 0] - truth
    return outcome(biggest(printed), biggest(gaussian(data.x) @ data.w - truth), _FINE)


@chapter(
    "density",
    "The conditional density",
    printed="x_t = exp[-1/2 (x_t - alpha_t x_0)^2 / sigma_t^2]",
    right="p(x_t given x_0) = exp[-1/2 (x_t - alpha_t x_0)^2 / sigma_t^2] up to a factor",
    correction="b",
)
def conditional_density() -> Outcome:
    """Over a grid of x_t at x_0 = 0.3: x_t minus that exponential; and mass, mean and variance of the
    exponential over sigma_t sqrt(2 pi) against (2).
    """
    x0, alpha, sigma = 0.3, NS.alpha(_AT), NS.sigma(_AT)
    x = torch.linspace(-9 * sigma, 9 * sigma, 801, dtype=torch.float64) + alpha * x0
    bell = torch.exp(-0.5 * ((x - alpha * x0) / sigma) ** 2)
    p = bell / bell.sum()
    mass = float(bell.sum()) * float(x[1] - x[0]) / (sigma * sqrt(2 * pi))
    right = mass - 1, p @ x - alpha * x0, p @ (x - alpha * x0) ** 2 - sigma**2
    return outcome(biggest(x - bell), biggest(*right), ROUNDING)


@chapter(
    "data-score",
    "The score of the data at time t",
    printed="grad log p_data(x, t) = -(x_t - alpha_t x_0) / sigma_t^2",
    right="that is grad log q(x_t given x_0); grad log p(x_t) = -(x_t - alpha_t E[x_0 given x_t]) / sigma_t^2",
    correction="10",
)
def data_score() -> Outcome:
    """Exact score of a 1-D mixture against the formula with x_0 = 0.9, one of the modes, and with the posterior mean by Bayes
    and quadrature.
    """
    x, alpha, sigma2 = torch.linspace(-2, 2, 41, dtype=torch.float64), NS.alpha(_AT), NS.sigma(_AT) ** 2
    truth = score(x, _AT)
    printed, right = truth + (x - alpha * 0.9) / sigma2, truth + (x - alpha * posterior(x, _AT)) / sigma2
    return outcome(biggest(printed), biggest(right), _FINE)


@chapter(
    "conditional-score",
    "The conditional score by the noise",
    printed="-(x_t - alpha_t x_0) / sigma_t^2 = -eps / sigma_t,  x_t = alpha_t x_0 + sigma_t eps",
)
def conditional_score() -> Outcome:
    """Over a grid of x_0 and eps; and its mean over x_0 given x_t is the exact score of a 1-D mixture."""
    x0, eps, x, _ = _pairs()
    sigma, y = NS.sigma(_AT), torch.linspace(-2, 2, 41, dtype=torch.float64)
    mean_eps = (y - NS.alpha(_AT) * posterior(y, _AT)) / sigma
    return holds(biggest(-(x - NS.alpha(_AT) * x0) / sigma**2 + eps / sigma, score(y, _AT) + mean_eps / sigma), _FINE)


def _denoising(k: int) -> float:
    """(1/sigma^2) E norm(-eps - sigma s)^2: the loss with the conditional score."""
    _, eps, x, average = _pairs()
    return average((-eps - NS.sigma(_AT) * model(x, k)) ** 2) / NS.sigma(_AT) ** 2


def _constant() -> float:
    """E norm(eps/sigma)^2 - E norm(grad log p)^2."""
    average = Average(at(_AT))
    return 1 / NS.sigma(_AT) ** 2 - average(score(average.x, _AT) ** 2)


@chapter(
    "denoising-loss",
    "The loss with the noise in it",
    printed="L = E[(1/sigma_t^2) norm(sigma_t grad log p - sigma_t s)^2] = (1/sigma_t^2) E norm(-eps - sigma_t s)^2",
    right="the two losses differ by a constant in theta, E norm(eps/sigma_t)^2 - E norm(grad log p)^2",
    correction="10",
)
def denoising_loss() -> Outcome:
    """Three models on a 1-D mixture, quadrature: the difference of the losses, and how far it is from that constant."""
    gaps = [_denoising(k) - fisher_loss(k) for k in range(3)]
    return outcome(biggest(*gaps), biggest(*(gap - _constant() for gap in gaps)), _FINE)


@chapter(
    "eps-loss",
    "Noise prediction",
    printed="eps_theta := -sigma_t s_theta,  L = (1/sigma_t^2) E norm(eps_theta - eps)^2, L the score loss",
    right="L = (1/sigma_t^2) E norm(eps_theta - eps)^2 - const, const as in the loss with the noise in it",
    correction="10",
)
def eps_loss() -> Outcome:
    """Three models on a 1-D mixture, against the score loss; and, with the constant, against the loss with the conditional
    score, to which it is equal.
    """
    x0, eps, x, average = _pairs()
    sigma = NS.sigma(_AT)
    conditional = -(x - NS.alpha(_AT) * x0) / sigma**2
    predicted = [average((-sigma * model(x, k) - eps) ** 2) / sigma**2 for k in range(3)]
    printed = [p - fisher_loss(k) for k, p in enumerate(predicted)]
    same = [p - average((conditional - model(x, k)) ** 2) for k, p in enumerate(predicted)]
    return outcome(biggest(*printed), biggest(*(gap - _constant() for gap in printed), *same), _FINE)


def _data_losses(k: int) -> tuple[float, float]:
    """E norm((x - alpha x_0) - (x - alpha x_theta))^2 and E norm(x_0 - x_theta)^2 for the model's x_theta."""
    x0, _, x, average = _pairs()
    alpha, sigma = NS.alpha(_AT), NS.sigma(_AT)
    guess = (x + sigma**2 * model(x, k)) / alpha
    return average(((x - alpha * x0) - (x - alpha * guess)) ** 2), average((x0 - guess) ** 2)


@chapter(
    "x0-loss-step",
    "Data prediction, the step before",
    printed="(1/sigma_t^2) E norm(eps_theta - eps)^2 = (1/sigma_t^2) E norm((x_t - alpha_t x_0) - (x_t - alpha_t x_theta))^2",
    right="(1/sigma_t^2) E norm(eps_theta - eps)^2 = (1/sigma_t^4) E norm((x_t - alpha_t x_0) - (x_t - alpha_t x_theta))^2",
    correction="9",
)
def x0_loss_step() -> Outcome:
    """Three models on a 1-D mixture, quadrature."""
    sigma = NS.sigma(_AT)
    printed = [_denoising(k) - _data_losses(k)[0] / sigma**2 for k in range(3)]
    return outcome(biggest(*printed), biggest(*(_denoising(k) - _data_losses(k)[0] / sigma**4 for k in range(3))), _FINE)


@chapter(
    "x0-loss",
    "Data prediction",
    printed="L = (alpha_t^2/sigma_t^2) E norm(x_0 - x_theta)^2",
    right="L = (alpha_t^2/sigma_t^4) E norm(x_0 - x_theta)^2; alpha_t^2/sigma_t^2 is the weight of E norm(eps_theta - eps)^2",
    correction="9",
)
def x0_loss() -> Outcome:
    """Three models on a 1-D mixture, quadrature: both of the right weights. (L is the loss with the noise in it, as on the line
    before.)
    """
    alpha, sigma = NS.alpha(_AT), NS.sigma(_AT)
    losses = [(_denoising(k), _data_losses(k)[1]) for k in range(3)]
    printed = [score_loss - alpha**2 / sigma**2 * data for score_loss, data in losses]
    right = [score_loss - alpha**2 / sigma**4 * data for score_loss, data in losses]
    of_eps = [score_loss * sigma**2 - alpha**2 / sigma**2 * data for score_loss, data in losses]
    return outcome(biggest(*printed), biggest(*right, *of_eps), _FINE)


@chapter(
    "one-training",
    "The three trainings are equivalent",
    printed="learning s_theta, eps_theta = -sigma_t s_theta and x_theta = (x_t - sigma_t eps_theta)/alpha_t is one problem",
)
def one_training() -> Outcome:
    """The losses' own minimisers on a 1-D mixture, E[eps given x_t] and E[x_0 given x_t] by Bayes and quadrature, satisfy these
    relations with the exact score.
    """
    x, alpha, sigma = torch.linspace(-2, 2, 41, dtype=torch.float64), NS.alpha(_AT), NS.sigma(_AT)
    data = posterior(x, _AT)
    eps = (x - alpha * data) / sigma
    return holds(biggest(eps + sigma * score(x, _AT), data - (x + sigma**2 * score(x, _AT)) / alpha), _FINE)
