"""One prediction, five readings of it; and the sums that steps are made of."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import sdebench as sb
from sdebench._support.errors import UsageError
from sdebench.integration.prediction import KINDS, Prediction, conversion, lincomb
from sdebench.schedules import EDM, Rectified, VPLinear

NS, T = VPLinear(), 0.37
X0 = torch.tensor([[0.7, -1.4, 0.2], [3.0, 0.0, -0.6]], dtype=torch.float64)
EPS = torch.tensor([[-0.3, 0.9, 1.7], [0.1, -2.0, 0.4]], dtype=torch.float64)


def readings(ns, t):
    """Every reading of a state made of known data and known noise, from its definition; and the state."""
    alpha, sigma = ns.alpha(t), ns.sigma(t)
    values = {"x0": X0, "eps": EPS, "v": alpha * EPS - sigma * X0, "score": -EPS / sigma, "velocity": EPS - X0}
    return values, alpha * X0 + sigma * EPS


@pytest.mark.parametrize("ns", [VPLinear(), EDM(), Rectified()], ids=str)
@pytest.mark.parametrize("target", KINDS)
@pytest.mark.parametrize("source", KINDS)
def test_every_reading_follows_from_every_kind(source, target, ns):
    values, x = readings(ns, T)
    got = Prediction(source, values[source].clone(), x, T, ns).read(target)
    assert torch.allclose(got, values[target], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("kind", ["x0", "eps", "v", "score"])
def test_the_readings_have_names(kind):
    values, x = readings(NS, T)
    assert torch.allclose(getattr(Prediction("eps", EPS, x, T, NS), kind), values[kind], rtol=1e-13, atol=1e-14)


def test_velocity_is_the_slope_of_straight_paths():
    """dx/dt of x_t = (1 - t) x0 + t eps, and slope_t of the flow with a fixed prediction."""
    from sdebench.solvers.runge_kutta import slope_t

    ns = Rectified()
    values, x = readings(ns, T)
    model = sb.Model(lambda x, t: EPS, ns, "eps")
    assert torch.allclose(slope_t(model, x, T), values["velocity"], rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
@given(t=st.floats(0.01, 0.99))
def test_there_and_back(source, target, t):
    alpha, sigma = NS.alpha(t), NS.sigma(t)
    c, d = conversion(source, target, alpha, sigma)
    e, f = conversion(target, source, alpha, sigma)
    assert d * f == pytest.approx(1.0, rel=1e-9)
    assert e + f * c == pytest.approx(0.0, abs=1e-9 * max(1.0, abs(f * c)))


def test_the_native_reading_is_the_value_itself_and_others_are_made_once():
    _, x = readings(NS, T)
    made = Prediction("eps", EPS, x, T, NS)
    assert made.eps is EPS
    assert made.x0 is made.x0
    assert made.x0 is not made.value


def test_readings_keep_the_dtype():
    for dtype in (torch.float32, torch.bfloat16):
        made = Prediction("eps", EPS.to(dtype), X0.to(dtype), T, NS)
        assert all(made.read(kind).dtype == dtype for kind in KINDS)


def test_a_reading_does_not_touch_the_state():
    _, x = readings(NS, T)
    kept, eps = x.clone(), EPS.clone()
    made = Prediction("eps", eps, x, T, NS)
    for kind in KINDS:
        made.read(kind)
    assert torch.equal(x, kept)
    assert torch.equal(eps, EPS)


@given(a=st.sampled_from([1.0, 0.0, -2.5, 0.3]), b=st.floats(-3, 3), c=st.floats(-3, 3))
def test_lincomb_is_the_sum(a, b, c):
    x, y, z = X0, EPS, X0 * EPS
    before = [v.clone() for v in (x, y, z)]
    assert torch.allclose(lincomb(a, x), a * x, rtol=1e-15, atol=0)
    assert torch.allclose(lincomb(a, x, b, y), a * x + b * y, rtol=1e-14, atol=1e-14)
    assert torch.allclose(lincomb(a, x, b, y, c, z), a * x + b * y + c * z, rtol=1e-14, atol=1e-14)
    assert all(torch.equal(v, w) for v, w in zip((x, y, z), before)), "an input was changed"


@pytest.mark.parametrize("a", [1.0, 0.5])
def test_lincomb_never_returns_its_input(a):
    x = X0.clone()
    assert lincomb(a, x) is not x
    lincomb(a, x).zero_()
    lincomb(a, x, 2.0, x).zero_()
    assert torch.equal(x, X0)


def test_lincomb_keeps_the_dtype():
    assert lincomb(0.1, X0.float(), 0.2, EPS.float()).dtype == torch.float32


def test_a_model_says_what_it_predicts_and_counts():
    model = sb.Counted(sb.Model(lambda x, t: t * x, NS, "v"))
    made = model(X0, 0.25)
    assert (made.kind, made.t, model.schedule) == ("v", 0.25, NS)
    assert torch.equal(made.value, 0.25 * X0)
    model(X0, 0.5)
    assert model.nfe == 2


def test_an_unknown_kind_is_refused():
    with pytest.raises(UsageError, match="give one of x0, eps, v, score, velocity"):
        sb.Model(lambda x, t: x, NS, "noise")


def test_a_model_of_what_is_none_is_refused():
    with pytest.raises(UsageError, match="a model of 'net': give a function fn"):
        sb.Model("net", NS, "eps")
    with pytest.raises(UsageError, match="'vp' is not a schedule: give one"):
        sb.Model(lambda x, t: x, "vp", "eps")


@pytest.mark.parametrize(
    ("answer", "what"), [(None, "None"), ((X0,), r"\(tensor"), (5, "5"), (X0.numpy(), "array"), (X0[:1], "a tensor")]
)
def test_an_answer_that_is_no_state_is_refused(answer, what):
    with pytest.raises(UsageError, match=f"the model gave {what}.*: return a tensor of the state's shape") as caught:
        sb.Model(lambda x, t: answer, NS, "eps")(X0, 0.5)
    assert "\n" not in str(caught.value)
