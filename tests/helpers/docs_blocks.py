"""The fenced blocks of README.md and docs/, and a folder in which the blocks of a page run in order.

    a block with title="FILE"     is written to that file
    sh                            runs in bash, which stops at the first command that fails
    python                        runs in one Python process a page
    text after one of these       is its output: its lines appear there in this order, whatever their numbers are
    <!-- exit 1 -->               on the line before: the exit status that the commands have
    <!-- not run: REASON -->      on the line before: no test runs the block

`python tests/helpers/docs_blocks.py PAGE FOLDER` runs a page and keeps what it writes, its figures for example.
"""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import dedent
from typing import IO, Any

import forks
from commands import ROOT, make_commands, offline

_FENCE = re.compile(
    r"(?:^[ ]*<!--[ ](?P<mark>not[ ]run:.*?|exit[ ]\d+)[ ]-->\n)?"
    r"^(?P<indent>[ ]*)```(?P<language>\w+)(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=indent)```$",
    re.MULTILINE | re.DOTALL | re.VERBOSE,
)
_SERVER = """
import json, sys, traceback
sys.path.insert(0, "")
names, words = {"__name__": "__main__"}, sys.stdin
sys.stdin = None
for line in words:
    block = json.loads(line)
    try:
        exec(compile(block["text"], block["where"], "exec"), names)
        status = 0
    except BaseException:
        traceback.print_exc(file=sys.stdout)
        status = 1
    print(f"\\0{status}", flush=True)
"""


@dataclass(frozen=True)
class Block:
    """One fenced block: where it stands, its language, title and text, and what the comment before it says."""

    where: str
    language: str
    title: str
    text: str
    not_run: str
    status: int
    output: str = ""

    @property
    def runs(self) -> bool:
        """Whether a test runs it."""
        return self.language in ("sh", "python") and not (self.title or self.not_run)


def pages() -> list[Path]:
    """README.md and the pages of the site."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name_of(page: Path) -> str:
    """The page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """The blocks of a page in order; a block of text right after a block that runs is the output of that."""
    source, found, end = page.read_text(encoding="utf-8"), list[Block](), 0
    for match in _FENCE.finditer(source):
        text, between = dedent(match["text"]), source[end : match.start()]
        end = match.end()
        if match["language"] == "text" and found and not between.strip() and found[-1].language in ("sh", "python"):
            found[-1] = Block(**vars(found[-1]) | {"output": text})
            continue
        mark, title = match["mark"] or "", re.search(r'title="([^"]+)"', match["info"])
        line = source.count("\n", 0, match.start("language")) + 1
        found.append(
            Block(
                f"{name_of(page)}:{line}",
                match["language"],
                title[1] if title else "",
                text,
                mark.removeprefix("not run:").strip() if mark.startswith("not run:") else "",
                int(mark.removeprefix("exit ")) if mark.startswith("exit ") else 0,
            )
        )
    return found


@dataclass
class Session:
    """A folder, the commands `sdebench`, `python`, `pip` and `pytest` of this Python, and one Python process for a page."""

    folder: Path
    tools: Path
    _python: subprocess.Popen | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tools.mkdir(parents=True, exist_ok=True)
        make_commands(self.tools, "sdebench", "python", "pip", "pytest")

    @property
    def environment(self) -> dict[str, str]:
        """That of `commands.offline`, with wide terminals and a cache of its own."""
        return offline(self.tools, self.tools / "site") | {
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "XDG_CACHE_HOME": str(self.tools / "cache"),
            "MPLBACKEND": "Agg",
            "COLUMNS": "100",
        }

    def run(self, block: Block) -> tuple[int, str]:
        """(exit status, what was printed) of a block; of one with a title, write the file."""
        if block.title:
            path = self.folder / block.title
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text, encoding="utf-8")
            return 0, ""
        return self._shell(block.text) if block.language == "sh" else self._exec(block)

    def _shell(self, text: str) -> tuple[int, str]:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", text],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    def _exec(self, block: Block) -> tuple[int, str]:
        if self._python is None:
            pipe: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
            command = [*forks.command("-c"), _SERVER]
            self._python = subprocess.Popen(command, cwd=self.folder, env=self.environment, text=True, **pipe)
        words, printed = self._python.stdin, self._python.stdout
        assert words, printed
        words.write(json.dumps({"text": block.text, "where": block.where}) + "\n")
        words.flush()
        return _answer(printed)

    def close(self) -> None:
        """End the Python process."""
        if self._python is not None:
            self._python.communicate()


def _answer(printed: IO[str]) -> tuple[int, str]:
    """What is printed up to the line that ends a block, and the status in it."""
    lines: list[str] = []
    for line in printed:
        before, mark, status = line.partition("\0")
        lines.append(before)
        if mark:
            return int(status), "".join(lines)
    return 1, "".join(lines)


def shape(text: str) -> list[str]:
    """The lines of an output without numbers, rules and runs of spaces; lines that say nothing else are left out."""
    lines = (re.sub(r"[─|\s]+", " ", re.sub(r"[-−+]?\d[\d.,]*(e[-+−]?\d+)?", "#", line)).strip() for line in text.splitlines())
    return [line for line in lines if line.strip(". ")]


def is_within(told: list[str], printed: list[str]) -> bool:
    """Whether the lines told are lines printed, in this order; of a line that ends in "..." its beginning."""
    rest = iter(printed)
    return all(any(_agrees(line, other) for other in rest) for line in told)


def _agrees(told: str, printed: str) -> bool:
    return printed.startswith(told[:-3].rstrip()) if told.endswith("...") else told == printed


def _run_page(page: Path, folder: Path) -> Iterator[str]:
    session = Session(folder, folder / ".tools")
    for block in blocks(page):
        if block.runs or block.title:
            status, printed = session.run(block)
            yield f"== {block.where} {block.title} (exit {status})\n{printed}"
    session.close()


if __name__ == "__main__":
    for told in _run_page(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()):
        print(told, flush=True)
