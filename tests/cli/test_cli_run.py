"""The table of `sdebench run`, and what it says at its end."""

from pathlib import Path

SOME_CASES = """[[study]]
study = "order"
problems = ["mixture-1d", "gaussian"]
solvers = ["unip-1", "unip-2", "unip-3", "unip-3-rk-start", "unip-4", "unip-4-rk-start", "unip-3-bh1-rk-start"]
grids = ["uniform_lam"]
kinds = ["global"]
points = 4

[[study]]
study = "law"
problems = ["gaussian"]
solvers = ["ddim", "predictor-corrector"]
budgets = [5]
"""


def test_a_run_shows_a_line_a_row_and_at_its_end_what_it_left_out(sdebench, monkeypatch, here):
    monkeypatch.setenv("COLUMNS", "80")
    Path("some.toml").write_text(SOME_CASES)
    status, out, err = sdebench("run", "some.toml", "--no-report", "--jobs", 1)
    lines = out.splitlines()
    assert status == 0
    assert lines[:2] == ["Orders, 12 rows of 14; the others by 'sdebench report results/some.jsonl'", "✓ confirmed, ✗ refuted"]
    assert [line.strip() for line in lines].count("mixture-1d") == 1
    assert [line.split()[1:3] for line in lines if line.startswith("unip")].count(["✓", "3"]) == 4
    assert sum(line.startswith("unip") for line in lines) == 12
    assert max(map(len, lines)) <= 80
    assert err.splitlines()[-1] == (
        "sdebench: study law: 1 solver has no exact law on 'gaussian', left out: "
        "predictor-corrector (it is not linear in its vectors)"
    )
