"""Solvers from other packages: `pip install` is all that it takes, and a broken one stops nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT, PLUGIN = Path(__file__).parents[2], Path(__file__).parents[1] / "plugin"


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """A folder into which pip has installed the demo plugin, from a copy, without a network."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for path in PLUGIN.iterdir():
        if path.is_file():
            (source / path.name).write_bytes(path.read_bytes())
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-build-isolation", "--no-deps"]
    subprocess.run([*pip, "--target", str(target), str(source)], check=True, capture_output=True, text=True)
    return target


@pytest.fixture
def broken(tmp_path) -> Path:
    """A folder with two installed plugins: one raises when imported, one lacks its class."""
    for name, code in (("breaks", "raise ImportError('needs a\\nGPU')"), ("empty", "")):
        (tmp_path / f"{name}_plugin.py").write_text(code)
        info = tmp_path / f"{name}_plugin-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}-plugin\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[sdebench.solvers]\n{name}-1 = {name}_plugin:Solver\n")
    return tmp_path


def sdebench(*arguments: str, path: tuple[Path, ...]) -> subprocess.CompletedProcess:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*path, ROOT))), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "sdebench", *arguments],
        env=environment,
        cwd=path[0],
        capture_output=True,
        text=True,
        check=False,
    )


def test_an_installed_solver_is_known_and_broken_plugins_are_named_and_stop_nothing(installed, broken):
    done = sdebench("list", "solvers", "--json", path=(installed, broken))
    assert done.returncode == 0, done.stderr
    listed = {row["name"]: row for row in json.loads(done.stdout)}
    assert listed["demo-ralston-2"]["reference"] == "Ralston 1962"
    assert "ddim" in listed
    said = done.stderr.splitlines()
    assert len(said) == 2
    assert any("'breaks-1'" in line and "needs a GPU" in line for line in said)
    assert any("'empty-1'" in line for line in said)


def test_an_installed_solver_is_measured(installed, broken):
    done = sdebench("order", "demo-ralston-2", "--grid", "irregular", "--json", path=(installed, broken))
    assert done.returncode == 0, done.stderr
    orders = {row["kind"]: row for row in json.loads(done.stdout)}
    assert orders["local"]["order"] == pytest.approx(3, abs=0.1)
    assert orders["global"]["order"] == pytest.approx(2, abs=0.1)
    assert {row["verdict"] for row in orders.values()} == {"confirmed"}


def test_a_run_measures_the_plugin_in_its_workers_and_knows_its_file_as_code(installed, tmp_path):
    toml = tmp_path / "s.toml"
    toml.write_text('[[study]]\nstudy = "order"\nsolvers = ["demo-ralston-2"]\ngrids = ["uniform_lam"]\npoints = 8\n')
    command = ("run", str(toml), "--out", str(tmp_path / "r.jsonl"), "--no-report", "--json", "--jobs", "1")
    first = json.loads(sdebench(*command, path=(installed,)).stdout)
    assert (first["measured"], first["failed"]) == (2, [])
    records = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert {r["claims"]["family"] for r in records} == {"Demo"}
    module = installed / "sdebench_demo_plugin.py"
    text = module.read_text()
    try:
        module.write_text(text + "# another version\n")
        changed = json.loads(sdebench(*command, path=(installed,)).stdout)
    finally:
        module.write_text(text)
    assert (changed["measured"], changed["skipped"]) == (2, 0)
