r"""A rotated product of one-dimensional mixtures: a law of any dimension whose flow is known to machine precision.

    x = R z,   z_j ~ sum_k w_jk N(m_jk, v_jk) independent

Noise is isotropic, so the coordinates z stay independent at every t, and the flow acts on each by its own quantiles.
"""

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, whole
from sdebench.problems.quantile import Coordinates, amplitudes, as_float64, check_states, check_weights, rms
from sdebench.schedules import NoiseSchedule


class ProductMixture:
    """`x = R z` with independent mixtures: `rotation` (d, d) orthogonal; `weights`, `means`, `variances` each (d, K).

    Same interface as GaussianMixture.  Raises UsageError for a rotation that is not orthogonal, shapes that disagree,
    weights that do not sum to one, variances that are not positive.
    """

    has_flow = True

    def __init__(self, rotation, weights, means, variances):
        self.means = as_float64(means, "means")
        if self.means.ndim != 2 or 0 in self.means.shape:
            raise UsageError(f"means have shape {tuple(self.means.shape)}: give (d, K), one row a coordinate")
        shape = tuple(self.means.shape)
        self.dim = shape[0]
        self.weights = as_float64(weights, "weights", shape)
        self.variances = as_float64(variances, "variances", shape)
        self.rotation = as_float64(rotation, "rotation", (self.dim, self.dim))
        check_weights(self.weights)
        if not bool((self.variances > 0).all()):
            raise UsageError(f"the smallest variance is {float(self.variances.min()):g}: give positive variances")
        off = float((self.rotation.T @ self.rotation - torch.eye(self.dim, dtype=torch.float64)).abs().max())
        if off > 1e-12:
            raise UsageError(f"rotation differs from an orthogonal matrix by {off:.3g}: give one from torch.linalg.qr")
        self._log_weights, self._kernel = self.weights.log(), None

    def __repr__(self) -> str:
        return f"ProductMixture(d={self.dim}, K={self.means.shape[1]})"

    def marginal(self, ns: NoiseSchedule, t: float) -> "ProductMixture":
        """The law of x_t when this is the law of x_0."""
        alpha, sigma = amplitudes(ns, t)
        law = object.__new__(ProductMixture)
        law.dim, law.rotation, law.weights, law._log_weights = self.dim, self.rotation, self.weights, self._log_weights
        law.means = alpha * self.means
        law.variances = (alpha * alpha * self.variances).add_(sigma * sigma)
        law._kernel = None
        return law

    @property
    def kernel(self) -> Coordinates:
        """The law of z."""
        if self._kernel is None:
            self._kernel = Coordinates(self._log_weights.T, self.means.T, self.variances.T.sqrt())
        return self._kernel

    def log_prob(self, x: Tensor) -> Tensor:
        """Log density, (n, d) -> (n,)."""
        check_states(x, self.dim)
        return self.kernel.log_prob(x.double() @ self.rotation).to(x.dtype)

    def score(self, x: Tensor) -> Tensor:
        """Gradient of the log density, (n, d) -> (n, d)."""
        check_states(x, self.dim)
        return (self.kernel.score(x.double() @ self.rotation) @ self.rotation.T).to(x.dtype)

    def sample(self, n: int, seed: int) -> Tensor:
        """`n` independent draws, (n, d); the same seed gives the same draws."""
        n, rng = whole(n, "the number of draws", 0), torch.Generator().manual_seed(whole(seed, "seed"))
        uniform = torch.rand(n, self.dim, 1, dtype=torch.float64, generator=rng)
        k = (uniform > self.weights.cumsum(-1)).sum(-1).clamp_(max=self.means.shape[1] - 1).T
        z = torch.randn(self.dim, n, dtype=torch.float64, generator=rng)
        z = self.means.gather(1, k) + self.variances.sqrt().gather(1, k) * z
        return z.T @ self.rotation.T

    def mean(self) -> Tensor:
        """(d,)."""
        return self.rotation @ (self.weights * self.means).sum(-1)

    def cov(self) -> Tensor:
        """(d, d)."""
        mean = (self.weights * self.means).sum(-1, keepdim=True)
        variance = (self.weights * (self.variances + (self.means - mean).square())).sum(-1)
        return (self.rotation * variance) @ self.rotation.T

    def flow(self, x: Tensor, ns: NoiseSchedule, s: float, t: float) -> Tensor:
        """The exact probability-flow map x_s -> x_t, (n, d) -> (n, d): quantiles of each coordinate of z."""
        return self.flow_with_error(x, ns, s, t)[0]

    def flow_with_error(self, x: Tensor, ns: NoiseSchedule, s: float, t: float) -> tuple[Tensor, float]:
        """(flow, its conditioning bound: RMS over points and coordinates)."""
        check_states(x, self.dim)
        z = x.double() @ self.rotation
        z, bound = self.marginal(ns, s).kernel.flow_to(self.marginal(ns, t).kernel, z)
        return (z @ self.rotation.T).to(x.dtype), rms(bound)
