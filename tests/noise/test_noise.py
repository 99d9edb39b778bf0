"""White noise: the law of its numbers within error bars, what they depend on, and the covariances of Ito integrals."""

from math import cos, exp, expm1, log, prod, sqrt

import mpmath
import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.stats import kstest, norm

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.noise import DATA, EPS, TIME, Custom, Exponential, Power, WhiteNoise, factor, gram, normals, sd, stream
from sdebench.schedules import EDM, VPLinear

VP = VPLinear()
DTYPES = (torch.float32, torch.float64)
SIZES = (1, 2, 3, 3072)
BARS = 4.5  # standard errors: one of the 100 or so statistics below is beyond by chance in 1 of 1500 sets of seeds


def drawn(size, dtype, n=200_000, seed=0):
    """(n/size, size) standard normals, as float64."""
    return normals(stream(seed, "law"), 0, (n // size, size), dtype).double()


def correlated(a, b) -> float:
    """The correlation in standard errors."""
    a, b = (v.flatten() - v.mean() for v in (a, b))
    return float((a * b).mean() / (a.square().mean() * b.square().mean()).sqrt()) * sqrt(a.numel())


def uncorrelated(a, b):
    """Neither they nor their squares: the two numbers of a Box-Muller pair share their radius."""
    assert abs(correlated(a, b)) < BARS
    assert abs(correlated(a.square(), b.square())) < BARS


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_normals_are_standard(size, dtype):
    z = drawn(size, dtype).flatten()
    n = z.numel()
    assert abs(z.mean()) < BARS / sqrt(n)
    assert abs(z.square().mean() - 1) < BARS * sqrt(2 / n)
    assert abs(z.pow(3).mean()) < BARS * sqrt(15 / n)
    assert abs(z.pow(4).mean() - 3) < BARS * sqrt(96 / n)
    assert kstest(z.numpy(), "norm").pvalue > 1e-3


@pytest.mark.parametrize("dtype", DTYPES)
def test_tails_are_as_long_as_they_should_be(dtype):
    """Bits of a uniform that are too few cut the tails: float32's 24 bits alone would end at 5.77."""
    z = torch.cat([normals(stream(seed, "tails"), 0, (1024, 3072), dtype).abs().flatten() for seed in range(2)])
    assert torch.isfinite(z).all()
    for beyond in (3.5, 4.5, 5.0):
        expected = z.numel() * 2 * norm.sf(beyond)  # 2927, 43, 3.6
        assert abs(int((z > beyond).sum()) - expected) < BARS * sqrt(expected), beyond


def normals_of_bits(bits, dtype) -> float:
    """The largest |z| of a generator that gives these bits only."""

    class Stuck:
        def __init__(self, **_):
            pass

        def random_raw(self, n):
            return np.full(n, bits, np.uint64)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(np.random, "Philox", Stuck)
        return float(normals((0, 0), 0, (1, 2), dtype).abs().max())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("bits", [0, 2**64 - 1, 2**63, 2**63 - 1, 2**31 - 1])
def test_no_bits_give_infinity(bits, dtype):
    assert normals_of_bits(bits, dtype) < 10


@pytest.mark.parametrize(("dtype", "width"), [(torch.float32, 31), (torch.float64, 63)])
@pytest.mark.parametrize("bits", [0, 1, 2, 5, 77, 4321])
def test_every_bit_counts_where_the_radius_is_large(bits, dtype, width):
    """Radius sqrt(-2 log u), u = (bits + 1/2)/2^width: the largest is 6.66 in float32 and 9.42 in float64."""
    assert normals_of_bits(bits, dtype) == pytest.approx(sqrt(2 * (width * log(2) - log(bits + 0.5))), rel=1e-6)


def test_float64_has_its_own_digits():
    z = drawn(3, torch.float64, 3000)
    assert (z.float().double() != z).double().mean() > 0.99


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES[1:])
def test_numbers_of_a_sample_are_uncorrelated(size, dtype):
    z = drawn(size, dtype)
    half = (size + 1) // 2
    uncorrelated(z[:, 1:], z[:, :-1])
    uncorrelated(z[:, : size - half], z[:, half:])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", SIZES)
def test_samples_and_streams_are_uncorrelated(size, dtype):
    z = drawn(size, dtype)
    uncorrelated(z[1:], z[:-1])
    uncorrelated(z, drawn(size, dtype, seed=1))
    uncorrelated(z, normals(stream(0, "law", 1), 0, tuple(z.shape), dtype).double())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1,), (2,), (3,), (5, 7), (3, 32, 32)])
def test_sample_17_is_the_same_at_every_batch_size(shape, dtype):
    def noise(count, first=0):
        return WhiteNoise(VP, (count, *shape), 3, dtype, first=first)

    for ask in (lambda w: w.normal(0.5, 0.4, EPS), lambda w: w.fresh(0.4, 2), lambda w: w.integral(0.5, 0.4, DATA, TIME)[1]):
        want = ask(noise(18))[17]
        assert torch.equal(ask(noise(64))[17], want)
        assert torch.equal(ask(noise(1, 17))[0], want)
        assert torch.equal(ask(noise(9, 10))[7], want)
        assert want.shape == shape
        assert want.dtype == dtype


def test_the_same_question_has_the_same_bits():
    def answers(w):
        return [w.normal(0.5, 0.4, EPS), w.fresh(0.4), *w.integral(0.5, 0.4, TIME, Power(1))]

    noise = WhiteNoise(VP, (4, 3), 5)
    first = answers(noise)
    for again in (answers(noise), answers(WhiteNoise(VP, (4, 3), 5))):
        assert all(torch.equal(a, b) for a, b in zip(first, again))


GOLDEN = [-0.8636594970504619, 2.953499468411726, 1.6650811434532728]


def test_numbers_stay_as_they_are():
    """Published figures are repeated by this: the numbers themselves, at places that the code reaches in different ways."""
    z = normals(stream(7, "interval", 0.5, 0.25, 0), 0, (3, 3), torch.float64)
    assert torch.equal(z[1:], normals(stream(7, "interval", 0.5, 0.25, 0), 1, (2, 3), torch.float64))
    assert torch.allclose(z[2], torch.tensor(GOLDEN, dtype=torch.float64), rtol=1e-14, atol=0)


OTHERS = {
    "s": lambda w: w.normal(0.51, 0.4, EPS),
    "t": lambda w: w.normal(0.5, 0.41, EPS),
    "tag": lambda w: w.normal(0.5, 0.4, EPS, tag=1),
    "fresh": lambda w: w.fresh(0.5),
    "fresh elsewhere": lambda w: w.fresh(0.4),
    "fresh with a tag": lambda w: w.fresh(0.5, 1),
    "seed": lambda w: WhiteNoise(VP, w.shape, w.seed + 1).normal(0.5, 0.4, EPS),
    "seed below 0": lambda w: WhiteNoise(VP, w.shape, -w.seed).normal(0.5, 0.4, EPS),
}


def test_other_questions_have_independent_answers():
    noise = WhiteNoise(VP, (20_000, 2), 1)
    found = [noise.normal(0.5, 0.4, EPS)] + [ask(noise) for ask in OTHERS.values()]
    for i, a in enumerate(found):
        for b in found[:i]:
            uncorrelated(a, b)


@pytest.mark.parametrize(
    ("s", "t", "weight", "match"),
    [
        (0.4, 0.5, EPS, "give s > t"),
        (0.5, 0.5, EPS, "give s > t"),
        (float("nan"), 0.5, EPS, "give s > t"),
        (0.5, 0.4, "TIME", "give sdebench.noise.TIME"),
        (0.5, 0.4, None, "give sdebench.noise.TIME"),
    ],
)
def test_questions_that_are_none_are_refused(s, t, weight, match):
    noise = WhiteNoise(VP, (3, 2), 1)
    for ask in (noise.normal, noise.integral):
        with pytest.raises(UsageError, match=match):
            ask(s, t, weight)


# ----------------------------------------------------------------------------------------------------------- covariances


def step_of(h, ns=VP, at=0.5):
    """(s, t) with lam(t) - lam(s) = h, nearly."""
    return at, ns.t(ns.lam(at) + h)


@pytest.mark.parametrize("ns", [VP, EDM()])
@pytest.mark.parametrize("h", [1e-9, 1e-4, 0.1, 1.0, 5.0])
def test_closed_forms_to_rounding(ns, h):
    """Of the step as it is: h is the difference of two lams, which the caller's own step has too."""
    s, t = step_of(h, ns)
    with mpmath.workdps(40):
        exact_h, width = mpmath.mpf(ns.lam(t) - ns.lam(s)), mpmath.mpf(s) - mpmath.mpf(t)
        for a in (1.0, -1.0, 0.0, -0.5, 0.3):
            for b in (1.0, -1.0, 0.0, 0.5):
                c = mpmath.mpf(a) + mpmath.mpf(b)
                want = -mpmath.expm1(-c * exact_h) / c if c else exact_h
                assert abs(gram(ns, s, t, [Exponential(a), Exponential(b)])[1, 0] / want - 1) < 4e-16, (a, b)
        for p in range(3):
            for q in range(3):
                want = width ** (p + q + 1) / (p + q + 1)
                assert abs(gram(ns, s, t, [Power(p), Power(q)])[0, 1] / want - 1) < 2e-15, (p, q)


MIXED = [  # in t: dB = g/(sigma sqrt(2)) dW and dlam = g^2/(2 sigma^2) dt (backwards)
    (Power(0), DATA),
    (Power(0), EPS),
    (Power(1), EPS),
    (Power(2), Exponential(0.3)),
    (Power(1), Exponential(0.0)),
    (Custom(cos), TIME),
    (Custom(cos), DATA),
    (Custom(cos), Custom(exp)),
    (Custom(cos), Power(1)),
]


def in_t(ns, t, weight, u) -> float:
    """The integrand of dW at the time u."""
    if isinstance(weight, Power):
        return (u - t) ** weight.p
    value = weight.fn(ns.lam(u)) if isinstance(weight, Custom) else exp(weight.c * (ns.lam(u) - ns.lam(t)))
    return value * sqrt(ns.g2(u) / 2) / ns.sigma(u)


@pytest.mark.parametrize("ns", [VP, EDM()])
@pytest.mark.parametrize("h", [1e-3, 0.1, 1.0])
@pytest.mark.parametrize(("a", "b"), MIXED)
def test_mixed_pairs_are_integrals_over_time(ns, h, a, b):
    s, t = step_of(h, ns)
    want = quad(lambda u: in_t(ns, t, a, u) * in_t(ns, t, b, u), t, s, epsabs=0, epsrel=1e-12)[0]
    found = gram(ns, s, t, [a, b])
    assert abs(found[0, 1] / want - 1) < 1e-11
    assert found[0, 1] == found[1, 0]


def test_the_named_variances():
    s, t = step_of(0.7)
    h = VP.lam(t) - VP.lam(s)
    assert sd(VP, s, t, DATA) ** 2 == pytest.approx((1 - exp(-2 * h)) / 2, rel=1e-14)
    assert sd(VP, s, t, EPS) ** 2 == pytest.approx(expm1(2 * h) / 2, rel=1e-14)
    assert sd(VP, s, t, TIME) ** 2 == pytest.approx(s - t, rel=1e-14)


ALIKE = {
    "twice": (DATA, DATA),
    "twice with another between": (DATA, EPS, DATA),
    "in other words": (DATA, Custom(lambda lam: 3 * exp(lam))),
    "three in a plane": (TIME, Power(1), Custom(lambda lam: 1.0), TIME),
    "nothing": (DATA, Custom(lambda lam: 0.0), EPS),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("weights", ALIKE.values(), ids=ALIKE)
@pytest.mark.parametrize("h", [1e-9, 1e-3, 0.5])
def test_a_root_is_found_of_singular_matrices_too(weights, h):
    s, t = step_of(h)
    want = gram(VP, s, t, weights)
    root = factor(want)
    size = np.sqrt(np.diag(want))
    bound = 1e-13 if h > 1e-8 else 1e-6  # what two lams as near as 1e-9 know of their difference
    assert np.isfinite(root).all()
    assert (np.triu(root, 1) == 0).all()
    assert (abs(root @ root.T - want) <= bound * np.outer(size, size)).all()


def test_a_root_of_a_matrix_of_full_rank():
    rng = np.random.default_rng(0)
    a = rng.normal(size=(5, 5)) * 10.0 ** np.arange(-4, 1)[:, None]
    assert np.allclose(factor(a @ a.T), np.linalg.cholesky(a @ a.T), rtol=1e-9, atol=0)


def jointly_right(integrals, want):
    """Sample covariance within the error of Monte Carlo."""
    z = torch.stack([v.double().flatten() for v in integrals])
    n, found = z.shape[1], (z @ z.T / z.shape[1]).numpy()
    error = np.sqrt((np.outer(np.diag(want), np.diag(want)) + want**2) / n)
    assert (abs(found - want) <= BARS * error).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_integrals_are_jointly_right(dtype):
    weights = (TIME, EPS, Power(1), DATA, Custom(cos))
    jointly_right(WhiteNoise(VP, (50_000, 2), 2, dtype).integral(0.5, 0.2, *weights), gram(VP, 0.5, 0.2, weights))


def test_one_weight_is_its_normal_times_its_deviation():
    noise = WhiteNoise(VP, (3, 4))
    for weight in (DATA, TIME):
        z = noise.normal(0.5, 0.4, weight, tag=2)
        assert torch.allclose(noise.integral(0.5, 0.4, weight, tag=2)[0], z * sd(VP, 0.5, 0.4, weight), rtol=1e-14)


# ------------------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("shape", [(4,), (), (0, 3), (4, 0), 5, None, "ab", (4, "a"), (4, 1.5), torch.zeros(2, 3)])
def test_a_shape_without_samples_or_numbers_is_refused(shape):
    with pytest.raises(UsageError, match=r"give \(B, \*D\)"):
        WhiteNoise(VP, shape)


@pytest.mark.parametrize(
    ("schedule", "settings", "says"),
    [
        (VP, {"first": -1}, "first sample is -1: give a whole number, 0 or more"),
        (VP, {"first": "a"}, "first sample is 'a'"),
        (VP, {"seed": "a"}, "seed is 'a': give a whole number"),
        (VP, {"seed": None}, "seed is None"),
        (VP, {"seed": 1.5}, "seed"),
        (VP, {"dtype": "float32"}, "dtype 'float32': give that of the state"),
        (VP, {"dtype": torch.int64}, "dtype torch.int64"),
        ("vp", {}, "'vp' is not a schedule"),
        (EDM, {}, "is not a schedule"),
    ],
)
def test_a_noise_of_what_is_none_is_refused(schedule, settings, says):
    with pytest.raises(UsageError, match=says) as caught:
        WhiteNoise(schedule, (2, 3), **settings)
    assert "\n" not in str(caught.value)


def test_a_stochastic_method_without_its_noise_is_refused():
    problem = sb.get_problem("mixture-1d")
    x, solver = problem.initial(2, 0), sb.get_solver("euler-maruyama")
    with pytest.raises(UsageError, match=r"give noise=.*WhiteNoise"):
        sb.integrate(solver, problem.model, x, problem.span)
    with pytest.raises(UsageError, match="one schedule"):
        sb.integrate(solver, problem.model, x, problem.span, WhiteNoise(EDM(), x.shape))
    sb.integrate(solver, problem.model, x, problem.span, WhiteNoise(VP, x.shape))


def test_the_largest_batch_does_not_overrun_the_counter():
    """Samples far out are still their own: the counter has 128 bits."""
    far = 2**63
    z = normals((1, 2), far, (2, 3072), torch.float32)
    assert torch.equal(normals((1, 2), far + 1, (1, 3072), torch.float32)[0], z[1])
    assert prod(z.shape) == z.unique().numel()
    assert not torch.equal(normals((1, 2), 0, (1, 3072), torch.float32)[0], z[0])  # far * 384 is 0 modulo 2^64
