"""How numbers are written and sorted on the page, and which columns a telephone shows first."""

from order_records import law_record, record

from sdebench.report import build, emit, page
from sdebench.report.table import Column
from sdebench.studies.floor import tables as floors
from sdebench.studies.law import tables as laws
from sdebench.studies.order import tables

ERROR = Column("E", "e", "error")


def test_errors_have_a_true_minus_and_nothing_is_plain_zero():
    texts = [emit.cell({"e": value}, ERROR).text for value in (-0.0123, 0.0, 1.5e-7)]
    assert texts == ["−1.2e-02", "0", "1.5e-07"]


def test_what_a_cell_sorts_by_is_told_once_and_to_six_digits():
    cells = [
        emit.TableCell("1.00 ± 0.01", 0.99706537508896),
        emit.TableCell("12", 12.0),
        emit.TableCell(emit.DASH, ""),
        emit.TableCell("x", "x"),
    ]
    assert [page._key(cell) for cell in cells] == ["0.997065", "", "", ""]


def test_numbers_come_before_kind_and_family():
    """Of a wide table a telephone shows the first columns."""
    law = laws.law_table([law_record("two", 2.0), law_record("noisy", 1.0, stochastic=True)])
    grids = tables.grid_table([record()])
    assert [c.key for c in law.columns][-2:] == ["sort", "family"]
    assert [c.heading for c in grids.columns] == ["Solver", "Claimed", "uniform_lam", "Family"]


def test_a_grid_that_all_rows_share_is_no_column():
    one, other = record(study="floor"), record(study="floor", grid="irregular")
    assert "Grid" not in [c.heading for c in floors.floor_table([one]).columns]
    assert "Grid" in [c.heading for c in floors.floor_table([one, other]).columns]


def test_numbers_are_to_the_right_and_texts_to_the_left(tmp_path):
    """On the page a number has no class: most cells are numbers."""
    build([record()], tmp_path)
    text = (tmp_path / "index.html").read_text()
    assert '<td class="text">DEIS</td>' in text
    assert "<td>2</td>" in text  # the claim
    assert ".data td, .data th.num { text-align: right; }" in text
    assert ".data td:is(.text, .paper, .c-problem, .verdict), .detail td { text-align: left; }" in text
