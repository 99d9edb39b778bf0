"""Dependencies are true: what is imported is declared, what is declared is used, and minima can be turned into pins."""

import ast
import re
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from lowest import PYPROJECT, lowest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads(PYPROJECT.read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
TOOLS = {"dev", "docs"}  # extras of commands, which nobody imports
PLUGINS = {"pytest-xdist", "pytest-benchmark"}  # of pytest, which loads them
MISSING = {
    "pynvml": "nvidia-ml-py",
    "pyarrow": "pyarrow",
}  # import name -> distribution, of extras that may not be installed here


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def names(requirements: list[str]) -> set[str]:
    """The distributions of requirements; those of own extras included."""
    found = set()
    for requirement in requirements:
        name, extras = re.match(r"([\w.-]+)(?:\[([\w,-]+)\])?", requirement).groups()
        if name == PROJECT["name"]:
            found |= {d for extra in extras.split(",") for d in names(EXTRAS[extra])}
        else:
            found.add(normal(name))
    return found


@cache
def distributions() -> dict[str, list[str]]:
    return packages_distributions()


def imports(folder: Path) -> set[str]:
    """The distributions of all third-party modules that files below the folder import, lazily or not."""
    files = sorted(folder.rglob("*.py"))
    own = {"sdebench", "peers", *(p.stem for p in folder.rglob("*.py")), *(p.name for p in folder.rglob("*") if p.is_dir())}
    found: set[str] = set()  # "peers" is a file of benchmarks/
    for path in files:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                found.add(node.module)
    tops = {name.partition(".")[0] for name in found} - sys.stdlib_module_names - own
    return {normal((distributions().get(top) or [MISSING.get(top, top)])[0]) for top in tops}


DECLARED = names(PROJECT["dependencies"])
RUNTIME = DECLARED.union(*(names(its) for extra, its in EXTRAS.items() if extra not in {*TOOLS, "test"}))


def test_what_the_package_imports_is_declared():
    assert imports(ROOT / "sdebench") - {"pytest"} <= RUNTIME  # sdebench.testing is a plugin of pytest, which loads it


def test_what_is_declared_is_imported():
    assert imports(ROOT / "sdebench") >= RUNTIME


def test_what_tests_and_benchmarks_import_is_declared_and_the_rest_is_used():
    used = imports(ROOT / "tests") | imports(ROOT / "benchmarks") | {"pytest"}
    assert used <= RUNTIME | names(EXTRAS["test"]) | names(EXTRAS["dev"])
    assert names(EXTRAS["test"]) - RUNTIME <= used | PLUGINS | {"setuptools"}  # which builds a package in the tests of the gate


def test_an_import_inside_a_function_and_a_missing_package_are_seen(tmp_path):
    (tmp_path / "a.py").write_text("import os\nimport a\n\ndef f():\n    import nowhere.at_all\n    from yaml import load\n")
    assert imports(tmp_path) == {"nowhere", "pyyaml"}


def test_a_command_without_its_extra_says_how_to_install_it(sdebench, tmp_path, monkeypatch):
    (tmp_path / "train-0.parquet").write_bytes(b"PAR1")
    (tmp_path / "test-0.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    code, out, err = sdebench("train", "cifar10-cpu", "--data", tmp_path, "--out", tmp_path / "made")
    assert (code, out) == (2, "")
    assert err == "sdebench: this needs pyarrow, which is not installed: pip install 'sdebench[parquet]'\n"


def test_any_other_missing_module_is_not_explained_away(sdebench, monkeypatch):
    monkeypatch.setitem(sys.modules, "sdebench.catalogue", None)
    with pytest.raises(ModuleNotFoundError):
        sdebench("order", "ddim")


TOML = """
[project]
name = "mine"
dependencies = ["torch>=2", "a-b>=1.2"]
[project.optional-dependencies]
more = ["mine[other]", "c[x]>=3"]
other = ["d>=4"]
"""


def test_minima_become_pins():
    assert lowest(TOML, ["torch"]) == ["a-b==1.2", "c==3", "d==4"]


@pytest.mark.parametrize(("old", "new", "message"), [("d>=4", "d", "no minimum"), ("d>=4", 'd>=4", "c>=2', "two minima")])
def test_a_dependency_needs_one_minimum(old, new, message):
    with pytest.raises(ValueError, match=message):
        lowest(TOML.replace(old, new))


def test_every_dependency_has_one_minimum():
    assert len(lowest(PYPROJECT.read_text())) == len(DECLARED.union(*map(names, EXTRAS.values())))
