"""Terms of Fokker-Planck equations, evaluated exactly: a 2-D mixture's density under automatic differentiation.

    dp/dt = -sum_i d/dx_i [b_i p] + 1/2 sum_i d^2/dx_i^2 [c p]         dx = b dt + sqrt(c) dw

In two dimensions, because a sum over coordinates that is none is right in one.  Two laws: a mixture that the linear drift of
a schedule noises, and one of a drift that is not linear.
"""

from collections.abc import Callable
from math import log, pi

import torch
from torch import Tensor

from sdebench.schedules import NoiseSchedule
from sdebench.survey.numeric import NS, biggest, derivative

_WEIGHTS = torch.tensor([0.3, 0.5, 0.2], dtype=torch.float64)
_MEANS = torch.tensor([[-1.0, 0.4], [0.8, 0.6], [0.2, -0.9]], dtype=torch.float64)
_VARIANCES = torch.tensor([0.3, 0.2, 0.4], dtype=torch.float64)
_WAYS = torch.tensor([[0.8, 0.6], [-1.0, 0.0], [0.28, -0.96]], dtype=torch.float64)  # of norm 1
POINTS = torch.cartesian_prod(*2 * [torch.linspace(-1.2, 1.1, 5, dtype=torch.float64)]).requires_grad_()

Scalar = Callable[[Tensor], Tensor]  # (n, 2) -> (n,), each value of its own point
Vector = Callable[[Tensor], Tensor]  # (n, 2) -> (n, 2)


class Field:
    """The density of x_t, as functions of points (n, 2), and the drift and g^2 of the SDE that it belongs to."""

    def __init__(self, t: float, ns: NoiseSchedule = NS):
        alpha, sigma = ns.alpha(t), ns.sigma(t)
        self.means, self.variances = alpha * _MEANS, alpha * alpha * _VARIANCES + sigma * sigma
        self.f, self.g2 = (lambda x: ns.f(t) * x), ns.g2(t)

    def log_p(self, x: Tensor) -> Tensor:
        """log p_t."""
        z2 = ((x[:, None] - self.means) ** 2).sum(-1) / self.variances
        return torch.logsumexp(_WEIGHTS.log() - log(2 * pi) - self.variances.log() - 0.5 * z2, 1)

    def p(self, x: Tensor) -> Tensor:
        """p_t."""
        return self.log_p(x).exp()

    def score(self, x: Tensor) -> Tensor:
        """grad log p_t."""
        return gradient(self.log_p)(x)


class Bent(Field):
    """The law of dx = grad log h(x) dt + dw from x_0 = 0, h(x) = sum_k w_k exp(m_k . x) with all norm(m_k) = 1.

    It is sum_k w_k N(m_k t, t I), Brownian motion's law times h(x) e^{-t/2}: half the Laplacian of h is h/2.  In one dimension,
    for +1 and -1, the drift is Benes' tanh(x).
    """

    def __init__(self, t: float):
        self.means, self.variances = t * _WAYS, torch.full((3,), t, dtype=torch.float64)
        self.f, self.g2 = (lambda x: torch.softmax(_WEIGHTS.log() + x @ _WAYS.T, 1) @ _WAYS), 1.0


def gradient(fn: Scalar) -> Vector:
    """d/dx_i fn."""
    return lambda x: torch.autograd.grad(fn(x).sum(), x, create_graph=True)[0]


def divergence(field: Vector) -> Scalar:
    """sum_i d/dx_i field_i."""
    return lambda x: sum(gradient(lambda y, i=i: field(y)[:, i])(x)[:, i] for i in range(2))  # type: ignore[return-value]  # a sum of tensors


def laplacian(fn: Scalar) -> Scalar:
    """sum_i d^2/dx_i^2 fn."""
    return divergence(gradient(fn))


Law = Callable[[float], Field]  # t -> the law of x_t


def rate(t: float, law: Law = Field) -> Tensor:
    """dp/dt at POINTS, from the density at other times."""
    return derivative(lambda u: law(u).p(POINTS).detach(), t)


Drift = Callable[[Tensor, Tensor], Tensor]  # (x, score) -> drift


def _residual(drift: Drift, variance: float, t: float, law: Law, sign: float) -> float:
    at, due = law(t), rate(t, law)
    flux = divergence(lambda x: drift(x, at.score(x)) * at.p(x)[:, None])
    found = -flux(POINTS) + sign * 0.5 * variance * laplacian(at.p)(POINTS)
    return biggest(found.detach() - due) / biggest(due)


def forward_residual(drift: Drift, variance: float, t: float, law: Law = Field) -> float:
    """Of dx = drift(x, score) dt + sqrt(variance) dw, for p_t: relative to the largest dp/dt."""
    return _residual(drift, variance, t, law, 1.0)


def backward_residual(drift: Drift, variance: float, t: float, law: Law = Field) -> float:
    """The same for a process that runs from later times to earlier ones: diffusion then has the other sign."""
    return _residual(drift, variance, t, law, -1.0)
