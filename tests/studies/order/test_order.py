"""`measure_order` on somebody's own class: right, wrong, diverging, raising; and what local orders are measured from."""

from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, isinf, isnan, nan

import pytest
import torch
from measured import cases_of

import sdebench as sb
from sdebench import grids
from sdebench._support.errors import UsageError
from sdebench.integration.solver import Solver, Step
from sdebench.records import Claims, held_to
from sdebench.studies import ladders
from sdebench.studies.base import Found
from sdebench.studies.order import OrderStudy, stochastic
from sdebench.studies.order import measure as order
from sdebench.studies.setting import PAST_RATIOS, setting


@dataclass(frozen=True)
class Mine(Solver):
    order, nfe_per_step = 1, 1

    def step(self, model, x, s, t, past=(), noise=None):
        ns, p = model.schedule, model(x, s)
        return Step(ns.alpha(t) * p.x0 + ns.sigma(t) * p.eps)


class Proud(Mine):
    order = 2


class Lost(Mine):
    """Follows nine tenths of the slope, and so converges to somewhere else: its error does not fall."""

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        return Step(ns.alpha(t) * (x / ns.alpha(s) + 0.9 * (ns.rho(t) - ns.rho(s)) * model(x, s).eps))


class Explodes(Mine):
    """Twice the state at every step: infinite in the end, on fine grids only."""

    def step(self, model, x, s, t, past=(), noise=None):
        return Step(1e4 * super().step(model, x, s, t).x)


class Nothing(Mine):
    def step(self, model, x, s, t, past=(), noise=None):
        return Step(x * nan)


class LostOnce(Mine):
    """Not a number on one grid alone."""

    def step(self, model, x, s, t, past=(), noise=None):
        new, (s_48, t_48) = super().step(model, x, s, t).x, _first_of_48()
        return Step(new * (nan if (s, t) == (s_48, t_48) else 1))


def _first_of_48():
    problem = sb.get_problem("mixture-1d")
    return grids.uniform_lam(problem.schedule, *problem.span, 48)[:2]


class Raises(Mine):
    def step(self, model, x, s, t, past=(), noise=None):
        raise ZeroDivisionError("of my own")


class Perfect(Mine):
    """The exact flow: no error to have an order."""

    order = 3

    def step(self, model, x, s, t, past=(), noise=None):
        return Step(sb.get_problem("mixture-1d").solution(x, s, t))


@pytest.mark.parametrize("kind", ["local", "global"])
def test_five_lines_of_ones_own(kind):
    m = sb.measure_order(Mine(), kind=kind)
    assert m.verdict == "confirmed"
    assert m.order == pytest.approx(m.claim, abs=0.02)
    assert m.claim == {"local": 2, "global": 1}[kind]
    assert m.half_width < 0.05
    assert not m.reason
    (h_1, e_1), (h_2, e_2), *_ = m.points
    assert h_1 > h_2
    assert e_1 > e_2
    assert m.constant == pytest.approx(m.points[-1][1] / m.points[-1][0] ** m.claim, rel=0.1)


def test_it_is_ddim():
    """Five lines from the docstring of DDIM are DDIM: the same errors, to rounding."""
    mine, theirs = sb.measure_order(Mine(), points=8), sb.measure_order("ddim", points=8)
    assert [e for _, e in mine.points] == pytest.approx([e for _, e in theirs.points], rel=1e-10)


@pytest.mark.parametrize("kind", ["local", "global"])
def test_a_claim_too_high_is_refuted(kind):
    m = sb.measure_order(Proud(), kind=kind)
    assert m.verdict == "refuted"
    assert m.order == pytest.approx(m.claim - 1, abs=0.02)
    assert sb.measure_order(Mine(), kind=kind, claim=m.claim).verdict == "refuted", "likewise for a claim from outside"


def test_a_method_that_does_not_converge_is_refuted():
    m = sb.measure_order(Lost(), points=8)
    assert m.verdict == "refuted"
    assert m.order < 0.3


@pytest.mark.parametrize(("kind", "where"), [("local", "at h = 0.5"), ("global", "at 24 steps")])
def test_not_a_number_is_divergence(kind, where):
    m = sb.measure_order(Nothing(), kind=kind, points=8)
    assert m.verdict == "refuted"
    assert m.reason == f"diverges: the state is not finite, first {where}"
    assert isnan(m.order)
    assert isinf(m.half_width)
    assert all(isinf(e) for _, e in m.points)


def test_an_explosion_is_divergence():
    m = sb.measure_order(Explodes(), points=8)
    assert isfinite(m.points[0][1])
    assert m.verdict == "refuted"
    assert m.reason == "diverges: the state is not finite, first at 48 steps"


def test_not_a_number_on_one_grid_alone_is_divergence_too():
    m = sb.measure_order(LostOnce(), points=8)
    assert m.verdict == "refuted"
    assert m.reason.endswith("first at 48 steps")


@pytest.mark.parametrize("kind", ["local", "global"])
def test_its_own_exception_is_its_own(kind):
    with pytest.raises(ZeroDivisionError, match="of my own"):
        sb.measure_order(Raises(), kind=kind, points=8)


def test_an_exact_method_has_no_order_and_is_not_confirmed():
    m = sb.measure_order(Perfect(), kind="local", points=8)
    assert m.fit.exact
    assert m.verdict == "not asymptotic"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "globall"}, "did you mean 'global'"),
        ({"kind": "main"}, "main"),
        ({"kind": "tolerance"}, "tolerance"),
        ({"grid": "karas"}, "did you mean 'karras'"),
        ({"problem": "mixture-1"}, "did you mean 'mixture-1d'"),
        ({"problem": 7}, "the problem is 7: give a sdebench.Problem, or the name of one"),
        ({"kind": "global", "grid": 7}, "cannot name a grid"),
        ({"kind": 7}, "kind of order of this method 7"),
        ({"points": "a"}, "points is 'a': give a whole number, 1 or more"),
        ({"points": 2.5}, "is 2.5: give"),
        ({"seed": "a"}, "seed is 'a'"),
    ],
)
def test_what_there_is_not_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        sb.measure_order(Mine(), **settings)


@pytest.mark.parametrize(
    ("solver", "kind", "grid", "message"),
    [
        (
            "ddpm",
            "strong",
            "karras",
            "grid 'karras' for kind 'strong', which is measured on the grid 'uniform_lam' alone: leave",
        ),
        ("lms-2", "main", "uniform_lam", "on the grid 'irregular' alone"),
        ("ddim", "local", "irregular", "on no grid: leave"),
        ("dpm-solver-12", "tolerance", "karras", "on no grid"),
    ],
)
def test_a_grid_that_a_kind_is_not_measured_on_is_refused(solver, kind, grid, message):
    with pytest.raises(UsageError, match=message):
        sb.measure_order(solver, kind=kind, grid=grid)


def test_a_kind_may_be_given_the_grid_that_it_is_measured_on(monkeypatch):
    monkeypatch.setattr(stochastic, "STRONG_STEPS", (8, 16, 32, 64))
    monkeypatch.setattr(stochastic, "STRONG_PATHS", 64)
    given, own = (sb.measure_order("ddpm", kind="strong", grid=grid) for grid in ("uniform_lam", ""))
    assert given == own
    assert sb.measure_order("lms-2", kind="main", grid="irregular", points=4).grid == "irregular"
    assert sb.measure_order("lms-2", kind="main", points=4).grid == "irregular"
    assert sb.measure_order("ddim", points=4).grid == "uniform_lam"


def test_a_misspelt_solver_is_named():
    with pytest.raises(UsageError, match="did you mean 'dpm-solver-2'"):
        sb.measure_order("dpm-solver2")


@pytest.mark.parametrize("problem", ["gaussian", "mixture-2d", "product-16d", "mixture-1d[schedule=Rectified]"])
def test_on_every_kind_of_problem(problem):
    assert sb.measure_order("dpm-solver-2", problem, "local", points=4).verdict == "confirmed"


def test_a_problem_of_ones_own():
    law = sb.problems.GaussianMixture([0.5, 0.5], [[-0.8], [0.8]], [0.2, 0.2])
    mine = sb.problems.Problem("mine", law, sb.schedules.EDM(), (2.0, 0.3))
    assert sb.measure_order(Mine(), mine, points=8).verdict == "confirmed"


def test_kinds_are_those_that_a_method_has():
    kinds = lambda name: order.kinds_of(sb.get_solver(name))  # noqa: E731
    assert kinds("ddim") == ("local", "global")
    assert kinds("unipc-3") == ("local", "global", "main", "start-up", "end-point")
    assert kinds("dpm-solver-12") == ("local", "global", "tolerance")
    assert "tolerance" in kinds("scipy-rk45")


def test_pieces_of_a_multistep_run_add_up():
    """DPM-Solver++ 3M: main scheme 3, a start-up that costs h^2 once, so the run is of order 2."""
    of = lambda kind: sb.measure_order("dpm-solver++-3m", kind=kind, grid="irregular", points=8).order  # noqa: E731
    assert of("main") == pytest.approx(3, abs=0.1)
    assert of("start-up") == pytest.approx(2, abs=0.1)
    assert of("end-point") == pytest.approx(4, abs=0.1)
    assert of("global") == pytest.approx(2, abs=0.1)


def test_claims_by_kind_and_grid():
    plms = Claims.of(sb.get_solver("plms"))
    claim = lambda kind, grid: held_to(plms, kind, grid)[1]  # noqa: E731
    assert claim("global", "karras") == 2
    assert claim("global", "irregular") == claim("global", "jitter") == 1
    assert claim("local", "") == 2
    assert claim("start-up", "") is None
    assert sb.measure_order("dpm-solver++-2m", kind="start-up", points=4).verdict == "measured"


def test_the_past_of_a_local_step_is_exact_and_unequal():
    at = setting("mixture-1d", 64, 0)
    times, exact = at.hop(0.1, 1, len(PAST_RATIOS))
    *past, s, t = (at.problem.schedule.lam(t) for t in times)
    past = past[::-1]
    steps = [a - b for a, b in zip([s, *past], past)]
    assert t - s == pytest.approx(0.1)
    assert steps == pytest.approx([0.1 * r for r in PAST_RATIOS])
    assert len({round(v / (t - s), 3) for v in (t - s, *steps)}) == len(steps) + 1, "no two steps alike"
    for time, state in zip(times, exact.states):
        assert torch.allclose(at.problem.solution(exact.states[0], times[0], time), state, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("p", range(1, 6))
@pytest.mark.parametrize("memory", [0, 1, 3])
def test_ladders_are_long_enough_and_keep_irregular_grids_similar(p, memory):
    for main in (p, p + 1):
        n = ladders.ladder(p, main, memory)
        assert len(n) >= 5
        assert all(a < b for a, b in pairwise(n))
        assert all(k % 4 == 0 for k in n), "jitter repeats every fourth step"


@pytest.mark.parametrize("p", [5, 8])
def test_ladders_of_black_boxes_keep_irregular_grids_similar(p):
    assert all(k % 4 == 0 for k in ladders.black_box_ladder(p, irregular=True))


def climbed(first, error, floor=1e-15, **options):
    """The numbers of steps that a ladder takes where the error of n steps is `error(n)`."""
    data = {"n": [], "h": [], "rms": [], "floor": []}
    for n in ladders.rungs(data, first, **options):
        for name, value in zip(data, (n, 1 / n, error(n), floor)):
            data[name].append(value)
    return data["n"]


def test_a_ladder_goes_on_while_its_order_is_not_known():
    first = (64, 96, 144, 216, 324)
    assert climbed(first, lambda n: n**-2.0) == [*first], "known at once"
    bent = climbed(first, lambda n: 1e-3 * n**-2.0 + n**-3.5)
    assert len(first) < len(bent) < ladders.MOST_RUNGS
    assert all(n % 4 == 0 for n in bent)
    wild = climbed(first, lambda n: n**-2.0 * (1 + 0.9 * (-1) ** round(n / 4)))
    assert len(wild) == ladders.MOST_RUNGS, "an end in any case"
    assert len(climbed(first, lambda n: n**-2.5)) == ladders.MOST_RUNGS, "sharp, but no order: it still drifts, or has none"


def test_a_ladder_ends_at_any_integer_and_where_nothing_is_to_be_seen():
    first = (64, 96, 144, 216, 324)
    assert climbed(first, lambda n: n**-3.0) == climbed(first, lambda n: n**-1.0) == [*first], "whatever is claimed"
    assert climbed(first, lambda n: float("inf")) == [*first], "diverges"
    assert climbed(first, lambda n: 1 / (n % 7 + 1), further=False) == [*first]


def test_a_ladder_grows_coarser_where_too_little_stands_above_the_floor():
    first = (64, 96, 144, 216, 324)
    assert climbed(first, lambda n: 1e-15) == [*first, 44, 28, 20, 12, 8], "down to where it is no ladder"
    assert climbed(first, lambda n: n**-7.0) == [*first, 44, 28, 20]


def test_a_ladder_goes_on_where_a_lower_order_is_stated_than_shows():
    first = (64, 96, 144, 216, 324)
    assert climbed(first, lambda n: n**-3.0, stated=3) == [*first]
    assert len(climbed(first, lambda n: n**-3.0, stated=2)) == ladders.MOST_RUNGS
    assert climbed(first, lambda n: n**-3.0 + n**-2.0, stated=2) == [*first]


@pytest.mark.parametrize("solver", ["torchdiffeq-dopri5", "torchdiffeq-tsit5"])
def test_a_local_order_is_seen_above_the_rounding_of_an_interpolated_answer(solver):
    found = sb.measure_order(solver, "mixture-2d", "local")
    assert found.verdict == "confirmed"
    assert abs(found.order - 6) <= 0.1


def test_black_boxes_cross_the_noisier_half_of_the_span():
    cases = cases_of("order", solvers=["scipy-rk45"], kinds=["global", "tolerance"], grids=["karras"], points=4)
    half, whole = (order.measure(case).context["span"] for case in cases)
    ns = setting("mixture-1d", 4, 0).problem.schedule
    assert half[0] == whole[0]
    assert ns.lam(half[1]) == pytest.approx((ns.lam(whole[0]) + ns.lam(whole[1])) / 2)


def test_cases_are_plain_and_know_their_kinds():
    found = cases_of("order", solvers=["ddim", "lms-2"], problems=["mixture-1d"], grids=["karras", "irregular"])
    of = {(c.solver, c.kind, c.grid) for c in found}
    assert {("ddim", "local", ""), ("ddim", "global", "karras"), ("lms-2", "main", "irregular")} <= of
    assert ("ddim", "main", "irregular") not in of
    assert all(OrderStudy().to_json(c)["study"] == "order" and c.dtype == "float64" for c in found)
    with pytest.raises(UsageError, match="unknown grid"):
        cases_of("order", solvers=["ddim"], grids=["kerras"])
    with pytest.raises(UsageError, match="unknown kind"):
        cases_of("order", solvers=["ddim"], kinds=["locl"])


def test_a_case_measured_is_a_record_without_opinions():
    (case,) = cases_of("order", solvers=["ddim"], kinds=["global"], grids=["irregular"], points=4)
    found = order.measure(case)
    assert isinstance(found, Found)
    assert found.arrays is None
    assert found.claims.order == 1
    assert not {"order", "verdict", "half_width"} & {*found.data, *found.context}
    assert set(found.data) >= {"n", "h", "nfe", "rms", "median", "max", "seconds", "floor"}
    assert found.data["points"] == 4
    assert found.data["parts"] == {}, "neither a start-up nor last steps of its own"
    assert len({len(v) for k, v in found.data.items() if k not in ("parts", "points")}) == 1
    assert found.data["nfe"] == found.data["n"]
    assert order.measure(case).data["rms"] == found.data["rms"], "the same bits every time"
    ns, (s, t) = setting("mixture-1d", 4, 0).problem.schedule, setting("mixture-1d", 4, 0).problem.span
    assert found.data["h"][0] == pytest.approx((ns.lam(t) - ns.lam(s)) / found.data["n"][0])
    assert len(grids.irregular(ns, s, t, found.data["n"][0])) == found.data["n"][0] + 1


def test_every_stochastic_method_has_a_process_to_be_coupled_to():
    """A Sampler names none; one that is the reverse SDE only for a while is the same one each time it is asked."""
    problem, part = sb.get_problem("mixture-2d"), sb.get_solver("sa-solver-p2[low=0.1,high=1.0]")
    assert stochastic._process(sb.get_solver("restart"), problem) is None
    assert stochastic._process(part, problem) is stochastic._process(part, problem)
    assert stochastic._process(sb.get_solver("edm-stochastic-rate[churn=0.25]"), problem)(0.5) == 0.5
