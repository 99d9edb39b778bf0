"""The quality study: the same noise everywhere, statistics that add up, budgets as counted, errors that are true."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import remembering_networks
import torch

from sdebench import get_solver, records, report
from sdebench._support.errors import UsageError
from sdebench.catalogue import expand_solvers
from sdebench.engine import runner
from sdebench.engine.suite import Task, expand
from sdebench.fit import fit_order
from sdebench.metrics.statistics import merged, unstack
from sdebench.networks import NetworkModel
from sdebench.studies.base import Found
from sdebench.studies.quality import QualityCase
from sdebench.studies.quality import error as quality_error
from sdebench.studies.quality import measure as quality
from sdebench.studies.quality import metrics as quality_metrics
from sdebench.studies.quality import run as quality_run
from sdebench.studies.quality.run import Sampling

MODEL = "remembering_networks:gaussian"
AT = Sampling(MODEL, "float32", "cpu", 0)


@pytest.fixture(autouse=True)
def short(monkeypatch, tmp_path):
    """Reference runs of a few steps, for the network is one Gaussian; kept in a folder of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(quality_error, "FINE", (("exprk5s8", "uniform_lam", 24), ("rk4-lam", "uniform_lam", 96)))
    quality_error.converged.cache_clear()


def tasks(**settings) -> list[Task]:
    few = {
        "models": [MODEL],
        "solvers": ["ddim"],
        "features": "digits",
        "budgets": [4],
        "ladder": [4],
        "samples": 20,
        "points": 4,
        "kinds": ["samples"],
    }
    return expand({"study": "quality"} | few | settings)


def cases(**settings) -> list[QualityCase]:
    return [task.case for task in tasks(**settings)]


def one(**settings) -> QualityCase:
    (case,) = cases(**settings)
    return case


def total(found: Found):
    return merged(unstack(found.arrays))


SOLVERS = ["ddim", "unipc-3", "ddpm", "sde-dpm-solver++-2m"]  # with and without memory, noise


@pytest.mark.parametrize("solver", SOLVERS)
def test_two_runs_of_a_seed_give_the_same_bits_and_another_seed_does_not(solver):
    one_, two = (quality.measure(one(solvers=[solver])) for _ in range(2))
    assert one_.arrays.keys() == {"count", "total", "outer"}
    assert all(np.array_equal(one_.arrays[name], two.arrays[name]) for name in one_.arrays)
    other = quality.measure(one(solvers=[solver], seed=1))
    assert not np.allclose(one_.arrays["total"], other.arrays["total"], rtol=1e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_the_batch_changes_rounding_only(solver):
    """20 samples in batches of 20, 7 and 1: the sums agree to 1e-5, and would not if any sample met another noise."""
    case = one(solvers=[solver])
    whole, *others = (quality_metrics.of_samples(case, AT, batch)[1] for batch in (20, 7, 1))
    for other in others:
        assert np.array_equal(whole["count"], other["count"])
        np.testing.assert_allclose(other["total"], whole["total"], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(other["outer"], whole["outer"], rtol=1e-5, atol=1e-5)


def test_the_first_call_of_a_network_is_not_in_the_time_of_an_image(monkeypatch):
    """Ten seconds for all that it loads; one for each of the four calls of three batches."""
    seconds, call = [0.0], NetworkModel.__call__

    def slow(self, x, t):
        seconds[0] += 1.0 if seconds[0] else 10.0
        return call(self, x, t)

    monkeypatch.setattr(NetworkModel, "__call__", slow)
    for module in (quality_run, quality_metrics):
        monkeypatch.setattr(module, "now", lambda device: seconds[0])
    quality_run.warm.cache_clear()
    data = quality_metrics.of_samples(one(), AT, 7)[0]
    assert data["seconds"] == data["network_seconds"] == 3 * 4
    assert data["images_per_second"] == 20 / 12


@pytest.mark.parametrize("solver", SOLVERS)
def test_chunks_add_up_to_one_large_chunk(solver):
    (whole,) = cases(solvers=[solver], samples=40, chunk=40)
    parts = cases(solvers=[solver], samples=40, chunk=15)
    assert [(c.first, c.size) for c in parts] == [(0, 15), (15, 15), (30, 10)]
    a = total(quality.measure(whole))
    b = merged([total(quality.measure(case)) for case in parts])
    assert a.count == b.count == 40
    np.testing.assert_allclose(b.total, a.total, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(b.outer, a.outer, rtol=1e-5, atol=1e-5)


def test_more_samples_extend_a_result(tmp_path):
    first = runner.run(tasks(samples=20, chunk=20), tmp_path / "r.jsonl")
    more = runner.run(tasks(samples=60, chunk=20), tmp_path / "r.jsonl")
    assert (first.measured, more.measured, more.skipped) == (1, 2, 1)


BUDGETS = {  # what 2 to 9 evaluations allow: (steps, evaluations)
    "ddim": {2: (2, 2), 5: (5, 5)},
    "heun-edm": {2: (1, 2), 5: (2, 4), 9: (4, 8)},
    "dpm-solver-3": {3: (1, 3), 5: (1, 3), 9: (3, 9)},
    "unipc-3": {3: (2, 3), 9: (8, 9)},  # its corrector asks once more at the end
}


@pytest.mark.parametrize(("solver", "budget"), [(s, b) for s, its in BUDGETS.items() for b in its])
def test_a_budget_is_never_exceeded_and_what_was_counted_is_said(solver, budget):
    steps, nfe = BUDGETS[solver][budget]
    data = quality.measure(one(solvers=[solver], budgets=[budget])).data
    assert (data["steps"], data["nfe"], data["exact"], data["budget"]) == (steps, nfe, nfe == budget, budget)


def test_every_start_up_is_counted():
    """Of every registered method on a grid: the steps are as many as fit, and one more would not."""
    problem = AT.problem
    for spec in expand_solvers(["all"]):
        if quality.why_not(spec, AT, "uniform_lam", 24):
            continue
        solver = get_solver(spec)
        n = quality_run.steps_for(solver, problem, "uniform_lam", 24)
        grids = (quality_run.grid_of(problem, "uniform_lam", m) for m in (n, n + 1))
        used, more = (quality_run.calls(solver, problem.schedule, grid) for grid in grids)
        assert used <= 24 < more, spec


def test_what_cannot_be_run_is_left_out_with_a_line_and_alone_is_an_error():
    with pytest.warns(UserWarning, match="left out: solver 'heun-edm' makes more than 1 network calls"):
        found = cases(solvers=["ddim", "heun-edm"], budgets=[1, 2])
    assert [(c.solver, c.budget) for c in found] == [("ddim", 2), ("heun-edm", 2), ("ddim", 1)]
    for solver, message in (("analytic-dpm", "cannot be run on a network"), ("scipy-rk45", "chooses its own steps")):
        with pytest.raises(UsageError, match=message):
            cases(solvers=[solver])


def test_errors_are_those_to_the_flow_of_the_network_itself():
    """One Gaussian, whose flow has a formula; ddim's rungs to 1e-6 of its RMS error, and its order is 1."""
    (case,) = cases(kinds=["error"], dtypes=["float64"], ladder=[8, 16, 32, 64, 128])
    found = quality.measure(case)
    data, at = found.data, Sampling(MODEL, "float64", "cpu", 0)
    exact = remembering_networks.exact(at.problem.initial(4, 0)).flatten(1)
    grid = quality_run.grid_of(at.problem, "uniform_lam", 16)
    ends = quality_run.sample(get_solver("ddim"), at.problem.model, grid, at, 0, 4)
    error = (ends.flatten(1) - exact).square().mean(1).sqrt().numpy()
    i = data["n"].index(16)
    np.testing.assert_allclose(found.arrays["error"][i], error, rtol=1e-5)
    assert data["rms"][i] == pytest.approx(float(np.sqrt(np.mean(error**2))), rel=1e-5)
    assert data["nfe"] == data["budget"] == [4, 8, 16, 32, 64, 128]
    assert data["reference_error"] < 1e-7
    assert data["h"][i] == pytest.approx(6 / 16)
    fit = fit_order(data["h"], data["rms"], data["floor"])
    assert fit.order == pytest.approx(1.0, abs=0.1)


def test_a_fine_run_is_made_once_for_all_processes_and_again_where_its_file_is_damaged(tmp_path, monkeypatch):
    at, ran = Sampling(MODEL, "float64", "cpu", 0), []
    sample = quality_error.sample
    monkeypatch.setattr(quality_error, "sample", lambda *args: ran.append(args) or sample(*args))
    first = quality_error.Converged(at, 4)
    again = quality_error.Converged(at, 4)
    assert len(ran) == 2
    assert torch.equal(first.ends, again.ends)
    assert first.error == again.error
    kept = sorted((tmp_path / "cache").rglob("*.safetensors"))
    kept[0].write_bytes(kept[0].read_bytes()[:-1])
    assert torch.equal(quality_error.Converged(at, 4).ends, first.ends)
    assert len(ran) == 3
    for other in (at._replace(seed=1), at._replace(dtype="float32"), at._replace(model="remembering_networks:Slow")):
        before = len(ran)
        quality_error.Converged(other, 4)
        assert len(ran) == before + 2, other
    quality_error.Converged(at, 5)
    assert len(ran) == before + 4


def test_the_format_of_a_network_has_a_floor_of_its_own():
    """bfloat16 has 8 bits: what it does to a trajectory is seen, above float32's, and the state does not share it."""
    found = {c.dtype: quality.measure(c).data for c in cases(kinds=["error"], dtypes=["float64", "float32"], ladder=[64])}
    assert found["float64"]["rounding"] == 0.0
    assert 1e-8 < found["float32"]["rounding"] < 1e-5
    assert found["float32"]["floor"][0] >= found["float32"]["rounding"]
    assert Sampling(MODEL, "bfloat16", "cpu", 0).state is torch.float32


def test_pictures_are_the_first_samples_and_those_of_the_exact_trajectory():
    exact, ddim = cases(kinds=["pictures"], budgets=[2, 64], points=9)
    want = quality.measure(exact).arrays["images"]
    found = quality.measure(ddim)
    assert records.clean(found.data) == {"budget": [2, 64], "nfe": [2, 64], "steps": [2, 64]}
    assert (want.shape, found.arrays["images"].shape) == ((1, 8, 1, 8, 8), (2, 8, 1, 8, 8))
    assert want.dtype == np.uint8
    far, near = (np.abs(found.arrays["images"][i].astype(int) - want[0].astype(int)).mean() for i in (0, 1))
    assert near < 3 < far


def test_the_data_s_record_has_both_sides_and_what_real_images_reach():
    found = quality.measure(one(kinds=["data"]))
    counts = [int(found.arrays[f"{side}.count"].sum()) for side in ("train", "test")]
    assert counts == [found.data["train"], found.data["test"]] == [1500, 297]
    assert found.data["precision"] > 0.8
    assert found.context["metric"] == "fd_digits"
    assert found.context["data"] == "digits"


def test_statistics_from_the_data_itself_agree_with_those_that_are_shipped():
    shipped, made = (quality_metrics.yardstick("digits", data, "cpu") for data in ("", "digits"))
    a, b = (merged(held.parts["train"]) for held in (shipped, made))
    assert a.count == b.count
    np.testing.assert_allclose(b.mean, a.mean, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(made.features["test"], shipped.features["test"], rtol=1e-4, atol=1e-4)


MEMORY = """
import resource, torch
from sdebench.engine.suite import expand
from sdebench.studies.quality import measure as quality
torch.set_num_threads(1)
cases = expand({"study": "quality", "models": ["remembering_networks:gaussian"], "solvers": ["ddim", "ddpm"],
                     "budgets": [4], "features": "digits", "samples": 12000, "chunk": 500, "kinds": ["samples"]})
for i, case in enumerate(cases):
    quality.measure(case.case)
    if i == 8:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(len(cases), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_peak_memory_does_not_grow_with_the_number_of_samples():
    """48 chunks of 500 images of 64 pixels: the peak of a process rises by less than 4 MB after the ninth, while the samples
    of the others alone would be 10 MB and their features 5 MB."""
    root = Path(__file__).parents[3]
    environment = os.environ | {"PYTHONPATH": f"{root}:{root / 'tests/helpers'}"}
    done = subprocess.run([sys.executable, "-c", MEMORY], env=environment, capture_output=True, text=True, check=True)
    chunks, kilobytes = map(int, done.stdout.split())
    assert chunks == 48
    assert kilobytes < 4096


def test_a_network_that_gives_nan_is_a_failed_case_and_the_others_go_on(tmp_path):
    summary = runner.run(tasks(models=[MODEL, "remembering_networks:lost"]), tmp_path / "r.jsonl")
    status = {r.case["model"]: r.status for r in records.read(tmp_path / "r.jsonl")}
    assert status == {MODEL: "ok", "remembering_networks:lost": "failed"}
    assert "no sample is finite" in summary.failed[0][1]


def test_a_network_whose_data_no_features_see_has_errors_alone(tmp_path):
    """States that are no images at all: the error is measured, the distances are said to be left out, the page has its part."""
    with pytest.warns(UserWarning, match="left out: the quality of .*no feature space is known of its data: give --features"):
        made = tasks(models=["remembering_networks:colour"], features="", kinds=["error", "samples", "data", "pictures"])
    assert [task.case.kind for task in made] == ["error"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert made[0].case == tasks(models=["remembering_networks:colour"], features="", kinds=["error"])[0].case
    summary = runner.run(made, tmp_path / "r.jsonl")
    assert not summary.failed
    (record,) = records.read(tmp_path / "r.jsonl")
    assert record.context["shape"] == [3, 8, 8]
    assert record.data["nfe"] == [4]
    report.build([record], tmp_path / "page")
    text = (tmp_path / "page" / "README.md").read_text()
    assert "A network for states of 3 × 8 × 8; VPCosine(s=0.008)" in text
    assert "Frechet" not in text


WRONG = {
    "misspelt kind": ({"kinds": ["sampels"]}, "unknown kind 'sampels'; did you mean 'samples'"),
    "misspelt dtype": ({"dtypes": ["float23"]}, "unknown dtype 'float23'; did you mean 'float32'"),
    "coarse reference": ({"reference": "bfloat16"}, "unknown reference 'bfloat16'"),
    "a list of data": ({"data": ["digits"]}, "data is \\['digits'\\]: give one name"),
    "few samples": ({"samples": 3}, "samples is 3: give a whole number, 10 or more"),
    "a small chunk": ({"samples": 20, "chunk": 5}, "chunk is 5: give a whole number, 10 or more"),
    "a rest": ({"samples": 1001, "chunk": 1000}, "leave 1 over"),
    "no budget": ({"budgets": [0]}, "budgets is \\[0\\]: give whole numbers, 1 or more"),
    "no device": ({"device": "cuda:7"}, "no device 'cuda:7' here"),
    "misspelt model": ({"models": ["digist"]}, "unknown network 'digist'; did you mean 'digits'"),
    "misspelt features": ({"features": "digist"}, "unknown feature space 'digist'; did you mean 'digits'"),
    "another size": (
        {"models": ["remembering_networks:colour"]},
        "makes images \\(3, 8, 8\\), and the data 'digits' has \\(1, 8, 8\\)",
    ),
    "no features": ({"features": ""}, "no feature space is known of its data: give --features"),
    "misspelt grid": ({"grids": ["kerras"]}, "unknown grid 'kerras'"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_cannot_be_measured_is_said_in_one_line(what):
    settings, message = WRONG[what]
    if what == "no device" and torch.cuda.device_count() > 7:
        pytest.skip("there is such a device")
    with pytest.raises(UsageError, match=message) as caught, warnings.catch_warnings():
        cases(**settings)
    assert "\n" not in str(caught.value)
