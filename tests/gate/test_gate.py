"""The gate's figures, what counts as a move of one, the file that keeps them, and the rank test of times."""

import json
from copy import deepcopy
from dataclasses import dataclass
from itertools import pairwise
from math import log

import pytest
import torch
from mutants import multistep, one_step, stochastic

import sdebench as sb
from sdebench._support.registry import SOLVERS, Entry
from sdebench.catalogue import get_solver
from sdebench.gate import baseline, timing
from sdebench.gate import figures as gate
from sdebench.gate.diff import compare

GATED = ["ddim", "unipc-3", "scipy-rk45", "euler-maruyama"]


@pytest.fixture(scope="module")
def held() -> dict:
    return gate.measure(GATED)


def whats(before: dict, now: dict) -> dict[tuple[str, str], str]:
    return {(m.solver, m.what): m.change for m in compare(before, now)}


def test_figures_are_the_same_on_every_run_whatever_ran_before(held):
    with gate.threads(1):
        gate.figures(get_solver("seeds-3"))
    assert gate.measure(reversed(GATED)) == held


def test_errors_and_order_are_those_of_plain_runs(held):
    place = gate._place()
    errors = []
    for n in (8, 16):
        out = sb.integrate(get_solver("unipc-3"), place.problem.model, place.x, gate._grid("irregular", n))
        errors.append(float((out - place.exact).square().mean().sqrt()))
        assert held["unipc-3"]["errors"][f"{n} steps"] == pytest.approx(errors[-1], rel=1e-9)
    assert held["unipc-3"]["orders"]["order"] == pytest.approx(log(errors[0] / errors[1], 2), rel=1e-9)
    assert held["unipc-3"]["calls"] == {"8 steps": 9, "16 steps": 17}


def test_coefficients_are_those_of_the_formula(held):
    ns, grid = gate._place().problem.schedule, gate._grid("irregular", 6)
    rows = held["ddim"]["coefficients"]
    for i, (s, t) in enumerate(pairwise(grid)):
        expected = {f"x{i}": ns.alpha(t) / ns.alpha(s), f"m{i}": ns.alpha(t) * (ns.rho(t) - ns.rho(s))}
        assert rows[f"step {i}"] == pytest.approx(expected, rel=1e-9)
        assert rows[f"evaluation {i}"] == pytest.approx({"t": s, f"x{i}": 1.0}, rel=1e-9)


def test_a_stochastic_solver_has_the_error_of_its_law_and_of_one_path(held):
    found = held["euler-maruyama"]
    assert found["failures"] == {}
    assert set(found["errors"]) == {"one path, 16 steps", "law, 32 steps", "law, 64 steps"}
    assert found["orders"]["weak order"] == pytest.approx(1, abs=0.3)
    assert found["coefficients"]["noise 3"] == {"z3 z3": 1.0}
    assert 0.01 < found["errors"]["one path, 16 steps"] < 0.2


def test_times_a_last_bit_apart_have_one_noise():
    path = gate._Path(gate._path(), torch.float64)
    s, t = gate._grid("irregular", 16)[4:6]
    middle = 0.5 * (s + t)
    nudged = middle * (1 + 2e-16)
    assert nudged != middle
    assert torch.equal(path.fresh(middle), path.fresh(nudged))
    assert torch.equal(path.integral(s, middle, sb.noise.DATA)[0], path.integral(s, nudged, sb.noise.DATA)[0])


@pytest.mark.parametrize(
    "moved",
    [
        ("ddim", "errors", "16 steps", lambda e: e * (1 + 3e-6), "error, 16 steps", "+0.0003%"),
        ("ddim", "orders", "order", lambda p: p - 0.02, "order", "-2%"),
        ("unipc-3", "calls", "8 steps", lambda n: n + 8, "calls 8 steps", "+89%"),
        ("unipc-3", "claims", "memory", lambda n: n + 1, "claim memory", "+50%"),
        ("unipc-3", "claims", "frozen", lambda _: False, "claim frozen", "changed"),
        ("scipy-rk45", "errors", "tolerance 1e-06", lambda e: None, "error, tolerance 1e-06", "gone"),
        ("euler-maruyama", "errors", "law, 32 steps", lambda e: e * (1 - 3e-6), "error, law, 32 steps", "-0.0003%"),
        ("ddim", "float32", "roundings lost", lambda u: u + 3, "roundings lost", "+3"),
    ],
    ids=lambda m: m[4],
)
def test_a_figure_that_moves_is_told_and_one_that_moves_less_is_not(held, moved):
    solver, group, figure, change, what, told = moved
    now = deepcopy(held)
    now[solver][group][figure] = change(now[solver][group][figure])
    assert whats(held, now) == {(solver, what): told}


def test_rounding_passes(held):
    now = deepcopy(held)
    for its in now.values():
        its["errors"] = {k: e * (1 + 3e-7) for k, e in its["errors"].items()}
        its["orders"] = {k: p + 1e-6 for k, p in its["orders"].items()}
        its["coefficients"] = {row: {k: c * (1 + 3e-9) for k, c in r.items()} for row, r in its["coefficients"].items()}
    assert compare(held, now) == []


def test_a_coefficient_is_told_by_name(held):
    now = deepcopy(held)
    now["unipc-3"]["coefficients"]["step 3"]["m2"] *= 1 + 1e-6
    now["ddim"]["coefficients"]["step 1"]["m0"] = 0.25
    assert whats(held, now) == {("unipc-3", "m2 of step 3"): "+0.0001%", ("ddim", "m0 of step 1"): "appeared"}
    now["ddim"]["coefficients"] = {}
    assert whats(held, now)["ddim", "coefficients"] == "gone"


def test_a_solver_that_is_gone_has_moved_and_a_new_one_has_not(held):
    assert whats(held | {"gone-3": held["ddim"]}, held) == {("gone-3", "solver"): "gone"}
    assert compare(held, held | {"new-1": held["ddim"]}) == []


@dataclass(frozen=True)
class Raises(sb.Solver):
    """A solver that raises at every step but the first, an error whose words change."""

    words: str = "no luck"
    order, nfe_per_step = 1, 1

    def step(self, model, x, s, t, past=(), noise=None):
        raise ZeroDivisionError(f"{self.words}\nsecond line")


@dataclass(frozen=True)
class Diverges(sb.Solver):
    """A solver whose state is not finite."""

    order, nfe_per_step = 1, 1

    def step(self, model, x, s, t, past=(), noise=None):
        return sb.Step(float("inf") * model(x, s).x0)


def test_failures_are_figures_told_by_their_type():
    before, now = {"a": gate.figures(Raises())}, {"a": gate.figures(Raises("other words"))}
    ends = before["a"]["failures"].pop("ends")
    assert before["a"]["failures"] == {"runs": "ZeroDivisionError: no luck", "float32": "ZeroDivisionError: no luck"}
    assert ends.startswith("UsageError: Raises begins at alpha = 0")
    before["a"]["failures"]["ends"] = ends
    assert compare(before, now) == []
    ddim = {"a": gate.figures(get_solver("ddim"))}
    assert whats(ddim, now)["a", "failure of runs"] == "fails"
    assert whats(before, ddim)["a", "failure of runs"] == "mended"
    diverged = gate.figures(Diverges())
    assert (diverged["errors"]["8 steps"], diverged["orders"]["order"]) == (None, None)
    json.dumps(diverged, allow_nan=False)


@pytest.mark.parametrize(
    ("mutant", "part", "message"),
    [
        (multistep.KeepsState(), "runs", "a second run gave other bits"),
        (stochastic.DrawsByItself(), "strong", "a second run gave other bits"),
        (one_step.MutatesItsInput(), "runs", "the state that was given is changed"),
        (one_step.ChangesTheDtype(), "float32", "a state of torch.float32 became one of torch.float64"),
    ],
    ids=lambda its: type(its).__name__ if isinstance(its, sb.Solver) else "",
)
def test_what_no_run_may_do_is_a_failure(mutant, part, message):
    assert gate.figures(mutant)["failures"][part] == f"RuntimeError: {message}"


def test_a_baseline_comes_back_as_it_went_and_tells_a_line_of_each_solver(held, tmp_path):
    path = tmp_path / "deep" / "b.json"
    baseline.save(path, held)
    assert baseline.load(path) == held
    assert [p.name for p in path.parent.iterdir()] == ["b.json"]
    lines = path.read_text().splitlines()
    for name in held:
        assert name in lines[baseline.line_of(path, name) - 1]
    assert sum('"step 3": {' in line and line.rstrip(",").endswith("}") for line in lines) == 3  # a row a line
    content = json.loads(path.read_text())
    content["setting"]["steps"] = [4, 8]
    path.write_text(json.dumps(content))
    with pytest.raises(sb.UsageError, match=r"another version of sdebench.*'sdebench baseline ddim "):
        baseline.load(path)


def test_a_write_that_fails_leaves_the_old_file(held, tmp_path):
    path = tmp_path / "b.json"
    baseline.save(path, held)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="JSON"):
        baseline.save(path, {"x": {"errors": {"8 steps": float("nan")}}})
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["b.json"]


def test_the_rank_test_tells_a_slower_step_and_not_the_same_one():
    one, other, slow = (timing.ratios(get_solver(name)) for name in ("ddim", "ddim", "exprk5s8"))
    assert len(one) == timing.SAMPLES
    assert not timing.rank_test(one, other).told
    found = timing.rank_test(one, slow)  # eight evaluations a step
    assert found.told
    assert found.change > 2
    assert timing.ratios(Raises()) == []


def test_a_solver_in_the_place_of_another_is_measured(monkeypatch, held):
    monkeypatch.setitem(SOLVERS.entries, "ddim", Entry(Diverges, {}))
    assert ("ddim", "error, 8 steps") in whats({"ddim": held["ddim"]}, gate.measure(["ddim"]))
