"""Guided models: exact scores against multiprecision, every reading, intervals, rescaling, the ends, counts, bad input."""

import pickle
from itertools import pairwise

import pytest
import torch
from guidance_checks import LABELS, F, conditional_law_is_to_the_bit, linear_in_the_weight, score_matches_multiprecision
from guidance_checks import labelled as make_labelled

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.problems import Conditional, LabelledMixture, exact_model
from sdebench.schedules import EDM, Rectified, VPLinear

NS = VPLinear()
KINDS = ("eps", "x0", "v", "score")


@pytest.mark.parametrize("lam", [-4.0, -1.0, 0.5, 3.0])
@pytest.mark.parametrize("w", [-1.0, 0.0, 1.0, 3.0, 7.5])
def test_guided_score_matches_multiprecision(w, lam):
    score_matches_multiprecision(w, lam)


def test_w_of_zero_is_the_conditional_law_to_the_bit():
    conditional_law_is_to_the_bit()


def test_linear_in_w():
    linear_in_the_weight()


def test_the_laws_of_the_labels_make_up_the_law():
    """sum_k P(k) p_t(x | k) = p_t(x), and the P(k) sum to one."""
    law, t = make_labelled(), NS.t(0.3)
    x = law.law.marginal(NS, t).sample(20, 0)
    parts = [law.probability(k) * law.given(k).marginal(NS, t).log_prob(x).exp() for k in set(LABELS)]
    assert sum(law.probability(k) for k in set(LABELS)) == pytest.approx(1.0, abs=1e-15)
    assert torch.allclose(sum(parts), law.law.marginal(NS, t).log_prob(x).exp(), rtol=1e-13, atol=0)


def test_the_score_is_that_of_the_classifier_to_the_power():
    """The score of p_t(x) p_t(k | x)^(1 + w), by central differences of its logarithm."""
    law, w, t, h = make_labelled(), 2.5, NS.t(0.4), 1e-5
    cond, uncond = law.given(0).marginal(NS, t), law.law.marginal(NS, t)
    x = uncond.sample(6, 1)
    way = torch.randn(x.shape, dtype=F, generator=torch.Generator().manual_seed(0))

    def log(y):
        return uncond.log_prob(y) + (1 + w) * (cond.log_prob(y) - uncond.log_prob(y))

    slope = (log(x + h * way) - log(x - h * way)) / (2 * h)
    assert torch.allclose((law.guided_model(NS, 0, w)(x, t).score * way).sum(1), slope, rtol=1e-7, atol=1e-7)


def as_kind(law, kind, ns):
    """The exact model of a law, as one that predicts that kind."""
    exact = exact_model(law, ns)
    return sb.Model(lambda x, t: exact(x, t).read(kind), ns, kind)


@pytest.mark.parametrize("one", KINDS)
@pytest.mark.parametrize("other", KINDS)
def test_the_same_in_every_reading(one, other):
    """Any pair of predictions gives one guided model, of the kind of cond."""
    law, t = make_labelled(), NS.t(0.2)
    x = law.law.marginal(NS, t).sample(5, 0)
    model = sb.guided(as_kind(law.given(1), one, NS), as_kind(law.law, other, NS), 3.0)
    right = law.guided_model(NS, 1, 3.0)(x, t)
    assert model.kind == model(x, t).kind == one
    for kind in KINDS:
        assert torch.allclose(model(x, t).read(kind), right.read(kind), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kind", ["x0", "v", "velocity"])
def test_guided_where_alpha_is_zero(kind):
    """From pure noise x0 is (1 + w) the label's mean less w the mean; a model of eps does not tell it."""
    ns, law = Rectified(), make_labelled()
    x = torch.randn(4, 2, dtype=F, generator=torch.Generator().manual_seed(0))
    model = sb.guided(as_kind(law.given(0), kind, ns), as_kind(law.law, kind, ns), 3.0)
    right = 4 * law.given(0).mean() - 3 * law.law.mean()
    assert torch.allclose(model(x, 1.0).x0, right.expand_as(x), rtol=1e-14)
    assert torch.allclose(law.guided_model(ns, 0, 3.0)(x, 1.0).x0, right.expand_as(x), rtol=1e-14)
    blind = sb.guided(*(sb.Model(lambda x, t: x, ns, "eps"),) * 2, 3.0)
    with pytest.raises(UsageError, match="eps does not tell x0"):
        blind(x, 1.0).x0  # noqa: B018
    end = sb.integrate(sb.get_solver("dpm-solver++-2m"), model, x, (1.0, 0.8, 0.5, 0.2, 0.0))
    assert torch.isfinite(end).all()


def test_guidance_on_an_interval_asks_uncond_nowhere_else():
    """low < sigma/alpha <= high: Kynkaanniemi et al. 2024, with the sigma of EDM."""
    ns, law, x = EDM(), make_labelled(), torch.ones(2, 2, dtype=F)
    uncond = sb.Counted(exact_model(law.law, ns))
    model = sb.guided(exact_model(law.given(0), ns), uncond, 3.0, interval=(0.5, 2.0))
    inside, cond = law.guided_model(ns, 0, 3.0), exact_model(law.given(0), ns)
    for t, is_guided in ((0.4, False), (0.5, False), (0.51, True), (2.0, True), (2.01, False)):
        assert torch.equal(model(x, t).eps, (inside if is_guided else cond)(x, t).eps)
    assert uncond.nfe == 2


@pytest.mark.parametrize(("solver", "order"), [("dpm-solver-2", 2), ("dpm-solver-3", 3), ("heun-edm", 1), ("unipc-2", 1)])
def test_an_interval_costs_the_order_unless_its_ends_are_times_of_the_grid(solver, order):
    """The slope between 32 and 64 steps a part, with the ends on the grid, and between them.

    Heun's second evaluation is at the end of its step, on the wrong side, and so is a multistep method's past.
    """
    ns, law, made = EDM(), make_labelled(), sb.get_solver(solver)
    model = law.guided_model(ns, 0, 3.0, interval=(0.5, 1.5))
    x, exact = law.law.marginal(ns, 3.0).sample(16, 0), sb.get_solver("dpm-solver++-3s")

    def end(method, n, *times):
        grid = sum((sb.grids.uniform_lam(ns, s, t, n)[:-1] for s, t in pairwise(times)), ())
        return sb.integrate(method, model, x, (*grid, times[-1]))

    right = end(exact, 400, 3.0, 1.5, 0.5, 0.1)

    def slope(*times):
        errors = [float((end(made, n, *times) - right).norm()) for n in (32, 64)]
        return torch.log2(torch.tensor(errors[0] / errors[1]))

    assert abs(slope(3.0, 1.5, 0.5, 0.1) - order) < 0.25
    assert slope(3.0, 1.41, 0.53, 0.1) < 1.5


def test_rescaled_guidance_has_the_spread_of_the_conditional_prediction():
    """Lin et al. 2023, section 3.4: phi = 1 gives each sample cond's spread; of another kind it is another model."""
    law, t = make_labelled(), NS.t(0.0)
    x = law.law.marginal(NS, t).sample(6, 0)
    cond, plain = exact_model(law.given(0), NS)(x, t).eps, law.guided_model(NS, 0, 5.0)(x, t).eps
    full = law.guided_model(NS, 0, 5.0, rescale=1.0)(x, t).eps
    assert torch.allclose(full.std(1), cond.std(1), rtol=1e-13)
    half = law.guided_model(NS, 0, 5.0, rescale=0.5)(x, t).eps
    assert torch.allclose(half, 0.5 * (full + plain), rtol=1e-13)
    of_v = sb.guided(as_kind(law.given(0), "v", NS), as_kind(law.law, "v", NS), 5.0, rescale=1.0)(x, t).eps
    assert (of_v - full).abs().max() > 1e-2
    line = torch.ones(2, 1, dtype=F)  # one number has no spread
    one = LabelledMixture([0.5, 0.5], [[-1.0], [1.0]], [0.2, 0.2], (0, 1))
    models = (one.guided_model(NS, 0, 5.0, rescale=phi)(line, t).eps for phi in (0.0, 0.7))
    assert torch.allclose(*models, rtol=1e-15)


def network(law):
    """(a conditional network of the exact eps, the sizes of its batches): labels 0 and 1, and 9 for none."""
    models, sizes = {k: exact_model(law.given(k), NS) for k in (0, 1)} | {9: exact_model(law.law, NS)}, []

    def fn(x, t, labels):
        sizes.append(len(x))
        return torch.cat([models[int(k)](row[None], t).eps for row, k in zip(x, labels)])

    return fn, sizes


def test_one_conditional_network_is_asked_once_with_twice_the_batch():
    law, t = make_labelled(), NS.t(0.5)
    x = law.law.marginal(NS, t).sample(4, 0)
    fn, sizes = network(law)
    model = sb.guided(Conditional(fn, NS, "eps", 1, 9), None, 3.0)
    assert torch.allclose(model(x, t).eps, law.guided_model(NS, 1, 3.0)(x, t).eps, rtol=1e-12)
    assert sizes == [8]
    each = sb.guided(Conditional(fn, NS, "eps", torch.tensor([0, 1, 1, 0]), 9), None, 3.0)(x, t).eps
    assert torch.allclose(each[2], model(x, t).eps[2], rtol=1e-12)
    assert torch.allclose(each[:1], law.guided_model(NS, 0, 3.0)(x[:1], t).eps, rtol=1e-12)
    sizes.clear()
    assert torch.equal(
        sb.guided(Conditional(fn, NS, "eps", 1, 9), None, 0.0)(x, t).eps, Conditional(fn, NS, "eps", 1, 9)(x, t).eps
    )
    assert sizes == [4, 4]


def test_evaluations_are_told_both_ways():
    """Ten steps of one evaluation: ten calls of double batch, or twenty single ones."""
    problem = sb.get_problem("guided-2d[w=3]")
    cond, uncond = sb.Counted(problem.model.cond), sb.Counted(problem.model.uncond)
    model = sb.Counted(sb.guided(cond, uncond, 3.0))
    grid = sb.grids.uniform_lam(problem.schedule, *problem.span, 10)
    end = sb.integrate(sb.get_solver("ddim"), model, problem.initial(4, 0), grid)
    assert (model.nfe, cond.nfe + uncond.nfe) == (10, 20)
    assert torch.equal(end, sb.integrate(sb.get_solver("ddim"), problem.model, problem.initial(4, 0), grid))


def test_pure_and_portable():
    model, x = make_labelled().guided_model(NS, 0, 3.0, (0.1, 5.0), 0.7), torch.randn(3, 2, dtype=F)
    kept, first = x.clone(), model(x, 0.4).eps
    assert torch.equal(model(x, 0.4).eps, first)
    assert torch.equal(x, kept)
    assert torch.equal(pickle.loads(pickle.dumps(model))(x, 0.4).eps, first)
    assert model(x.float(), 0.4).eps.dtype == torch.float32


TWO, EYE = [[0.0, 0.0], [1.0, 1.0]], [1.0, 1.0]
EPS = sb.Model(lambda x, t: x, NS, "eps")
ONES = torch.ones(3, 2)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: LabelledMixture([0.5, 0.5], TWO, EYE, (0,)), r"labels are \(0,\): give 2 whole numbers, one a component"),
        (lambda: LabelledMixture([0.5, 0.5], TWO, EYE, (0, 1.5)), r"labels are \(0, 1.5\): give 2 whole numbers"),
        (lambda: LabelledMixture([0.5, 0.5], TWO, EYE, "01"), "labels are '01': give 2 whole numbers"),
        (lambda: LabelledMixture([0.5, 0.5], TWO, EYE, (3, 3)), "all labels are 3: give two different ones at least"),
        (lambda: LabelledMixture([0.5, 0.6], TWO, EYE, (0, 1)), "weights sum to 1.1"),
        (lambda: make_labelled().given(7), r"no component has the label 7 \(there are: 0, 1\)"),
        (lambda: make_labelled().given("0"), "no component has the label '0'"),
        (
            lambda: make_labelled().guided_model(NS, 0, float("nan")),
            "w is nan: give a finite number.*guidance_scale is 1 [+] w",
        ),
        (lambda: sb.guided(EPS, EPS, "3"), "w is '3': give a finite number"),
        (lambda: sb.guided(EPS, EPS, float("inf")), "w is inf"),
        (lambda: sb.guided(EPS, None, 3.0), "uncond is None.*give two models"),
        (lambda: sb.guided("net", EPS, 3.0), "'net' is not a model"),
        (lambda: sb.guided(EPS, len, 3.0), "is not a model"),
        (
            lambda: sb.guided(EPS, sb.Model(lambda x, t: x, EDM(), "eps"), 3.0),
            "cond is on VPLinear.*uncond on EDM.*one schedule",
        ),
        (lambda: sb.guided(EPS, EPS, 3.0, interval=(2.0, 1.0)), r"interval is \(2.0, 1.0\): give \(low, high\) of sigma/alpha"),
        (lambda: sb.guided(EPS, EPS, 3.0, interval=3), "interval is 3"),
        (lambda: sb.guided(EPS, EPS, 3.0, rescale=1.5), "rescale is 1.5: give a number, 0 or more, 1 at most"),
        (lambda: Conditional(len, NS, "noise", 0, 1), "unknown kind of prediction 'noise'"),
        (lambda: Conditional("net", NS, "eps", 0, 1), "a network of 'net': give a function"),
        (lambda: Conditional(len, NS, "eps", 0.5, 1), "label 0.5 and null 1: give whole numbers"),
        (lambda: Conditional(len, NS, "eps", torch.ones(3), 1), "give whole numbers; of label also one a sample"),
        (lambda: Conditional(lambda x, t, y: x, NS, "eps", torch.tensor([1, 2]), 0)(ONES, 0.5), "2 labels for 3 states"),
        (
            lambda: sb.guided(Conditional(lambda x, t, y: x[:1], NS, "eps", 0, 1), None, 1)(ONES, 0.5),
            "the network gave a tensor",
        ),
        (lambda: sb.guided(Conditional(lambda x, t, y: None, NS, "eps", 0, 1), None, 0)(ONES, 0.5), "the network gave None"),
    ],
)
def test_bad_input_is_one_line(make, says):
    with pytest.raises(UsageError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)
