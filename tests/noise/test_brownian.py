"""One Brownian path: additive, right in law, the same whatever was asked before, in bounded memory.

The law is checked without sampling: all integrals are linear in the path's normals, so with unit vectors in the normals'
place an integral IS its coefficients, and their products are the covariances, overlapping intervals included.
"""

from functools import cache
from itertools import pairwise
from math import cos, exp, sqrt

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad

from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.noise import DATA, EPS, TIME, Custom, Exponential, Power, brownian, gram, sd
from sdebench.noise.brownian import BrownianPath
from sdebench.schedules import EDM, NoiseSchedule, VPLinear

VP = VPLinear()
S, T = VP.t(-1.0), VP.t(1.5)
GRID = grids.irregular(VP, S, T, 4)  # its steps in lam are longer and shorter than a cell
WAVE = Custom(cos)
ROUNDING = {torch.float64: 2e-14, torch.float32: 3e-6}
LAST = 2e-12  # in float64 an end inside of a cell is found to 2^-40 of the cell


def path(shape=(3, 2), seed=0, dtype=torch.float64, times=GRID, **more):
    return BrownianPath(VP, times, shape, seed, dtype, **more)


@cache
def shared(dtype):
    """One path for many questions: it keeps its normals."""
    return path(dtype=dtype)


def inside(i, part=0.37):
    """A time inside of step i of the grid, and of a cell."""
    return VP.t(VP.lam(GRID[i]) + part * (VP.lam(GRID[i + 1]) - VP.lam(GRID[i])))


def joined(w, times, weight) -> torch.Tensor:
    """int over [times[-1], times[0]] of the weight, from the parts between the times."""
    total, t = 0.0, times[-1]
    for u, v in pairwise(times):
        if isinstance(weight, Exponential):
            total = total + exp(weight.c * (VP.lam(v) - VP.lam(t))) * w.integral(u, v, weight)[0]
        elif weight == Power(1):
            part, plain = w.integral(u, v, Power(1), TIME)
            total = total + part + (v - t) * plain
        else:
            total = total + w.integral(u, v, weight)[0]
    return total


WAYS = {
    "whole steps": GRID,
    "ends inside of cells": (inside(0), *GRID[1:4], inside(3)),
    "cut inside of cells": (GRID[0], inside(0), inside(1), GRID[2]),
    "within one cell": (inside(0, 0.1), inside(0, 0.15), inside(0, 0.2)),
    "a stage's time off the grid": (GRID[1], VP.t((VP.lam(GRID[1]) + VP.lam(GRID[2])) / 2), GRID[2]),
    "a sliver": (GRID[1], VP.t(VP.lam(GRID[1]) + 1e-9), GRID[2]),
}


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("weight", [TIME, Power(1), DATA, EPS, Exponential(0.0), Exponential(-0.5), WAVE])
@pytest.mark.parametrize("times", WAYS.values(), ids=WAYS)
def test_the_whole_is_its_parts(times, weight, dtype):
    w = shared(dtype)
    whole, parts = w.integral(times[0], times[-1], weight)[0], joined(w, times, weight)
    assert float((whole - parts).abs().max()) < ROUNDING[dtype] * sd(VP, GRID[0], GRID[-1], weight)
    assert whole.dtype == dtype


LAMS = st.floats(-1.0, 1.5)


@settings(max_examples=4, deadline=None, derandomize=True, database=None)
@given(st.lists(LAMS, min_size=3, max_size=3, unique=True), st.sampled_from([TIME, DATA, WAVE]))
def test_any_whole_is_its_parts(lams, weight):
    times = [VP.t(lam) for lam in sorted(lams)]
    assume(all(VP.lam(v) - VP.lam(u) > 1e-6 for u, v in pairwise(times)))
    w = path((1, 2))
    whole, parts = w.integral(times[0], times[-1], weight)[0], joined(w, times, weight)
    assert float((whole - parts).abs().max()) < ROUNDING[torch.float64] * sd(VP, S, T, weight)


class Plain(NoiseSchedule):
    """lam = 1 - t, for times that are dyadic numbers to be so in lam."""

    t_max = 2.0

    def __eq__(self, other):
        return isinstance(other, Plain)

    def lam(self, t):
        return 1 - t


@pytest.mark.parametrize("dtype", ROUNDING)
def test_an_end_in_the_middle_of_the_last_cell_goes_to_one_side(dtype):
    """And not to both: the last cell is small, yet its normals are not rounding."""
    w = BrownianPath(Plain(), (1.0, 0.5), (2, 2), dtype=dtype)
    middle = 0.75 + 0.5 * 0.5 * 2.0**-w._depth
    whole = w.integral(1.0, 0.5, Exponential(0.0))[0]
    parts = w.integral(1.0, middle, Exponential(0.0))[0] + w.integral(middle, 0.5, Exponential(0.0))[0]
    assert float((whole - parts).abs().max()) < ROUNDING[dtype]


# ------------------------------------------------------------------------------------------------------------------- law


class Exposed(BrownianPath):
    """The path whose normals are unit vectors: its integrals are their coefficients."""

    def _draw(self, *parts):
        seen = vars(self).setdefault("seen", {})
        unit = torch.zeros(self.shape, dtype=self.dtype)
        unit[0, seen.setdefault(parts, len(seen))] = 1.0
        return unit


def exposed(dtype=torch.float64, ns=VP, times=GRID):
    return Exposed(ns, times, (1, 2400), dtype=dtype)


def products(integrals) -> np.ndarray:
    c = torch.cat(list(integrals)).double()
    return (c @ c.T).numpy()


WEIGHTS = (TIME, DATA, EPS, Power(1), WAVE)
PLACES = {
    "a step": (GRID[1], GRID[2]),
    "the whole": (GRID[0], GRID[-1]),
    "inside of a cell": (inside(2, 0.2), inside(2, 0.3)),
    "over cells": (inside(0), inside(3)),
}


@pytest.mark.parametrize(("dtype", "bound"), [(torch.float64, LAST), (torch.float32, 1e-6)])
@pytest.mark.parametrize(("s", "t"), PLACES.values(), ids=PLACES)
def test_integrals_are_jointly_right_with_the_plain_increment(s, t, dtype, bound):
    want = gram(VP, s, t, WEIGHTS)
    width = (VP.lam(t) - VP.lam(s)) / 0.5  # of a cell
    size = np.sqrt(np.diag(want))
    assert (
        abs(products(exposed(dtype).integral(s, t, *WEIGHTS)) - want) <= bound / min(width, 1.0) * np.outer(size, size)
    ).all()


OVERLAPS = [
    ((GRID[1], inside(2)), (GRID[0], GRID[2])),
    ((inside(0), inside(1)), (inside(1), GRID[4])),
    ((inside(1, 0.3), inside(1, 0.6)), (GRID[0], inside(1))),
    ((GRID[0], GRID[2]), (GRID[1], GRID[3])),
]


@pytest.mark.parametrize(("one", "other"), OVERLAPS)
def test_overlapping_intervals_are_one_path(one, other):
    """E[int_a dW int_b dW] is the length of what they share; zero where they only touch."""
    w = exposed()
    a, b = w.integral(*one, TIME)[0], w.integral(*other, TIME)[0]
    shared = max(min(one[0], other[0]) - max(one[1], other[1]), 0.0)
    assert abs(float((a * b).sum()) - shared) < LAST


def test_a_long_interval_without_times_inside():
    """Over a step of 6 in lam, cut into cells of 1/2, the weights are resolved."""
    ns = EDM()
    s, t = ns.t(-3.0), ns.t(3.0)
    a, b = exposed(ns=ns, times=(s, t)).integral(s, t, EPS, WAVE)
    want = quad(lambda lam: cos(lam) * exp(ns.lam(t) - lam), -3, 3, epsrel=1e-13)[0]
    assert float((a * b).sum()) == pytest.approx(want, rel=1e-12)
    assert float((a * a).sum()) == pytest.approx(sd(ns, s, t, EPS) ** 2, rel=1e-13)


@pytest.mark.parametrize("dtype", ROUNDING)
def test_a_sample_has_the_law_too(dtype):
    """With the numbers themselves: no normal is used twice, none is forgotten."""
    w = path((20_000, 2), 3, dtype)
    first, second = w.integral(GRID[0], GRID[1], TIME, EPS), w.integral(GRID[1], GRID[2], TIME, DATA)
    z = torch.stack([v.double().flatten() for v in (*first, *second)])
    want = np.zeros((4, 4))
    want[:2, :2] = gram(VP, *GRID[:2], (TIME, EPS))
    want[2:, 2:] = gram(VP, *GRID[1:3], (TIME, DATA))
    error = np.sqrt((np.outer(np.diag(want), np.diag(want)) + want**2) / z.shape[1])
    assert (abs((z @ z.T).numpy() / z.shape[1] - want) <= 4.5 * error).all()
    assert (z.mean(1).abs() <= 4.5 * torch.from_numpy(np.diag(want) / z.shape[1]).sqrt()).all()


def test_paths_and_coordinates_are_independent():
    a, b = (path((20_000, 2), seed).normal(*GRID[:2], DATA) for seed in (0, 1))
    for one, other in ((a, b), (a[:, 0], a[:, 1]), (a[1:], a[:-1])):
        assert abs(float((one * other).mean())) < 4.5 / sqrt(one.numel())


def test_fresh_normals_are_not_of_the_path():
    w = path((20_000, 2))
    a, b, c = w.fresh(GRID[1]), w.fresh(GRID[1], 1), w.normal(GRID[0], GRID[1], DATA)
    for one, other in ((a, b), (a, c), (b, c)):
        assert abs(float((one * other).mean())) < 4.5 / sqrt(one.numel())
    assert torch.equal(a, w.fresh(GRID[1]))


# ------------------------------------------------------------------------------------------------- a function of what is asked


QUESTIONS = {
    "step": lambda w: w.normal(GRID[0], GRID[1], EPS),
    "joint": lambda w: w.integral(GRID[1], GRID[2], TIME, Power(1))[1],
    "inside": lambda w: w.normal(inside(1), inside(2), DATA),
    "whole": lambda w: w.integral(S, T, WAVE)[0],
    "fresh": lambda w: w.fresh(0.3),
}


def test_the_answer_is_the_same_whatever_was_asked_before():
    alone = {name: ask(path()) for name, ask in QUESTIONS.items()}
    for order in (list(QUESTIONS), list(QUESTIONS)[::-1]):
        w = path()
        for name in order * 2:
            assert torch.equal(QUESTIONS[name](w), alone[name]), name


@pytest.mark.parametrize("kept", [0, 7])
def test_a_store_that_thrashes_changes_nothing_and_is_bounded(kept):
    alone = {name: ask(path()) for name, ask in QUESTIONS.items()}
    w = path(kept_bytes=kept * brownian._stored_bytes((3, 2), torch.float64))
    for name in list(QUESTIONS) * 2:
        assert torch.equal(QUESTIONS[name](w), alone[name]), name
        assert len(w._kept) <= kept


def test_the_store_counts_small_states_by_what_they_cost():
    """A tensor of one number is a kilobyte of objects: 2^24 of them are no 128 MiB."""
    assert path((1, 1), kept_bytes=128 << 20)._most < 2**17
    assert path((256, 3072), dtype=torch.float32, kept_bytes=128 << 20)._most == 42


def test_answers_are_nobodys_to_spoil():
    """What a step does in place to its noise is not done to the path."""
    w = path()
    z = w.normal(GRID[0], GRID[1], DATA)
    before = z.clone()
    z.zero_()
    assert torch.equal(w.normal(GRID[0], GRID[1], DATA), before)


@pytest.mark.parametrize("dtype", ROUNDING)
def test_sample_17_is_the_same_at_every_batch_size(dtype):
    """To the bit on the path's own intervals; inside of cells a product of matrices may add in another order."""
    want = {name: ask(path((18, 3), dtype=dtype))[17] for name, ask in QUESTIONS.items()}
    for shape, first, row in (((40, 3), 0, 17), ((5, 3), 15, 2)):
        w = path(shape, dtype=dtype, first=first)
        for name, ask in QUESTIONS.items():
            if name == "inside":
                assert torch.allclose(ask(w)[row], want[name], rtol=0, atol=ROUNDING[dtype])
            else:
                assert torch.equal(ask(w)[row], want[name]), name


def test_other_seeds_are_other_paths():
    assert not torch.equal(QUESTIONS["step"](path(seed=1)), QUESTIONS["step"](path()))


# -------------------------------------------------------------------------------------------------------- cost, bad input


def asked_for(weight, dtype, n=20) -> float:
    grid = grids.uniform_lam(VP, S, T, n)
    w = path((1, 1), dtype=dtype, times=grid)
    for s, t in pairwise(grid):
        w.normal(s, t, weight)
    return len(w._kept) / n


@pytest.mark.parametrize("dtype", ROUNDING)
def test_data_prediction_needs_one_normal_a_step(dtype):
    assert asked_for(DATA, dtype) == 1
    assert asked_for(Exponential(1.0), dtype) == 1


@pytest.mark.parametrize("weight", [EPS, TIME, Power(1)])
def test_other_weights_need_a_few(weight):
    assert asked_for(weight, torch.float32) <= 7
    assert asked_for(weight, torch.float64) <= 14


def test_intervals_beyond_the_path_are_refused():
    w = path()
    for s, t in ((S + 0.01, T), (S, T - 0.01)):
        with pytest.raises(UsageError, match="give it these times"):
            w.normal(s, t, DATA)
    for s, t in ((T, S), (S, S)):
        with pytest.raises(UsageError, match="give s > t"):
            w.normal(s, t, DATA)


@pytest.mark.parametrize("times", [(), (0.5,), (0.5, 0.5), 5, "ab", None])
def test_a_path_without_length_is_refused(times):
    with pytest.raises(UsageError, match=r"give (two times or more|a sequence of times)"):
        path(times=times)


@pytest.mark.parametrize("shape", [(3,), (), (0, 2), (2, 0), 5])
def test_a_shape_without_samples_or_numbers_is_refused(shape):
    with pytest.raises(UsageError, match=r"\(B, \*D\)"):
        path(shape)
