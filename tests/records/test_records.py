"""Results files: nothing that was recorded is ever lost, and nothing that is not one of ours is ever touched."""

import json
import multiprocessing
import os
import re
from dataclasses import replace

import numpy as np
import pytest

from sdebench import records
from sdebench._support.errors import UsageError


def record(number: int, code: str = "c0de", **data) -> records.Record:
    return records.make_record({"study": "dummy", "number": number}, code, "ok", data=data)


def filled(path, count: int = 3) -> list[records.Record]:
    made = [record(i, rms=[0.5, 0.25]) for i in range(count)]
    with records.Writer(path) as writer:
        for r in made:
            writer.append(r)
    return made


def test_what_is_appended_is_read_back_in_order(tmp_path):
    path = tmp_path / "new" / "r.jsonl"
    made = filled(path)
    records.append(path, more := record(9))
    assert records.read(path) == [*made, more]
    assert path.read_bytes().count(b"\n") == 4


def test_a_record_names_all_that_is_needed_to_repeat_it():
    made = record(1)
    assert {"torch", "numpy", "scipy", "python", "sdebench"} <= made.versions.keys()
    assert made.versions["torch"]
    assert "cores" in made.machine
    assert os.uname().nodename not in made.machine
    assert made.made.endswith("+00:00")
    assert made.key == records.make_key(made.case, "c0de")


def test_a_key_depends_on_every_setting_and_on_the_code_and_not_on_their_order():
    key = records.make_key({"study": "a", "n": (1, 2)}, "x")
    assert key == records.make_key({"n": [1, 2], "study": "a"}, "x")
    others = records.make_key({"study": "a", "n": [1, 3]}, "x"), records.make_key({"study": "a", "n": [1, 2]}, "y")
    assert len({key, *others}) == 3


def test_nan_and_inf_are_null_and_arrays_are_lists():
    data = {"a": [1.0, np.nan, -np.inf], "b": np.array([1.5, np.nan]), "c": np.int64(3), "d": (True, None, "x")}
    assert records.clean(data) == {"a": [1.0, None, None], "b": [1.5, None], "c": 3, "d": [True, None, "x"]}
    with pytest.raises(TypeError, match="object"):
        records.clean(object())


def test_a_line_torn_at_any_byte_costs_that_record_only_and_says_so(tmp_path):
    path = tmp_path / "r.jsonl"
    made = filled(path)
    whole = path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1
    for cut in [*range(start + 1, start + 40), *range(start + 40, len(whole) - 1, 37), len(whole) - 2]:
        path.write_bytes(whole[:cut])
        with pytest.warns(records.TornLine, match="torn last line"):
            assert records.read(path) == made[:2]
        assert path.read_bytes() == whole[:cut], "reading changed the file"
        with records.Writer(path) as writer:
            assert "torn last line" in writer.repaired
            assert writer.records == made[:2]
            writer.append(made[2])
        assert path.read_bytes() == whole


def test_a_record_that_lacks_only_its_newline_is_kept(tmp_path):
    path = tmp_path / "r.jsonl"
    made = filled(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert records.read(path) == made
    with records.Writer(path) as writer:
        assert "whole" in writer.repaired
        assert writer.records == made
    assert path.read_bytes() == whole


def test_a_sound_file_is_opened_without_a_word(tmp_path):
    filled(tmp_path / "r.jsonl")
    with records.Writer(tmp_path / "r.jsonl") as writer:
        assert writer.repaired == ""


STRANGERS = {
    "text": (b"dear diary\n", "line 1 is not JSON"),
    "text without a newline": (b"dear diary", "line 1 is not JSON"),
    "one JSON object": (b'{"a": 1}', "line 1 is not a record"),
    "pretty JSON": (b'{\n  "a": 1\n}\n', "line 1 is not JSON"),
    "a list": (b"[1, 2]\n", "line 1 is not a record"),
    "binary": (bytes(range(256)), "line 1 is not JSON"),
    "the future": (b'{"schema": 2, "key": "x"}\n', "schema 2"),
    "fields missing": (b'{"schema": 1, "key": "x"}\n', "no proper 'study'"),
}


@pytest.mark.parametrize("name", STRANGERS)
def test_a_file_that_is_not_one_of_results_is_refused_untouched(tmp_path, name):
    path = tmp_path / "precious"
    content, message = STRANGERS[name]
    path.write_bytes(content)
    for use in (records.read, records.Writer):
        with pytest.raises(UsageError, match=message) as caught:
            use(path)
        assert "\n" not in str(caught.value)
        assert "precious" in str(caught.value)
        assert path.read_bytes() == content


def test_a_bad_line_in_the_middle_is_named_and_nothing_is_lost(tmp_path):
    path = tmp_path / "r.jsonl"
    filled(path)
    lines = path.read_bytes().split(b"\n")
    lines[1] = lines[1][:20]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(UsageError, match="line 2 is not JSON"):
        records.Writer(path)
    assert path.read_bytes() == b"\n".join(lines)


def test_a_stranger_s_status_is_refused(tmp_path):
    path = tmp_path / "r.jsonl"
    path.write_text(json.dumps(record(1).to_json() | {"status": "fine"}) + "\n")
    with pytest.raises(UsageError, match="status 'fine'"):
        records.read(path)


def full() -> records.Record:
    """A record with everything that one may have."""
    past = records.Rekeyed("k0", "c0", "renamed a folder", "2026-01-01T00:00:00+00:00")
    made = records.make_record(
        {"study": "dummy", "n": (1, 2), "deep": {"x": None}},
        "c0de",
        "failed",
        "no",
        {"span": [0.9, 0.1]},
        records.Claims(3.0, 2.0, 1.0, 2.0, 1.0, 1, True, 1.5, False, "DEIS", "A paper"),
        {"rms": [0.5, None]},
    )
    return replace(made, arrays=records.ArraysFile("a.safetensors", "0" * 64), rekeyed=(past, replace(past, key="k1")))


def test_a_record_comes_back_from_its_line_as_it_was():
    made = full()
    line = made.to_json()
    assert records.find_fault(line) == ""
    assert records.Record.from_json(json.loads(json.dumps(line))) == made
    assert next(iter(line)) == "schema", "a torn line is told by it"
    assert "path" not in line["arrays"]
    plain = record(1)
    assert {"arrays", "rekeyed"} & plain.to_json().keys() == set()
    assert records.Record.from_json(plain.to_json()) == plain
    assert (plain.is_ok, full().is_ok, plain.claims) == (True, False, None)


NOT_RECORDS = {
    "nothing": (None, "is not a record"),
    "a list": ([], "is not a record"),
    "no schema": ({"key": "x"}, "is not a record"),
    "the future": (full().to_json() | {"schema": 2}, "has schema 2, and this version reads 1"),
    "a number for a key": (full().to_json() | {"key": 1}, "has no proper 'key'"),
    "a list for a case": (full().to_json() | {"case": []}, "has no proper 'case'"),
    "no claims": ({k: v for k, v in full().to_json().items() if k != "claims"}, "has no proper 'claims'"),
    "another status": (full().to_json() | {"status": "fine"}, "has status 'fine'"),
    "arrays without a checksum": (full().to_json() | {"arrays": {"file": "x"}}, "has no proper 'arrays'"),
    "arrays elsewhere": (full().to_json() | {"arrays": {"file": "../x", "sha256": ""}}, "has no proper 'arrays'"),
    "a key for the keys that it had": (full().to_json() | {"rekeyed": {"key": "x"}}, "has no proper 'rekeyed'"),
    "keys without a reason": (
        full().to_json() | {"rekeyed": [{"key": "x", "code": "y", "when": ""}]},
        "has no proper 'rekeyed'",
    ),
    "numbers for keys": (full().to_json() | {"rekeyed": [1]}, "has no proper 'rekeyed'"),
}


@pytest.mark.parametrize("what", NOT_RECORDS)
def test_what_is_not_a_record_says_why(what):
    line, fault = NOT_RECORDS[what]
    assert records.find_fault(line) == fault
    with pytest.raises(ValueError, match="^" + re.escape(fault) + "$"):
        records.Record.from_json(line)


def test_folders_and_pipes_and_missing_files_are_refused_in_one_line(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        for use in (records.read, records.Writer):
            with pytest.raises(UsageError, match="is not a file"):
                use(path)
    with pytest.raises(UsageError, match="there is no results file"):
        records.read(tmp_path / "none.jsonl")


def _try(path, queue):
    try:
        with records.Writer(path):
            queue.put("opened")
    except UsageError as error:
        queue.put(str(error))


def _opened_elsewhere(path) -> str:
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    other = context.Process(target=_try, args=(path, queue))
    other.start()
    said = queue.get(timeout=30)
    other.join()
    return said


def test_one_run_at_a_time_writes_a_file(tmp_path):
    with records.Writer(tmp_path / "r.jsonl"):
        assert "another run is writing" in _opened_elsewhere(tmp_path / "r.jsonl")
        assert (tmp_path / ".r.jsonl.lock").exists(), "the lock is a file of its own: the results may be replaced"
    assert _opened_elsewhere(tmp_path / "r.jsonl") == "opened"


def test_a_record_that_does_not_fit_the_disk_is_taken_back(tmp_path, monkeypatch):
    path = tmp_path / "r.jsonl"
    made = filled(path)
    whole = path.read_bytes()
    write = os.write
    with records.Writer(path) as writer:
        monkeypatch.setattr(os, "write", lambda fd, line: write(fd, line[:30]))
        with pytest.raises(UsageError, match="no room"):
            writer.append(made[0])
    assert path.read_bytes() == whole


def test_the_latest_record_of_a_case_counts_whatever_the_order_of_the_others():
    old, new, other = record(1, "old"), record(1, "new"), record(0, "old")
    assert records.latest([old, other, new]) == records.latest([other, old, new]) == [other, new]
