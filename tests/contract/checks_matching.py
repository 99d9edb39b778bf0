"""What every loss of score matching must do.  A check takes a loss, `(net, batch, rng) -> (L, m)`, and may raise
AssertionError."""

from functools import cache

import torch

import sdebench as sb
from sdebench.matching.batch import Batch, Levels, batches, draw, stratified
from sdebench.matching.equivalence import pairs
from sdebench.matching.losses import LOSSES, fisher
from sdebench.matching.network import ScoreNet
from sdebench.matching.training import divergence, train

LINE, PLANE = sb.get_problem("mixture-1d"), sb.get_problem("mixture-2d")
AT = (-0.8, 0.4, 1.3)


@cache
def passes(check, loss: str) -> None:
    """The check of one of our losses, made once for all tests that ask for it; what fails is made again."""
    check(LOSSES[loss])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class Linear:
    """s = sum_k theta_k phi_k(x); phi_0 is the exact score of the one level, so theta = (1, 0, ...) is what a loss must find.

    The score is written here by automatic differentiation of a log density of its own, as implicit losses differentiate it.
    """

    kind = "score"

    def __init__(self, law, levels: Levels):
        alpha, sigma = float(levels.alpha), float(levels.sigma)
        self.means = alpha * law.means
        covs = alpha**2 * law.covs + sigma**2 * torch.eye(law.dim, dtype=torch.float64)
        self.precisions = torch.linalg.inv(covs)
        self.logs = law.weights.log() - 0.5 * torch.linalg.slogdet(covs)[1]
        self.size = 4 if law.dim == 1 else 5
        self.theta = torch.zeros(self.size, dtype=torch.float64, requires_grad=True)

    def score(self, x):
        gap = x.unsqueeze(-2) - self.means
        pull = torch.einsum("...ki,kij->...kj", gap, self.precisions)
        share = torch.softmax(self.logs - 0.5 * (gap * pull).sum(-1), -1)
        return -(share.unsqueeze(-1) * pull).sum(-2)

    def fields(self, x):
        turned = torch.stack([-x[..., -1], x[..., 0]], -1)[..., : x.shape[-1]]
        return torch.stack([self.score(x), torch.ones_like(x), x, torch.tanh(x), torch.tanh(turned)][: self.size])

    def __call__(self, x, lam):
        return (self.theta.reshape(-1, 1, 1, 1) * self.fields(x)).sum(0)

    def minimiser(self, mean_loss):
        """Of a loss that is quadratic in theta: one step of Newton's method from 0."""

        def slope(theta):
            self.theta = theta.clone().requires_grad_()
            return torch.autograd.grad(mean_loss(self), self.theta)[0]

        zero = torch.zeros(self.size, dtype=torch.float64)
        at_zero = slope(zero)
        hessian = torch.stack([slope(unit) - at_zero for unit in torch.eye(self.size, dtype=torch.float64)])
        assert torch.linalg.eigvalsh((hessian + hessian.T) / 2).min() > 0, "no minimum"
        return -torch.linalg.solve(hessian, at_zero)


def truth(size):
    return torch.eye(size, dtype=torch.float64)[0]


def exact_minimiser(loss):
    """On a 1-D mixture, the normal equations by quadrature over (x_0, eps): the minimiser is the exact score, to 1e-9."""
    for lam in AT:
        levels = Levels(LINE.schedule, (lam,))
        batch, weights = pairs(LINE.law, levels)
        net = Linear(LINE.law, levels)
        found = net.minimiser(lambda model, batch=batch, weights=weights: (loss(model, batch, generator()) @ weights).sum())
        assert (found - truth(net.size)).abs().max() < 1e-9, f"lam = {lam}: {found.tolist()}"


def minimisers_of_samples(loss, size, count):
    """Those of `count` samples of `size` points of a 2-D mixture, (count, K)."""
    levels = Levels(PLANE.schedule, (0.4,))
    found = []
    for seed in range(count):
        batch, rng = draw(PLANE.law, levels, size, generator(seed)), generator(100 + seed)
        state = rng.get_state()

        def mean_loss(model, batch=batch, rng=rng, state=state):
            rng.set_state(state)  # one set of probes for one sample
            return loss(model, batch, rng).mean()

        found.append(Linear(PLANE.law, levels).minimiser(mean_loss))
    return torch.stack(found)


def minimiser_in_the_plane(loss):
    """On a 2-D mixture, over 16 samples of 4096 points: the mean of the minimisers is the exact score within 4.5 standard
    errors, and no error bar is wider than 0.1."""
    found = minimisers_of_samples(loss, 4096, 16)
    error = found.std(0) / len(found) ** 0.5
    assert error.max() < 0.1, error.tolist()
    gap = (found.mean(0) - truth(found.shape[1])).abs()
    assert (gap < 4.5 * error + 1e-12).all(), (gap / error).tolist()


def fisher_plus_a_constant(loss):
    """On a 1-D mixture by quadrature: less the Fisher divergence, the mean loss of any network is one number, to 1e-9."""
    batch, weights = pairs(LINE.law, Levels(LINE.schedule, AT))
    nets = [ScoreNet(1, kind, seed=seed) for seed, kind in enumerate(("score", "eps", "v"))]
    excess = [(loss(net, batch, generator()) - fisher(net, batch, generator())).detach() for net in nets]
    constants = torch.stack(excess) @ weights
    spread = (constants - constants[0]).abs().max()
    assert spread < 1e-9, f"constants differ by {float(spread):.1e}"


def teaches(loss):
    """300 steps on a 1-D mixture: the true divergence, sigma^2 norm(s - score)^2, falls from 0.5 below 0.03.  Half or twice
    the score, as wrong factors teach it, have 0.12 and 0.48."""
    lams = (-1.0, 1.5)
    net, levels = ScoreNet(1, seed=1), stratified(LINE.schedule, lams, 6)
    kept: Batch = draw(LINE.law, levels, 1024, generator(9))

    def objective(net, batch, rng):
        return (batch.levels.weight("eps") * loss(net, batch, rng)).mean()

    def error():
        return float((divergence(net, kept).value * levels.weight("eps")[:, 0]).mean())

    assert error() > 0.3
    for _ in train(net, objective, batches(LINE.law, LINE.schedule, lams, (8, 16), 2), 300, 1e-2, 3):
        pass
    assert error() < 0.03, error()
