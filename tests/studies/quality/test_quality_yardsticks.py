"""What a distance means: the table of damaged images, and their names beside the curves."""

import pytest
import quality_records as q

from sdebench.report import build, emit, facts
from sdebench.studies.quality import cells as quality_cells
from sdebench.studies.quality import figures as quality_figures
from sdebench.studies.quality import tables as quality
from sdebench.studies.quality import yardsticks

DAMAGED = [
    {"damage": "as they are", "n": 200, "fd": 0.01, "half_width": 0.01},
    {"damage": "blur 1 pixel", "n": 200, "fd": 2.0, "half_width": 0.3},
    {"damage": "half resolution", "n": 200, "fd": 2.1, "half_width": 0.3},
    {"damage": "noise 5 %", "n": 200, "fd": 0.7, "half_width": 0.2},
]


def told(**more):
    return q.data(**more).with_data(damaged=DAMAGED)


@pytest.fixture
def group(tmp_path):
    """Samples at 5 and 10 NFE whose features are moved by 0.9 and 0.5 in each of 4: distances of 3.2 and 1.0, or so."""
    return of(tmp_path, 200)


def of(folder, size):
    made = [
        q.samples(solver, budget, size=size, shift=shift)
        for solver, budget, shift in (("ddim", 5, 0.6), ("ddim", 10, 0.2), ("ddpm", 10, 0.3))
    ]
    (found,) = quality_cells.groups(facts.prepare_records(q.stored(folder / "r.jsonl", [told(), *made])))
    return found


def test_damages_stand_by_distance_and_say_which_samples_are_as_near(group):
    table = yardsticks.table([group])
    rows = table.frame.set_index("damage")
    assert list(rows.index) == ["as they are", "noise 5 %", "blur 1 pixel", "half resolution"]
    assert (rows.loc["blur 1 pixel", "reached"], rows.loc["blur 1 pixel", "reached_by"]) == (10, "ddim")
    assert "| noise 5 % | 200 | 0.70 ± 0.20 | — | — |" in emit.markdown(table)
    assert "Reached by" in table.caption
    assert "not to be compared" not in table.caption


def test_samples_of_another_number_are_not_held_against_them(tmp_path):
    table = yardsticks.table([of(tmp_path, 400)])
    assert "Of digits there are 400 samples and 200 such images: the two are not to be compared." in table.caption
    assert "Reached" not in table.caption
    assert [column.key for column in table.columns] == ["damage", "n", "fd"]
    assert table.frame["reached"].isna().all()


def test_names_stand_at_their_distances_and_only_within_the_plot(group):
    made = quality.make_tables([group])
    shown = [made[name] for name in ("quality", "quality-error-runs", "quality-rank")]
    figure = quality_figures.quality_curves(*shown, group, "uniform_lam")
    (ax,) = figure.axes
    named = {t.get_text(): t for t in ax.texts if hasattr(t, "xy")}
    assert list(named) == ["blur 1 pixel", "half resolution"]  # the others are nearer than all samples
    figure.canvas.draw()
    at = ax.transData.inverted().transform(ax.transAxes.transform(named["blur 1 pixel"].xy))[1]
    assert at == pytest.approx(2.0)
    below, above = (t.get_window_extent() for t in named.values())
    assert below.y1 < above.y0 + 1  # apart, though the distances are not
    assert max(below.x1, above.x1) < figure.bbox.x1


def test_where_nothing_was_damaged_there_is_no_table_and_no_room(group):
    bare = group._replace(data=q.data().record)
    assert yardsticks.room(bare) == 0
    assert yardsticks.table([bare]).frame.empty


def test_page_and_readme_show_the_table(tmp_path):
    made = q.stored(tmp_path / "r.jsonl", [told(), q.samples("ddim", 5), q.error("ddim")])
    build(made, tmp_path / "out")
    for name in ("index.html", "README.md"):
        text = (tmp_path / "out" / name).read_text()
        assert "What a distance means" in text
        assert "blur 1 pixel" in text
