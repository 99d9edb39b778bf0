"""The report on sample quality: distances, what tells solvers apart, orders of errors, and where quality stops to rank."""

import re
import subprocess
import sys
from base64 import b64decode
from io import BytesIO
from itertools import count
from math import isnan

import numpy as np
import pytest
import quality_records as q
from PIL import Image

from sdebench.metrics.frechet import frechet, infinite, paired_bootstrap
from sdebench.metrics.statistics import Statistics, merged
from sdebench.report import build, emit, facts, style
from sdebench.studies.quality import cells as quality_cells
from sdebench.studies.quality import figures as quality_figures
from sdebench.studies.quality import ladders as quality_errors
from sdebench.studies.quality import tables as quality


@pytest.fixture
def read(tmp_path):
    """Records to groups, by way of a file and its arrays."""
    names = count()
    return lambda made: quality_cells.groups(facts.prepare_records(q.stored(tmp_path / f"{next(names)}.jsonl", list(made))))


def one(read, made):
    (group,) = read(made)
    return group


def cell_of(group, solver="ddim", budget=10):
    (cell,) = [c for c in group.cells if (c.run.solver, c.budget) == (solver, budget)]
    return cell


def row_of(table, solver, **more):
    frame = table.frame[table.frame["solver"] == solver]
    for key, value in more.items():
        frame = frame[frame[key] == value]
    assert len(frame) == 1
    return frame.iloc[0]


def features(solver, budget, chunks, size=400):
    """The features of which `samples` keeps the statistics."""
    return np.concatenate([q.features(solver, budget, chunk, size) for chunk in chunks])


TRAIN = Statistics.of(q.normals(600, 4, 101))


def test_the_distance_of_a_cell_is_that_of_all_its_samples_together(read):
    """Merging loses nothing: equal to the distance from one matrix of all features, to 1e-10."""
    group = one(read, [q.data(), q.samples("ddim", 10, 0), q.samples("ddim", 10, 1)])
    cell, every = cell_of(group), features("ddim", 10, (0, 1))
    assert cell.fd == pytest.approx(frechet(Statistics.of(every), TRAIN), abs=1e-10)
    parts = [Statistics.of(every[i : i + q.PART]) for i in range(0, 800, q.PART)]
    assert (cell.infinite, cell.infinite_error) == pytest.approx(infinite(parts, TRAIN))
    assert cell.n == 800


def test_samples_that_lie_in_two_chunks_count_once(read):
    """Chunks of 400 and then one of 800 from the same noises: 800 samples, not 1600."""
    big = q.samples("ddim", 10, 0, size=800)
    group = one(read, [q.data(), q.samples("ddim", 10, 0), q.samples("ddim", 10, 1), big])
    assert cell_of(group).n == 800
    other_seed = q.samples("ddim", 10, 0, seed=1)
    assert cell_of(one(read, [q.data(), q.samples("ddim", 10, 0), other_seed, big])).n == 1200


def test_the_levels_are_two_halves_of_the_data_and_its_test_part(read):
    halves, test = one(read, [q.data()]).levels
    train = q.parts(q.normals(600, 4, 101))
    assert halves.fd == pytest.approx(frechet(merged(train[::2]), merged(train[1::2])))
    assert test.fd == pytest.approx(frechet(Statistics.of(q.normals(200, 4, 102)), TRAIN))
    assert (halves.n, test.n, test.measures["precision"]) == (300, 200, 0.9)


@pytest.mark.parametrize(
    ("more", "why"), [({"nonfinite": 3, "drop": 3}, "3 of 400 samples are not finite"), ({}, "the data has no record")]
)
def test_a_distance_that_would_mislead_is_a_dash_with_its_reason(read, more, why):
    made = [q.samples("ddim", 10, **more), *([q.data()] if more else [])]
    table = quality.quality_table(read(made))
    shown = emit.cell(row_of(table, "ddim").to_dict(), table.columns[-1])
    assert shown.text == emit.DASH
    assert why in shown.why


def test_lost_arrays_are_a_dash_and_name_no_path(tmp_path):
    made = q.stored(tmp_path / "r.jsonl", [q.data(), q.samples("ddim", 10), q.samples("unipc-3", 10), q.pictures("ddim")])
    for r in made:
        if r.case.get("solver") == "ddim":
            (tmp_path / "r.arrays" / r.arrays.file).unlink()
    build(made, tmp_path / "out")
    row = row_of(quality.quality_table(quality_cells.groups(made)), "ddim")
    assert isnan(row["fd_10"])
    assert row["why_10"] == quality_cells.LOST
    assert not [p for p in (tmp_path / "out").rglob("*.*") if str(tmp_path).encode() in p.read_bytes()]


def test_solvers_are_told_apart_by_the_noise_that_they_share(read):
    """The same decision as the paired bootstrap's own, on cells whose own intervals overlap; other noise tells nothing."""
    made = [q.data(), q.samples("a", 10, shift=0.0), q.samples("b", 10, shift=0.09), q.samples("c", 10, shift=0.02)]
    group = one(read, made)
    a, b, c = (cell_of(group, name) for name in "abc")
    assert a.fd + a.half_width > b.fd - b.half_width  # overlapping intervals
    for other in (b, c):
        low, high = paired_bootstrap(*(list(quality_cells._parts(x.records).values()) for x in (a, other)), group.train)
        assert quality_cells.apart(a, other, group.train, 0.95) == (not low <= 0 <= high)
    marked = quality.marks(group)
    assert [marked[x.run, 10] for x in (a, b, c)] == [quality.BEST, "", quality.EQUAL]
    elsewhere = one(read, [*made[:2], q.samples("b", 10, shift=0.09, seed=5)])
    assert not quality_cells.apart(*elsewhere.cells, elsewhere.train, 0.95)


def test_the_same_noise_has_the_same_place_however_it_was_cut_into_chunks(read):
    group = one(read, [q.data(), *(q.samples("a", 10, c) for c in (0, 1)), q.samples("b", 10, size=800)])
    assert cell_of(group, "a").places == cell_of(group, "b").places


def test_cells_of_different_size_are_compared_on_what_both_have(read):
    small, big = q.samples("b", 10, shift=0.3), [q.samples("a", 10, chunk, shift=0.0) for chunk in (0, 1)]
    group = one(read, [q.data(), small, *big])
    assert quality_cells.apart(cell_of(group, "a"), cell_of(group, "b"), group.train, 0.95)
    table = quality.quality_table([group])
    assert "400 to 800 samples" in table.caption


def test_all_pairs_are_right_together():
    assert quality_cells.level_for(2) == pytest.approx(0.95)
    assert quality_cells.level_for(5) == pytest.approx(1 - 0.05 / 10)


def test_a_budget_that_cannot_be_met_is_said_in_both_tables(read):
    found = read([q.data(), q.samples("heun-edm", 5), q.error("heun-edm"), q.samples("ddim", 5), q.error("ddim")])
    for table in (quality.quality_table(found), quality_errors.error_table(found)):
        lines = emit.markdown(table).splitlines()
        assert "(4 of 5)" in next(line for line in lines if "heun-edm" in line)
        assert " of 5)" not in next(line for line in lines if "ddim" in line)


def test_the_error_of_a_budget_is_that_of_the_longest_run_within_it(read):
    ladder = quality_errors.ladders(one(read, [q.error("heun-edm", ladder=(5, 6, 7, 20))]))
    (held,) = ladder.values()
    assert [held.nfe[held.within(b)] for b in (5, 6, 7, 20)] == [4, 6, 6, 20]
    assert held.within(10) is None  # not measured: nothing is interpolated
    assert held.after(6) == pytest.approx(q.error_at("heun-edm", 6))
    assert isnan(held.after(7))


@pytest.mark.parametrize(
    ("made", "verdict", "order", "window", "ends", "why"),
    [
        pytest.param(q.error("unipc-3"), "confirmed", 3.0, "5 to 192", "> 192", "not within the ladder", id="far above"),
        pytest.param(
            q.error("unipc-3", floor=1e-5), "confirmed", 3.0, "5 to 64", "96", "rounding of a float32 network", id="float32"
        ),
        pytest.param(
            q.error("unipc-3", floor=1e-5, rounding=0.0),
            "confirmed",
            3.0,
            "5 to 64",
            "96",
            "error bar of the float64 reference",
            id="reference",
        ),
        pytest.param(
            q.error("unipc-3", rms=[2.0 / b for b in q.LADDER]),
            "refuted",
            1.0,
            "5 to 192",
            "> 192",
            "not within the ladder",
            id="refuted",
        ),
        pytest.param(
            q.error("unipc-3", floor=1.0, dtype="bfloat16"),
            "not asymptotic",
            None,
            "",
            "≤ 5",
            "rounding of a bfloat16 network",
            id="all floor",
        ),
        pytest.param(
            q.error("unipc-3", rms=[0.3, 1e-3, 0.2, 4e-4, 0.1, 1e-4, 0.05, 0.01]),
            "not asymptotic",
            None,
            "",
            "> 192",
            "not within the ladder",
            id="rough",
        ),
    ],
)
def test_the_order_of_a_network_says_where_it_holds_and_what_ends_it(read, made, verdict, order, window, ends, why):
    """Errors 0.5 (4/n)^p + floor; the order to 0.1."""
    table = quality_errors.error_table(read([made]))
    row = row_of(table, "unipc-3")
    assert (row["verdict"], row["window"], row["ends_why"]) == (verdict, window, why)
    assert isnan(row["order"]) if order is None else row["order"] == pytest.approx(order, abs=0.1)
    column = next(c for c in table.columns if c.key == "ends")
    assert emit.cell(row.to_dict(), column).text == ends


def test_the_floor_of_a_bfloat16_network_is_a_row(read):
    table = quality_errors.error_table(read([q.error("ddim"), q.error("ddim", dtype="bfloat16", floor=4e-3)]))
    row = row_of(table, "floor: bfloat16 network")
    assert row["floor"] == row["nfe_5"] == row["nfe_50"] == 4e-3
    assert row_of(table, "floor: float64 reference")["floor"] == pytest.approx(4e-4)


def test_of_two_ladders_the_one_over_more_points_counts(read):
    found = one(read, [q.error("ddim", points=64, ladder=(5, 10)), q.error("ddim", points=32)])
    (held,) = found.errors.values()
    assert held.case["points"] == 64


@pytest.mark.parametrize("n", [4, 5, 6])
def test_the_probability_of_a_rank_correlation_is_exact_for_few(n):
    """In the right order: 1 of n! permutations is as good."""
    rho, p = quality.spearman(np.arange(n), 2.0 ** np.arange(n))
    assert rho == pytest.approx(1.0)
    assert p == pytest.approx(1 / np.prod(np.arange(1, n + 1)))
    assert quality.spearman(np.arange(n), -np.arange(n))[1] == pytest.approx(1.0)


def test_quality_ranks_at_few_evaluations_and_not_where_the_network_is_the_error(read):
    """At 5 NFE the solvers' shifts are 0.2 to 0.4, at 50 NFE they lie below the noise of 800 samples."""
    made = [q.data(), *(q.error(s) for s in q.ORDERS)]
    made += [q.samples(s, b, c) for s in q.ORDERS for b in (5, 20) for c in (0, 1)]
    made += [q.samples(s, 50, c, shift=0.0) for s in q.ORDERS for c in (0, 1)]
    table = quality.rank_table(read(made))
    at = table.frame.set_index("budget")
    assert at["ranks"].tolist() == [quality.RANKS, quality.PART, quality.NOT]
    assert (at.loc[5, "told"], at.loc[5, "agree"], at.loc[5, "pairs"]) == (9, 9, 10)
    assert at.loc[50, "told"] == 0
    assert at.loc[50, "low"] < 0 < at.loc[50, "high"]
    assert quality.limit(table.frame) == (5, 20)


def test_three_solvers_are_too_few_to_speak_of_ranks(read):
    solvers = ("ddim", "unipc-3", "lms-4")
    made = [q.data(), *(q.error(s) for s in solvers), *(q.samples(s, 5) for s in solvers)]
    assert quality.rank_table(read(made)).frame["ranks"].tolist() == [quality.FEW]


def test_stochastic_solvers_have_quality_and_no_error(read):
    found = read([q.data(), q.error("ddim"), *(q.samples(s, 5) for s in ("ddim", "ddpm"))])
    assert set(quality.quality_table(found).frame["solver"]) >= {"ddim", "ddpm"}
    assert "ddpm" not in set(quality_errors.error_table(found).frame["solver"])
    assert quality.rank_table(found).frame.empty


def test_only_inception_is_called_fid(read):
    for metric, says in (("fd_digits", "it is not FID"), ("fid", "of the Inception network of 2015")):
        group = one(read, [q.data(), q.samples("ddim", 5, about=q.context(metric=metric))])
        group = group._replace(context=q.context(metric=metric))
        texts = quality.about(group, quality.rank_table([group]).frame)
        assert any(says in text for text in texts)
        assert quality.quality_table([group]).caption.startswith(metric)


def test_another_checkpoint_or_feature_space_is_another_group(read):
    other = {"model_sha256": "f" * 16, "about": q.context(model_sha256="f" * 64)}
    found = read([q.data(), q.samples("ddim", 5), q.data(**other), q.samples("ddim", 5, **other)])
    assert [group.label for group in found] == [f"digits, {letter * 16}" for letter in "af"]  # what tells them apart
    assert [len(group.cells) for group in found] == [1, 1]
    assert "Model" in [c.heading for c in quality.quality_table(found).columns]


def test_a_network_of_the_package_has_the_name_that_it_has_there(read):
    """Two networks of one data set call themselves by it; a path or a factory is called what its card says."""
    smooth = {"model": "digits-smooth", "model_sha256": "f" * 16, "about": q.context(model_sha256="f" * 64)}
    own = {"model": "runs/mine", "model_sha256": "e" * 16, "about": q.context(model="mine", model_sha256="e" * 64)}
    found = read([q.samples("ddim", 5), q.samples("ddim", 5, **smooth), q.samples("ddim", 5, **own)])
    assert [group.label for group in found] == ["digits", "digits-smooth", "mine on digits"]


def test_levels_far_below_all_samples_are_named_and_not_drawn(read):
    """Distances of 0.4 and more; levels of 0.05: within a factor of 10 they are lines, and names elsewhere."""
    for shift, lines, named in ((0.0, 2, 0), (3.0, 0, 1)):
        group = one(read, [q.data(), *(q.samples(s, b, shift=shift) for s in ("ddim", "ddpm") for b in (5, 10))])
        made = quality.make_tables([group])
        shown = [made[name] for name in ("quality", "quality-error-runs", "quality-rank")]
        ax = quality_figures.quality_curves(*shown, group, "uniform_lam").axes[0]
        assert len([line for line in ax.lines if line.get_linestyle() == "--"]) == lines
        assert len([t for t in ax.texts if t.get_text().startswith("below: ")]) == named
        assert ax.get_ylim()[0] < min(c.fd for c in group.cells)


def test_the_legend_of_errors_names_what_is_drawn(read):
    group = one(read, [q.data(), q.error("ddim"), *(q.samples(s, 5) for s in ("ddim", "ddpm"))])
    made = quality.make_tables([group])
    shown = [made[name] for name in ("quality", "quality-error-runs", "quality-rank")]
    figure = quality_figures.error_curves(*shown, group, "uniform_lam")
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["ddim"]


def test_samples_are_drawn_as_squares_and_none_is_changed():
    """The SVG holds every row of samples as it is, and scales both of its axes alike, without blurring."""
    images = np.random.default_rng(0).integers(0, 256, (8, 3, 4, 4)).astype(np.uint8)
    strip = quality_figures.tiled(images)
    assert strip.shape == (4, 8 * 5 - 1, 3)
    assert np.array_equal(strip[:, 5:9], images[1].transpose(1, 2, 0))
    assert (strip[:, 4] == 255).all()
    svg = style.render(quality_figures.samples([("a", images), ("b", images[::-1])]), "x")
    held = re.findall(r'<image xlink:href="data:image/png;base64,([^"]*)"[^>]*transform="matrix\(([^)]*)\)"', svg)
    places = [[float(number) for number in matrix.split()] for _, matrix in held]
    for (data, _), (across, *turned, down, left, _), shown in zip(held, places, (strip, quality_figures.tiled(images[::-1]))):
        pixels = np.asarray(Image.open(BytesIO(b64decode(re.sub(r"\s", "", data)))).convert("RGB"))
        assert np.array_equal(pixels, shown)
        assert across == down > 1
        assert (turned, left) == ([0, 0], 0)
        assert (across * quality_figures._DPI / 72) % 1 == pytest.approx(0, abs=1e-9)
    assert len(held) == 2
    assert places[1][5] > places[0][5] + 4 * places[0][3]  # the second below the first, with its name between
    assert "image-rendering:pixelated" in svg.replace(": ", ":")


def test_rows_of_samples_share_their_noise_and_name_their_evaluations(read):
    group = one(read, [q.data(), q.pictures(), q.pictures("ddim"), q.pictures("heun-edm")])
    assert quality_figures.shown_budgets(group) == [5, 10, 20, 50]
    title, rows = quality_figures.sample_figures(group)[0]
    assert title == "5 NFE"
    assert [name for name, _ in rows] == ["exact trajectory", "ddim, 5 NFE", "heun-edm, 4 NFE", "test images of the data"]
    many = one(read, [q.pictures("ddim", budgets=(3, 4, 5, 6, 8, 10, 20, 50))])
    assert quality_figures.shown_budgets(many) == [3, 5, 10, 50]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A built report of a whole small study, and of two networks."""
    at = tmp_path_factory.mktemp("quality")
    about = q.context(model="small", data="cifar10-jpeg75", metric="fd_cifar")
    small = {"model": "small", "model_sha256": "d" * 16, "about": about}
    made = [
        *q.study(("ddim", "unipc-3", "heun-edm"), (5, 20), 1),
        *q.study(("ddim", "unipc-3"), (5, 20), 1, **small),
        q.make("samples", {}, solver="dead", status="failed", message="FloatingPointError: nan", budget=5),
    ]
    made = q.stored(at / "r.jsonl", made)
    return at, build(made, at / "out"), made


def test_the_page_of_quality_alone_says_nothing_of_orders(site):
    text = (site[0] / "out" / "index.html").read_text()
    assert re.findall(r'<section id="([^"]*)"><h2>([^<]*)</h2>', text) == [
        ("quality", "Sample quality against network evaluations"),
        ("failures", "Failures"),
        ("reproduce", "Reproduce"),
    ]
    assert "orders" not in text.partition("<script")[0]
    assert {"quality-digits", "quality-small-on-cifar10-jpeg75-503cd2be"} == set(re.findall(r'<h3 id="([^"]*)"', text))
    assert "FloatingPointError: nan" in text
    assert not re.search(r'(?:src|href)="(?!#|data:|figures/|tables/)', text)
    names = {p.name for p in site[1]}
    every = {"quality.csv", "quality-error.csv", "quality-rank.csv", "quality-measures.csv", "quality-error-runs.csv"}
    of_each = {
        f"{kind}-{network}.csv"
        for kind in ("quality", "quality-error")
        for network in ("digits", "small-on-cifar10-jpeg75-503cd2be")
    }
    assert every | of_each <= names
    assert {
        "quality-digits-uniform_lam.svg",
        "quality-error-digits-uniform_lam.svg",
        "samples-digits-5-NFE-9f35bf24.svg",
    } <= names
    readme = (site[0] / "out" / "README.md").read_text()
    assert "## Sample quality against network evaluations" in readme
    assert readme.count("| data: test images |") == 2  # the table of quality of each network
    headings = re.findall(r"<h4>([^<]*)</h4>", text)
    assert headings.count("Sample quality within a budget of network evaluations") == 2
    assert "#### Sample quality within a budget" in readme


def test_the_same_records_give_the_same_bytes(site, tmp_path):
    build(site[2], tmp_path)
    assert [p for p in site[1] if p.read_bytes() != (tmp_path / p.relative_to(site[0] / "out")).read_bytes()] == []


def test_what_the_command_prints(read, tmp_path):
    made = q.stored(tmp_path / "c.jsonl", [q.data(), q.error("ddim"), q.samples("ddim", 5), q.samples("unipc-3", 5)])
    (errors, distances) = quality.fid_rows(made)
    assert errors[0] == "digits: RMS error to the exact trajectory of the network"
    assert distances[1] == ["Solver", "5 NFE"]
    assert [row[0] for row in distances[2]][-2:] == ["ddim", "unipc-3"]
    assert distances[2][-1][1].endswith(quality.BEST)


def test_the_report_on_quality_never_imports_torch(tmp_path):
    q.stored(tmp_path / "r.jsonl", [q.data(), q.samples("ddim", 5)])
    code = (
        "import sys; from sdebench import records, report; report.build(records.read(sys.argv[1]), sys.argv[2]); "
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "r.jsonl"), str(tmp_path / "out")]
    assert subprocess.run(command, check=False).returncode == 0
