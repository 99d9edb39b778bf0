"""The report on what a step costs: known medians, shares and bounds, pooled repeats, and figures that show just these."""

import re
from dataclasses import replace
from itertools import product
from math import isnan

import numpy as np
import profile_records as p
import pytest
from matplotlib.colors import to_hex
from order_records import record as of_order
from rich.cells import cell_len
from scipy.stats import binom

from sdebench._support.files import stem
from sdebench.report import build, emit, facts
from sdebench.report.assemble import failure_table
from sdebench.studies.profile import cells as profile_cells
from sdebench.studies.profile import figures as profile_figures
from sdebench.studies.profile import tables as profile

WIDE = (0.0, 0.3, -0.3, 0.1, -0.1)


def table_of(*records):
    return profile.profile_table(facts.prepare_records(records))


def row_of(*records):
    """The only row of the table of these records."""
    frame = table_of(*records).frame
    assert len(frame) == 1
    return frame.iloc[0]


def texts(table, key):
    """What the table shows in one column: (text, why) of each row."""
    at = [c.key for c in table.columns].index(key)
    return [row[at]._replace(sort=0) for row in emit.cells(table)]


@pytest.mark.parametrize(("n", "k"), [(6, 1), (8, 1), (9, 2), (20, 6), (30, 10), (100, 40)])
def test_the_interval_of_a_median_is_by_the_tabled_order_statistics(n, k):
    """The ranks of the 95 % sign interval as in the tables (Conover 1999, A3); it covers, and the next narrower does not."""
    found = profile_cells.median(np.random.default_rng(0).permutation(n) + 1.0)
    assert found == ((n + 1) / 2, k, n + 1 - k)
    assert 1 - 2 * binom.cdf(k - 1, n, 0.5) >= 0.95 > 1 - 2 * binom.cdf(k, n, 0.5)


def test_the_interval_covers_the_median_of_a_skewed_law():
    """95 % at least, of 4000 medians of 15 exponential times; the mean's interval would not speak of the median at all."""
    draws = np.random.default_rng(1).exponential(size=(4000, 15))
    inside = [low <= np.log(2) <= high for _, low, high in map(profile_cells.median, draws)]
    assert 0.95 <= np.mean(inside) < 0.98


def test_too_few_rounds_are_a_dash_that_says_so():
    table = table_of(p.record(rounds=5))
    assert table.frame["us"][0] == pytest.approx(150)
    for key in ("interval", "bound"):
        assert texts(table, key) == [(emit.DASH, 0, "5 rounds: too few for an interval")]
    assert texts(table_of(p.record(rounds=6)), "interval") == [("150 to 150", 0, "6 rounds")]


def test_times_shares_and_speeds_are_those_of_the_rounds():
    """150 us a step of 20 steps and batch 10: 3 ms a run, 3333 images/s, 20 NFE each."""
    row = row_of(p.record(jitter=(0.0, 0.1, -0.1), rounds=9))
    assert (row["us"], row["us_low"], row["us_high"]) == pytest.approx((150, 135, 165))
    assert [row[k] for k in p.PARTS] == pytest.approx([100 * 100 / 150, 0, 100 * 20 / 150, 20])
    assert (row["images"], row["nfe_rate"]) == pytest.approx((10 / 3e-3, 200 / 3e-3))
    assert (row["kernels"], row["syncs"], row["first"]) == (12, 1, 0.5)


def test_bytes_and_bandwidth():
    """200 kB in 20 us are 10 GB/s; a copy moves 2 x 40 kB in 8 us, which is 10 GB/s too; 160 kB in 150 and in 100 us."""
    row = row_of(p.record())
    assert (row["moved"], row["fewest"], row["moved_fewest"]) == pytest.approx((0.2, 0.16, 1.25))
    assert (row["update_rate"], row["copy_rate"], row["attained"]) == pytest.approx((10, 10, 100))
    assert (row["rate"], row["network_rate"], row["bandwidth"]) == pytest.approx((160 / 150, 1.6, 20))
    assert (row["memory_update"], row["memory_history"], row["memory_run"]) == (3, 1, 90)


@pytest.mark.parametrize(
    ("more", "bound"),
    [({}, "network"), ({"network": 0.0}, "launches"), ({"update": 300.0}, "bandwidth"), ({"noise": 300.0}, "noise")],
)
def test_a_step_is_bound_by_its_largest_part(more, bound):
    assert row_of(p.record(jitter=WIDE, rounds=20, **more))["bound"] == bound


def test_parts_are_told_apart_round_by_round():
    """100 and 90 us that rise and fall together by 30 % are told apart in every round, though their intervals overlap;
    as soon as one falls when the other rises, they are not."""
    told = p.record(network=100, rest=90, jitter=WIDE, rounds=20)
    (cell,) = profile_cells.cells([told])
    network, rest = (profile_cells.median(cell.seconds[k]) for k in ("network", "rest"))
    assert network.low < rest.high
    assert row_of(told)["bound"] == "network"
    seconds = told.data["seconds"]
    rest = [9e-5 * (1 - WIDE[i % 5]) for i in range(20)]
    total = [a + b + c for a, b, c in zip(seconds["network"], seconds["update"], rest)]
    blurred = replace(told, data=told.data | {"seconds": seconds | {"rest": rest, "total": total}})
    table = table_of(blurred)
    assert texts(table, "bound") == [("network or launches", 0, "20 rounds")]


def test_three_parts_that_are_not_told_apart_are_all_named():
    record = p.record(rounds=12)
    up, down = ([1e-4 * (1 + s * (-1) ** i) for i in range(12)] for s in (0.2, -0.2))
    seconds = {"network": up, "rest": down, "update": down[::-1], "noise": [0.0] * 12}
    record.data["seconds"] = seconds | {"total": [sum(v) for v in zip(*seconds.values())]}
    assert set(row_of(record)["bound"].split(" or ")) == {"network", "launches", "bandwidth"}


def test_repeats_are_pooled_and_their_spread_is_told():
    """Repeats of 150 and 300 us are one row of 14 rounds: the median of all is their middle, the spread 150 of 225."""
    slow = p.record(network=200, update=40, rest=60, repeat=1, seconds=2.0, data={"memory": {"update": 7 * p.MEGA}})
    table = table_of(p.record(), slow)
    (row,) = table.frame.to_dict("records")
    assert (row["rounds"], row["us"], row["between"]) == (14, pytest.approx(225), pytest.approx(100 * 150 / 225))
    assert row["memory_update"] == 7
    assert "between" in [c.key for c in table.columns]
    assert "between" not in [c.key for c in table_of(p.record()).columns]
    assert isnan(row_of(p.record())["between"])


@pytest.mark.parametrize(
    "more",
    [
        {"batch": 11},
        {"executor": "fused"},
        {"solver": "lms-4"},
        {"machine": "b"},
        {"model": "null"},
        {"dtype": "float64"},
        {"device": "cuda:0"},
        {"compiled": True},
        {"threads": 1},
        {"steps": 10},
        {"grid": "karras"},
        {"seed": 1},
    ],
)
def test_whatever_else_differs_is_another_row_and_has_a_column(more):
    table = table_of(p.record(), p.record(**more))
    assert len(table.frame) == 2
    (name,) = more
    assert name in [c.key for c in table.columns]
    shown = {c.key for c in table_of(p.record()).columns}
    assert not shown & set(profile_cells.PLACE)
    several = table.frame["label"].nunique()
    assert several == (1 if name in ("batch", "executor", "solver") else 2)


def test_a_failed_repeat_is_said_in_its_row():
    made = [p.record(), p.record(repeat=1, status="failed", message="killed"), p.record(batch=20)]
    table = table_of(*made)
    assert [(row.text, row.why) for row in texts(table, "lost")] == [("1", "killed"), ("0", "")]
    ((_, headings, rows),) = profile.profile_rows(made)
    assert [row[headings.index("Lost")] for row in rows] == ["1", "0"]
    assert "lost" not in [c.key for c in table_of(p.record()).columns]


def test_the_caption_says_who_formed_the_combinations():
    by = {"float64": "the kernel in C", "float32": "the kernel in C", "bfloat16": "torch's operations"}
    made = [p.record(executor="fused", dtype=dtype, context={"arithmetic": name}) for dtype, name in by.items()]
    caption = table_of(*made, p.record(context={"arithmetic": ""})).caption
    assert caption.endswith(" are combined by the kernel in C; by torch's operations: digits bfloat16.")
    assert table_of(*made[:2]).caption.endswith(" are combined by the kernel in C.")
    assert "combined" not in table_of(p.record()).caption
    assert profile.profile_runs(made).frame["arithmetic"].tolist() == list(by.values())


def test_a_failed_repeat_is_left_out_and_a_failed_case_is_dashes_with_its_reason():
    lost = p.record(executor="graph", status="failed", message="CaptureError: no graph")
    table = table_of(p.record(), p.record(repeat=1, status="failed", message="killed"), lost)
    assert [isnan(v) for v in table.frame["us"]] == [False, True]
    assert table.frame["rounds"].tolist() == [7, 0]
    for key in ("us", "interval", "network", "bound", "images", "attained"):
        assert texts(table, key)[1] == (emit.DASH, 0, "CaptureError: no graph")
    assert len(failure_table(facts.prepare_records([p.record(), lost])).frame) == 1


def test_missing_numbers_are_dashes():
    """Null bytes, memory, energy and rounds: dashes, and the rest of the row stands."""
    none = {"bytes": {"vector": 40_000, "moved": None, "fewest": None}, "memory": {"update": None, "run": None}}
    record = p.record(rounds=8, data=none)
    record.data["seconds"]["update"][3] = None
    table = table_of(record)
    for key in ("moved", "moved_fewest", "attained", "memory_run", "memory_history"):
        assert texts(table, key)[0].text == emit.DASH
    assert (table.frame["rounds"][0], table.frame["us"][0]) == (7, pytest.approx(150))
    assert "joules_image" not in [c.key for c in table.columns]
    assert not [plan for plan in profile_figures.chosen(table, table.frame["label"][0], "rate") if plan]


def test_energy_and_compiling_have_columns_where_they_are_known():
    """2 J a step, 20 steps, 10 images: 4 J each."""
    table = table_of(p.record(data={"joules": 2.0, "compile": 3.0}))
    assert texts(table, "joules_image")[0].text == "4"
    assert texts(table, "compile")[0].text == "3"
    assert not {"joules_image", "compile", "noise"} & {c.key for c in table_of(p.record()).columns}
    assert "noise" in [c.key for c in table_of(p.record(noise=1.0)).columns]


def test_an_update_that_the_clock_does_not_see_has_no_bandwidth():
    """Rounds on both sides of 0, with a positive median."""
    record = p.record(rounds=9)
    record.data["seconds"]["update"] = [1e-7, -1e-7, 1e-7] * 3
    assert texts(table_of(record), "attained") == [(emit.DASH, 0, "the update is not told from 0 by the clock")]


def test_rows_are_in_the_order_of_executors_and_batches():
    cases = [p.record(executor=e, batch=b) for e, b in product(("graph", "eager", "fused"), (16, 2, 128))]
    frame = table_of(*cases).frame
    assert list(zip(frame["executor"], frame["batch"])) == list(product(("eager", "fused", "graph"), (2, 16, 128)))


def test_every_record_is_a_row_for_programs():
    table = profile.profile_runs(
        facts.prepare_records([p.record(), p.record(repeat=1, rest=31.0), p.record(batch=1, status="failed")])
    )
    assert table.frame["total_s"].tolist() == pytest.approx([150e-6, 151e-6])
    assert table.frame[["vector_bytes", "memory_run_bytes"]].iloc[0].tolist() == [40_000, 90e6]


@pytest.mark.parametrize(("value", "text"), [(123456.0, "123000"), (0.012345, "0.0123"), (24.0, "24"), (-1.5, "−1.5")])
def test_plain_numbers_have_three_digits_and_no_exponent(value, text):
    assert emit.plain(value) == text


def test_shares_have_one_decimal_and_no_negative_nothing():
    column = profile.Column("", "x", "percent")
    assert [emit.cell({"x": v}, column).text for v in (99.96, -0.01, -0.31)] == ["100.0", "0.0", "−0.3"]


def test_the_terminal_has_a_part_for_each_place_that_fits_it():
    """120 columns, as rich counts them, with one blank between columns."""
    made = p.study(solvers=("dpm-solver++-2m-sde", "ddim"), batches=(1, 16384))
    for r in made:
        r.data["seconds"]["rest"] = [u + 1e-9 * (-1) ** i for i, u in enumerate(r.data["seconds"]["update"])]
    parts = profile.profile_rows(made)
    titles = [f"{model}, float32, cpu: a step, and its parts in %" for model in ("null model", "digits")]
    assert [title for title, _, _ in parts] == titles
    for _, headings, rows in parts:
        assert len(rows) == 12
        columns = list(zip(headings, *rows))
        assert sum(max(map(cell_len, column)) + 1 for column in columns) <= 120
    assert " or " in "".join(row[-2] for row in parts[0][2])
    assert profile.profile_rows([of_order()]) == []


def test_a_figure_has_the_fastest_and_the_slowest_and_its_caption_names_the_others():
    """Nine solvers of which six fit, in the order of their longest step."""
    table = table_of(*p.study(executors=("eager",)))
    shown, others = profile_figures.chosen(table, "null model, float32, cpu", "rate")
    longest = table.frame[table.frame["model"] == "null"].groupby("solver")["us"].max().sort_values()
    assert len(shown) == 6
    assert (shown[0], shown[-1]) == (longest.index[0], longest.index[-1])
    assert set(shown) | set(others) == set(p.SOLVERS)
    assert all(name in profile_figures.left_out(others) for name in others)
    rests = {("a", 1): 1, ("b", 1): 9, ("a", 2): 900, ("b", 2): 90}
    crossing = [p.record(name, rest=rest, batch=batch) for (name, batch), rest in rests.items()]
    assert profile_figures.chosen(table_of(*crossing), "digits, float32, cpu", "us") == (["b", "a"], [])
    assert profile_figures.left_out([]) == ""
    assert profile_figures.left_out(list("abcdefghijklmn")).endswith("l and 2 more.")


def points(axes):
    """(x, y, marker, face) of the single points of a panel."""
    return [
        (line.get_xdata()[0], line.get_ydata()[0], line.get_marker(), to_hex(line.get_markerfacecolor()))
        for line in axes.lines
        if line.get_linestyle() == "None"
    ]


def test_the_roofs_show_the_rates_of_the_table_and_what_bounds_them():
    blurred = p.record(batch=30, network=101, rest=100, rounds=12)
    seconds = blurred.data["seconds"]
    seconds["rest"] = [1e-4 * (1 + 0.3 * (-1) ** i) for i in range(12)]
    made = [
        p.record(),
        p.record(batch=20, update=400.0),
        blurred,
        p.record(batch=40, rounds=3),
        p.record(executor="fused", batch=10, rest=1.0),
    ]
    table = table_of(*made)
    figure = profile_figures.roofs(table, "digits, float32, cpu")
    (axes,) = (ax for ax in figure.axes if ax.get_visible())
    found = sorted(points(axes))
    assert [x for x, *_ in found] == [10, 10, 20, 30, 40]
    assert sorted(y for _, y, *_ in found) == pytest.approx(sorted(table.frame["rate"]))
    assert [m for _, _, m, _ in found] == ["s", "s", "o", "s", "."]
    assert found[3][3] == "#ffffff"
    assert {t.get_text() for t in axes.texts} == {"eager", "fused"}
    network = [line for line in axes.lines if line.get_linewidth() == 3.2]
    assert network[0].get_ydata() == pytest.approx([1.6, 1.6, 0.16 / 0.101, 1.6])


def test_the_roof_of_a_network_that_costs_nothing_is_out_of_the_picture():
    """Its clock's 0.01 us would else stretch the axis by four decades."""
    figures = [profile_figures.roofs(table_of(p.record(network=us)), "digits, float32, cpu") for us in (0.01, 100.0)]
    assert [f.axes[0].get_ylim()[1] for f in figures] == [40, 40]
    named = [[t.get_text() for t in f.legends[0].get_texts()] for f in figures]
    assert ["roof: network alone" in names for names in named] == [False, True]


def test_null_models_come_first_and_a_place_of_one_batch_has_no_figures_beside_others():
    many = [p.record(model=model, batch=batch) for model in ("digits", "null") for batch in (10, 40)]
    table = table_of(*many, p.record(model="alone"))
    assert [label.partition(",")[0] for label in dict.fromkeys(table.frame["label"])] == ["null model", "alone", "digits"]
    assert [label.partition(",")[0] for label in profile_figures.places(table)] == ["null model", "digits"]
    assert len(profile_figures.places(table_of(p.record()))) == 1
    assert not profile_figures.places(profile.profile_table([]))


def test_a_single_batch_has_roofs_from_side_to_side():
    figure = profile_figures.roofs(table_of(p.record()), "digits, float32, cpu")
    lines = [line for line in figure.axes[0].lines if line.get_linestyle() != "None" and len(line.get_xdata()) == 2]
    assert [line.get_ydata()[0] for line in lines] == pytest.approx([20, 10, 1.6])
    assert all(tuple(line.get_xdata()) == pytest.approx(figure.axes[0].get_xlim()) for line in lines)


def test_the_shares_are_bars_of_the_table_and_negative_ones_are_empty():
    table = table_of(p.record(update=-1.0), p.record(batch=40), p.record(executor="fused"))
    axes = profile_figures.shares(table, "digits, float32, cpu").axes
    assert len(axes) == 2
    heights = np.array([bar.get_height() for bar in axes[0].patches]).reshape(4, 2)
    rows = table.frame[table.frame["executor"] == "eager"]
    assert heights == pytest.approx(np.maximum(rows[list(p.PARTS)].to_numpy().T, 0))
    assert heights[2, 0] == 0


def test_a_report_of_costs_alone(tmp_path):
    """Figures of every place, tables as files; nothing about orders."""
    made = p.study(solvers=("ddim", "rk4"), batches=(1, 64))
    build([*made, p.record(solver="lms-4", model="null", status="failed", message="no")], tmp_path)
    html, readme = ((tmp_path / name).read_text() for name in ("index.html", "README.md"))
    assert re.findall(r'<section id="([^"]*)"><h2>([^<]*)</h2>', html) == [
        ("cost", "What a step costs"),
        ("failures", "Failures"),
        ("reproduce", "Reproduce"),
    ]
    assert "\n## What a step costs\n" in readme
    assert "Orders" not in html.partition("<script")[0]
    labels = ("digits-float32-cpu-0125366b", "null-model-float32-cpu-c99ebb25")  # as `stem` writes them
    figures = {f"profile-{kind}-{label}" for kind in ("roofs", "shares") for label in labels}
    assert {f.name for f in (tmp_path / "figures").iterdir()} == {f"{name}.svg" for name in figures}
    assert {f.name for f in (tmp_path / "tables").iterdir()} == {"profile.csv", "profile-runs.csv", "failures.csv"}
    assert re.findall(r'<h3 id="([^"]*)">', html) == [f"cost-{label}" for label in reversed(labels)]
    rows = (tmp_path / "tables/profile.csv").read_text().splitlines()
    assert len(rows) == 1 + len(made) + 1
    for name in ("profile", "profile-runs"):
        assert f'<a href="tables/{name}.csv">' in html
        assert f"](tables/{name}.csv)" in readme


def test_costs_stand_beside_orders_and_change_nothing_of_them(tmp_path):
    build([of_order()], tmp_path / "a")
    build([of_order(), p.record(solver="lms-4")], tmp_path / "b")
    a, b = ((tmp_path / name / "index.html").read_text() for name in "ab")
    assert "What a step costs" not in a
    assert "profile" not in a
    assert '<section id="cost"><h2>What a step costs</h2>' in b
    assert '<a href="#cost">What a step costs</a>' in b
    assert "<b>1</b><span>solvers</span>" in b
    sections = [re.search(r'<section id="order">.*?</section>', text, re.DOTALL)[0] for text in (a, b)]
    assert sections[0] == sections[1]
    tables = [(tmp_path / name / "tables/orders.csv").read_text() for name in "ab"]
    assert tables[0] == tables[1]


def test_labels_name_what_differs():
    made = [p.record(), p.record(threads=1), p.record(compiled=True)]
    labels = set(table_of(*made).frame["label"])
    assert labels == {
        f"digits, float32, cpu, {rest}"
        for rest in ("network not compiled, 2 threads", "network not compiled, 1 thread", "compiled network, 2 threads")
    }
    assert stem("null[shape=3x8x8] model, a") == "null-shape-3x8x8-model-a-f7880dfb"
    assert stem("null-shape-3x8x8-model-a") == "null-shape-3x8x8-model-a"  # another name, and another file
