r"""Evaluation of a Gaussian mixture, by the form of its covariances.  Every kernel has `log_prob(x)` and `score(x)`.

    q_k = log w_k - 1/2 sum_j log(2 pi v_kj) - 1/2 |W_k^T (x - mu_k)|^2,       W_k = Q_k diag(v_k)^(-1/2)
    log p = logsumexp_k q_k,       score = -sum_k softmax(q)_k W_k W_k^T (x - mu_k)

Differences x - mu_k are formed before any product: `x W - mu W` would cancel where a component is narrow and far out.
"""

from functools import cached_property
from math import log, pi

import torch
from torch import Tensor

from sdebench.problems.quantile import times

_CHUNK_BYTES = 6 << 20  # of one (K, d, chunk) array; two are live, and share the last-level cache with the bases


def _constants(log_weights: Tensor, variances: Tensor, d: int) -> Tensor:
    """q_k at the mean of the component, (K,); `variances` is (K, d), or (K, 1) where all d are equal."""
    return log_weights - 0.5 * (variances.log().sum(-1) * (d // variances.shape[-1]) + d * log(2 * pi))


class Whitened:
    """Full covariances (basis (K, d, d)) or isotropic ones (basis None), by explicit differences.

    Arrays are (K, d, chunk), points last: sums over components and over dimensions run along contiguous memory, and
    the way back is ONE product (d, K d) x (K d, chunk) that sums over the components too.
    """

    def __init__(self, log_weights: Tensor, means: Tensor, variances: Tensor, basis: Tensor | None):
        size, d = means.shape
        self.means, self.chunk = means.unsqueeze(2), max(16, _CHUNK_BYTES // (8 * size * d))
        self.constant = _constants(log_weights, variances, d).unsqueeze(1)
        root = variances.rsqrt().unsqueeze(2)
        self.root = root if basis is None else None
        self.into = None if basis is None else basis.transpose(1, 2) * root
        self.back = None if basis is None else self.into.view(size * d, d).T.neg()  # type: ignore[union-attr]  # set with the others, or not at all

    def _whiten(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(whitened differences (K, d, n), q (K, n))."""
        delta = x.T.contiguous() - self.means
        y = delta.mul_(self.root) if self.into is None else torch.bmm(self.into, delta)  # type: ignore[arg-type]  # set with the others, or not at all
        square = y.square() if self.into is None or x.requires_grad else torch.mul(y, y, out=delta)
        return y, torch.add(self.constant, square.sum(1), alpha=-0.5)

    def log_prob(self, x: Tensor) -> Tensor:
        """(n, d) -> (n,)."""
        return torch.cat([torch.logsumexp(self._whiten(part)[1], 0) for part in x.split(self.chunk)])

    def _score(self, x: Tensor) -> Tensor:
        y, q = self._whiten(x)
        r = torch.softmax(q, 0).unsqueeze(1)
        if self.into is None:
            return times(x, y, times(x, r, self.root)).sum(0).neg_().T  # type: ignore[arg-type]  # set with the others, or not at all
        return torch.mm(self.back, times(x, y, r).view(-1, len(x))).T  # type: ignore[arg-type]  # set with the others, or not at all

    def score(self, x: Tensor) -> Tensor:
        """(n, d) -> (n, d)."""
        if len(x) <= self.chunk:
            return self._score(x).contiguous()
        out = torch.empty_like(x)
        for i in range(0, len(x), self.chunk):
            out[i : i + self.chunk] = self._score(x[i : i + self.chunk])
        return out


class WideMeans:
    """What the means (K, d) of wide isotropic components say once and for all times."""

    def __init__(self, means: Tensor):
        self.means, self.centre = means, means.mean(0)
        self.centred = means - self.centre
        self.rough, self.rough_norms2 = self.centred.float(), self.centred.square().sum(1)

    @cached_property
    def distances2(self) -> Tensor:
        """|mu_j - mu_k|^2 by differences, (K, K): a product would cancel between neighbours far from the centre."""
        return torch.cdist(self.means, self.means, compute_mode="donot_use_mm_for_euclid_dist").square_()


class Wide:
    """Isotropic components of large d, by products (n, d) x (d, K) only: no array (n, K, d) is ever formed.

    `|y - mu_k|^2 = |y - mu_j|^2 + 2 (y - mu_j).(mu_j - mu_k) + |mu_j - mu_k|^2` with j the likeliest component of each
    point (found in float32; a near miss costs a digit, no more): the differences to mu_j and the table of squared
    distances are exact, so nothing cancels near a mean.  Works on `y = x/alpha`, whose means are those of x_0 at all times.
    """

    def __init__(self, log_weights: Tensor, shared: WideMeans, variances: Tensor, alpha: float):
        self.shared, self.alpha = shared, alpha
        self.precision = alpha * alpha / variances.squeeze(1)
        self.constant = _constants(log_weights, variances, shared.means.shape[1])

    def _terms(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(likeliest component (n, 1), difference of y to its mean (n, d), q (n, K))."""
        y = x / self.alpha
        centred = y - self.shared.centre
        rough = (centred.float() @ self.shared.rough.T).double().mul_(-2).add_(self.shared.rough_norms2)
        rough.add_(centred.square_().sum(1, keepdim=True))
        j = torch.addcmul(self.constant, rough, self.precision, value=-0.5).argmax(1)
        delta = y.sub_(self.shared.means[j])
        product = delta @ self.shared.centred.T
        top = j.unsqueeze(1)
        distance2 = (product.gather(1, top) - product).mul_(2).add_(self.shared.distances2[j])
        distance2.add_(delta.square().sum(1, keepdim=True))
        return top, delta, torch.addcmul(self.constant, distance2, self.precision, value=-0.5)

    def log_prob(self, x: Tensor) -> Tensor:
        """(n, d) -> (n,)."""
        return torch.logsumexp(self._terms(x)[2], 1)

    def score(self, x: Tensor) -> Tensor:
        """(n, d) -> (n, d):  `-(sum_k s_k) (y - mu_j) - sum_k s_k (mu_j - mu_k)`, s = precision softmax(q)/alpha."""
        top, delta, q = self._terms(x)
        s = times(x, torch.softmax(q, 1), self.precision / self.alpha)
        total = s.sum(1, keepdim=True)
        s.scatter_(1, top, 0.0)
        s.scatter_(1, top, -s.sum(1, keepdim=True))
        return torch.addmm(times(x, delta, total), s, self.shared.centred, beta=-1)
