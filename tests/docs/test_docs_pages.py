"""README.md and docs/ say what is there: links, settings, commands, options, public names, and the numbers of the report."""

import csv
import re
import subprocess
from dataclasses import MISSING, Field, fields
from functools import cache
from importlib import import_module
from math import nan
from pathlib import Path

import pytest
import typer
from docs_blocks import ROOT, name_of, pages

import sdebench as sb
from sdebench import cli
from sdebench._support.registry import STUDIES

DOCS = ROOT / "docs"
WRITTEN = [*pages(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
SHIPPED_STUDIES = [name for name in STUDIES.names() if type(STUDIES.get(name)).__module__.startswith("sdebench.")]


def without_blocks(text: str) -> str:
    """The text without its fenced blocks."""
    return re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)


def slugs(page: Path) -> set[str]:
    """The anchors of a page's headings."""
    heads = re.findall(r"^#+ (.+)$", without_blocks(page.read_text()), re.MULTILINE)
    return {re.sub(r"[\s]+", "-", re.sub(r"[^\w\s-]", "", head.lower()).strip()) for head in heads}


@pytest.mark.parametrize("page", WRITTEN, ids=name_of)
def test_links_lead_to_files_and_headings_that_are_there(page):
    text = re.sub(r"`[^`\n]*`", "", without_blocks(page.read_text()))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{name_of(page)}: {link}"
        assert target.is_relative_to(ROOT)
        if anchor:
            assert anchor in slugs(target), f"{name_of(page)}: {link}"


def test_the_pages_of_the_site_link_no_file_outside_of_it():
    for page in sorted(DOCS.rglob("*.md")):
        for link in re.findall(r"\]\(([^)#\s]+)", without_blocks(page.read_text())):
            inside = link.startswith("https://") or (page.parent / link).resolve().is_relative_to(DOCS)
            assert inside, f"{name_of(page)}: {link}"


def test_every_page_is_in_the_navigation_once_and_every_figure_is_shown():
    listed = re.findall(r": ([\w/]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))
    shown = {name for page in DOCS.rglob("*.md") for name in re.findall(r"figures/([\w.+-]+\.svg)\)", page.read_text())}
    assert {path.name for path in (DOCS / "figures").iterdir()} == shown
    assert all(path.stat().st_size < 60_000 for path in (DOCS / "figures").iterdir())


def test_the_readme_fits_two_screens():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 70


# Settings of studies


def rows_of(heading: str) -> list[list[str]]:
    """The cells of the table under that heading of docs/suites.md."""
    section = (DOCS / "suites.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def shown_default(setting: Field) -> str:
    """A default as the docs write it."""
    value = setting.default if setting.default_factory is MISSING else setting.default_factory()
    items = value if isinstance(value, tuple) else (value,)
    texts = [str(item).lower() if isinstance(item, bool) else str(item) for item in items if item not in (None, "")]
    return ", ".join(texts) or "—"


@pytest.mark.parametrize("study", SHIPPED_STUDIES)
def test_the_table_of_a_study_has_its_settings_and_defaults(study):
    told = [(name.strip("`"), default) for name, default, _ in rows_of(study)]
    assert told == [(setting.name, shown_default(setting)) for setting in fields(STUDIES.get(study).settings)]


def test_every_study_has_its_table():
    headings = re.findall(r"^## (\S+)$", (DOCS / "suites.md").read_text(), re.MULTILINE)
    assert sorted(headings) == sorted(SHIPPED_STUDIES)


# Commands


@cache
def commands() -> dict[str, set[str]]:
    """The options of each command."""
    found = typer.main.get_command(cli.app).commands
    return {name: {option for param in made.params for option in param.opts} for name, made in found.items()}


def test_every_command_is_in_the_table_and_every_command_named_exists():
    table = set(re.findall(r"^\| `sdebench (\w+)", (DOCS / "commands.md").read_text(), re.MULTILINE))
    assert table == set(commands())
    for page in WRITTEN:
        for name in re.findall(r"`sdebench ([a-z]+)\b", page.read_text()):
            assert name in commands(), f"{name_of(page)}: sdebench {name}"


def test_every_option_that_is_named_exists():
    every = set().union(*commands().values()) | {"--help", "--port", "--nthreads"}
    for page in pages():
        text = re.sub(r"mkdocs [^`\n]*|ruff [^`\n]*|pytest [^`\n]*", "", page.read_text())
        for option in re.findall(r"(?<![\w<!-])--[a-z][a-z-]+", text):
            assert option in every, f"{name_of(page)}: {option}"
        for name, rest in re.findall(r"\bsdebench ([a-z]+)\b([^`|\n]*)", text):
            for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", rest) if name in commands() else ():
                assert option in commands()[name] | {"--help"}, f"{name_of(page)}: sdebench {name} {option}"


# Names


def test_every_public_name_is_in_the_reference():
    text = "\n".join(page.read_text() for page in (DOCS / "reference").glob("*.md"))
    documented = set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))
    for home, names in sb._HOMES.items():
        for name in names or (home.rpartition(".")[2],):
            assert (names and f"{home}.{name}" in documented) or re.search(rf"`sb\.{name}[`(]", text), name
    for path in documented:
        module, _, name = path.rpartition(".")
        try:
            import_module(path)
        except ModuleNotFoundError:
            assert hasattr(import_module(module), name), path


def test_every_name_of_the_package_in_a_page_exists():
    for page in pages():
        for path in re.findall(r"\bsb\.((?:\w+\.)*\w+)", page.read_text()):
            thing = sb
            for name in path.split("."):
                assert hasattr(thing, name), f"{name_of(page)}: sb.{path}"
                thing = getattr(thing, name)
                if not isinstance(thing, type(sb)):
                    break


def test_every_solver_and_problem_in_a_page_exists():
    """Names with a digit or a suffix of the catalogue, in code: `unipc-3`, `dpm-solver++-3m-shipped`."""
    known = {*sb.list_solvers(), *sb.list_problems(), *sb.networks.shipped_names()}
    stems = {name.partition("-")[0] for name in sb.list_solvers()} - {"my", "predictor"}
    for page in pages():
        for name in re.findall(r"`([a-z]+\+*-[\w+-]+)`", page.read_text()):
            if name.partition("-")[0] in stems:
                assert name in known, f"{name_of(page)}: {name}"


# Numbers


@cache
def report() -> list[dict[str, str]]:
    with (ROOT / "reports/tables/orders.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def measured(solver: str, problem: str, key: str) -> str:
    """A measured order with its half-width, as the report has it; a dash for none."""
    for row in report():
        if (row["solver"], row["problem"]) == (solver, problem) and row[key]:
            return f"{float(row[key]):.2f} ± {float(row[f'{key}_hw'] or nan):.2f}"
    return "—"


def row_of(solver: str, problem: str) -> dict[str, str]:
    """The row of the report."""
    return next(row for row in report() if (row["solver"], row["problem"]) == (solver, problem))


SIGNS = {"confirmed": "✓ confirmed", "refuted": "✗ refuted", "not asymptotic": "? not asymptotic"}
TABLES = {
    "Smooth grids": ("mixture-1d", "smooth"),
    "Irregular grids": ("mixture-1d", "irregular"),
    "Local": ("mixture-1d", "local"),
    "Main": ("mixture-1d", "main"),
    "Weak, smooth grids": ("gaussian", "smooth"),
    "Weak, irregular grids": ("gaussian", "irregular"),
    "Strong": ("mixture-1d", "strong"),
}


def order_tables() -> list[tuple[str, list[str], list[str]]]:
    """(page, headings, cells) of every row below a marker `<!-- orders -->`."""
    found = []
    for page in pages():
        for table in re.findall(r"<!-- orders -->\n((?:\|.*\n)+)", page.read_text()):
            heads, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines())
            found += [(name_of(page), heads, row) for row in rows]
    return found


def test_orders_are_those_of_the_report():
    for page, heads, row in order_tables():
        cells = dict(zip(heads, row))
        solver = cells["Solver"].strip("`")
        its = row_of(solver, "gaussian" if "Strong" in cells else "mixture-1d")
        wanted = {"Claimed": its["claimed"], "NFE/step": its["nfe_per_step"], "Verdict": SIGNS[its["verdict"]]}
        wanted |= {head: measured(solver, *where) for head, where in TABLES.items() if head in cells}
        assert {head: cells[head] for head in wanted} == wanted, f"{page}: {solver}"


def test_the_readme_has_ten_rows_and_what_it_finds_has_all():
    count = {page: sum(name == page for name, *_ in order_tables()) for page in ("README.md", "docs/findings.md")}
    assert count["README.md"] == 10
    assert count["docs/findings.md"] >= 26


# Nothing of the machine it was written on

PLACES = r"(?<![\w./:~-])/(?:work|home|root|opt|mnt|Users|srv|scratch|private)/\w"
TEXT = {".py", ".md", ".toml", ".yml", ".yaml", ".html", ".css", ".js", ".json", ".jsonl", ".csv", ".svg", ""}


def test_no_file_names_a_path_outside_of_the_repository():
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a clone")
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if path.is_file() and path.suffix in TEXT and path != Path(__file__).resolve():
            found = re.search(PLACES, path.read_text(encoding="utf-8", errors="replace"))
            assert not found, f"{name}: {found and found[0]}"
