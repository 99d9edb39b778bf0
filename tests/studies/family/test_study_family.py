"""The study of the family, its tables and its figures."""

import re
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
from measured import cases_of, records_of

from sdebench import records
from sdebench._support.errors import UsageError
from sdebench.engine.suite import load_suite
from sdebench.report import build, emit, style
from sdebench.studies.base import get_study
from sdebench.studies.family import KINDS, STARTS
from sdebench.studies.family import figures as noise_figures
from sdebench.studies.family import measure as family
from sdebench.studies.family import tables as noise_tables


def cases(**settings):
    return cases_of("family", **settings)


def made(**settings):
    """The records of the cases that a suite's table with these settings has."""
    return records_of("family", **settings)


SMALL = {
    "fokker-planck": {"problems": ["mixture-1d"], "etas": [0.0, 1.0], "points": 20},
    "distance": {"etas": [0.0, 1.0], "steps": 8},
    "amount": {"etas": [0.0, 1.0], "budgets": [4, 8]},
    "forward": {},
    "paths": {"steps": 64, "points": 6},
}


@pytest.fixture(scope="module")
def small():
    """Records of every kind, as few as show something."""
    return {kind: made(kinds=[kind], **settings) for kind, settings in SMALL.items()}


def test_the_suite_has_every_kind_and_each_case_once():
    name, found = load_suite("benchmarks/family.toml")
    assert name == "family"
    assert {task.case.kind for task in found} == set(KINDS)
    assert len({records.canonical(task.json) for task in found}) == len(found)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": ["distances"]}, "did you mean 'distance'"),
        ({"etas": [-1.0]}, "0 or more"),
        ({"etas": ["one"]}, "0 or more"),
        ({"kinds": ["distance"], "steps": 12}, "multiple of 8"),
        ({"kinds": ["paths"], "steps": 100}, "multiple of 64"),
        ({"kinds": ["distance"], "problems": ["mixture-2d"]}, "one dimension"),
        ({"kinds": ["amount"], "solvers": ["ddim"]}, r"did you mean 'ddim-eta'\? \(there are: euler-maruyama, ddim-eta\)"),
        ({"kinds": ["amount"], "grid": "uniform"}, "unknown"),
    ],
)
def test_settings_that_are_none_are_refused_in_a_line(settings, message):
    with pytest.raises(UsageError, match=message) as error:
        cases(**settings)
    assert "\n" not in str(error.value)


def test_ddim_has_no_more_noise_than_ddpm():
    etas = {(case.solver, case.eta) for case in cases(kinds=["amount"], etas=[0.0, 1.0, 2.0])}
    assert ("euler-maruyama", 2.0) in etas
    assert ("ddim-eta", 2.0) not in etas


def test_every_record_names_what_it_measured(small):
    for kind, found in small.items():
        for record in found:
            assert record.case["kind"] == kind
            assert bool(record.claims) == ("solver" in record.case)
            assert bool(record.context) == ("problem" in record.case)


def test_residuals_are_zero_for_the_family_and_not_for_the_printed_drift(small):
    frame = noise_tables.fokker_planck_table(small["fokker-planck"]).frame.set_index(["drift", "eta"])
    assert (frame.loc["family", "max"] <= 1e-10).all()
    assert frame.loc[("printed", 1.0), "median"] > 0.1


def test_a_residual_is_told_by_its_worst_and_a_wrong_drift_by_its_best(small):
    data = {"t": [0.1, 0.2, 0.3], "lam": [2.0, 1.0, 0.0], "max": [1e-15, 3e-3, 1e-14], "median": [0.5, 0.2, 0.3]}
    row = noise_tables.fokker_planck_table([replace(small["fokker-planck"][0], data=data)]).frame.iloc[0]
    assert (row["max"], row["median"]) == (3e-3, 0.2)


def test_the_marginals_distance_falls_with_the_steps_whatever_eta_is():
    """Euler-Maruyama at every eta tends to the one law: twice the steps, half the distance, at every time."""
    found = [cases(kinds=["distance"], etas=[1.0, 2.0], steps=n) for n in (16, 32)]
    coarse, fine = (
        pd.DataFrame(
            [
                {**asdict(case), **row}
                for case in some
                if case.start == "exact"
                for row in pd.DataFrame(family.measure(case).data).to_dict("records")
            ]
        )
        for some in found
    )
    ratio = coarse["w2"].to_numpy() / fine["w2"].to_numpy()
    assert len(ratio) == 16
    assert np.median(ratio) == pytest.approx(2.0, abs=0.15)
    assert ratio.min() > 1.7
    np.testing.assert_allclose(coarse["t"], fine["t"])


def test_noise_forgets_the_error_of_the_start_and_the_flow_keeps_it(small):
    frame = noise_tables.amount_table(small["amount"]).frame.set_index(["solver", "start", "eta"])
    for solver in ("euler-maruyama", "ddim-eta"):
        exact, normal = frame.loc[(solver, "exact"), "nfe_8"], frame.loc[(solver, "normal"), "nfe_8"]
        assert exact[0.0] < exact[1.0]
        assert normal[1.0] - exact[1.0] < 0.25 * (normal[0.0] - exact[0.0])


def test_the_amount_s_last_distance_is_that_over_time(small):
    over = noise_tables.distance_table(small["distance"]).frame.set_index(["start", "eta"])
    at_end = noise_tables.amount_table(small["amount"]).frame.set_index(["solver", "start", "eta"]).loc["euler-maruyama"]
    last = max((c for c in over if c.startswith("lam_")), key=lambda c: float(c.removeprefix("lam_")))
    for key in ((start, eta) for start in STARTS for eta in (0.0, 1.0)):
        assert over.loc[key, last] == pytest.approx(at_end.loc[key, "nfe_8"], rel=1e-9)


def test_the_orders_of_the_forward_chains_are_due(small):
    frame = noise_tables.forward_table(small["forward"]).frame
    exact = frame["due"] == "exact"
    assert set(frame.loc[exact, "chain"]) == {"ddpm-exact", "ncsn"}
    assert frame.loc[exact, "why"].str.startswith("exact").all()
    assert (frame.loc[exact, "error"] < 1e-13).all()
    assert ((frame.loc[~exact, "order"] - 1).abs() < 0.05).all()


def test_paths_go_there_and_come_back_from_where_they_arrived(small):
    flow, sde = (r.data for r in small["paths"])
    for data in (flow, sde):
        there, back = np.array(data["there"]), np.array(data["back"])
        assert there.shape == back.shape == (6, 65)
        assert (there[:, -1] == back[:, 0]).all()
        assert len(data["t"]) == 65
        assert np.array(data["density"]).shape == (len(data["density_t"]), len(data["x"]))
    assert flow["there"] == sde["there"]
    step = {k: np.abs(np.diff(d["back"], axis=1)).mean() for k, d in (("flow", flow), ("sde", sde))}
    assert step["sde"] > 5 * step["flow"]  # the flow is smooth
    mass = np.array(flow["density"]).sum(1) * (flow["x"][1] - flow["x"][0])
    assert mass == pytest.approx(1.0, abs=2e-3)


def test_the_figures_show_what_the_tables_hold(small):
    over, amount = noise_tables.distance_runs(small["distance"]), noise_tables.amount_table(small["amount"])
    figure = noise_figures.over_time(over, "mixture-1d")
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["exact start", "normal start"]
    drawn = np.concatenate([line.get_ydata() for ax in figure.axes for line in ax.lines])
    assert sorted(drawn) == sorted(over.frame["w2"])
    figure = noise_figures.amount(amount, "mixture-1d")
    drawn = np.concatenate([line.get_ydata() for ax in figure.axes for line in ax.lines])
    assert sorted(drawn) == sorted(amount.frame[["nfe_4", "nfe_8"]].to_numpy().ravel())


def test_the_picture_of_paths_has_density_behind_every_panel_and_time_runs_back(small):
    figure = noise_figures.paths(small["paths"], "mixture-1d")
    there, *back = figure.axes
    assert len(back) == 2
    assert all(len(ax.images) == 1 and len(ax.lines) == 6 for ax in figure.axes)
    assert there.get_xlim()[0] < there.get_xlim()[1]
    times = small["paths"][0].data["t"]
    assert all(line.get_xdata().tolist() == times for line in there.lines)
    for ax in back:
        assert ax.get_xlim() == there.get_xlim()[::-1]
        assert all(line.get_xdata().tolist() == times[::-1] for line in ax.lines)
    drawn = [line.get_ydata().tolist() for line in there.lines]
    assert sorted(drawn) == sorted(small["paths"][0].data["there"])
    assert style.render(figure, "paths").count("<image ") == len(figure.axes)


def test_the_density_lies_under_the_time_that_it_belongs_to(small):
    """In both directions the sharp modes of the data are at the data's end of the panel."""
    for ax in noise_figures.paths(small["paths"], "mixture-1d").axes:
        image = ax.images[0]
        low, high = image.get_extent()[:2]
        shades = np.asarray(image.get_array())
        assert (low, high) == (min(ax.get_xlim()), max(ax.get_xlim()))
        assert shades[:, 0].max() > shades[:, -1].max()  # the first column is time `low`
        assert image.origin == "lower"
        places = np.linspace(*image.get_extent()[2:], len(shades))
        assert places[shades[:, 0].argmax()] == pytest.approx(0.9, abs=0.15)  # the data's higher mode


def test_the_tables_are_written_in_ascii_for_latex(small):
    section = get_study("family").section([r for found in small.values() for r in found])
    assert len(list(section.tables())) == 5
    for table in section.tables():
        assert emit.latex(table).isascii()


def test_a_report_of_the_family_alone_and_of_any_part_of_it(small, tmp_path):
    whole = [r for found in small.values() for r in found]
    names = {p.name for p in build(whole, tmp_path / "whole")}
    assert {"paths-mixture-1d.svg", "family-amount-mixture-1d.svg", "family-distance.csv", "family-forward.csv"} <= names
    assert "family-distance-runs.csv" in names
    page = (tmp_path / "whole" / "index.html").read_text()
    assert page.count('<section id="family">') == 1
    assert re.findall(r'<section id="([^"]*)"', page) == ["family", "reproduce"]
    assert "## One family, one law" in (tmp_path / "whole" / "README.md").read_text()
    for kind, found in small.items():
        failed = records.make_record(found[0].case, "abc", "failed", "boom")
        build([*found[1:], failed], tmp_path / kind)
        assert '<section id="family">' in (tmp_path / kind / "index.html").read_text()
