r"""The family of processes with equal marginals, and the Fokker-Planck equation that says so.

    backwards   dx = [f x - (g^2 + eta^2)/2 score] dt + eta dw          time falls; the heart of the seed
    forwards    dx = [f x - (g^2 - eta^2)/2 score] dt + eta dw          time rises; eta = g is the forward SDE

for any eta(t) >= 0, score = grad log p_t (Song et al. 2021, arXiv:2011.13456, appendix D; Karras et al. 2022,
arXiv:2206.00364, eq. 6; Huang et al. 2021, arXiv:2106.02808).  eta = 0 is the probability flow in both directions, eta = g
backwards the reverse SDE of Anderson 1982, Stoch. Proc. Appl. 12, 313.  The density obeys

    d/dt p = -div(b p) +- eta^2/2 laplacian p,       + forwards, - backwards, b the drift
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, sqrt
from typing import Protocol

import torch
from torch import Tensor

from sdebench._support.errors import UsageError
from sdebench.integration.prediction import Model, ModelLike, lincomb
from sdebench.schedules import NoiseSchedule

Drift = Callable[[ModelLike, Tensor, float], Tensor]


class Mixture(Protocol):
    """What is needed of the law of x_0: Gaussians with their covariances, and the mixture that they make at time t."""

    weights: Tensor
    means: Tensor
    covs: Tensor

    def marginal(self, ns: NoiseSchedule, t: float) -> "Mixture":
        """The law of x_t."""


@dataclass(frozen=True)
class Dynamics:
    """A member of the family: `eta` is a multiple of g (0 the probability flow, 1 the reverse SDE), or any function eta(t).

    Raises UsageError for noise that is negative or not finite.
    """

    schedule: NoiseSchedule
    eta: float | Callable[[float], float] = 1.0

    def __post_init__(self) -> None:
        if not callable(self.eta) and not 0 <= self.eta < inf:
            raise UsageError(f"eta = {self.eta!r}: give a multiple of g, 0 or more, or a function eta(t)")

    def diffusion(self, t: float) -> float:
        """eta(t), what multiplies dw."""
        value = self.eta(t) if callable(self.eta) else self.eta * sqrt(self.schedule.g2(t))
        if not 0 <= value < inf:
            raise UsageError(f"eta({t:g}) = {value!r}: give a function with values in [0, inf)")
        return value

    def coefficients(self, t: float, backward: bool = True) -> tuple[float, float]:
        """(a, c) of the drift `a x + c score`:  `a = f`, `c = -(g^2 + eta^2)/2`; with `- eta^2` forwards."""
        sign = 1 if backward else -1
        return self.schedule.f(t), -0.5 * (self.schedule.g2(t) + sign * self.diffusion(t) ** 2)

    def drift(self, model: ModelLike, x: Tensor, t: float) -> Tensor:
        """What multiplies dt where time falls from noise to data, (B, *D) -> (B, *D)."""
        a, c = self.coefficients(t)
        return lincomb(a, x, c, model(x, t).score)

    def forward_drift(self, model: ModelLike, x: Tensor, t: float) -> Tensor:
        """What multiplies dt where time rises."""
        a, c = self.coefficients(t, backward=False)
        return lincomb(a, x, c, model(x, t).score)


class _Marginal:
    """p_t of a mixture, written to be differentiated by torch; `law` is the law of x_0.

    r_k = posterior weights,   u_k = S_k^{-1} (x - m_k),   score = -sum r_k u_k
    laplacian p / p = sum r_k (|u_k|^2 - tr S_k^{-1})
    d/dt log p = sum r_k [u_k . m_k' + (u_k^T S_k' u_k - tr S_k^{-1} S_k')/2],    m' = f m,   S' = 2 f S + g^2 I
    """

    def __init__(self, law: Mixture, ns: NoiseSchedule, t: float):
        if not hasattr(law, "covs"):
            raise UsageError(f"{law!r} is no mixture with covariances: give a GaussianMixture")
        law = law.marginal(ns, t)
        self.f, self.g2, self.means, self.covs = ns.f(t), ns.g2(t), law.means, law.covs
        self.inverse = torch.linalg.inv(self.covs)
        self.constant = law.weights.log() - 0.5 * torch.linalg.slogdet(self.covs)[1]

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(r (n, K), u (n, K, d))"""
        delta = x.unsqueeze(1) - self.means
        u = torch.einsum("kij,nkj->nki", self.inverse, delta)
        return torch.softmax(self.constant - 0.5 * (delta * u).sum(-1), 1), u

    def score(self, x: Tensor) -> Tensor:
        """(n, d) -> (n, d)."""
        r, u = self._parts(x)
        return -(r.unsqueeze(2) * u).sum(1)

    def laplacian(self, x: Tensor) -> Tensor:
        """laplacian p / p, (n, d) -> (n,)."""
        r, u = self._parts(x)
        return (r * (u.square().sum(-1) - self.inverse.diagonal(dim1=1, dim2=2).sum(-1))).sum(-1)  # type: ignore[no-any-return]  # torch's own has no types

    def d_log_p(self, x: Tensor) -> Tensor:
        """d/dt log p, (n, d) -> (n,)."""
        r, u = self._parts(x)
        rate = 2 * self.f * self.covs + self.g2 * torch.eye(x.shape[1], dtype=x.dtype)
        moving = (u * (self.f * self.means)).sum(-1)
        widening = torch.einsum("nki,kij,nkj->nk", u, rate, u) - torch.einsum("kij,kji->k", self.inverse, rate)
        return (r * (moving + 0.5 * widening)).sum(-1)


def divergence(field: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    """`(field(x), div field(x))`, (n, d) and (n,), by autograd; for fields that treat each point by itself."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        value = field(x)
        total = x.new_zeros(len(x))
        for j in range(x.shape[1]):
            total = total + torch.autograd.grad(value[:, j].sum(), x, retain_graph=True)[0][:, j]
    return value.detach(), total.detach()


def fokker_planck(
    law: Mixture, dynamics: Dynamics, x: Tensor, t: float, drift: Drift | None = None, backward: bool = True
) -> Tensor:
    r"""The residual of the Fokker-Planck equation at points x of time t, over the sum of its terms' sizes; (n, d) -> (n,).

        d/dt log p + div b + b . score -+ eta^2/2 laplacian p / p,           - forwards, + backwards

    p is the exact density when x_0 has the `law`, a GaussianMixture; b is the drift of the dynamics in the direction asked
    for, or the given function `drift(model, x, t)`, called with the exact model.  Float64: zero is 1e-15, anything that is
    not a solution is of the order of 1.
    """
    p = _Marginal(law, dynamics.schedule, t)
    model = Model(lambda y, _t: p.score(y), dynamics.schedule, "score")
    drift = drift or (dynamics.drift if backward else dynamics.forward_drift)
    x = x.double()
    b, div = divergence(lambda y: drift(model, y, t), x)
    noise = 0.5 * dynamics.diffusion(t) ** 2 * p.laplacian(x)
    terms = torch.stack([p.d_log_p(x), div, (b * p.score(x)).sum(-1), noise if backward else -noise])
    return terms.sum(0).abs() / terms.abs().sum(0)
