"""The runner: every finished case is recorded once, whatever happens to the others or to the process."""

import os
import random
import signal
from collections import Counter
from pathlib import Path

import pytest
from runs import cases, children, command_line, kills, lines, pin_code, suite, wait_for

from sdebench import records
from sdebench._support.errors import UsageError
from sdebench.engine import runner


@pytest.mark.parametrize("jobs", [None, 2])
def test_every_case_is_recorded_once_and_a_second_run_measures_nothing(tmp_path, jobs):
    path, log = tmp_path / "r.jsonl", tmp_path / "log"
    summary = runner.run(cases(count=6, log=str(log)) * 2, path, jobs)
    assert (summary.cases, summary.measured, summary.skipped, summary.failed) == (6, 6, 0, [])
    held = path.read_bytes()
    again = runner.run(cases(count=6, log=str(log)), path, jobs)
    assert (again.measured, again.skipped) == (0, 6)
    assert again.keys == summary.keys
    assert path.read_bytes() == held
    assert sorted(log.read_text().split()) == list("012345")
    assert sorted(r.case["number"] for r in records.read(path)) == list(range(6))


def test_new_code_measures_again_and_old_records_stay(tmp_path, monkeypatch):
    path = tmp_path / "r.jsonl"
    runner.run(cases(count=3), path)
    held = path.read_bytes()
    pin_code(monkeypatch, "another")
    assert runner.run(cases(count=3), path).measured == 3
    assert path.read_bytes().startswith(held)
    assert len(records.latest(records.read(path))) == 3


@pytest.mark.parametrize(("what", "message"), [("raise", "ZeroDivisionError: no such"), ("nan", "no finite error")])
@pytest.mark.parametrize("jobs", [None, 2])
def test_a_case_that_fails_is_recorded_so_and_the_others_go_on(tmp_path, what, message, jobs):
    path = tmp_path / "r.jsonl"
    summary = runner.run(cases(count=4, what=what), path, jobs)
    status = {r.case["number"]: (r.status, r.message) for r in records.read(path)}
    assert status.pop(1)[0] == "failed"
    assert [text.startswith(message) for _, text in summary.failed] == [True]
    assert status == dict.fromkeys((0, 2, 3), ("ok", ""))
    assert runner.run(cases(count=4, what=what), path, jobs).measured == 0
    assert runner.run(cases(count=4, what=what), path, jobs, retry_failed=True).measured == 1


def test_one_error_that_is_nan_is_kept_as_null_and_fails_nothing(tmp_path):
    runner.run(cases(count=2, what="one nan"), tmp_path / "r.jsonl")
    found = {r.case["number"]: r for r in records.read(tmp_path / "r.jsonl")}
    assert found[1].is_ok
    assert found[1].data["rms"] == [0.5, None]


def test_killed_at_random_moments_a_run_loses_nothing_and_repeats_only_what_was_under_way(tmp_path):
    path, log = tmp_path / "r.jsonl", tmp_path / "log"
    toml = suite(tmp_path, count=40, seconds=0.03, log=str(log))
    command = ("run", toml, "--out", path, "--jobs", 2, "--no-report")
    killed, held = 0, b""
    for was_running in kills(lambda: command_line(*command), path, random.Random(7), 4, 0.2):
        killed += was_running
        now = path.read_bytes()
        assert now.startswith(held), "a record that was there is gone"
        held = now[: now.rindex(b"\n") + 1]
    run = command_line(*command)
    assert run.wait(60) == 0, run.stderr.read()
    assert killed >= 2
    assert path.read_bytes().startswith(held)
    assert Counter(r.case["number"] for r in records.read(path)) == dict.fromkeys(range(40), 1)
    measured = Counter(map(int, log.read_text().split()))
    assert set(measured) == set(range(40))
    assert measured.total() - 40 <= killed * 6, "records were not written the moment that they were made"


def test_workers_end_with_a_driver_that_is_killed_even_one_that_hangs(tmp_path):
    path, toml = tmp_path / "r.jsonl", suite(tmp_path, count=100, seconds=0.05, what="hang")
    run = command_line("run", toml, "--out", path, "--jobs", 2, "--no-report")
    wait_for(lambda: lines(path) >= 3)
    workers = children(run)
    assert len(workers) >= 2
    run.kill()
    run.wait()
    wait_for(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers), 10)


def test_an_interrupt_stops_in_order_and_says_how_to_go_on(tmp_path):
    path = tmp_path / "r.jsonl"
    toml = suite(tmp_path, count=200, seconds=0.05)
    run = command_line("run", toml, "--out", path, "--jobs", 2, "--no-report")
    wait_for(lambda: lines(path) >= 1)
    os.killpg(run.pid, signal.SIGINT)
    _, said = run.communicate(timeout=30)
    assert run.returncode == 130
    assert "Traceback" not in said
    assert "the same command goes on" in said
    assert 1 <= len(records.read(path)) < 200


def test_workers_are_deaf_to_the_keyboard(tmp_path):
    """An interrupt from the keyboard goes to a group of processes; the workers are in none but their own."""
    path = tmp_path / "r.jsonl"
    run = command_line("run", suite(tmp_path, count=200, seconds=0.05), "--out", path, "--jobs", 2, "--no-report")
    wait_for(lambda: lines(path) >= 3)
    groups = {pid: os.getpgid(pid) for pid in children(run)}
    os.killpg(run.pid, signal.SIGINT)
    run.communicate(timeout=30)
    assert len(groups) == 2
    assert all(pid == group for pid, group in groups.items())


def test_a_torn_last_line_is_mended_with_a_message_and_its_case_measured_again(tmp_path):
    path = tmp_path / "r.jsonl"
    runner.run(cases(count=3), path)
    path.write_bytes(path.read_bytes()[:-25])
    summary = runner.run(cases(count=3), path)
    assert "torn last line" in summary.repaired
    assert (summary.measured, summary.skipped) == (1, 2)
    assert len(records.read(path)) == 3


def test_a_file_that_is_not_one_of_results_stops_the_run_before_anything_is_measured(tmp_path):
    path, log = tmp_path / "thesis.tex", tmp_path / "log"
    path.write_text("\\documentclass{article}\n")
    with pytest.raises(UsageError, match="not a results file"):
        runner.run(cases(count=3, log=str(log)), path)
    assert path.read_text() == "\\documentclass{article}\n"
    assert not log.exists()


def test_the_watch_hears_of_every_case(tmp_path):
    class Ear(runner.Watch):
        total, finished, seen = 0, 0, set()

        def begin(self, total):
            self.total = total

        def running(self, cases):
            assert len(cases) <= 2
            self.seen.update(cases)

        def done(self, record):
            self.finished += 1

    ear = Ear()
    runner.run(cases(count=5), tmp_path / "r.jsonl", 2, ear)
    assert (ear.total, ear.finished, ear.seen) == (5, 5, {"dummy"})


def test_a_case_is_recorded_before_its_worker_has_gone_far(tmp_path):
    log, behind = tmp_path / "log", []

    class Ear(runner.Watch):
        def done(self, record):
            behind.append(lines(log) - len(behind))

    runner.run(cases(count=8, seconds=0.1, log=str(log)), tmp_path / "r.jsonl", 2, Ear())
    assert len(behind) == 8
    assert max(behind) <= 3


def test_no_jobs_is_refused(tmp_path):
    with pytest.raises(UsageError, match="1 or more"):
        runner.run(cases(), tmp_path / "r.jsonl", 0)
