"""The workflow of the docs for a sampler's own repository, run line by line in one."""

import re
import subprocess

import pytest
import yaml
from commands import ROOT, make_commands, offline

PYPROJECT = """[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "my-package"
version = "0.1.0"

[tool.setuptools]
py-modules = ["my_package"]
"""
SAMPLER = """from dataclasses import dataclass

import sdebench as sb


@dataclass(frozen=True)
class MySampler(sb.Solver):
    order, nfe_per_step = 1, 1

    def step(self, model, x, s, t, past=(), noise=None):
        ns, m = model.schedule, model(x, s)
        return sb.Step(ns.alpha(t) * m.x0 + ns.sigma(t) * m.eps)
"""
BROKEN = SAMPLER.replace("ns.sigma(t) *", "1.001 * ns.sigma(t) *")


def fenced(mark: str) -> str:
    """The fenced block after the marker."""
    found = re.search(rf"<!-- {mark} -->\n```\w+\n(.*?)```", (ROOT / "docs/jobs/gate.md").read_text(), re.DOTALL)
    assert found, mark
    return found[1]


def lines_to_run() -> list[str]:
    """The workflow's `run` lines, without that which installs sdebench: the one under test is here."""
    steps = yaml.safe_load(fenced("workflow"))["jobs"]["accuracy"]["steps"]
    commands = [step["run"] for step in steps if "run" in step]
    assert commands[0] == "pip install sdebench"
    return commands[1:]


@pytest.fixture
def repository(tmp_path):
    """`run(line) -> completed process` in a new repository with one small package, on a machine without a network.

    `pip` and `sdebench` are this Python's; what is installed goes to a folder of its own, and builds with the setuptools here.
    """
    there, tools, site = tmp_path / "repository", tmp_path / "tools", tmp_path / "site"
    for folder in (there, tools):
        folder.mkdir()
    make_commands(tools, "pip", "sdebench")
    (there / "pyproject.toml").write_text(PYPROJECT)
    (there / "my_package.py").write_text(SAMPLER)
    environment = offline(tools, site) | {"GITHUB_ACTIONS": "true"}

    def run(line: str) -> subprocess.CompletedProcess:
        shell = ["bash", "-e", "-c", line]
        return subprocess.run(shell, cwd=there, env=environment, capture_output=True, text=True, check=False)

    run.there = there
    assert run("git init --quiet").returncode == 0
    return run


def test_the_workflow_has_ten_lines():
    assert len(fenced("workflow").splitlines()) == 10


def test_the_workflow_passes_and_stops_a_sampler_that_changed(repository):
    done = repository(fenced("baseline"))
    assert done.returncode == 0, done.stderr
    assert "my_package:MySampler" in done.stdout
    for line in lines_to_run():
        done = repository(line)
        assert done.returncode == 0, f"{line}: {done.stderr}"
    assert "1 solver compared with baseline.json: nothing moved" in done.stderr
    assert 'failures="0"' in (repository.there / "accuracy.xml").read_text()

    (repository.there / "my_package.py").write_text(BROKEN)
    *others, last = [repository(line) for line in lines_to_run()]
    assert [done.returncode for done in others] == [0] * len(others)
    assert last.returncode == 1, last.stderr
    assert "::error file=my_package.py,line=6,title=sdebench check%3A my_package%3AMySampler::" in last.stdout
    assert "error, 16 steps" in last.stdout
    assert 'failures="1"' in (repository.there / "accuracy.xml").read_text()
