"""Sample quality on an exact law of images: what is left is the solver's error, and with small steps nothing is left."""

import pytest

from sdebench import records
from sdebench.engine import runner
from sdebench.engine.suite import expand
from sdebench.studies.quality.cells import groups
from sdebench.studies.quality.tables import about


@pytest.fixture(scope="module")
def group(tmp_path_factory):
    out = tmp_path_factory.mktemp("exact") / "r.jsonl"
    study = {"study": "quality", "models": ["digits-exact"], "solvers": ["unipc-3", "ddim"], "kinds": ["data", "samples"]}
    tasks = expand(study | {"budgets": [3, 60], "samples": 1000, "chunk": 1000})
    assert runner.run(tasks, out, 1).failed == []
    (found,) = groups(records.read(out))
    return found


def cell(group, solver, budget):
    return next(one for one in group.cells if (one.run.solver, one.budget) == (solver, budget))


def test_with_many_steps_the_distance_is_that_of_exact_draws(group):
    draws = next(one for one in group.levels if "test" in one.name)
    for solver in ("unipc-3", "ddim"):
        found = cell(group, solver, 60)
        assert abs(found.fd - draws.fd) < found.half_width + draws.half_width


def test_with_few_it_is_not(group):
    draws = next(one for one in group.levels if "test" in one.name)
    for solver in ("unipc-3", "ddim"):
        found = cell(group, solver, 3)
        assert found.fd - found.half_width > draws.fd + draws.half_width


def test_the_report_says_that_it_is_exact(group):
    import pandas as pd

    text = about(group, pd.DataFrame(columns=["budget", "rho", "low"]))[0]
    assert text.startswith("The exact posterior mean of digits-exact, images of 1 × 8 × 8")
    assert "exact draws" in text
