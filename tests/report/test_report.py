"""The report: tables from records with known slopes, their emitters, figures, and a page that loads nothing."""

import html
import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from order_records import NOISY, WIGGLE, law_record, record

from sdebench import records
from sdebench._support.errors import UsageError
from sdebench.report import assemble, build, emit, facts, make_sections, page, style
from sdebench.studies.floor import tables as floors
from sdebench.studies.law import figures as law_figure
from sdebench.studies.law import tables as laws
from sdebench.studies.order import figures as figures_module
from sdebench.studies.order import heatmap, judged, tables
from sdebench.studies.work_precision import tables as costs

RESULTS = Path(__file__).parents[2] / "results"


def order_row(*records):
    """The only row of the order table of these records."""
    frame = tables.order_table(facts.prepare_records(records)).frame
    assert len(frame) == 1
    return frame.iloc[0]


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({}, "confirmed"),
        ({"slope": 1.0}, "refuted"),
        ({"errors": WIGGLE}, "not asymptotic"),
        ({"errors": [0.0] * 7}, "exact"),
        ({"status": "failed", "message": "FloatingPointError: nan"}, "failed"),
    ],
)
def test_verdict_of_a_single_case(change, verdict):
    assert order_row(record(**change))["verdict"] == verdict


def test_measured_orders_are_the_worst_over_each_family_of_grids():
    grids = {"uniform_t": 2.0, "uniform_lam": 4.0, "karras": 3.0, "irregular": 4.0, "jitter": 3.0}
    row = order_row(*(record(grid=g, slope=p) for g, p in grids.items()), record(kind="local", grid="", slope=3.0))
    assert row["smooth"] == pytest.approx(2.0, abs=1e-6)
    assert row["irregular"] == pytest.approx(3.0, abs=1e-6)
    assert row["local"] == pytest.approx(3.0, abs=1e-6)
    assert row["confirmed_on"] == row["measured_on"] == 5


@pytest.mark.parametrize(
    ("bad", "verdict"),
    [
        ({"slope": 1.0}, "refuted"),
        ({"errors": WIGGLE}, "not asymptotic"),
        ({"errors": [0.0] * 7}, "confirmed"),
        ({"status": "failed", "message": "x"}, "failed"),
    ],
)
def test_one_grid_decides_for_all_unless_it_is_exact(bad, verdict):
    assert order_row(record(grid="uniform_t"), record(grid="karras", **bad))["verdict"] == verdict


def test_unresolved_is_a_dash_with_its_reason_and_never_a_pass():
    table = tables.order_table(facts.prepare_records([record(errors=WIGGLE), record(solver="other")]))
    shown = {row[0].text: dict(zip((c.key for c in table.columns), row)) for row in emit.cells(table)}
    assert shown["two"]["smooth"].text == emit.DASH
    assert "slopes disagree" in shown["two"]["smooth"].why
    assert "confirmed" not in shown["two"]["verdict"].text
    assert tables.headline(table.frame) == {"confirmed": 1, "not asymptotic": 1}


def test_a_poor_reference_is_not_exactness():
    assert order_row(record(errors=[1e-5] * 7, floor=1e-4))["verdict"] == "not asymptotic"


def test_irregular_grids_are_held_to_the_order_stated_for_them_and_the_verdict_says_so():
    lower = {"order_irregular": 1}
    cases = facts.prepare_records([record(**lower), record(grid="irregular", slope=1.0, **lower)])
    table = tables.order_table(cases)
    assert table.frame.iloc[0]["verdict"] == "confirmed"
    assert "smooth grids only" in emit.markdown(table)
    assert tables.confirmed_with(table.frame, "smooth grids only") == 1
    excess = tables.grid_table(cases).frame.iloc[0]
    assert excess["irregular_excess"] == pytest.approx(-1.0, abs=1e-6)  # against the literature, whatever is stated
    assert order_row(record(), record(grid="irregular", slope=1.0))["verdict"] == "refuted"


def test_main_scheme_and_whole_run_are_told_apart():
    claims = {"claimed_order": 3, "order": 2, "main_order": 3, "order_irregular": 2}
    row = order_row(
        record(**claims),
        record(kind="main", grid="irregular", slope=3.0, **claims),
        record(kind="start-up", grid="", slope=2.0, **claims),
    )
    assert (row["verdict"], row["as_stated"]) == ("refuted", "confirmed")
    assert (round(row["main"], 3), round(row["startup"], 3)) == (3.0, 2.0)


def test_an_adaptive_black_box_is_judged_by_its_tolerance_and_says_so():
    box = record(kind="tolerance", grid="", slope=1.0, claimed_order=5, adaptive=True)
    table = tables.order_table(facts.prepare_records([box]))
    assert "confirmed (tolerance)" in emit.markdown(table)
    assert table.frame.iloc[0]["smooth_why"] == "chooses its own steps: no grids"


def test_a_stochastic_method_is_judged_by_its_weak_order_and_its_strong_order_stands_beside():
    cases = facts.prepare_records(
        [
            record(kind="weak", **NOISY),
            record(kind="weak", grid="irregular", slope=2.0, **NOISY),
            record(kind="strong", grid="", slope=1.0, **NOISY),
            record(solver="ode"),
        ]
    )
    table = tables.order_table(cases)
    rows = {row["solver"]: row for row in table.frame.to_dict("records")}
    assert (rows["two"]["verdict"], rows["two"]["strong_verdict"]) == ("confirmed", "refuted")
    assert [round(rows["two"][k], 3) for k in ("smooth", "irregular", "strong")] == [2.0, 2.0, 1.0]
    assert [rows[k]["sort"] for k in ("two", "ode")] == ["stochastic", "deterministic"]
    assert rows["ode"]["strong_why"] == "deterministic: it has no noise"
    assert "1.00 ± 0.01 ✗" in emit.markdown(table)
    assert list(table.frame["solver"]) == ["ode", "two"]  # deterministic ones first
    assert {"uniform_lam", "irregular"} <= set(tables.grid_table(cases).frame.columns)
    assert "Kind" not in [c.heading for c in tables.order_table(facts.prepare_records([record()])).columns]


@pytest.mark.parametrize(("slope", "claim", "verdict"), [(1.5, 1.5, "confirmed"), (1.0, 1.5, "refuted"), (1.0, None, "")])
def test_a_strong_order_is_held_to_what_is_stated_or_to_nothing(slope, claim, verdict):
    strong = record(kind="strong", grid="", slope=slope, stochastic=True, strong_order=claim)
    assert judged.measured(facts.prepare_records([strong]))[0].verdict == verdict


def test_nfe_a_step_is_counted():
    assert order_row(record(nfe=3))["nfe_counted"] == 3


def test_the_last_record_of_a_case_counts():
    assert order_row(record(slope=1.0), record(slope=2.0))["verdict"] == "confirmed"


def test_a_failure_without_claims_takes_them_from_its_solver():
    broken = replace(record(grid="karras", status="failed", message="boom"), claims=None, context={})
    row = order_row(broken, record())
    assert (row["claimed"], row["verdict"]) == (2, "failed")
    assert order_row(broken)["verdict"] == "failed"
    assert list(assemble.failure_table(facts.prepare_records([broken])).frame["message"]) == ["boom"]


def test_budgets_take_the_longest_run_within_and_interpolate_nothing():
    run = record(study="work-precision", kind="nfe", n=[5, 7, 13, 40], errors=[4.0, 3.0, 2.0, None])
    table = costs.budget_table([run], budgets=(4, 8, 16, 32, 64))
    row = table.frame.iloc[0]
    assert [row[f"nfe_{b}"] for b in (8, 16)] == [3.0, 2.0]
    assert row["used_8"] == 8
    assert [np.isnan(row[f"nfe_{b}"]) for b in (4, 32, 64)] == [True] * 3
    assert row["why_64"] == "41 evaluations, not finite"


def test_rounding_onset_is_the_first_rung_over_twice_the_truncation_error():
    n = [8, 16, 32, 64, 128]
    truth = record(study="floor", n=n)
    low = record(study="floor", n=n, dtype="float32", errors=[k**-2.0 + 3e-4 for k in n])
    lower = record(study="floor", n=n, dtype="bfloat16", errors=[1.0] * 5)
    row = floors.floor_table([truth, low, lower]).frame.iloc[0]
    assert (row["n_float32"], row["bound_float32"]) == (64, "=")  # 64^-2 = 2.4e-4 is the first below 3e-4
    assert (row["n_bfloat16"], row["bound_bfloat16"]) == (8, "<=")
    assert (row["n_float64"], row["bound_float64"]) == (128, ">")
    assert floors.floor_table([low]).frame.iloc[0]["why_float32"].startswith("no float64 run")


def test_latex_and_markdown_escape():
    odd = record(solver=r"a_b|c\d", reference="50% & more #1 {x}~^$")
    table = tables.order_table(facts.prepare_records([odd]))
    tex = emit.latex(table)
    assert r"a\_b|c\textbackslash{}d" in tex
    assert r"50\% \& more \#1 \{x\}\textasciitilde{}\textasciicircum{}\$" in tex
    assert r"$\pm$" in tex
    assert r"\toprule" in tex
    assert r"a_b\|c" in emit.markdown(table)
    assert emit.csv(table).startswith("solver,problem,dtype,")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A built report of every kind of record; solver names that try to break out of the page."""
    rounding = [record(study="floor", dtype=d, floor=1e-16) for d in ("float64", "float32")]
    made = [
        record(),
        record(grid="irregular"),
        record(grid="karras", errors=WIGGLE),
        *rounding,
        record(solver="</script><b>", slope=1.0),
        record(solver="dead", status="failed", message="<img src=x>"),
        record(study="work-precision", kind="nfe"),
        record(solver="noisy", kind="weak", **NOISY),
        record(solver="noisy", kind="strong", grid="", slope=1.5, **NOISY),
        law_record("noisy", 1.0, **NOISY),
        law_record("two", 2.0),
    ]
    out = tmp_path_factory.mktemp("site")
    return out, build(made, out), made


class Loads(HTMLParser):
    """All that a browser would fetch to show a page, and its tags; `of(name, **attributes)` are those of a kind."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.seen = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        names = {"src", "srcset", "data", "poster"} | (set() if tag == "a" else {"href", "xlink:href"})
        self.fetched += [v for k, v in attrs if k in names and not v.startswith(("#", "data:"))]

    def of(self, tag, **wanted):
        return [a for name, a in self.seen if name == tag and all(a.get(k) == v for k, v in wanted.items())]


def page_of(out):
    """The text of the page of a report, and what is in it."""
    text = (out / "index.html").read_text()
    return text, Loads(text)


def test_the_page_loads_its_own_figures_alone_and_escapes_what_it_is_given(site):
    text, parser = page_of(site[0])
    figures = sorted(f"figures/{p.name}" for p in (site[0] / "figures").iterdir())
    assert sorted(parser.fetched) == figures
    assert not re.search(r"@import|url\((?!#)", text)
    assert "<b>" not in re.findall(r'id="details">(.*?)</script>', text)[0]
    assert "<img src=x>" not in text
    assert "1 stochastic solver of the SDEs" in text
    assert {a["id"] for a in parser.of("section")} >= {"order", "work", "law", "floor", "failures", "reproduce"}
    assert {a["id"] for a in parser.of("h3") if "id" in a} >= {"grids", "convergence", "weak", "strong"}
    assert "Stated is what this suite" in text
    assert "claims 2</span> <span>smooth 2.00</span> <span>strong 1.50</span>" in text


def test_every_figure_has_its_size_its_words_and_a_link_and_is_loaded_when_it_is_seen(site):
    text, parser = page_of(site[0])
    images = parser.of("img")
    assert len(images) == len(list((site[0] / "figures").iterdir())) > 5
    for image in images:
        assert image["loading"] == "lazy"
        svg = (site[0] / image["src"]).read_text()
        width, height = (float(re.search(rf'<svg [^>]*?\b{side}="([\d.]+)pt"', svg)[1]) for side in ("width", "height"))
        assert (int(image["width"]), int(image["height"])) == (round(width * 4 / 3), round(height * 4 / 3))
        assert f"<figcaption>{image['alt']} <a href=" in text.replace("&#39;", "'")
        assert parser.of("a", href=image["src"])


def test_all_links_of_the_page_lead_somewhere(site):
    _, parser = page_of(site[0])
    ids = [a["id"] for _, a in parser.seen if "id" in a]
    assert len(ids) == len(set(ids))
    for link in parser.of("a"):
        there = link["href"][1:] in ids if link["href"].startswith("#") else (site[0] / link["href"]).exists()
        assert there, link["href"]


def test_a_single_file_has_its_figures_inside_and_links_nothing(site, tmp_path):
    assert build(site[2], tmp_path, single_file=True) == [tmp_path / "index.html"]
    assert [p.name for p in tmp_path.iterdir()] == ["index.html"]
    text, parser = page_of(tmp_path)
    assert parser.fetched == []
    assert parser.of("img") == []
    assert len(parser.of("svg", role="img")) == len(page_of(site[0])[1].of("img"))
    assert all(a["href"].startswith("#") for a in parser.of("a"))
    ids = [a["id"] for _, a in parser.seen if "id" in a]
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:url\(|xlink:href=")#([^")]*)', text)) <= set(ids)


def test_the_tables_of_the_page_can_be_sorted_by_keyboard(site):
    _, parser = page_of(site[0])
    heads = [i for i, (tag, a) in enumerate(parser.seen) if tag == "th" and a.get("scope") == "col"]
    assert len(heads) > 20
    assert all(parser.seen[i][1]["aria-sort"] == "none" and parser.seen[i + 1][0] == "button" for i in heads)
    assert any(a.get("data-s", "") == "2" or a.get("data-s", "").startswith("1.99") for t, a in parser.seen)


def test_the_tiles_count_each_solver_once_and_filter_the_rows_below_them(site):
    """two is not asymptotic on one grid; </script><b> is refuted, dead failed, noisy confirmed."""
    text, parser = page_of(site[0])
    tiles = re.findall(r'data-verdict="([^"]*)" aria-pressed="(\w+)"><b>(\d+)</b><span>([^<]*)</span>', text)
    assert tiles == [
        ("", "true", "4", "solvers"),
        ("confirmed", "false", "1", "✓ confirmed"),
        ("refuted", "false", "1", "✗ refuted"),
        ("not asymptotic", "false", "1", "? not asymptotic"),
        ("exact", "false", "0", "= exact"),
        ("failed", "false", "1", "! failed"),
    ]
    rows = {a["data-id"]: a["data-verdict"] for a in parser.of("tr") if "data-id" in a}
    assert rows == {
        "two|mixture-1d|float64": "not asymptotic",
        "</script><b>|mixture-1d|float64": "refuted",
        "dead|mixture-1d|float64": "failed",
        "noisy|mixture-1d|float64": "confirmed",
    }
    assert text.count('class="more" aria-expanded="false"') == len(rows)
    assert text.count('class="tools"') == text.count('class="data detailed"') == 1
    ((_, own),) = [(before, rest) for before, _, rest in [text.partition('<div class="grid">\n<div class="tiles"')] if rest]
    assert 0 < own.index('class="tools"') < own.index('class="data detailed"') < own.index("</table>")
    assert "<select" not in own  # one problem: nothing to choose


def test_a_choice_of_the_problem_is_offered_where_there_are_several(tmp_path):
    build([record(), replace(record(), case={**record().case, "problem": "other"})], tmp_path)
    assert "<option>mixture-1d</option><option>other</option></select>" in page_of(tmp_path)[0]


def test_under_a_row_stand_its_cases_with_what_was_used_of_each(site):
    text, _ = page_of(site[0])
    packed = json.loads(re.findall(r'id="details">(.*?)</script>', text, re.DOTALL)[0])
    assert len(packed["words"]) == len(set(packed["words"]))
    details = {
        table: {row: [[packed["words"][i] for i in line] for line in lines] for row, lines in rows.items()}
        for table, rows in packed["tables"].items()
    }
    headings = json.loads(html.unescape(re.search(r'data-name="orders" data-headings="([^"]*)"', text)[1]))
    assert headings == ["Case", "Order", "Claim", "Steps used", "Error at the finest", "Verdict", ""]
    assert list(details) == ["orders"]
    lam, wiggle, irregular = details["orders"]["two|mixture-1d|float64"]
    assert lam == ["global, uniform_lam", "2.00 ± 0.01", "2", "8 to 64", "2.4e-04", "confirmed", ""]
    assert wiggle[:6] == ["global, karras", emit.DASH, "2", "", "1.0e-02", "not asymptotic"]
    assert "slopes disagree" in wiggle[6]
    assert irregular[0] == "global, irregular"
    assert details["orders"]["dead|mixture-1d|float64"] == [
        ["global, uniform_lam", emit.DASH, "2", "", "", "failed", "<img src=x>"]
    ]


def test_failed_records_are_told_in_their_own_section_on_page_and_readme(site):
    text, readme = page_of(site[0])[0], (site[0] / "README.md").read_text()
    section = text[text.index('<section id="failures">') :]
    assert section.startswith('<section id="failures"><h2>Failures</h2>')
    heads = re.findall(r"<button[^>]*>([^<]*)</button></th>", section)
    assert heads == ["Solver", "Problem", "Study", "Kind", "Grid", "dtype", "Message"]
    assert '<th scope="row">dead</th>' in section
    assert '<td class="text">&lt;img src=x&gt;</td>' in section
    assert "## Failures" in readme
    assert "| dead | mixture-1d | order | global | uniform_lam | float64 | &lt;img src=x&gt; |" in readme


def test_where_nothing_failed_there_is_no_such_section(tmp_path):
    build([record()], tmp_path)
    assert "Failures" not in page_of(tmp_path)[0]
    assert "Failures" not in (tmp_path / "README.md").read_text()


def test_records_of_a_study_that_is_not_installed_are_told_and_stop_nothing(tmp_path):
    strangers = [replace(record(study="my-study"), case={"study": "my-study", "number": i}) for i in range(3)]
    lost = replace(record(study="my-study", status="failed", message="no"), case={"study": "my-study", "number": 3})
    path = tmp_path / "r.jsonl"
    with records.Writer(path) as writer:
        for made in (*strangers, lost, record()):
            writer.append(made)
    build(records.read(path), tmp_path / "out")
    told = "4 record(s) of the study 'my-study', which is not installed."
    text, parser = page_of(tmp_path / "out")
    assert [a["id"] for a in parser.of("section")] == ["order", "others", "failures", "reproduce"]
    assert told in html.unescape(text)
    assert told in (tmp_path / "out/README.md").read_text()
    assert "<dd>5, of the studies my-study, order</dd>" in text
    assert records.load_arrays(records.read(path)[0]) == {}


def test_records_of_strangers_alone_make_a_report(tmp_path):
    build([replace(record(study="my-study"), case={"study": "my-study"}, claims=None)], tmp_path)
    assert "1 record(s) of the study" in (tmp_path / "README.md").read_text()


def test_every_file_is_written_whole_and_named(site):
    out, paths, _ = site
    on_disk = {p for p in out.rglob("*") if p.is_file()}
    assert len(paths) == len(set(paths))
    assert set(paths) == on_disk
    assert {p.suffix for p in on_disk} == {".html", ".md", ".csv", ".svg"}
    assert {p.name for p in out.iterdir()} == {"index.html", "README.md", "tables", "figures"}
    tables = {p.name for p in (out / "tables").iterdir()}
    assert {"orders.csv", "grids.csv", "failures.csv", "work-precision-runs.csv", "law.csv", "floor.csv"} <= tables
    assert all(p.read_text().endswith("</html>" if p.suffix == ".html" else "\n") for p in on_disk)
    readme = (out / "README.md").read_text()
    linked = re.findall(r"\]\(((?:figures|tables)/[^)]*)\)", readme)
    assert {f"figures/{p.name}" for p in (out / "figures").iterdir()} <= set(linked)
    assert all((out / name).is_file() for name in linked)


def test_a_figure_that_cannot_be_drawn_leaves_the_old_report_as_it_was(site, tmp_path, monkeypatch):
    build([record()], tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def broken(*_):
        raise ZeroDivisionError

    monkeypatch.setattr(assemble, "render", broken)
    with pytest.raises(UsageError, match=r"no record can be shown .*ZeroDivisionError"):
        build(site[2], tmp_path)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_the_same_records_give_the_same_bytes(site, tmp_path):
    out, paths, made = site
    build(made, tmp_path)
    assert [p for p in paths if p.read_bytes() != (tmp_path / p.relative_to(out)).read_bytes()] == []


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    target = assemble.write_atomic(tmp_path / "a" / "x.md", "old")

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr("sdebench._support.files.os.replace", full)
    with pytest.raises(OSError, match="no space"):
        assemble.write_atomic(target, "new")
    assert [p.name for p in target.parent.iterdir()] == ["x.md"]
    assert target.read_text() == "old"


BROKEN = replace(record(status="failed", message="boom"), claims=None, context={})
FOREIGN = replace(record(), case={**record().case, "problem": "../up:Mine", "grid": "my grid"})


@pytest.mark.parametrize(
    "made",
    [
        [BROKEN],
        [record(study="floor", dtype="float32")],
        [record(study="work-precision", kind="nfe", errors=[None] * 7)],
        [record(errors=[None] * 7), record(solver="b", errors=[1, None, 0.1, 0.01, 1e-3, 1e-4, 1e-5])],
        [record(slope=-100.0)],
        [replace(record(), data={})],
        [record(kind="local", grid="")],
        [FOREIGN],
    ],
)
def test_no_record_breaks_the_report(tmp_path, made):
    paths = build(made, tmp_path / "out")
    assert {p for p in tmp_path.rglob("*") if p.is_file()} == set(paths)
    assert all(p.parent.parent.name == "out" for p in paths if p.parent.name != "out")


def test_a_run_that_diverges_is_named_and_has_no_slope_and_an_empty_record_is_not_exact():
    lost, empty = record(errors=[None] * 7), replace(record(solver="b"), data={})
    assert order_row(lost)["verdict"] == "refuted"
    assert order_row(empty)["verdict"] == "not asymptotic"
    figure = figures_module.convergence(facts.prepare_records([lost, empty]), "mixture-1d", "uniform_lam")
    (axes,) = [ax for ax in figure.axes if ax.get_title("left") == "DEIS"]
    assert [t.get_text() for t in axes.texts] == ["two  diverges, claims 2"]
    assert not [line for line in axes.lines if line.get_linestyle() in ("-", "--")]


def test_no_records_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="sdebench run") as error:
        build([], tmp_path / "new")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "new").exists()


def test_the_heat_map_never_colours_what_is_unresolved():
    cases = facts.prepare_records([record(), record(grid="karras", errors=WIGGLE), record(grid="jitter", slope=0.0)])
    figure = heatmap.heat_map(tables.grid_table(cases), "mixture-1d", ["uniform_lam", "karras", "jitter"])
    axes = figure.axes[0]
    assert {"0.0", "?", "−2.0"} <= {t.get_text() for t in axes.texts}
    passed, unresolved, lost = np.asarray(axes.collections[0].get_array())[0]
    assert np.ptp(unresolved[:3]) == 0  # grey, and hatched
    assert np.ptp(passed[:3]) < 0.05 < np.ptp(lost[:3])  # the middle of the palette, and far from it
    assert not np.allclose(passed, unresolved, atol=0.02)
    assert [p.get_hatch() for p in axes.patches] == ["//////"]


@pytest.mark.parametrize("solvers", [1, 3, 60])
def test_no_word_of_the_heat_map_leaves_the_figure(solvers):
    cases = facts.prepare_records([record(solver=f"s{i}") for i in range(solvers)])
    figure = heatmap.heat_map(tables.grid_table(cases), "mixture-1d", ["uniform_lam"])
    figure.canvas.draw()
    for ax in figure.axes:
        box = ax.get_tightbbox()
        assert figure.bbox.x0 <= box.x0 < box.x1 <= figure.bbox.x1


def test_the_convergence_figure_names_what_is_refuted():
    cases = facts.prepare_records([record(), record(solver="slow", slope=1.0)])
    figure = figures_module.convergence(cases, "mixture-1d", "uniform_lam")
    assert any("slow  1.00, claims 2" in t.get_text() for t in figure.axes[0].texts)
    svg = style.render(figure, "x")
    assert "slow" in svg
    assert "dc:date" not in svg


def test_weak_and_strong_errors_have_figures_of_their_own():
    noisy = (record(solver="n", kind=kind, grid=grid, **NOISY) for kind, grid in (("weak", "uniform_lam"), ("strong", "")))
    cases = facts.prepare_records([record(), *noisy])
    weak, strong = figures_module.weak(cases, "mixture-1d", "uniform_lam"), figures_module.strong(cases, "mixture-1d")
    assert [len([a for a in f.axes if a.get_visible()]) for f in (weak, strong)] == [1, 1]
    assert "error of E[φ(x)]" in [t.get_text() for t in weak.texts]
    assert len(strong.axes[0].lines) == len(weak.axes[0].lines) + 1  # the median
    of_moments = [replace(r, data={**r.data, "cov": r.data["rms"]}) for r in cases]
    weak = figures_module.weak(of_moments, "mixture-1d", "uniform_lam")
    assert "error of mean and covariance" in [t.get_text() for t in weak.texts]


def test_the_law_figure_names_the_best_of_either_kind_and_no_names_overlap():
    slow = [law_record(f"sde {k}", 1.0 + 0.01 * k, **NOISY) for k in range(6)]
    cases = facts.prepare_records([*slow, *(law_record(f"ode {k}", 2.0 + 0.01 * k) for k in range(6))])
    runs, budgets = laws.law_runs_table(cases), laws.law_table(cases)
    axes = law_figure.law(runs, budgets, "mixture-1d").axes[0]
    assert {t.get_text() for t in axes.texts} == {f"{kind} {k}" for kind in ("ode", "sde") for k in (2, 3, 4, 5)}
    heights = sorted(t.xyann[1] for t in axes.texts)
    assert heights[0] >= 0
    assert heights[-1] <= 1
    assert min(np.diff(heights)) > 0.035
    assert budgets.frame.set_index("solver").loc["sde 5", "nfe_16"] == pytest.approx((1 / 12) ** 1.05)


@pytest.mark.parametrize(("slope", "end"), [(2.0, "neither"), (-0.5, "min"), (4.5, "max")])
def test_the_colour_bar_of_the_heat_map_says_where_cells_leave_it(slope, end):
    frame = tables.grid_table(facts.prepare_records([record(slope=slope)])).frame
    assert heatmap._beyond(frame, ["uniform_lam"]) == end


def test_provenance_counts_the_codes_and_names_versions_machines_and_dates():
    later = replace(record(solver="b"), code="def", machine="another", made="2026-02-01T00:00:00+00:00")
    told = dict(page.provenance([record(), later, record(solver="c")]))
    assert told["Code"].startswith("2 closures")
    assert told["Records"] == "3, of the studies order"
    assert told["Machine"] == "a cpu, 2 cores, Linux; another"
    assert told["Measured"] == "2026-01-01T00:00:00+00:00 to 2026-02-01T00:00:00+00:00"
    assert told["Libraries"] == "torch 2.13.0"
    assert dict(page.provenance([record()]))["Measured"] == "2026-01-01T00:00:00+00:00"


def test_the_report_never_imports_torch(site, tmp_path):
    with records.Writer(tmp_path / "r.jsonl") as writer:
        for made in site[2]:
            writer.append(made)
    code = (
        "import sys; from sdebench import records, report; report.build(records.read(sys.argv[1]), sys.argv[2]); "
        "sys.exit('torch' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "r.jsonl"), str(tmp_path / "out")]
    assert subprocess.run(command, check=False).returncode == 0


@pytest.fixture(scope="module")
def published():
    """The sections of every fifth record in this repository, and their page; figures are blank: the page only names them."""
    made = [r for path in sorted(RESULTS.glob("*.jsonl")) for i, r in enumerate(records.read(path)) if i % 5 == 0]
    sections = make_sections(made)
    blank = '<svg width="1000pt" height="1000pt"></svg>'
    return sections, page.html("title", made, sections, {d.name: blank for s in sections for d in s.drawings()})


def test_the_page_of_the_published_results_is_below_a_megabyte():
    assert 100_000 < (RESULTS.parent / "reports" / "index.html").stat().st_size < 1_000_000


def test_the_page_of_the_published_results_has_a_section_a_study_and_every_block_once(published):
    sections, text = published
    parser = Loads(text)
    names = [
        "order",
        "calibration",
        "ends",
        "work",
        "law",
        "family",
        "matching",
        "quality",
        "cost",
        "floor",
        "audit",
        "survey",
        "spacing",
    ]
    assert [s.name for s in sections if s.name != "failures"] == sorted(names, key=[s.name for s in sections].index)
    assert [a["id"] for a in parser.of("section")] == [*(s.name for s in sections), "reproduce"]
    assert [a["href"] for a in parser.of("a") if a["href"].startswith("#")] == [f"#{a['id']}" for a in parser.of("section")]
    figures = [f"figures/{d.name}.svg" for s in sections for d in s.drawings()]
    assert parser.fetched == figures
    assert len(figures) == len(set(figures))
    tables = [t.name for s in sections for t in s.tables()]
    assert len(tables) == len(set(tables))
    ids = [a["id"] for _, a in parser.seen if "id" in a]
    assert len(ids) == len(set(ids))
    linked = {a["href"] for a in parser.of("a") if a["href"].startswith("tables/") and a["href"].endswith(".csv")}
    folded = {t for t in tables if f'id="{t}-table"' in text}
    assert {f"tables/{t}.csv" for t in set(tables) - folded} <= linked <= {f"tables/{t}.csv" for t in tables}


def test_the_tiles_of_the_published_results_add_up(published):
    sections, text = published
    (orders,) = [b for s in sections if s.name == "order" for b in s.blocks if getattr(b, "tiles", ())]
    first, *others = orders.tiles
    frame = orders.table.frame
    assert first.count == frame["solver"].nunique()
    judged = frame[frame["verdict"] != ""]["solver"].nunique()
    assert sum(tile.count for tile in others) == judged
    assert text.count('class="more"') == len(frame)
    assert set(orders.details.lines) == {page.row_id(row) for row in frame.to_dict("records")}
