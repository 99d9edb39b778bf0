r"""Gaussian mixtures with exact densities, scores, marginals and, where a formula exists, exact flows.

    x_0 ~ sum_k w_k N(mu_k, C_k)    =>    x_t ~ sum_k w_k N(alpha mu_k, alpha^2 C_k + sigma^2 I)

so all marginals share the eigenbases of the C_k, which are found once.
"""

from copy import copy

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, whole
from sdebench.problems.kernels import Whitened, Wide, WideMeans
from sdebench.problems.quantile import Coordinates, amplitudes, as_float64, check_states, check_weights, rms
from sdebench.schedules import NoiseSchedule

_WIDE_FROM = 128  # isotropic components of more dimensions are evaluated by products; fewer, by differences


class GaussianMixture:
    """`sum_k w_k N(mu_k, C_k)`.  `weights` (K,), `means` (K, d), `covs` (K, d, d), or (K,) isotropic variances; float64.

    States are `(n, d)` of any floating dtype: evaluated in float64, returned in their own.  Raises UsageError for
    weights that are not positive or do not sum to one, shapes that disagree, values that are not finite, and
    covariances that are not symmetric positive definite.
    """

    def __init__(self, weights, means, covs):
        self.weights = as_float64(weights, "weights")
        if self.weights.ndim != 1 or len(self.weights) == 0:
            raise UsageError(f"weights have shape {tuple(self.weights.shape)}: give (K,), one weight a component")
        size = len(self.weights)
        means = as_float64(means, "means")
        if means.ndim != 2 or len(means) != size or means.shape[1] == 0:
            raise UsageError(f"means have shape {tuple(means.shape)}: give ({size}, d) for {size} weights")
        check_weights(self.weights)
        self.dim = means.shape[1]
        covs = as_float64(covs, "covs")
        if tuple(covs.shape) not in {(size,), (size, self.dim, self.dim)}:
            full = f"({size}, {self.dim}, {self.dim})"
            raise UsageError(f"covs have shape {tuple(covs.shape)}: give {full}, or ({size},) isotropic variances")
        if covs.ndim == 3 and self.dim == 1:
            covs = covs.flatten()
        self._variances, self._basis = _isotropic(covs) if covs.ndim == 1 else _eigen(covs)
        self._log_weights = self.weights.log()
        self._means, self._alpha = means, 1.0  # a marginal keeps the means of x_0 and its alpha
        wide = self._basis is None and self.dim >= _WIDE_FROM
        self._wide, self._kernel = WideMeans(means) if wide else None, None

    def __repr__(self) -> str:
        form = "isotropic" if self._basis is None else "full"
        return f"GaussianMixture(K={len(self.weights)}, d={self.dim}, {form})"

    @property
    def has_flow(self) -> bool:
        """Whether `flow` has a formula: one component, or one dimension."""
        return len(self.weights) == 1 or self.dim == 1

    def marginal(self, ns: NoiseSchedule, t: float) -> "GaussianMixture":
        """The law of x_t when this is the law of x_0; shares the eigenbases."""
        alpha, sigma = amplitudes(ns, t)
        law = copy(self)
        law._alpha, law._kernel = alpha * self._alpha, None
        law._variances = (alpha * alpha * self._variances).add_(sigma * sigma)
        return law

    @property
    def means(self) -> Tensor:
        """(K, d)."""
        return self._alpha * self._means

    @property
    def covs(self) -> Tensor:
        """(K, d, d)."""
        if self._basis is None:
            return self._variances.unsqueeze(2) * torch.eye(self.dim, dtype=torch.float64)
        return (self._basis * self._variances.unsqueeze(1)) @ self._basis.transpose(1, 2)

    @property
    def kernel(self) -> Coordinates | Wide | Whitened:
        """What evaluates this law; made on first use."""
        if self._kernel is None:
            self._kernel = self._make_kernel()
        return self._kernel

    def _make_kernel(self) -> Coordinates | Wide | Whitened:
        if self.dim == 1:
            return self._coordinates()
        if self._wide is not None:
            return Wide(self._log_weights, self._wide, self._variances, self._alpha)
        return Whitened(self._log_weights, self.means, self._variances, self._basis)

    def _coordinates(self) -> Coordinates:
        return Coordinates(self._log_weights.unsqueeze(1), self.means, self._variances.sqrt())

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density, (n, d) -> (n,)."""
        check_states(x, self.dim)
        return self.kernel.log_prob(x.double()).to(x.dtype)

    def score(self, x: Tensor) -> Tensor:
        """Gradient of the log density, (n, d) -> (n, d)."""
        check_states(x, self.dim)
        return self.kernel.score(x.double()).to(x.dtype)

    def sample(self, n: int, seed: int) -> Tensor:
        """`n` independent draws, (n, d); the same seed gives the same draws."""
        n, rng = whole(n, "the number of draws", 0), torch.Generator().manual_seed(whole(seed, "seed"))
        uniform = torch.rand(n, dtype=torch.float64, generator=rng)
        k = torch.searchsorted(self.weights.cumsum(0), uniform).clamp_(max=len(self.weights) - 1)
        z = torch.randn(n, self.dim, dtype=torch.float64, generator=rng) * self._variances.sqrt()[k]
        if self._basis is not None:
            step = max(1, (4 << 20) // self.dim**2)  # (step, d, d) bases are gathered at a time
            parts = zip(k.split(step), z.split(step))
            z = torch.cat([torch.bmm(self._basis[i], part.unsqueeze(-1)).squeeze(-1) for i, part in parts])
        return self.means[k] + z

    def mean(self) -> Tensor:
        """(d,)."""
        return self.weights @ self.means

    def cov(self) -> Tensor:
        """(d, d)."""
        centred = self.means - self.mean()
        between = centred.T @ (self.weights.unsqueeze(1) * centred)
        if self._basis is None:
            return between + (self.weights @ self._variances) * torch.eye(self.dim, dtype=torch.float64)
        return between + torch.einsum("k,kij,kj,klj->il", self.weights, self._basis, self._variances, self._basis)

    def flow(self, x: Tensor, ns: NoiseSchedule, s: float, t: float) -> Tensor:
        """The exact probability-flow map x_s -> x_t, (n, d) -> (n, d), in either direction of time.

        One component: `x_t = alpha_t mu + sqrt(v_t/v_s) (x_s - alpha_s mu)` in each eigendirection.  One dimension: the
        map of quantiles.  Otherwise no formula exists, and UsageError says so.
        """
        return self.flow_with_error(x, ns, s, t)[0]

    def flow_with_error(self, x: Tensor, ns: NoiseSchedule, s: float, t: float) -> tuple[Tensor, float]:
        """(flow, its conditioning bound: RMS over points and coordinates)."""
        check_states(x, self.dim)
        if not self.has_flow:
            raise UsageError(f"{self!r} has no formula for its flow: use sdebench.oracle.trajectory, or K=1, or d=1")
        start, end = self.marginal(ns, s), self.marginal(ns, t)
        if self.dim == 1 and len(self.weights) > 1:
            y, bound = start._coordinates().flow_to(end._coordinates(), x.double())
        else:
            y, bound = start._stretch_to(end, x.double())
        return y.to(x.dtype), rms(bound)

    def _stretch_to(self, end: "GaussianMixture", x: Tensor) -> tuple[Tensor, Tensor]:
        delta = x - self.means
        scale = (end._variances / self._variances).sqrt()
        delta = scale * delta if self._basis is None else (delta @ self._basis[0] * scale) @ self._basis[0].T
        y = end.means + delta
        eps = torch.finfo(torch.float64).eps
        return y, eps * (y.abs() + (2 + self.dim) * delta.norm(dim=-1, keepdim=True) / self.dim**0.5)


def _isotropic(variances: Tensor) -> tuple[Tensor, None]:
    if not bool((variances > 0).all()):
        k = int(variances.argmin())
        raise UsageError(f"variance {float(variances[k]):g} of component {k} is not positive: give positive variances")
    return variances.unsqueeze(1), None


def _eigen(covs: Tensor) -> tuple[Tensor, Tensor]:
    """(eigenvalues (K, d), eigenbases (K, d, d) with the vectors in columns)."""
    skew = (covs - covs.transpose(1, 2)).abs().amax((1, 2))
    k = int(skew.argmax())
    if float(skew[k]) > 1e-12 * float(covs[k].abs().max()):
        gap = float(skew[k])
        raise UsageError(f"covariance of component {k} differs from its transpose by {gap:g}: give (C + C.T)/2")
    values, basis = torch.linalg.eigh(covs)
    k = int(values[:, 0].argmin())
    if not float(values[k, 0]) > 0:
        least = float(values[k, 0])
        raise UsageError(f"covariance of component {k} has smallest eigenvalue {least:g}: give positive definite ones")
    return values, basis
