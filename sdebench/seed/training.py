"""Score matching: the losses, what integration by parts makes of them, and which are equivalent."""

from collections.abc import Callable
from math import pi, sqrt

import torch
from torch import Tensor

from ..problems import GaussianMixture
from .fields import Field, divergence
from .numeric import LAW, MEAN, NS, VAR, Average, at, biggest, gaussian_score, posterior, score
from .statement import ROUNDING, Chapter, Outcome, holds, outcome

chapter = Chapter("Score matching")
chapter.section("Training of the score-based model")
_AT = 0.3
_FINE = 1e-11  # integrals in the plane are sums of 40,000 terms

# The models tried are s = a tanh(b x) + c.
_MODELS = ((-1.5, 0.8, 0.1), (-0.7, 1.1, -0.4), (0.9, 0.5, 0.3))


def _model(x: Tensor, k: int) -> Tensor:
    a, b, c = _MODELS[k]
    return a * torch.tanh(b * x) + c


def _slope(x: Tensor, k: int) -> Tensor:
    a, b, _ = _MODELS[k]
    return a * b * (1 - torch.tanh(b * x) ** 2)


def _fisher(k: int) -> float:
    """E || grad log p - s ||^2 of the model at _AT."""
    average = Average(at(_AT))
    return average((score(average.x, _AT) - _model(average.x, k)) ** 2)


@chapter(
    "fisher", "Fisher divergence",
    printed="theta^ = argmin E_p norm(grad log p(x) - s_theta(x, t))^2",
)
def fisher() -> Outcome:
    """Least squares over s = u + v x + w tanh(x) for Gaussian data, normal equations by quadrature: the minimiser must be the
    exact score, linear in x.
    """
    law = GaussianMixture([1.0], [[MEAN]], [VAR])
    average, (slope, level) = Average(law.marginal(NS, _AT)), gaussian_score(_AT)
    basis = torch.stack([torch.ones_like(average.x), average.x, torch.tanh(average.x)])
    truth = law.marginal(NS, _AT).score(average.x[:, None])[:, 0]
    found = torch.linalg.solve(basis * average.w @ basis.T, basis @ (average.w * truth))
    return holds(biggest(found - torch.tensor([level, slope, 0.0], dtype=torch.float64)), _FINE)


def _in_the_plane() -> tuple[float, float, float, float]:
    """Of a 2-D mixture and model: the Fisher divergence, E norm(score)^2, and E[1/2 norm(s)^2 + .] with the divergence of s
    and with the sum over all entries of its Jacobian."""
    line = torch.linspace(-7, 7, 201, dtype=torch.float64)
    x = torch.cartesian_prod(line, line).requires_grad_()
    law, cell = Field(_AT), float(line[1] - line[0]) ** 2
    mix = torch.tensor([[-0.9, 0.4], [0.6, -1.2]], dtype=torch.float64)

    def s(y: Tensor) -> Tensor:
        return torch.tanh(0.8 * y + 0.2 * y.flip(1)) @ mix + 0.1

    w, truth, model, trace = (z.detach() for z in (law.p(x) * cell, law.score(x), s(x), divergence(s)(x)))
    off = divergence(lambda y: s(y).flip(1))(x).detach()  # d s_2/d x_1 + d s_1/d x_2
    half = 0.5 * (model**2).sum(1)
    fisher = w @ ((truth - model) ** 2).sum(1)
    return float(fisher), float(w @ (truth**2).sum(1)), float(w @ (half + trace)), float(w @ (half + trace + off))


@chapter(
    "implicit", "Score matching by integration by parts",
    printed="L = E norm(grad log p - s)^2 = 2 E[grad_x s + 1/2 norm(s)^2] + const",
    right="L = 2 E[div_x s + 1/2 norm(s)^2] + const, const = E norm(grad log p)^2",
    correction="14",
)
def implicit() -> Outcome:
    """Both sides by quadrature, for three models on a 1-D mixture, where the two are one, and for one in 2-D, where the printed
    grad_x s is a matrix: read as the sum of its entries.
    """
    average = Average(at(_AT))
    const = average(score(average.x, _AT) ** 2)
    line = [_fisher(k) - 2 * average(_slope(average.x, k) + 0.5 * _model(average.x, k) ** 2) - const for k in range(3)]
    fisher, const, trace, entries = _in_the_plane()
    return outcome(fisher - 2 * entries - const, biggest(*line, fisher - 2 * trace - const), _FINE)


def _sample_loss() -> tuple[list[float], list[float]]:
    """Mean and variance of L~ over samples of T = 1, 2, 3, all by tensor products of one quadrature."""
    average = Average(at(_AT), 101)
    h = 2 * (_slope(average.x, 0) + 0.5 * _model(average.x, 0) ** 2)
    w, loss, weight = average.w / average.w.sum(), torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    means, variances = [], []
    for size in (1, 2, 3):
        loss, weight = (loss[..., None] + h).flatten(), (weight[..., None] * w).flatten()
        mean = float(weight @ (loss / size))
        means.append(mean)
        variances.append(float(weight @ (loss / size - mean) ** 2))
    return means, variances


@chapter(
    "sample-loss", "Loss of a sample",
    printed="L~ = 2 (1/T) sum_i [grad_x s(x_i, t) + 1/2 norm(s(x_i, t))^2]",
    right="L~ = 2 (1/T) sum_i [div_x s(x_i, t) + 1/2 norm(s(x_i, t))^2]",
    correction="14",
)
def sample_loss() -> Outcome:
    """E[L~] over samples of 1, 2 and 3 points by tensor quadrature against L - const in 1-D, where the two are one; as printed,
    in 2-D as above.
    """
    fisher, const, _, entries = _in_the_plane()
    average = Average(at(_AT))
    due = _fisher(0) - average(score(average.x, _AT) ** 2)
    return outcome(2 * entries - (fisher - const), biggest(*(mean - due for mean in _sample_loss()[0])), _FINE)


@chapter(
    "sample-limit", "Law of large numbers",
    printed="L~ tends to L in probability, so the two are almost surely equal",
    instead="L~ has mean L and variance v/T: it tends to L (less the constant), and equals it for no sample size",
    correction="n9",
)
def sample_limit() -> Outcome:
    """Standard deviation of L~ for samples of 3 points; and that T Var[L~] is the same for 1, 2 and 3 points, by tensor
    quadrature.
    """
    _, variances = _sample_loss()
    return outcome(sqrt(variances[2]), biggest(*(size * v / variances[0] - 1 for size, v in enumerate(variances, 1))), _FINE)


chapter.section("Equivalence of the training objectives")


def _pairs() -> tuple[Tensor, Tensor, Tensor, Callable[[Tensor], float]]:
    """x_0, eps and x_t (n,) on a product grid, and the expectation over them."""
    data, noise = Average(LAW, 301), Average(GaussianMixture([1.0], [[0.0]], [1.0]), 201)
    x0, eps = (z.flatten() for z in torch.meshgrid(data.x, noise.x, indexing="ij"))
    w = (data.w[:, None] * noise.w).flatten()
    return x0, eps, NS.alpha(_AT) * x0 + NS.sigma(_AT) * eps, lambda values: float(w @ values)


@chapter(
    "scaled-loss", "The score loss, scaled",
    printed="L = E norm(grad log p - s)^2 = E[(1/sigma_t^2) norm(sigma_t grad log p - sigma_t s)^2]",
)
def scaled_loss() -> Outcome:
    """Three models on a 1-D mixture, quadrature."""
    average, sigma = Average(at(_AT)), NS.sigma(_AT)
    truth = sigma * score(average.x, _AT)
    scaled = [average((truth - sigma * _model(average.x, k)) ** 2 / sigma**2) for k in range(3)]
    return holds(biggest(*(a - _fisher(k) for k, a in enumerate(scaled))), ROUNDING)


@chapter(
    "density", "The conditional density",
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
    "data-score", "The score of the data at time t",
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
    "conditional-score", "The conditional score by the noise",
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
    return average((-eps - NS.sigma(_AT) * _model(x, k)) ** 2) / NS.sigma(_AT) ** 2


@chapter(
    "denoising-loss", "The loss with the noise in it",
    printed="L = E[(1/sigma_t^2) norm(sigma_t grad log p - sigma_t s)^2] = (1/sigma_t^2) E norm(-eps - sigma_t s)^2",
    right="the two losses differ by a constant in theta, E norm(eps/sigma_t)^2 - E norm(grad log p)^2",
    correction="10",
)
def denoising_loss() -> Outcome:
    """Three models on a 1-D mixture, quadrature: the difference of the losses, and how far it is from that constant."""
    average = Average(at(_AT))
    constant = 1 / NS.sigma(_AT) ** 2 - average(score(average.x, _AT) ** 2)
    gaps = [_denoising(k) - _fisher(k) for k in range(3)]
    return outcome(biggest(*gaps), biggest(*(gap - constant for gap in gaps)), _FINE)


@chapter(
    "eps-loss", "Noise prediction",
    printed="eps_theta := -sigma_t s_theta,  L = (1/sigma_t^2) E norm(eps_theta - eps)^2",
)
def eps_loss() -> Outcome:
    """Three models on a 1-D mixture, against the loss with the conditional score."""
    x0, eps, x, average = _pairs()
    sigma = NS.sigma(_AT)
    conditional = -(x - NS.alpha(_AT) * x0) / sigma**2
    predicted = [average((-sigma * _model(x, k) - eps) ** 2) / sigma**2 for k in range(3)]
    return holds(biggest(*(p - average((conditional - _model(x, k)) ** 2) for k, p in enumerate(predicted))), _FINE)


def _data_losses(k: int) -> tuple[float, float]:
    """E norm((x - alpha x_0) - (x - alpha x_theta))^2 and E norm(x_0 - x_theta)^2 for the model's x_theta."""
    x0, _, x, average = _pairs()
    alpha, sigma = NS.alpha(_AT), NS.sigma(_AT)
    guess = (x + sigma**2 * _model(x, k)) / alpha
    return average(((x - alpha * x0) - (x - alpha * guess)) ** 2), average((x0 - guess) ** 2)


@chapter(
    "x0-loss-step", "Data prediction, the step before",
    printed="(1/sigma_t^2) E norm(eps_theta - eps)^2"
            " = (1/sigma_t^2) E norm((x_t - alpha_t x_0) - (x_t - alpha_t x_theta))^2",
    right="(1/sigma_t^2) E norm(eps_theta - eps)^2"
          " = (1/sigma_t^4) E norm((x_t - alpha_t x_0) - (x_t - alpha_t x_theta))^2",
    correction="9",
)
def x0_loss_step() -> Outcome:
    """Three models on a 1-D mixture, quadrature."""
    sigma = NS.sigma(_AT)
    printed = [_denoising(k) - _data_losses(k)[0] / sigma**2 for k in range(3)]
    return outcome(biggest(*printed), biggest(*(_denoising(k) - _data_losses(k)[0] / sigma**4 for k in range(3))), _FINE)


@chapter(
    "x0-loss", "Data prediction",
    printed="L = (alpha_t^2/sigma_t^2) E norm(x_0 - x_theta)^2",
    right="L = (alpha_t^2/sigma_t^4) E norm(x_0 - x_theta)^2; alpha_t^2/sigma_t^2 is the weight of E norm(eps_theta - eps)^2",
    correction="9",
)
def x0_loss() -> Outcome:
    """Three models on a 1-D mixture, quadrature: both of the right weights."""
    alpha, sigma = NS.alpha(_AT), NS.sigma(_AT)
    losses = [(_denoising(k), _data_losses(k)[1]) for k in range(3)]
    printed = [score_loss - alpha**2 / sigma**2 * data for score_loss, data in losses]
    right = [score_loss - alpha**2 / sigma**4 * data for score_loss, data in losses]
    of_eps = [score_loss * sigma**2 - alpha**2 / sigma**2 * data for score_loss, data in losses]
    return outcome(biggest(*printed), biggest(*right, *of_eps), _FINE)


@chapter(
    "one-training", "The three trainings are equivalent",
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
