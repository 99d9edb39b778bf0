"""Score matching: the Fisher divergence, and what integration by parts makes of it."""

from math import sqrt

import torch
from torch import Tensor

from sdebench.problems import GaussianMixture
from sdebench.survey.fields import Field, divergence
from sdebench.survey.numeric import MEAN, NS, VAR, Average, at, biggest, gaussian_score, score
from sdebench.survey.statement import Chapter, Outcome, outcome

chapter = Chapter("Score matching")
chapter.section("Training of the score-based model")
_AT = 0.3
_LAWS = (0.0, _AT)  # of p_data, and of p_t
_FINE = 1e-11  # integrals in the plane are sums of 40,000 terms

# The models tried are s = a tanh(b x) + c.
_MODELS = ((-1.5, 0.8, 0.1), (-0.7, 1.1, -0.4), (0.9, 0.5, 0.3))


def model(x: Tensor, k: int) -> Tensor:
    """s of the k-th model tried."""
    a, b, c = _MODELS[k]
    return a * torch.tanh(b * x) + c


def _slope(x: Tensor, k: int) -> Tensor:
    a, b, _ = _MODELS[k]
    return a * b * (1 - torch.tanh(b * x) ** 2)


def fisher_loss(k: int, t: float = _AT) -> float:
    """E || grad log p_t - s ||^2 of the model."""
    average = Average(at(t))
    return average((score(average.x, t) - model(average.x, k)) ** 2)


_GAUSSIAN = GaussianMixture([1.0], [[MEAN]], [VAR])


def _from_the_score(average: Average, rate: Tensor) -> float:
    """How far the best u + v x + w tanh(x) is from the score at _AT of Gaussian data, linear in x.

    Best under the law of `average`; `rate` are E[basis score], (3,), by which the loss falls in u, v and w.
    """
    basis, (slope, level) = _basis(average.x), gaussian_score(_AT)
    found = torch.linalg.solve(basis * average.w @ basis.T, rate)
    return biggest(found - torch.tensor([level, slope, 0.0], dtype=torch.float64))


def _basis(x: Tensor) -> Tensor:
    return torch.stack([torch.ones_like(x), x, torch.tanh(x)])


@chapter(
    "fisher",
    "Fisher divergence",
    printed="s(x, t) is fitted to the score by theta^ = argmin E_p_data norm(grad log p_data(x) - s_theta(x, t))^2",
    right="theta^ = argmin E_p_t norm(grad log p_t(x) - s_theta(x, t))^2: with p_data s is the score of p_0 at every t",
    correction="n13",
)
def fisher() -> Outcome:
    """Least squares over s = u + v x + w tanh(x) for Gaussian data, normal equations by quadrature: how far the minimisers are
    from the exact score at t = 0.3, linear in x.
    """
    gaps = []
    for law in (_GAUSSIAN, _GAUSSIAN.marginal(NS, _AT)):
        average = Average(law)
        truth = law.score(average.x[:, None])[:, 0]
        gaps.append(_from_the_score(average, _basis(average.x) @ (average.w * truth)))
    return outcome(*gaps, _FINE)  # type: ignore[call-arg]  # two gaps


def _in_the_plane(t: float) -> tuple[float, float, float, float]:
    """Of a 2-D mixture and model: the Fisher divergence, E norm(score)^2, and E[1/2 norm(s)^2 + .] with the divergence of s
    and with the sum over all entries of its Jacobian."""
    line = torch.linspace(-7, 7, 201, dtype=torch.float64)
    x = torch.cartesian_prod(line, line).requires_grad_()
    law, cell = Field(t), float(line[1] - line[0]) ** 2
    mix = torch.tensor([[-0.9, 0.4], [0.6, -1.2]], dtype=torch.float64)

    def s(y: Tensor) -> Tensor:
        return torch.tanh(0.8 * y + 0.2 * y.flip(1)) @ mix + 0.1

    w, truth, model, trace = (z.detach() for z in (law.p(x) * cell, law.score(x), s(x), divergence(s)(x)))
    off = divergence(lambda y: s(y).flip(1))(x).detach()  # d s_2/d x_1 + d s_1/d x_2
    half = 0.5 * (model**2).sum(1)
    fisher = w @ ((truth - model) ** 2).sum(1)
    return float(fisher), float(w @ (truth**2).sum(1)), float(w @ (half + trace)), float(w @ (half + trace + off))


@chapter(
    "implicit",
    "Score matching by integration by parts",
    printed="L = E_p_data norm(grad log p_data - s)^2 = 2 E_p_data[grad_x s + 1/2 norm(s)^2] + const",
    right="L = 2 E[div_x s + 1/2 norm(s)^2] + const, const = E norm(grad log p)^2, with p_data as with p_t",
    correction="14",
)
def implicit() -> Outcome:
    """Both sides by quadrature, for three models on a 1-D mixture, where the two are one, and for one in 2-D, where the printed
    grad_x s is a matrix: read as the sum of its entries. Under p_data and under p_t.
    """
    printed, right = [], []
    for t in _LAWS:
        average = Average(at(t))
        const = average(score(average.x, t) ** 2)
        parts = [2 * average(_slope(average.x, k) + 0.5 * model(average.x, k) ** 2) for k in range(3)]
        right += [fisher_loss(k, t) - part - const for k, part in enumerate(parts)]
        fisher, const, trace, entries = _in_the_plane(t)
        printed.append(abs(fisher - 2 * entries - const))
        right.append(fisher - 2 * trace - const)
    return outcome(min(printed), biggest(*right), _FINE)


@chapter(
    "samples",
    "Where the samples come from",
    printed="x_1, ..., x_T ~ p_data(x), for s_theta(x_i, t)",
    right="x_1, ..., x_T ~ p_t: data with the noise of t, alpha_t x_0 + sigma_t eps",
    correction="n13",
)
def samples() -> Outcome:
    """The minimiser of E[L~], a loss without a score, over s = u + v x + w tanh(x) for Gaussian data, samples of either law:
    how far it is from the exact score at t = 0.3.
    """
    gaps = []
    for law in (_GAUSSIAN, _GAUSSIAN.marginal(NS, _AT)):
        average = Average(law)
        slopes = torch.stack([torch.zeros_like(average.x), torch.ones_like(average.x), 1 - torch.tanh(average.x) ** 2])
        gaps.append(_from_the_score(average, -slopes @ average.w))
    return outcome(*gaps, _FINE)  # type: ignore[call-arg]  # two gaps


def _sample_loss(t: float) -> tuple[list[float], list[float]]:
    """Mean and variance of L~ over samples of T = 1, 2, 3, all by tensor products of one quadrature."""
    average = Average(at(t), 101)
    h = 2 * (_slope(average.x, 0) + 0.5 * model(average.x, 0) ** 2)
    w, loss, weight = average.w / average.w.sum(), torch.zeros(1, dtype=torch.float64), torch.ones(1, dtype=torch.float64)
    means, variances = [], []
    for size in (1, 2, 3):
        loss, weight = (loss[..., None] + h).flatten(), (weight[..., None] * w).flatten()
        mean = float(weight @ (loss / size))
        means.append(mean)
        variances.append(float(weight @ (loss / size - mean) ** 2))
    return means, variances


@chapter(
    "sample-loss",
    "Loss of a sample",
    printed="L~ = 2 (1/T) sum_i [grad_x s(x_i, t) + 1/2 norm(s(x_i, t))^2]",
    right="L~ = 2 (1/T) sum_i [div_x s(x_i, t) + 1/2 norm(s(x_i, t))^2]",
    correction="14",
)
def sample_loss() -> Outcome:
    """E[L~] over samples of 1, 2 and 3 points by tensor quadrature against L - const in 1-D, where the two are one; as printed,
    in 2-D as above. Under p_data and under p_t.
    """
    printed, right = [], []
    for t in _LAWS:
        fisher, const, _, entries = _in_the_plane(t)
        average = Average(at(t))
        due = fisher_loss(0, t) - average(score(average.x, t) ** 2)
        printed.append(abs(2 * entries - (fisher - const)))
        right += [mean - due for mean in _sample_loss(t)[0]]
    return outcome(min(printed), biggest(*right), _FINE)


@chapter(
    "sample-limit",
    "Law of large numbers",
    printed="L~ tends to L in probability, so the two are almost surely equal",
    instead="L~ has mean L and variance v/T: it tends to L (less the constant), and equals it for no sample size",
    correction="n9",
)
def sample_limit() -> Outcome:
    """Standard deviation of L~ for samples of 3 points; and that T Var[L~] is the same for 1, 2 and 3 points, by tensor
    quadrature.
    """
    _, variances = _sample_loss(_AT)
    return outcome(sqrt(variances[2]), biggest(*(size * v / variances[0] - 1 for size, v in enumerate(variances, 1))), _FINE)
