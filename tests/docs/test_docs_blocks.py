"""README.md and docs/: every block of commands and of Python runs as written, prints what the page says, makes its figures."""

import os
import re
import subprocess
import sys
from pathlib import Path

import forks
import pytest
from commands import ROOT
from docs_blocks import Block, Session, blocks, is_within, name_of, pages, shape

RUN = [page for page in pages() if any(block.runs for block in blocks(page))]
LANGUAGES = {"sh", "python", "toml", "yaml", "text"}
SKIPPED = 10  # blocks at most that no test runs: installing, minutes of measuring, a cluster


@pytest.mark.parametrize("page", RUN, ids=name_of)
def test_the_blocks_of_a_page_run_as_written(page, tmp_path):
    session = Session(tmp_path / "page", tmp_path / "tools")
    try:
        for block in blocks(page):
            if block.runs or block.title:
                status, printed = session.run(block)
                assert status == block.status, f"{block.where}: exit status {status}\n{printed}"
                told, found = shape(block.output), shape(printed)
                assert is_within(told, found), f"{block.where} prints\n{printed}\nand the page says\n{block.output}"
    finally:
        session.close()
    written = {path.name for path in session.folder.rglob("*.svg")}
    shown = re.findall(r"!\[[^\]]*\]\((?:\.\./)*figures/([^)]+)\)", page.read_text())
    assert set(shown) <= written, f"{name_of(page)} shows {shown}, and its blocks write {sorted(written)}"


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_every_fence_is_a_block_in_a_known_language(page):
    text = page.read_text()
    fences = re.findall(r"^ *```", text, re.MULTILINE)
    opened = re.findall(r"^ *```(\w+)", text, re.MULTILINE)
    assert len(fences) == 2 * len(opened)
    assert set(opened) <= LANGUAGES
    outputs = sum(bool(block.output) for block in blocks(page))
    assert len(opened) == len(blocks(page)) + outputs


def test_few_blocks_are_not_run_and_each_says_why():
    skipped = [block for page in pages() for block in blocks(page) if block.not_run]
    assert all(block.language == "sh" and len(block.not_run.split()) > 3 for block in skipped)
    assert len(skipped) <= SKIPPED, [block.where for block in skipped]


@pytest.fixture
def session(tmp_path):
    made = Session(tmp_path / "page", tmp_path / "tools")
    yield made
    made.close()


def block(language: str, text: str, **more: object) -> Block:
    return Block(**{"where": "here:1", "language": language, "title": "", "text": text, "not_run": "", "status": 0} | more)


def test_a_command_that_fails_ends_its_block(session):
    assert session.run(block("sh", "false\necho after"))[0] != 0
    assert session.run(block("sh", "false | cat"))[0] != 0
    assert session.run(block("sh", "echo $UNSET_NAME"))[0] != 0


def test_python_blocks_share_their_names_and_find_files_of_the_page(session):
    session.run(block("python", "answer = 41\n", title="my_module.py"))
    assert session.run(block("python", "import my_module\nx = my_module.answer\n")) == (0, "")
    assert session.run(block("python", "print(x + 1)\n")) == (0, "42\n")
    status, printed = session.run(block("python", "raise ValueError('no such thing')\n"))
    assert status == 1
    assert "here:1" in printed
    assert "ValueError: no such thing" in printed
    assert session.run(block("python", "print(x)\n")) == (0, "41\n")


PROCESS = """
import os, sys
print(sys.argv, sys.path[0], os.getcwd(), sorted(os.environ.items()), __name__, sys.stdin.read(), "sdebench" in sys.modules)
print(len(sys.path), sys.path[-1], os.fstat(1) == os.fstat(2), file=sys.stderr)
import sdebench
print(sdebench.__file__, os.environ.setdefault("LEFT", "here"), hasattr(sys, "left"))
sys.left = 1
end = os.environ["END"]
os.kill(os.getpid(), 9) if end == "kill" else sys.exit(int(end))
"""


@pytest.mark.parametrize(("end", "status"), [("0", 0), ("3", 3), ("kill", -9)])
def test_a_fork_runs_code_as_a_process_of_its_own_does(tmp_path, end, status):
    def run(command: list[str]) -> tuple[int, str, str]:
        environment = os.environ | {"PYTHONPATH": f"{tmp_path}:{ROOT}", "END": end, "PYTHONUNBUFFERED": "1"}
        ended = subprocess.run(
            [*command, PROCESS, "a b", "ü"], input="word\n", cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        return ended.returncode, ended.stdout, ended.stderr

    found = run(forks.command("-c"))
    assert found == run([sys.executable, "-c"])
    assert found[0] == status


def test_blocks_are_found_with_what_stands_before_and_after_them(tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    parts = (
        "<!-- exit 2 -->\n```sh\na\n```\n\n```text\nwhat it printed\n```\n",
        '- item\n\n    ```python title="f.py"\n    x = 1\n    ```\n',
        "<!-- mark -->\n<!-- not run: a good reason for it -->\n```sh\nb\n```\n",
        "Words.\n\n```text\nnot an output\n```\n",
    )
    page.write_text("\n".join(parts))
    monkeypatch.setattr("docs_blocks.ROOT", tmp_path)
    first, second, third, fourth = blocks(page)
    assert (first.language, first.status, first.output, first.where) == ("sh", 2, "what it printed\n", "page.md:2")
    assert (second.title, second.text, second.runs) == ("f.py", "x = 1\n", False)
    assert (third.not_run, third.runs) == ("a good reason for it", False)
    assert (fourth.language, fourth.output) == ("text", "")


def test_an_output_is_compared_without_its_numbers():
    told = shape("order  2.00 ± 0.01\n─────\nsav ...\n...\n")
    assert told == ["order # ± #", "sav ..."]
    assert is_within(told, shape("before\norder 1.97 ± 0.1\nmore\nsaved"))
    assert not is_within(told, shape("saved\norder 1.97 ± 0.1"))
    assert not is_within(told, shape("orders 1.97 ± 0.1\nsaved"))


def test_the_readme_keeps_its_markers():
    text = (Path(__file__).parents[2] / "README.md").read_text()
    found = dict(
        re.findall(r"^<!-- (run|test) -->\n(?:<!-- not run: [^>]*-->\n)?```sh\n(.*?)```", text, re.MULTILINE | re.DOTALL)
    )
    assert found == {
        "run": "pip install torch==2.13.0 . && sdebench run\n",
        "test": 'pip install torch==2.13.0 -e ".[test]" && pytest -n 3 --dist worksteal\n',
    }
