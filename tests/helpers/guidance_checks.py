"""What guided models are held to; the mutants must fail each of these."""

import mpmath as mp
import numpy as np
import torch

import sdebench as sb
from sdebench.problems import LabelledMixture, exact_model
from sdebench.schedules import VPLinear

F = torch.float64
LABELS = (0, 1, 0, 1)
WEIGHTS, MEANS = [0.4, 0.1, 0.2, 0.3], [[1.0, 0.0], [-1.0, 0.5], [0.0, -1.5], [0.3, 1.2]]
NS = VPLinear()


def _turned(angle, long, short):
    c, s = np.cos(angle), np.sin(angle)
    return long**2 * np.outer([c, s], [c, s]) + short**2 * np.outer([-s, c], [-s, c])


COVS = np.stack([_turned(a, 0.6, 0.3) for a in (0.3, 1.4, 2.6, 0.9)])
COVS = (COVS + COVS.transpose(0, 2, 1)) / 2


def labelled() -> LabelledMixture:
    """Four components in the plane under two labels."""
    return LabelledMixture(WEIGHTS, MEANS, COVS, LABELS)


def _score(x, alpha, sigma, which):
    """The score of x_t given that the component is one of `which`, from the definition."""
    parts = []
    for j in which:
        cov = alpha**2 * mp.matrix(COVS[j].tolist()) + sigma**2 * mp.eye(2)
        delta = mp.matrix([a - alpha * mp.mpf(m) for a, m in zip(x, MEANS[j])])
        pull = cov**-1 * delta
        parts.append((mp.mpf(WEIGHTS[j]) * mp.exp(-mp.fdot(delta, pull) / 2) / mp.sqrt(mp.det(cov)), pull))
    total = mp.fsum(p for p, _ in parts)
    return [-mp.fsum(p * pull[i] for p, pull in parts) / total for i in range(2)]


def score_matches_multiprecision(w: float = 3.0, lam: float = 0.5) -> None:
    """Error of the guided score at most 1e-12 of the scores that it is made of, against 50 digits."""
    law, t = labelled(), NS.t(lam)
    x = law.law.marginal(NS, t).sample(6, seed=4)
    found = law.guided_model(NS, 1, w)(x, t).score
    with mp.workdps(50):
        alpha, sigma = mp.mpf(NS.alpha(t)), mp.mpf(NS.sigma(t))
        for row, got in zip(x.tolist(), found.tolist()):
            point = [mp.mpf(a) for a in row]
            cond, uncond = _score(point, alpha, sigma, (1, 3)), _score(point, alpha, sigma, range(4))
            right = [(1 + w) * c - w * u for c, u in zip(cond, uncond)]
            gap = mp.norm([mp.mpf(a) - b for a, b in zip(got, right)])
            assert gap <= 1e-12 * (mp.norm(cond) + mp.norm(right)), mp.nstr(gap, 3)


def conditional_law_is_to_the_bit() -> None:
    """w = 0 is the exact model of the label's law, and asks nobody else; w = -1 is the law's without labels."""
    law, t = labelled(), NS.t(0.5)
    x = law.law.marginal(NS, t).sample(6, seed=4)
    alone = sb.guided(exact_model(law.given(1), NS), sb.Counted(exact_model(law.law, NS)), 0.0)
    assert torch.equal(alone(x, t).eps, exact_model(law.given(1), NS)(x, t).eps)
    assert alone.uncond.nfe == 0
    without = law.guided_model(NS, 1, -1.0)(x, t).eps
    assert torch.allclose(without, exact_model(law.law, NS)(x, t).eps, rtol=1e-14, atol=1e-15)


def linear_in_the_weight() -> None:
    """eps(w) lies on the line through eps(0) and eps(1)."""
    law, t = labelled(), NS.t(0.5)
    x = law.law.marginal(NS, t).sample(6, seed=4)
    zero, one, far = (law.guided_model(NS, 1, w)(x, t).eps for w in (0.0, 1.0, 7.5))
    assert torch.allclose(far, zero + 7.5 * (one - zero), rtol=1e-13, atol=1e-13)
    assert (one - zero).abs().max() > 1e-2
