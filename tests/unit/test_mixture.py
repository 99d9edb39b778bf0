"""Densities, scores, moments and samples of the exact laws: against multiprecision, far away, and on bad input."""

from math import pi, sqrt

import mpmath as mp
import numpy as np
import pytest
import torch

import sdebench as sb
from sdebench.errors import UsageError
from sdebench.problems import GaussianMixture, ProductMixture, exact_model
from sdebench.schedules import EDM, SCHEDULES, VPLinear

F = torch.float64
LAMS = (-5.0, -1.0, 0.5, 2.0, 7.0)


def turned(angle, long=0.6, short=0.3):
    c, s = np.cos(angle), np.sin(angle)
    a = long**2 * np.outer([c, s], [c, s]) + short**2 * np.outer([-s, c], [-s, c])
    return (a + a.T) / 2


def random_full(size, d, seed, spread=1.0):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(size, d, d)) / sqrt(d)
    covs = 0.2 * (a @ a.transpose(0, 2, 1) + 0.1 * np.eye(d))
    weights = rng.random(size) + 0.2
    return GaussianMixture(weights / weights.sum(), spread * rng.normal(size=(size, d)), (covs + covs.transpose(0, 2, 1)) / 2), covs


def law_and_covs(case):
    if case == "1d":
        means, variances = [[-1.0], [0.9], [2.5]], [0.16, 0.25, 0.01]
        return GaussianMixture([0.2, 0.5, 0.3], means, variances), [v * np.eye(1) for v in variances]
    if case == "2d":
        covs = [turned(0.3), turned(1.4), turned(2.6, 0.9, 0.1)]
        return GaussianMixture([0.5, 0.2, 0.3], [[1.0, 0.0], [-1.0, 0.5], [0.0, -1.5]], np.stack(covs)), covs
    if case == "2d-isotropic":
        law = GaussianMixture([0.5, 0.5], [[1.0, 0.0], [-1.0, 0.5]], [0.09, 0.2])
        return law, [0.09 * np.eye(2), 0.2 * np.eye(2)]
    if case == "16d":
        law, covs = random_full(3, 16, seed=1)
        return law, list(covs)
    if case == "separated":
        covs = [turned(0.3, 0.3, 0.1), turned(1.4, 0.3, 0.2)]
        return GaussianMixture([0.5, 0.5], [[50.0, 0.0], [-50.0, 30.0]], np.stack(covs)), covs
    rng = np.random.default_rng(2)  # isotropic and wide
    variances = [0.2, 0.3, 0.25]
    return GaussianMixture([0.2, 0.5, 0.3], 0.3 * rng.normal(size=(3, 150)), variances), [v * mp.eye(150) for v in variances]


def multiprecision(law, covs, alpha, sigma, points):
    """(log densities, scores) by 50-digit arithmetic from the definition."""
    alpha, sigma, d = mp.mpf(alpha), mp.mpf(sigma), law.dim
    means = law.means.numpy()
    parts = []
    for w, mu, c in zip(law.weights.tolist(), means, covs):
        if isinstance(c, mp.matrix):  # isotropic
            v = alpha**2 * c[0, 0] + sigma**2
            inverse, logdet = None, d * mp.log(v)
        else:
            full = alpha**2 * mp.matrix(c.tolist()) + sigma**2 * mp.eye(d)
            v, inverse, logdet = None, full**-1, mp.log(mp.det(full))
        parts.append((mp.log(mp.mpf(w)) - (logdet + d * mp.log(2 * mp.pi)) / 2, [mp.mpf(m) * alpha for m in mu], v, inverse))
    logs, scores = [], []
    for x in points.tolist():
        q, g = [], []
        for const, mu, v, inverse in parts:
            delta = mp.matrix([mp.mpf(a) - b for a, b in zip(x, mu)])
            pull = delta / v if inverse is None else inverse * delta
            q.append(const - mp.fdot(delta, pull) / 2)
            g.append(pull)
        top = max(q)
        r = [mp.exp(a - top) for a in q]
        logs.append(top + mp.log(mp.fsum(r)))
        scores.append([-mp.fsum(rk * gk[i] for rk, gk in zip(r, g)) / mp.fsum(r) for i in range(d)])
    return logs, scores


@pytest.mark.parametrize("lam", LAMS)
@pytest.mark.parametrize("case", ["1d", "2d", "2d-isotropic", "16d", "separated", "wide"])
def test_score_and_density_match_multiprecision(case, lam):
    """Relative error of the score (norm, per point) and of the density at most 1e-12."""
    law, covs = law_and_covs(case)
    ns = VPLinear()
    t = ns.t(lam)
    law_t = law.marginal(ns, t)
    x = law_t.sample(6, seed=4)
    score, log_prob = law_t.score(x), law_t.log_prob(x)
    with mp.workdps(50):
        logs, scores = multiprecision(law, covs, ns.alpha(t), ns.sigma(t), x)
        for i, (exact_log, exact) in enumerate(zip(logs, scores)):
            gap = mp.norm([mp.mpf(a) - b for a, b in zip(score[i].tolist(), exact)]) / mp.norm(exact)
            assert gap <= 1e-12, f"score of point {i}: relative error {mp.nstr(gap, 3)}"
            assert abs(mp.mpf(float(log_prob[i])) - exact_log) <= 1e-12 * max(1, abs(exact_log))
