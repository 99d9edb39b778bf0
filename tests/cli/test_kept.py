"""The table that `sdebench list` reads: right where it is fresh, and left alone where a solver's file has changed."""

import json
import subprocess
import sys

import pytest

from sdebench.cli import kept


def test_every_fresh_row_is_what_is_measured():
    rows = kept._read()
    assert len(rows) > 100, "the table is stale: run python -m sdebench.cli.kept"
    for name in list(rows)[::10]:
        assert rows[name] == json.loads(json.dumps(kept.measure_row(name)))


def test_listing_loads_no_torch():
    code = (
        "import sys; from sdebench.cli import main\n"
        "try: main(['list', 'solvers'])\nexcept SystemExit: pass\nassert 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "unipc-3" in done.stdout


def test_a_row_whose_file_has_changed_is_measured_anew(monkeypatch, tmp_path):
    table = json.loads(kept.FILE.read_text())
    row = table["ddim"][1]
    table["ddim"] = ["0" * 16, row | {"claimed_order": 7}]
    (tmp_path / "solvers.json").write_text(json.dumps(table))
    monkeypatch.setattr(kept, "FILE", tmp_path / "solvers.json")
    assert kept.solver_rows(["ddim"])[0]["claimed_order"] == 1


@pytest.mark.parametrize("content", ["", "{", "[]", '{"ddim": 3}'])
def test_a_table_that_cannot_be_read_is_no_table(content, monkeypatch, tmp_path):
    (tmp_path / "solvers.json").write_text(content)
    monkeypatch.setattr(kept, "FILE", tmp_path / "solvers.json")
    assert kept.solver_rows(["ddim"])[0]["name"] == "ddim"
