"""The Python API, asked for what makes no sense: a UsageError, and nothing else."""

from pathlib import Path

import pytest
import torch
from fuzzing import examples, junk, numbers, refuse, texts, workplace
from hypothesis import given
from hypothesis import strategies as st

import sdebench as sb
from sdebench import grids, records, report
from sdebench.engine import runner, suite
from sdebench.metrics.frechet import frechet
from sdebench.metrics.kernel import kernel_distance
from sdebench.metrics.neighbours import precision_recall
from sdebench.metrics.sliced import sliced_wasserstein
from sdebench.metrics.statistics import Statistics
from sdebench.networks.discrete import Discrete
from sdebench.schedules import SCHEDULES
from sdebench.training import recipe

arrays = st.one_of(
    junk,
    st.sampled_from(
        [
            torch.zeros(3, 2),
            torch.zeros(0, 2),
            torch.zeros(3),
            torch.full((3, 2), torch.nan),
            torch.zeros(3, 2, dtype=torch.int64),
        ]
    ),
    st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=1, max_size=3),
)


@pytest.fixture(scope="module")
def problem():
    return sb.get_problem("mixture-1d")


@given(data=st.data(), what=st.sampled_from(["solver", "problem", "kind", "grid", "points", "seed"]))
@examples(200)
def test_measure_order(data, what):
    asked = {"solver": "ddim", "problem": "mixture-1d", "kind": "local", "points": 2, what: data.draw(junk)}
    refuse(lambda: sb.measure_order(**asked), RuntimeError)  # the fuzzer measures nothing


@given(data=st.data(), what=st.sampled_from(["solver", "model", "x", "grid", "noise", "executor"]))
@examples(150)
def test_integrate(data, what, problem):
    grid = grids.uniform_lam(problem.schedule, *problem.span, 2)
    asked = {"solver": sb.get_solver("ddim"), "model": problem.model, "x": problem.initial(2, 0), "grid": grid}
    asked[what] = data.draw(arrays)
    refuse(lambda: sb.integrate(**asked))


@given(data=st.data(), what=st.sampled_from(["x", "s", "t", "prior", "divergence", "probes", "seed", "tol", "first"]))
@examples(150)
def test_log_likelihood(data, what, problem):
    asked = {"x": problem.initial(2, 0), "s": problem.span[0], "t": problem.span[1], "tol": 1e-2, "divergence": "hutchinson"}
    asked[what] = data.draw(arrays)
    refuse(lambda: sb.log_likelihood(problem.model, **asked))


@given(weights=arrays, means=arrays, covs=arrays, span=junk)
@examples(200)
def test_laws_and_problems(weights, means, covs, span, problem):
    for asked in ((weights, [[0.0], [1.0]], [1.0, 1.0]), ([0.5, 0.5], means, [1.0, 1.0]), ([0.5, 0.5], [[0.0], [1.0]], covs)):
        refuse(lambda asked=asked: sb.GaussianMixture(*asked))
    refuse(lambda: sb.Problem("mine", problem.law, problem.schedule, span))
    refuse(lambda: sb.Problem("mine", span, problem.schedule, (0.5, 0.1)))


@given(name=st.sampled_from(sorted(SCHEDULES)), values=st.lists(junk, min_size=1, max_size=2), time=junk)
@examples(200)
def test_schedules(name, values, time):
    refuse(lambda: SCHEDULES[name](*values[: len(SCHEDULES[name].__dataclass_fields__)]))
    refuse(lambda: SCHEDULES[name]().lam(time))
    refuse(lambda: SCHEDULES[name]().t(time))
    refuse(lambda: Discrete(values))
    refuse(lambda: Discrete(time))


@given(name=st.sampled_from(grids.names()), s=junk, t=junk, n=junk)
@examples(150)
def test_grids(name, s, t, n, problem):
    for asked in ((s, 0.1, 4), (0.5, t, 4), (0.5, 0.1, n)):
        refuse(lambda asked=asked: grids.get(name)(problem.schedule, *asked))
    refuse(lambda: grids.check(s))


@given(data=st.data(), what=st.sampled_from(["schedule", "shape", "seed", "dtype", "device", "first"]))
@examples(150)
def test_noise(data, what, problem):
    asked = {"schedule": problem.schedule, "shape": (2, 1), "seed": 0, what: data.draw(junk)}
    refuse(lambda: sb.WhiteNoise(**asked))
    path = {"times": (0.5, 0.1), **{key: value for key, value in asked.items() if key not in ("dtype", "device")}}
    refuse(lambda: sb.BrownianPath(**path))


@given(a=arrays, b=arrays, k=junk)
@examples(150)
def test_metrics(a, b, k):
    good = torch.arange(12.0).reshape(6, 2)
    for measure in (kernel_distance, precision_recall, sliced_wasserstein):
        refuse(lambda measure=measure: measure(a, good))
        refuse(lambda measure=measure: measure(good, b))
        refuse(lambda measure=measure: measure(good, good, k))
    refuse(lambda: frechet(Statistics.of(a), Statistics.of(good)))


@given(
    content=st.dictionaries(
        st.one_of(texts, st.sampled_from(["name", "task", "data", "batch", "network", "lams"])), junk, max_size=4
    )
)
@examples(150)
def test_recipes_and_suites(content):
    whole = {"name": "x", "task": "classifier", "data": "digits", "network": {}, "batch": 1, "steps": 1, "rate": 1e-3}
    refuse(lambda: recipe.from_plain(whole | {"warmup": 0, "cooldown": 0, "ema": 0.5} | content))
    refuse(lambda: suite.expand(content))
    refuse(lambda: suite.expand({"study": "floor", "solvers": ["ddim"], **content}))


@given(jobs=numbers, patience=numbers, path=texts)
@examples(60)
def test_runs(jobs, patience, path):
    tasks = suite.expand({"study": "floor", "solvers": ["ddim"]})
    with workplace():
        refuse(lambda: runner.run(tasks, "r.jsonl", jobs))
        refuse(lambda: runner.run(tasks, "r.jsonl", patience=patience))
        refuse(lambda: runner.run(tasks, f"new/{path}" if path and "/" not in path else "r.jsonl"), OSError)
        found = records.read("r.jsonl") if Path("r.jsonl").exists() else []
        refuse(lambda: report.build(found, "page"))
        for value in (jobs, patience, path):
            refuse(lambda value=value: sb.register_solver(value))


@pytest.mark.parametrize("path", ["\0", "a\0.jsonl", "\ud800"])
def test_a_path_that_no_file_can_have_is_refused(path):
    """The long profile found it, by what it gave `runner.run`."""
    measured = records.read(Path(__file__).parents[2] / "results/floor.jsonl")
    with workplace():
        for call in (records.Writer, records.read, lambda path: report.build(measured, path)):
            assert isinstance(refuse(lambda call=call: call(path)), sb.UsageError)
