"""Arrays of records: on the disk before their record is, checked when read, and measured again where they are lost."""

import json
import os
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from runs import cases, command_line, kills, suite

from sdebench import records
from sdebench._support.errors import UsageError
from sdebench.engine import runner
from sdebench.records import arrays


def record(number: int) -> records.Record:
    return records.make_record({"study": "dummy", "number": number}, "c0de", "ok")


def file_of(made: records.Record) -> Path:
    return Path(made.arrays.path)


def test_arrays_come_back_bit_for_bit_in_their_dtype_and_shape(tmp_path):
    held = {
        "f": np.random.default_rng(0).standard_normal((3, 4)),
        "u": np.arange(24, dtype=np.uint8).reshape(2, 3, 4),
        "turned": np.arange(6.0).reshape(2, 3).T,
        "one": np.array(7, np.int64),
    }
    path = tmp_path / "new" / "r.v2.jsonl"
    records.append(path, record(1), held)
    (made,) = records.read(path)
    assert file_of(made) == tmp_path / "new" / "r.v2.arrays" / f"{made.key}.safetensors"
    found = records.load_arrays(made)
    assert found.keys() == held.keys()
    for name, array in held.items():
        assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
        assert np.array_equal(found[name], array)
    assert "path" not in json.loads(path.read_bytes())["arrays"], "a path in a line would not survive a move of the folder"
    assert records.load_arrays(record(2)) == {}


def test_results_may_be_moved_with_their_arrays(tmp_path, monkeypatch):
    records.append(tmp_path / "a" / "r.jsonl", record(1), {"x": np.ones(2)})
    (tmp_path / "a").rename(tmp_path / "b")
    monkeypatch.chdir(tmp_path)
    (made,) = records.read("b/r.jsonl")
    monkeypatch.chdir("/")
    assert records.load_arrays(made)["x"].tolist() == [1.0, 1.0]


def test_arrays_that_changed_or_are_gone_are_refused_in_one_line(tmp_path):
    path = tmp_path / "r.jsonl"
    records.append(path, record(1), {"x": np.ones(2)})
    (made,) = records.read(path)
    whole = file_of(made).read_bytes()
    file_of(made).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(UsageError, match="are not those that were measured") as caught:
        records.load_arrays(made)
    assert "\n" not in str(caught.value)
    file_of(made).unlink()
    with pytest.raises(UsageError, match="are gone"):
        records.load_arrays(made)


@pytest.mark.parametrize(
    "said",
    [
        {},
        [],
        "x",
        {"file": "../x", "sha256": "0"},
        {"file": "a/b", "sha256": "0"},
        {"file": "..", "sha256": "0"},
        {"file": "", "sha256": "0"},
        {"file": "x"},
    ],
)
def test_a_record_that_names_no_file_beside_it_is_refused(tmp_path, said):
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(record(1).to_json() | {"arrays": said}) + "\n")
    with pytest.raises(UsageError, match="no proper 'arrays'"):
        records.read(path)


@pytest.mark.parametrize("jobs", [None, 2])
def test_a_run_records_arrays_and_measures_again_those_that_are_lost(tmp_path, jobs):
    path, log = tmp_path / "r.jsonl", tmp_path / "log"
    wanted = cases(count=5, arrays=3, log=str(log))
    assert runner.run(wanted, path, jobs).repaired == ""
    made = {r.case["number"]: r for r in records.read(path)}
    assert {n: records.load_arrays(r)["x"].tolist() for n, r in made.items()} == {n: [n] * 3 for n in range(5)}
    assert runner.run(wanted, path, jobs).measured == 0
    file_of(made[1]).unlink()
    file_of(made[3]).write_bytes(b"nonsense")
    log.unlink()
    again = runner.run(wanted, path, jobs)
    assert (again.measured, again.skipped) == (2, 3)
    assert "the arrays of 2 record(s) are measured again" in again.repaired
    assert "\n" not in again.repaired
    assert sorted(log.read_text().split()) == ["1", "3"]
    assert [records.load_arrays(r)["x"].tolist() for r in records.latest(records.read(path))] == [[n] * 3 for n in range(5)]
    assert runner.run(wanted, path, jobs).repaired == ""


def test_lost_arrays_of_cases_that_are_not_run_are_left_alone(tmp_path):
    path = tmp_path / "r.jsonl"
    runner.run(cases(count=1, arrays=3), path)
    file_of(records.read(path)[0]).unlink()
    summary = runner.run(cases(count=1, arrays=4), path)
    assert (summary.measured, summary.repaired) == (1, "")


def test_an_orphan_of_a_run_that_was_killed_is_replaced(tmp_path):
    path = tmp_path / "r.jsonl"
    runner.run(cases(count=1, arrays=3), path)
    (made,) = records.read(path)
    path.write_bytes(b"")
    file_of(made).write_bytes(b"half of")
    assert runner.run(cases(count=1, arrays=3), path).measured == 1
    assert records.load_arrays(records.read(path)[0])["x"].tolist() == [0.0] * 3


def test_a_record_is_never_there_before_its_arrays(tmp_path, monkeypatch):
    path, names = tmp_path / "r.jsonl", []
    write = records.Writer._write

    def watched(self, line):
        names.extend(p.name for p in arrays.folder(path).glob("*"))
        write(self, line)

    monkeypatch.setattr(records.Writer, "_write", watched)
    records.append(path, made := record(1), {"x": np.ones(2)})
    assert names == [f"{made.key}.safetensors"]


def test_arrays_that_do_not_fit_the_disk_leave_nothing(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with records.Writer(tmp_path / "r.jsonl") as writer, pytest.raises(UsageError, match=r"no room for .*No space left"):
        writer.append(record(1), {"x": np.ones(2)})
    assert list(arrays.folder(tmp_path / "r.jsonl").iterdir()) == []
    assert (tmp_path / "r.jsonl").read_bytes() == b""


def test_killed_at_random_moments_a_run_has_every_array_once(tmp_path):
    """Every record in the file has its arrays at every moment, and after the last run each case has one record."""
    path, log = tmp_path / "r.jsonl", tmp_path / "log"
    toml = suite(tmp_path, count=30, seconds=0.02, log=str(log), arrays=100_000)
    command = ("run", toml, "--out", path, "--jobs", 2, "--no-report")
    killed = 0
    for was_running in kills(lambda: command_line(*command), path, random.Random(3), 4, 0.15):
        killed += was_running
        path.write_bytes(path.read_bytes()[: path.read_bytes().rindex(b"\n") + 1])  # a torn line is of another test
        assert records.find_spoilt(records.read(path)) == {}
    run = command_line(*command)
    assert run.wait(60) == 0, run.stderr.read()
    assert killed >= 2
    found = records.read(path)
    assert Counter(r.case["number"] for r in found) == dict.fromkeys(range(30), 1)
    assert all(np.array_equal(records.load_arrays(r)["x"], np.full(100_000, float(r.case["number"]))) for r in found)
