"""The page of the survey's statements: verdicts from numbers, Markdown from records alone."""

import re
import subprocess
import sys
from dataclasses import replace

import pytest
from order_records import record as order_record

from sdebench.records import Record
from sdebench.report import build
from sdebench.studies.survey import page as survey_page

TEXTS = {
    "chapter": "A chapter",
    "section": "s",
    "equation": "(7)",
    "title": "A title",
    "printed": "a|b = c",
    "right": "",
    "instead": "",
    "correction": "",
    "how": "By quadrature.",
    "place": 3,
}


def record(
    key="eq-7", printed=1e-15, right=1e-15, tolerance=1e-12, allowed=1e-12, of_order=False, status="ok", message="", **texts
):
    """A record of the study."""
    data = {
        "printed_error": printed,
        "right_error": right,
        "tolerance": tolerance,
        "printed_tolerance": allowed,
        "of_order": of_order,
    }
    return Record(
        key="0",
        study="survey",
        status=status,
        message=message,
        case={"study": "survey", "kind": "statement", "statement": key},
        claims=None,
        code="abc",
        context=(TEXTS | {"key": key} | texts) if status == "ok" else {},
        data=data if status == "ok" else {},
        versions={"torch": "2.13.0"},
        machine="a cpu, 2 cores, Linux",
        made="2026-01-01T00:00:00+00:00",
    )


def corrected(correction="3", printed=0.5, **change):
    made = record(printed=printed, correction=correction, **change)
    return replace(made, context={**made.context, "right": "a = c"})


def instead(**change):
    return record(printed=0.5, correction="d", instead="it is a choice", **change)


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (record(), "holds"),
        (corrected(), "holds after a correction"),
        (instead(), "does not hold"),
        (record(printed=None, instead="it is infinite", correction="g"), "does not hold"),
        (record(printed=0.5, right=0.5), "failed"),  # wrong, and nobody says what is right
        (corrected(allowed=0.2), "failed"),  # neither right nor plainly wrong
        (corrected(allowed=0.6), "failed"),  # not wrong at all
        (corrected(right=1e-3), "failed"),  # the right one is not
        (corrected(right=None), "failed"),
        (record(status="failed", message="ZeroDivisionError: x"), "failed"),
    ],
)
def test_verdict(made, verdict):
    assert survey_page.verdict(made) == verdict


def row(made: Record) -> list[str]:
    """The cells of the only row of the page of one record."""
    line = next(line for line in survey_page.markdown([made]).splitlines() if "A title" in line and line.startswith("|"))
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def test_a_row_shows_the_formula_with_pipes_escaped_and_one_error_where_there_is_one_formula():
    assert row(record()) == ["(7)", r"**A title**<br>`a\|b = c`", "1.0e-15", "", "1e-12", "holds"]


def test_a_corrected_row_shows_both_formulas_and_both_errors():
    cells = row(corrected(tolerance=0.1, of_order=True, right=0.003))
    assert cells[1] == r"**A title**<br>`a\|b = c`<br>right [3]: `a = c`"
    assert cells[2:] == ["5.0e-01", "order, 0.003 off", "1e-12; order 0.1", "**holds after a correction**"]


def test_what_is_true_instead_is_prose():
    assert row(instead())[1].endswith("<br>instead [d]: it is a choice")


def test_no_character_of_prose_is_taken_for_markup():
    page = survey_page.markdown([record(how="L~ of p*q, E[L~] < 1.", title="x~ | `y`")])
    assert r"- x\~ \| \`y\`: L\~ of p\*q, E\[L\~\] &lt; 1." in page


def test_an_infinite_error_and_an_order_say_so():
    assert row(record(printed=None, instead="x", correction="g"))[2] == "infinite"
    cells = row(record(printed=0.004, right=0.004, tolerance=0.1, allowed=0.1, of_order=True))
    assert cells[2:5] == ["order, 0.004 off", "", "order 0.1"]


def test_the_page_counts_orders_by_place_and_lists_corrections_in_order():
    made = [
        record("z", place=0),
        corrected(key="b", place=1),
        instead(key="a", place=2),
        corrected(key="c", place=4, chapter="Another", correction="12"),
        record(status="failed", message="boom", key="f"),
    ]
    page = survey_page.markdown(made)
    assert page.startswith(
        "# The survey, statement by statement\n\n5 statements: 1 hold, 2 hold after a correction, 1 do not hold, 1 failed."
    )
    assert "| A chapter | 3 | 1 | 1 | 1 |" in page
    assert "| Another | 1 | 0 | 1 | 0 |" in page
    assert page.index("## A chapter") < page.index("## Another")
    assert "- [3] A title\n- [12] A title\n- [d] A title" in page
    assert "f<br>boom" in page
    assert [r.case["statement"] for r in survey_page.ordered(made)] == ["f", "z", "b", "a", "c"]


def test_the_report_has_the_page_where_there_are_records_and_its_other_tables_pass_them_by(tmp_path):
    solvers = [order_record(), order_record(solver="slow", slope=1.0)]
    written = {path.name for path in build([*solvers, record()], tmp_path / "both")}
    assert "survey.md" in written
    assert {"README.md", "index.html"} <= written
    assert "](survey.md)" in (tmp_path / "both/README.md").read_text()
    build(solvers, tmp_path / "solvers")
    assert not (tmp_path / "solvers/survey.md").exists()
    assert "survey.md" not in (tmp_path / "solvers/README.md").read_text()
    names = [sorted(str(p.relative_to(tmp_path / f)) for p in (tmp_path / f).rglob("*.*")) for f in ("both", "solvers")]
    assert set(names[0]) - set(names[1]) == {"survey.md"}
    assert set(names[1]) <= set(names[0])
    for name in names[1]:
        both, alone = ((tmp_path / folder / name).read_text() for folder in ("both", "solvers"))
        if name == "index.html":
            assert '<section id="survey"><h2>The survey</h2>' in both
            assert '<a href="survey.md">' in both
            both, alone = (re.search(r'<section id="order">.*?</section>', text, re.DOTALL)[0] for text in (both, alone))
        if name == "README.md":
            both = both[: both.index("## The survey")].rstrip() + "\n"
        assert both == alone, name


def test_records_of_statements_alone_make_that_page_and_link_it(tmp_path):
    assert {path.name for path in build([record()], tmp_path)} == {"index.html", "README.md", "survey.md"}
    page = (tmp_path / "index.html").read_text()
    assert re.findall(r'<section id="([^"]*)"', page) == ["survey", "reproduce"]
    assert "1 statements: 1 hold." in page
    assert '<a href="survey.md">' in page
    assert "](survey.md)" in (tmp_path / "README.md").read_text()


def test_a_single_file_has_no_link_to_the_page_that_is_not_written(tmp_path):
    build([record()], tmp_path, single_file=True)
    assert [path.name for path in tmp_path.iterdir()] == ["index.html"]
    assert "survey.md" not in (tmp_path / "index.html").read_text()


def test_the_page_counts_each_statement_once_by_its_last_record(tmp_path):
    build([corrected(right=0.5), record()], tmp_path)
    assert "1 statements: 1 hold." in (tmp_path / "survey.md").read_text()


def test_the_page_never_imports_torch():
    code = "import sys, sdebench.studies.survey.page; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
