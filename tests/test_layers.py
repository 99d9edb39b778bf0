"""The tree: what reads results loads no torch, and a module lies beside what uses it.  (Layers and circles: pyproject.toml.)"""

import os
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]

# Folders whose modules are for any user of the package: plumbing, plugins that a registry finds by name, and mathematics that
# stands for itself.  That one module alone imports one of these says nothing.
SHARED = ("_support", "external", "laws", "matching", "metrics", "networks", "problems", "solvers")
# A command of `cli` is often the only one that asks for what it shows.
COMMANDS = "sdebench.cli"


def run(code: str, *arguments: object, cwd: Path | None = None) -> str:
    """What a new Python prints that runs the code."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, [ROOT, *filter(None, [os.environ.get("PYTHONPATH")])]))}
    return subprocess.run(command, capture_output=True, text=True, check=True, cwd=cwd, env=env).stdout


def test_a_report_of_every_committed_study_loads_no_torch(tmp_path):
    """Every 20th record of each results file, so that each study's section is made."""
    for path in sorted((ROOT / "results").glob("*.jsonl")):
        (tmp_path / path.name).write_text("".join(path.read_text().splitlines(keepends=True)[::20]))
    code = """
import sys
from sdebench import cli
try:
    cli.main(["report", *sys.argv[1:], "--out", "made"])
except SystemExit as end:
    assert not end.code, end.code
print(sorted({"torch", "diffusers", "sklearn", "torchdiffeq"} & {*sys.modules}))
"""
    assert run(code, *sorted(tmp_path.glob("*.jsonl")), cwd=tmp_path).splitlines()[-1] == "[]"
    page = (tmp_path / "made" / "index.html").read_text()
    sections = [path.parent.name for path in (ROOT / "sdebench" / "studies").glob("*/section.py")]
    assert len(sections) > 5
    assert page.count("<h2") > 5


@pytest.mark.parametrize(
    "path", sorted((ROOT / "sdebench" / "studies").glob("*/section.py")), ids=lambda path: path.parent.name
)
def test_a_section_loads_no_torch(path):
    module = f"sdebench.studies.{path.parent.name}.section"
    assert run(f"import {module}, sys; print('torch' in sys.modules)") == "False\n"


def lonely(graph: grimp.ImportGraph) -> list[tuple[str, str]]:
    """(module, its importer) of each module that one module alone imports, from neither its own folder nor the one above."""
    found = []
    for module in sorted(graph.modules):
        importers = graph.find_modules_that_directly_import(module)
        folder = module.rpartition(".")[0]
        if len(importers) != 1 or graph.find_children(module):
            continue
        (importer,) = importers
        if importer not in (folder, folder.rpartition(".")[0]) and importer.rpartition(".")[0] not in (
            folder,
            folder.rpartition(".")[0],
        ):
            found.append((module, importer))
    return found


def test_a_module_that_one_other_uses_lies_beside_it():
    found = lonely(grimp.build_graph("sdebench", cache_dir=None))
    assert [
        pair for pair in found if pair[0].split(".")[1] not in SHARED and not f"{pair[1]}.".startswith(f"{COMMANDS}.")
    ] == []


def test_a_lonely_module_is_found(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    package = tmp_path / "housing"
    files = {"a/x": "", "b/y": "import housing.a.x\nimport housing.b.z\n", "b/z": "", "c": "import housing.b.y\n"}
    for name, text in files.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for folder in (package, path.parent):
            (folder / "__init__.py").touch()
    assert lonely(grimp.build_graph("housing", cache_dir=None)) == [("housing.a.x", "housing.b.y")]
    (package / "b" / "z.py").write_text("import housing.a.x\n")
    assert lonely(grimp.build_graph("housing", cache_dir=None)) == []
