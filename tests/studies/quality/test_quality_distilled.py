"""Students in the report: in the section of their teacher, beside its best solver, and never with an order."""

import re
from itertools import count
from math import isnan

import pytest
import quality_records as q

from sdebench.metrics.frechet import frechet
from sdebench.metrics.statistics import Statistics
from sdebench.report import build, emit, facts
from sdebench.studies.quality import cells as quality_cells
from sdebench.studies.quality import distilled
from sdebench.studies.quality import figures as quality_figures
from sdebench.studies.quality import ladders as quality_errors
from sdebench.studies.quality import tables as quality

TEACHER = {"name": "digits", "sha256": "a" * 64}
FOUR = {"solver": "ddim", "grid": "uniform_lam", "steps": 4}


def of_student(name, letter, sampled=FOUR, teacher=TEACHER):
    """What the records of a student have beside those of its teacher."""
    about = q.context(model=name, model_sha256=letter * 64, teacher=teacher, sampled=sampled)
    return {"model": name, "model_sha256": letter * 16, "about": about}


def student(name="quick", letter="d", budgets=(4,), shift=0.5, solver="ddim", error=0.3, **card):
    """Samples, pictures and paired errors of a student; no record of the data."""
    more = of_student(name, letter, **card)
    yield from (q.samples(solver, b, shift=shift, **more) for b in budgets)
    yield q.pictures(solver, budgets, **more)
    paired = q.error(solver, ladder=budgets, rms=[error] * len(budgets), **more)
    yield paired.with_data(reference_of=TEACHER)


def teacher(solvers=("ddim", "unipc-3"), budgets=(2, 4, 10)):
    yield from (q.data(), q.pictures())
    for solver in solvers:
        yield from (q.error(solver, ladder=budgets), q.pictures(solver, budgets))
        yield from (q.samples(solver, b) for b in budgets)


@pytest.fixture
def read(tmp_path):
    """Records to groups, by way of a file and its arrays."""
    names = count()
    return lambda made: quality_cells.groups(facts.prepare_records(q.stored(tmp_path / f"{next(names)}.jsonl", list(made))))


def shown(group):
    made = quality.make_tables([group])
    return [made[name] for name in ("quality", "quality-error-runs", "quality-rank")]


def test_a_student_stands_in_the_section_of_its_teacher_and_is_held_against_its_data(read):
    (group,) = read([*teacher(), *student()])
    assert group.label == "digits"
    (pupil,) = group.students
    assert (pupil.label, pupil.errors, len(pupil.paired)) == ("quick", {}, 1)
    train = Statistics.of(q.normals(600, 4, 101))
    assert pupil.cells[0].fd == pytest.approx(frechet(Statistics.of(q.features("ddim", 4, shift=0.5)), train), abs=1e-10)


def test_its_row_has_its_error_and_the_teacher_s_best_at_as_many_evaluations(read):
    (group,) = read([*teacher(), *student(), *student("one", "e", (2,), error=0.4)])
    frame = distilled.table([group]).frame
    assert frame["network"].tolist() == ["one", "quick"]
    row, best = frame.iloc[1], min((c for c in group.cells if c.nfe == 4), key=lambda c: c.fd)
    assert (row["nfe"], row["error"], row["sampled"]) == (4, 0.3, "ddim, uniform_lam")
    assert (row["best"], row["best_fd"]) == (f"{best.run.solver}, uniform_lam", best.fd)
    assert row["best_error"] == pytest.approx(q.error_at(best.run.solver, 4))


def test_the_teacher_s_best_may_take_fewer_evaluations_and_then_says_how_many(read):
    made = [q.samples("ddim", 4, shift=2.0), q.samples("heun-edm", 3, shift=0.2), q.samples("ddim", 5, shift=0.0)]
    made[1] = made[1].with_data(nfe=3)
    (group,) = read([q.data(), *made, q.pictures("heun-edm", (3,)), *student()])
    row = distilled.table([group]).frame.iloc[0]
    assert row["best"] == "heun-edm, uniform_lam, 3 NFE"
    assert row["best_fd"] == next(c for c in group.cells if c.nfe == 3).fd
    assert [name for name, _, _ in distilled.shown(group)] == ["digits: heun-edm, uniform_lam, 3 NFE", "quick: ddim, 4 NFE"]


def test_the_caption_says_what_a_student_cannot_undercut_and_that_the_best_is_chosen_after_the_fact(read):
    caption = distilled.table(read([*teacher(), *student()])).caption
    assert "DDIM in 32 steps" in caption
    assert "chosen after the fact" in caption


def test_of_a_student_no_order_is_read(read):
    found = read([*teacher(), *student(budgets=(2, 4, 10, 20, 50))])
    assert set(quality_errors.error_table(found).frame["model"]) == {"digits"}
    assert set(quality_errors.error_runs(found).frame["model"]) == {"digits"}
    alone = read(student(budgets=(2, 4, 10, 20, 50)))
    assert quality_errors.error_table(alone).frame.empty
    assert quality.rank_table(alone).frame.empty


@pytest.mark.parametrize(
    ("sampled", "says"),
    [
        (FOUR, "ddim, uniform_lam"),
        (FOUR | {"steps": [2, 4]}, "ddim, uniform_lam"),
        ({}, "ddim, uniform_lam"),
        (FOUR | {"steps": 8}, "ddim, uniform_lam; not as taught"),
        (FOUR | {"grid": "uniform_t"}, "ddim, uniform_lam; not as taught"),
    ],
)
def test_a_run_for_which_it_is_not_made_is_marked(read, sampled, says):
    (group,) = read([*teacher(), *student(sampled=sampled)])
    assert distilled.table([group]).frame["sampled"].tolist() == [says]


def test_a_student_alone_or_of_another_teacher_has_a_section_of_its_own(read):
    """With its own data; the teacher's columns are dashes with their reason."""
    other = {"name": "digits", "sha256": "9" * 64}
    made = [r for r in student(teacher=other) if r.record.case["kind"] != "error"]
    found = read([*teacher(), *made, q.data(**of_student("quick", "d", teacher=other))])
    assert [group.label for group in found] == ["digits", "quick on digits"]
    assert found[0].students == ()
    row = distilled.table(found).frame.iloc[0]
    assert isnan(row["best_fd"])
    assert row["best_why"] == "no samples of the teacher within 4 NFE"
    assert not isnan(row["fd"])


def test_the_teacher_is_that_of_the_reference_where_the_card_names_one_between(read):
    (group,) = read([*teacher(), *student(teacher={"name": "between", "sha256": "8" * 64})])
    assert [pupil.label for pupil in group.students] == ["quick"]


def test_a_later_step_that_draws_noise_is_a_dash_with_its_reason(read):
    made = [r for r in student(solver="ddpm", budgets=(4,)) if r.record.case["kind"] != "error"]
    (group,) = read([*teacher(), *made])
    table = distilled.table([group])
    cell = emit.cell(table.frame.iloc[0].to_dict(), next(c for c in table.columns if c.key == "error"))
    assert (cell.text, cell.why) == (emit.DASH, "draws noise in its later steps")


def test_the_figure_of_quality_has_a_mark_for_each_student(read):
    (group,) = read([*teacher(), *student(shift=4.0), *student("one", "e", (1, 2), shift=5.0)])
    figure = quality_figures.quality_curves(*shown(group), group, "uniform_lam")
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["ddim", "unipc-3", "one", "quick"]
    drawn = {tuple(line.get_xdata()): tuple(line.get_ydata()) for line in figure.axes[0].lines}
    for pupil in group.students:
        assert drawn[tuple(c.nfe for c in pupil.cells)] == tuple(c.fd for c in pupil.cells)
    assert figure.axes[0].get_xlim()[0] < 1
    assert figure.axes[0].get_ylim()[1] > max(c.fd for pupil in group.students for c in pupil.cells)


def test_rows_of_samples_stand_by_evaluations_below_the_exact_trajectory(read):
    (group,) = read([*teacher(), *student(), *student("one", "e", (2, 4))])
    figures = dict(quality_figures.sample_figures(group))
    assert list(figures) == ["10 NFE", "distilled networks"]
    best = {nfe: min((c for c in group.cells if c.nfe == nfe), key=lambda c: c.fd).run.solver for nfe in (2, 4)}
    names = [name for name, _ in figures["distilled networks"]]
    assert names == [
        "exact trajectory of digits",
        f"digits: {best[2]}, uniform_lam, 2 NFE",
        "one: ddim, 2 NFE",
        f"digits: {best[4]}, uniform_lam, 4 NFE",
        "one: ddim, 4 NFE",
        "quick: ddim, 4 NFE",
        "test images of the data",
    ]


def test_the_page_has_one_section_and_a_table_of_students_in_it(tmp_path):
    build(q.stored(tmp_path / "r.jsonl", [*teacher(), *student()]), tmp_path / "out")
    page = (tmp_path / "out" / "index.html").read_text()
    assert re.findall(r'<h3 id="(quality[^"]*)"', page) == ["quality-digits"]
    assert "Distilled networks" in page
    assert "black marks are distilled networks" in page
    assert "\n#### Distilled networks\n" in (tmp_path / "out" / "README.md").read_text()
    assert (tmp_path / "out" / "figures" / "samples-digits-distilled-networks-0dde36c8.svg").is_file()
    build(q.stored(tmp_path / "s.jsonl", teacher()), tmp_path / "without")
    assert "istilled networks" not in (tmp_path / "without" / "index.html").read_text()


def test_what_the_command_prints_of_a_student(tmp_path):
    made = q.stored(tmp_path / "c.jsonl", [*student(), q.data(**of_student("quick", "d"))])
    rows = quality.fid_rows(made)
    assert rows[-1][1] == ["NFE", "Distance", "RMS error", "Sampled by"], "what is empty, or in the title, is left out"
    assert [title for title, _, _ in rows] == [
        "quick on digits: fd_digits; ★ the best, ≈ not told apart from it",
        "quick on digits: a student, and its error to the exact trajectory of its teacher",
    ]
