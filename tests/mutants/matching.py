"""Losses of score matching broken on purpose, each in the way that its name says."""

import torch

from sdebench.matching.losses import hutchinson, normal, rademacher, read, trace


def _score(net, batch):
    x = batch.x.detach().requires_grad_()
    return x, read(net, "score", x, batch.levels)


def _square(z):
    return z.square().sum(-1)


def trace_without_its_factor(net, batch, rng):
    """Of `2 E[div s + 1/2 |s|^2]`, the 2 is forgotten before the trace."""
    x, s = _score(net, batch)
    return trace(s, x) + _square(s)


def square_halved(net, batch, rng):
    """The 1/2 is kept and the 2 is not taken out."""
    x, s = _score(net, batch)
    return 2 * trace(s, x) + 0.5 * _square(s)


def wrong_sign_of_the_trace(net, batch, rng):
    x, s = _score(net, batch)
    return -2 * trace(s, x) + _square(s)


def all_entries_of_the_jacobian(net, batch, rng):
    """`grad_x s` as the seed prints it, read as a sum: in one dimension it is the trace."""
    x, s = _score(net, batch)
    return 2 * torch.autograd.grad(s.sum(), x, create_graph=True)[0].sum(-1) + _square(s)


def probe_of_unit_length(net, batch, rng):
    """On the unit sphere E v v' = 1/d, not 1: in one dimension it is a sign."""
    x, s = _score(net, batch)
    v = normal(x.shape, rng)
    return 2 * hutchinson(s, x, v / v.norm(dim=-1, keepdim=True)) + _square(s)


def sliced_without_its_factor(net, batch, rng):
    x, s = _score(net, batch)
    v = rademacher(x.shape, rng)
    return hutchinson(s, x, v) + (v * s).sum(-1).square()


def two_probes(net, batch, rng):
    """The gradient along one probe, read along another: E v w' = 0, and the trace is gone."""
    x, s = _score(net, batch)
    v, w = rademacher(x.shape, rng), rademacher(x.shape, rng)
    gradient = torch.autograd.grad((v * s).sum(), x, create_graph=True)[0]
    return 2 * (w * gradient).sum(-1) + _square(s)


def _denoising(net, batch, kind, truth, weight=None):
    weight = batch.levels.weight(kind) if weight is None else weight
    return _square(read(net, kind, batch.x, batch.levels) - truth) / weight


def swapped_alpha_and_sigma(net, batch, rng):
    """x0 = (x - sigma eps)/alpha with the two in each other's place."""
    alpha, sigma = batch.levels.alpha, batch.levels.sigma
    return _denoising(net, batch, "x0", (batch.x - alpha * batch.eps) / sigma)


def wrong_sign_of_v(net, batch, rng):
    """`sigma x0 - alpha eps`."""
    return _denoising(net, batch, "v", batch.levels.sigma * batch.x0 - batch.levels.alpha * batch.eps)


def printed_weight_of_x0(net, batch, rng):
    """alpha^2/sigma^2, as the seed prints it, for alpha^2/sigma^4: each level's minimiser stays."""
    weight = (batch.levels.sigma / batch.levels.alpha).square().squeeze(-1)
    return _denoising(net, batch, "x0", batch.x0, weight)


def weight_not_squared(net, batch, rng):
    return _denoising(net, batch, "eps", batch.eps, batch.levels.sigma.squeeze(-1))


def score_of_the_wrong_scale(net, batch, rng):
    """`-eps/(2 sigma)`, as the seed prints it."""
    return _denoising(net, batch, "score", -batch.eps / (2 * batch.levels.sigma))


def noise_of_another_sample(net, batch, rng):
    return _denoising(net, batch, "eps", batch.eps.roll(1, 1))
