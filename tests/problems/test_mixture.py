"""Densities, scores, moments and samples of the exact laws: against multiprecision, far away, and on bad input."""

import pickle
from math import pi, sqrt

import mpmath as mp
import numpy as np
import pytest
import torch

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.problems import ExactModel, FlowProblem, GaussianMixture, ProductMixture, exact_model
from sdebench.schedules import EDM, SCHEDULES, VPLinear

F = torch.float64
LAMS = (-5.0, -1.0, 0.5, 2.0, 7.0)
OF_EPS = [name for name in sb.list_problems() if isinstance(sb.get_problem(name).model, ExactModel)]
INSIDE = [name for name in sb.list_problems() if not isinstance(sb.get_problem(name), FlowProblem)]  # no span to an end


def turned(angle, long=0.6, short=0.3):
    c, s = np.cos(angle), np.sin(angle)
    a = long**2 * np.outer([c, s], [c, s]) + short**2 * np.outer([-s, c], [-s, c])
    return (a + a.T) / 2


def random_full(size, d, seed):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(size, d, d)) / sqrt(d)
    covs = 0.2 * (a @ a.transpose(0, 2, 1) + 0.1 * np.eye(d))
    weights = rng.random(size) + 0.2
    covs = (covs + covs.transpose(0, 2, 1)) / 2
    return GaussianMixture(weights / weights.sum(), rng.normal(size=(size, d)), covs), covs


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


def test_product_matches_the_mixture_of_all_its_modes():
    """A product of two bimodal laws in 2-D is a mixture of four: the same score, density and moments."""
    rotation = torch.tensor([[0.6, -0.8], [0.8, 0.6]], dtype=F)
    weights, means = torch.tensor([[0.3, 0.7], [0.6, 0.4]], dtype=F), torch.tensor([[-1.0, 1.0], [-0.5, 1.5]], dtype=F)
    variances = torch.tensor([[0.2, 0.1], [0.3, 0.15]], dtype=F)
    law = ProductMixture(rotation, weights, means, variances)
    pick = [(i, j) for i in range(2) for j in range(2)]
    modes = GaussianMixture(
        [float(weights[0, i] * weights[1, j]) for i, j in pick],
        torch.stack([rotation @ torch.stack([means[0, i], means[1, j]]) for i, j in pick]),
        torch.stack([rotation @ torch.diag(torch.stack([variances[0, i], variances[1, j]])) @ rotation.T for i, j in pick]),
    )
    ns = VPLinear()
    a, b = law.marginal(ns, 0.3), modes.marginal(ns, 0.3)
    x = a.sample(50, seed=0)
    assert (a.score(x) - b.score(x)).abs().max() < 1e-13
    assert (a.log_prob(x) - b.log_prob(x)).abs().max() < 1e-13
    assert (a.mean() - b.mean()).abs().max() < 1e-14
    assert (a.cov() - b.cov()).abs().max() < 1e-14


@pytest.mark.parametrize("case", ["2d", "16d", "wide"])
def test_score_is_the_gradient_of_the_density(case):
    law = law_and_covs(case)[0].marginal(EDM(), 0.4)
    x, u, h = law.sample(5, seed=1), torch.randn(5, law.dim, dtype=F, generator=torch.Generator().manual_seed(0)), 1e-5
    slope = (law.log_prob(x + h * u) - law.log_prob(x - h * u)) / (2 * h)
    assert torch.allclose(slope, (law.score(x) * u).sum(1), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("case", ["1d", "2d", "2d-isotropic", "16d", "wide"])
@pytest.mark.parametrize("sigma", [1e-6, 1.0])
def test_far_away_nothing_overflows(case, sigma):
    """At a million standard deviations the score still points home, to the nearest component."""
    law = law_and_covs(case)[0].marginal(EDM(), sigma)
    x = torch.full((3, law.dim), 1e6, dtype=F) * torch.tensor([[1.0], [-1.0], [1e3]], dtype=F)
    score, log_prob = law.score(x), law.log_prob(x)
    assert torch.isfinite(score).all()
    assert torch.isfinite(log_prob).all()
    assert ((score * x).sum(1) < 0).all()


@pytest.mark.parametrize("covs", [torch.eye(2, dtype=F).repeat(2, 1, 1) * 1e-12, [1e-12, 1e-12]], ids=["full", "isotropic"])
def test_narrow_components_far_apart_keep_their_digits(covs):
    """Standard deviation 1e-6 at distance 1000: the score near a mean is that of the component alone, to rounding."""
    law = GaussianMixture([0.5, 0.5], [[-500.0, 1.0], [500.0, -1.0]], covs)
    step = torch.tensor([[3e-6, -1e-6]], dtype=F)
    x = law.means[1:] + step
    exact = -(x - law.means[1:]) / 1e-12
    assert ((law.score(x) - exact).norm() / exact.norm()) < 1e-14
    assert torch.isfinite(law.score(torch.zeros(1, 2, dtype=F))).all()


@pytest.mark.parametrize("case", ["1d", "2d", "16d", "product"])
def test_samples_have_the_moments(case):
    """Mean and covariance of n draws within five standard errors; the same seed, the same draws."""
    law = sb.get_problem("product-16d").law if case == "product" else law_and_covs(case)[0]
    law, n = law.marginal(VPLinear(), 0.2), 20_000
    x = law.sample(n, seed=0)
    assert torch.equal(x, law.sample(n, seed=0))
    assert not torch.equal(x, law.sample(n, seed=1))
    assert ((x.mean(0) - law.mean()).abs() < 5 * (law.cov().diag() / n).sqrt()).all()
    centred = x - law.mean()
    products = centred[:, :, None] * centred[:, None]
    assert ((products.mean(0) - law.cov()).abs() < 5 * products.std(0) / sqrt(n)).all()


def test_chunks_do_not_show():
    law, _ = random_full(40, 24, seed=5)
    x = law.sample(2000, seed=0)
    assert len(x) > 2 * law.kernel.chunk
    one_by_one = torch.cat([law.score(row[None]) for row in x[::50]])
    assert torch.allclose(law.score(x)[::50], one_by_one, rtol=1e-12, atol=1e-12)
    assert torch.allclose(law.log_prob(x)[::50], torch.cat([law.log_prob(row[None]) for row in x[::50]]), rtol=1e-13)


def test_marginals_share_the_bases_and_compose():
    law, _ = random_full(3, 4, seed=0)
    edm = EDM()
    twice, once = law.marginal(edm, 0.3).marginal(edm, 0.4), law.marginal(edm, 0.5)
    assert twice._basis is law._basis
    x = once.sample(10, seed=0)
    assert torch.allclose(twice.score(x), once.score(x), rtol=1e-13)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["mixture-1d", "mixture-2d", "product-16d", "image"])
def test_other_dtypes_are_evaluated_in_float64(name, dtype):
    problem = sb.get_problem(name)
    x = problem.initial(4, 0).to(dtype)
    p = problem.model(x, problem.span[0])
    assert p.eps.dtype == dtype
    assert torch.equal(p.eps, problem.model(x.double(), problem.span[0]).eps.to(dtype))


@pytest.mark.parametrize("name", OF_EPS)
def test_model_predicts_eps_of_the_marginal_and_keeps_nothing_that_shows(name):
    problem = sb.get_problem(name)
    model, t = exact_model(problem.law, problem.schedule), problem.span[1]
    x = problem.initial(5, 0)
    kept = x.clone()
    first = model(x, t)
    model._most = 20
    for i in range(30):  # more times than are kept
        u = t * (1 + 1e-3 * (i + 1))
        assert torch.equal(model(x, u).eps, exact_model(problem.law, problem.schedule)(x, u).eps)
    assert first.kind == "eps"
    assert torch.equal(model(x, t).eps, first.eps)
    assert torch.equal(x, kept)
    assert len(model._kept) == 20
    there = pickle.loads(pickle.dumps(model))
    assert not there._kept
    assert torch.equal(there(x, t).eps, first.eps)
    ns = problem.schedule
    assert torch.allclose(first.eps, -ns.sigma(t) * problem.law.marginal(ns, t).score(x), rtol=1e-14)
    assert torch.allclose(ns.alpha(t) * first.x0 + ns.sigma(t) * first.eps, x, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", INSIDE)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_problem_moves_to_every_schedule_over_the_same_lam(name, schedule):
    a, b = sb.get_problem(name), sb.get_problem(f"{name}[schedule={schedule}]")
    assert type(b.schedule).__name__ == schedule
    for s, t in zip(a.span, b.span):
        assert a.schedule.lam(s) == pytest.approx(b.schedule.lam(t), abs=1e-12)
    assert b.span[0] > b.span[1]
    assert b.initial(3, 0).shape == (3, b.dim)


EYE = np.eye(2)[None].repeat(2, 0)
SKEW, INDEFINITE = EYE.copy(), EYE.copy()
SKEW[0, 0, 1], INDEFINITE[1, 0, 1], INDEFINITE[1, 1, 0] = 0.1, 2.0, 2.0
TWO = [[0.0, 0.0], [1.0, 1.0]]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: GaussianMixture([0.5, 0.6], TWO, EYE), "weights sum to 1.1"),
        (lambda: GaussianMixture([1.5, -0.5], TWO, EYE), "smallest weight is -0.5"),
        (lambda: GaussianMixture([[0.5, 0.5]], TWO, EYE), r"weights have shape \(1, 2\)"),
        (lambda: GaussianMixture([0.5, 0.5], TWO[:1], EYE), r"means have shape \(1, 2\): give \(2, d\)"),
        (lambda: GaussianMixture([0.5, 0.5], TWO, EYE[:1]), r"covs have shape \(1, 2, 2\): give \(2, 2, 2\)"),
        (lambda: GaussianMixture([0.5, 0.5], TWO, INDEFINITE), "component 1 has smallest eigenvalue -1"),
        (lambda: GaussianMixture([0.5, 0.5], TWO, SKEW), "component 0 differs from its transpose"),
        (lambda: GaussianMixture([0.5, 0.5], TWO, [1.0, -1.0]), "variance -1 of component 1"),
        (lambda: GaussianMixture([0.5, 0.5], [[0.0, float("nan")], [1, 1]], EYE), "means contains inf or NaN"),
        (lambda: GaussianMixture([0.5, 0.5], [[0.0], [1.0, 2.0]], EYE), "means cannot be read"),
        (lambda: ProductMixture(EYE[0] * 1.1, EYE[0] * 0.5 + 0.25, TWO, EYE[0] + 1), "rotation differs from an orthogonal"),
        (lambda: ProductMixture(EYE[0], EYE[0] * 0.5, TWO, EYE[0] + 1), "weights sum to 0.5"),
        (lambda: ProductMixture(EYE[0], EYE[0] * 0.5 + 0.25, TWO, EYE[0]), "smallest variance is 0"),
        (lambda: ProductMixture(EYE[0], [[0.5, 0.5]], TWO, EYE[0]), r"weights has shape \(1, 2\): give \(2, 2\)"),
        (lambda: sb.get_problem("mixture-2d").model(torch.zeros(3, 2, dtype=torch.long), 0.5), "states are dtype torch.int64"),
        (lambda: sb.get_problem("mixture-2d").model(torch.zeros(3, 3), 0.5), r"states have shape \(3, 3\): give \(n, 2\)"),
        (lambda: sb.get_problem("mixture-2d").law.score([[0.0, 1.0]]), "states are list"),
        (lambda: sb.get_problem("mixture-1d[schedule=EMD]"), "unknown schedule 'EMD'.*did you mean 'EDM'"),
        (lambda: sb.get_problem("mixture-2d").initial(0, 0), "number of points is 0: give a whole number, 1 or more"),
        (lambda: sb.get_problem("mixture-2d").initial("a", 0), "number of points is 'a'"),
        (lambda: sb.get_problem("mixture-2d").initial(8.5, 0), "number of points is 8.5"),
        (lambda: sb.get_problem("mixture-2d").initial(8, seed="a"), "seed is 'a': give a whole number"),
        (lambda: sb.get_problem("product-16d").initial(8, None), "seed is None"),
        (lambda: sb.get_problem("product-16d").law.sample(-1, 0), "number of draws is -1: give a whole number, 0 or more"),
        (lambda: GaussianMixture([0.5, 0.5], TWO, EYE).marginal("vp", 0.5), "marginal on 'vp' at the time 0.5: give"),
        (lambda: GaussianMixture([1.0], [[0.0]], [1.0]).flow(torch.zeros(2, 1), EDM(), "a", 0.5), "time 'a' is not one number"),
        (lambda: sb.get_problem("product-16d").law.marginal(EDM, 0.5), "give a schedule and a number"),
        (lambda: sb.problems.exact_model("law", EDM()), "'law' is not a law: give"),
        (lambda: sb.problems.exact_model(GaussianMixture([0.5, 0.5], TWO, EYE), EDM), "EDM'> is not a schedule: give one"),
        (lambda: sb.problems.Problem("p", GaussianMixture([1.0], [[0.0]], [1.0]), EDM(), 0.5), "span of 'p' is 0.5: give two"),
        (lambda: sb.problems.Problem("p", "law", EDM(), (0.9, 0.1)), "'law' is not a law"),
    ],
)
def test_bad_input_is_one_line(make, says):
    with pytest.raises(UsageError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_standard_normal_by_hand():
    law = GaussianMixture([1.0], [[0.0]], [[[4.0]]])
    x = torch.tensor([[2.0]], dtype=F)
    assert float(law.log_prob(x)) == pytest.approx(-0.5 - 0.5 * np.log(2 * pi * 4), rel=1e-15)
    assert float(law.score(x)) == pytest.approx(-0.5, rel=1e-15)
