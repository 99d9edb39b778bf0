"""The spacing study: its cases, what a record holds, its table and figure."""

import pytest

from sdebench import records, report
from sdebench.engine import runner
from sdebench.engine.suite import expand
from sdebench.studies.spacing.tables import spacing_frame


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    out = tmp_path_factory.mktemp("spacing") / "r.jsonl"
    study = {"study": "spacing", "problems": ["mixture-1d"], "solvers": ["ddim", "dpm-solver++-2m"], "budgets": [4]}
    assert runner.run(expand(study | {"points": 16}), out, 1).failed == []
    return records.read(out)


def test_what_has_no_grid_to_tune_has_no_case():
    study = {"study": "spacing", "problems": ["mixture-1d"], "budgets": [2, 3]}
    tasks = expand(study | {"solvers": ["ddim", "heun-edm", "ddpm", "scipy-rk45"]})
    assert {(task.case.solver, task.case.budget) for task in tasks} == {("ddim", 2), ("ddim", 3)}


def test_the_row_is_of_the_least_error_on_unseen_points(found):
    frame = spacing_frame(found)
    assert list(frame["solver"]) == ["ddim", "dpm-solver++-2m"]
    for (_, row), record in zip(frame.iterrows(), found):
        unseen = dict(zip(record.data["grid"], record.data["unseen"]))
        best = min(unseen, key=unseen.get)
        assert row["gain"] >= 1
        assert row["known"] == min(error for name, error in unseen.items() if name != "tuned")
        assert row["sigmas"].split(",")[0] == "2.718"
        assert len(row["sigmas"].split(",")) == 5
        assert float(row["sigmas"].split(",")[2]) == pytest.approx(
            record.data["sigmas"][record.data["grid"].index(best)][2], rel=1e-3
        )


def test_the_page_has_its_section(found, tmp_path):
    report.build(found, tmp_path / "page")
    text = (tmp_path / "page" / "index.html").read_text()
    assert "Where the steps should lie" in text
    assert (tmp_path / "page" / "figures" / "spacing-mixture-1d.svg").is_file()
