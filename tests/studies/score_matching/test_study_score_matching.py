"""The study of score matching, its tables and its figures."""

from dataclasses import replace

import numpy as np
import pytest
from measured import cases_of, records_of

from sdebench import records
from sdebench._support.errors import UsageError
from sdebench.engine.suite import load_suite
from sdebench.report import build, emit
from sdebench.studies.base import get_study
from sdebench.studies.score_matching import KINDS
from sdebench.studies.score_matching import figures as matching_figures
from sdebench.studies.score_matching import measure as score_matching
from sdebench.studies.score_matching import tables as matching

SMALL = {
    "training": {
        "losses": ["fisher", "implicit", "denoising-eps", "denoising-x0"],
        "steps": 128,
        "points": 200,
        "seeds": [0, 1],
    },
    "equivalence": {"losses": ["implicit", "denoising-v"], "outputs": ["eps", "v"], "problems": ["mixture-1d"]},
    "trace": {},
    "small-noise": {"points": 800, "losses": ["implicit", "denoising-eps"]},
    "finite-sample": {"losses": ["implicit", "denoising-eps"], "steps": 128, "points": 200, "sizes": [32]},
}


def cases(**settings):
    return cases_of("score-matching", **settings)


def small_records(kind):
    given = {"problems": ["mixture-1d"]} if kind in ("training", "finite-sample") else {}
    return records_of("score-matching", kinds=[kind], **given | SMALL[kind])


@pytest.fixture(scope="module")
def small():
    """Records of every kind, as few as show something."""
    return {kind: small_records(kind) for kind in SMALL}


def test_the_suite_has_every_kind_and_each_case_once():
    name, found = load_suite("benchmarks/score_matching.toml")
    assert name == "score-matching"
    assert {task.case.kind for task in found} == set(KINDS)
    assert len({records.canonical(task.json) for task in found}) == len(found)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": ["trainings"]}, "did you mean 'training'"),
        ({"losses": ["implicid"]}, "did you mean 'implicit'"),
        ({"losses": [3]}, r"losses is \[3\]: give a name, or a list of names, in quotes"),
        ({"losses": []}, "in quotes"),
        ({"weights": ["sigma"]}, "plain, x0"),
        ({"outputs": ["noise"]}, "velocity"),
        ({"supports": ["line"]}, "segments"),
        ({"probes": ["sphere"]}, "rademacher"),
        ({"seeds": [-1]}, "0 or more"),
        ({"steps": 0}, "1 or more"),
        ({"sizes": [4]}, "8 or more"),
        ({"problems": ["product-16d"]}, "one or two dimensions"),
        ({"loss": "implicit"}, "did you mean 'losses'"),
    ],
)
def test_settings_that_are_none_are_refused_in_a_line(settings, message):
    with pytest.raises(UsageError, match=message) as error:
        cases(**settings)
    assert "\n" not in str(error.value)


def test_each_loss_comes_with_its_plain_weight_or_with_those_named():
    plain = {case.loss: case.weight for case in cases(kinds=["training"])}
    assert plain["implicit"] == plain["denoising-eps"] == "eps"
    assert plain["denoising-x0"] == "x0"
    named = cases(kinds=["training"], losses=["implicit", "denoising-x0"], weights=["score"])
    assert {case.weight for case in named} == {"score"}


def test_segments_are_for_the_plane():
    found = {(case.problem, case.support) for case in cases(kinds=["small-noise"])}
    assert ("mixture-2d", "segments") in found
    assert ("mixture-1d", "segments") not in found


def test_marks_halve_the_way():
    assert score_matching._marks(1024) == [0, 64, 128, 256, 512, 1024]
    assert score_matching._marks(10) == [0, 10]


def test_each_mark_is_measured_after_as_many_steps(monkeypatch):
    made, seen = [], []

    def counting(net, objective, data, steps, rate, seed):
        for _ in range(steps):
            made.append(1)
            yield 0.0

    def spying(net, batch, measured=score_matching.divergence):
        seen.append(len(made))
        return measured(net, batch)

    monkeypatch.setattr(score_matching, "train", counting)
    monkeypatch.setattr(score_matching, "divergence", spying)
    (case,) = cases(kinds=["finite-sample"], problems=["mixture-1d"], losses=["fisher"], steps=512, points=20, sizes=[8])
    assert score_matching.measure(case).data["step"] == seen == [0, 64, 128, 256, 512]


def test_a_measurement_is_a_pure_function_of_its_case():
    """But for the time it took."""
    (case,) = cases(kinds=["training"], problems=["mixture-1d"], losses=["sliced-vr"], steps=20, points=50)
    one, two = (records.clean(score_matching.measure(case).data) for _ in range(2))
    assert {k: v for k, v in one.items() if k != "seconds"} == {k: v for k, v in two.items() if k != "seconds"}


def test_a_training_is_measured_at_every_mark_and_level(small):
    for record in small["training"]:
        data = record.data
        assert data["step"] == [0, 64, 128]
        assert np.array(data["fisher"]).shape == np.array(data["error"]).shape == (3, 10)
        assert data["seconds"] == sorted(data["seconds"])
        assert min(data["variance"]) > 0
        assert data["lam"][0] < data["lam"][-1]
    starts = {tuple(r.data["fisher"][0]) for r in small["training"] if r.case["seed"] == 0}
    assert len(starts) == 1  # all losses begin with one network


def test_the_fisher_divergence_falls_in_the_training(small):
    frame = matching.training_table(small["training"]).frame
    assert len(frame) == 4
    assert (frame["divergence"] < 0.5 * frame["begun"]).all()
    assert (frame["seeds"] == 2).all()


def test_the_divergence_of_the_table_is_the_weighted_mean_over_the_levels(small):
    record = small["training"][0]
    data = {
        "fisher": [[4.0, 2.0]],
        "error": [[0.4, 0.3]],
        "weight": [0.5, 0.25],
        "energy": [8.0, 4.0],
        "lam": [-1.0, 1.0],
        "t": [0.9, 0.1],
        "step": [10],
        "seconds": [0.02],
        "variance": [6.0],
        "signal": [2.0],
    }
    row = matching.training_table([replace(record, data=data)]).frame.iloc[0]
    assert row["divergence"] == pytest.approx((4 * 0.5 + 2 * 0.25) / 2)
    assert row["error"] == pytest.approx(np.hypot(0.4 * 0.5, 0.3 * 0.25) / 2)
    assert (row["noisiest"], row["cleanest"], row["noise"], row["ms"]) == pytest.approx((0.5, 0.5, 3.0, 2.0))


def test_equivalences_hold_to_rounding_in_one_dimension(small):
    frame = matching.equivalence_table(small["equivalence"]).frame
    assert len(frame) == 2
    assert (frame["relative"] < 1e-9).all()
    assert (frame["outputs"] == 2).all()
    assert (frame["levels"] == 8).all()
    assert frame["deviations"].isna().all()
    assert frame.set_index("loss").loc["denoising-v", "gradient"] < 1e-12


def test_the_worst_gap_is_told(small):
    record = small["equivalence"][0]
    data = {"fisher": [1.0, 1.0], "constant": [-1.0, 1.0], "gap": [-0.4, 0.02], "error": [0.1, 0.01], "lam": [0.0, 1.0]}
    better = data | {"gap": [0.1, 0.01], "error": [0.1, 0.1]}
    for order in ((data, better), (better, data)):
        row = matching.equivalence_table([replace(record, data=d) for d in order]).frame.iloc[0]
        assert (row["relative"], row["deviations"]) == pytest.approx((0.2, 4.0))


def test_traces_are_unbiased(small):
    frame = matching.trace_table(small["trace"]).frame
    assert len(frame) == 4
    assert frame["deviations"].dropna().abs().max() < 4.5
    exact = frame[(frame["problem"] == "mixture-1d") & (frame["probe"] == "rademacher")].iloc[0]
    assert "exact" in exact["why"]
    assert abs(exact["gap"]) < 1e-12


def test_small_noise_separates_the_losses_on_full_support_and_on_points(small):
    table = matching.small_noise_table(small["small-noise"])
    frame = table.frame.set_index(["problem", "support", "loss"])
    last = table.columns[-1].key
    for problem in ("mixture-1d", "mixture-2d"):
        at = frame.loc[problem, last]
        assert at["full", "implicit"] < 1e-2 * at["full", "denoising-eps"]
        assert at["points", "denoising-eps"] < 1e-2 * at["points", "implicit"]
        assert at["points", "least implicit loss"] < 1e3 * at["full", "least implicit loss"]


def test_a_fixed_set_breaks_implicit_matching(small):
    frame = matching.finite_table(small["finite-sample"]).frame.set_index("loss")
    assert frame.loc["implicit", "on_set"] < frame.loc["implicit", "least"] < 0
    assert frame.loc["denoising-eps", "on_set"] > 0
    assert frame.loc["denoising-eps", "least"] == pytest.approx(1 + frame.loc["implicit", "least"])  # sigma^2 d/sigma^2
    assert frame.loc["implicit", "divergence"] > 10 * frame.loc["denoising-eps", "divergence"]


def test_the_figures_show_what_the_tables_hold(small):
    runs = matching.training_runs(small["training"])
    figure = matching_figures.over_steps(runs, "mixture-1d")
    means = runs.frame[runs.frame["step"] > 0].groupby(["loss", "step"])["divergence"].mean()
    drawn = {float(y) for ax in figure.axes for line in ax.lines for y in line.get_ydata()}
    assert drawn == set(means)
    figure = matching_figures.small_noise(matching.small_noise_runs(small["small-noise"]), "mixture-2d")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["full support", "segments in the plane", "points"]
    assert [len(ax.lines) for ax in figure.axes] == [2, 2, 2]


def test_the_tables_are_written_in_ascii_for_latex(small):
    section = get_study("score-matching").section([r for found in small.values() for r in found])
    assert len(list(section.tables())) == 9
    for table in section.tables():
        assert emit.latex(table).isascii()


def test_a_report_of_score_matching_alone_and_of_any_part_of_it(small, tmp_path):
    whole = [r for found in small.values() for r in found]
    names = {p.name for p in build(whole, tmp_path / "whole")}
    assert {"matching-levels-mixture-1d.svg", "matching-small-noise-mixture-2d.svg", "matching-training.csv"} <= names
    assert {"matching-gradient-mixture-1d.svg", "matching-steps-mixture-1d.svg", "matching-finite-mixture-1d.svg"} <= names
    page = (tmp_path / "whole" / "index.html").read_text()
    assert page.count('<section id="matching">') == 1
    assert "\n**What each loss teaches**\n" in (tmp_path / "whole" / "README.md").read_text()
    for kind, found in small.items():
        failed = records.make_record(found[0].case, "abc", "failed", "boom")
        build([*found[1:], failed], tmp_path / kind)
        assert '<section id="matching">' in (tmp_path / kind / "index.html").read_text()
