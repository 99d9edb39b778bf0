"""Processes of this machine: one that dies, hangs or answers nonsense costs its case a second try, and nothing else."""

import json
import subprocess
import sys
import time
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
import pytest
from kills import ROUNDS, facts, survive
from runs import HELPERS, cases, children, command_line, suite, wait_for

from sdebench import records
from sdebench._support.errors import UsageError
from sdebench._support.registry import STUDIES, Entry, import_object
from sdebench.catalogue import get_solver
from sdebench.cli import places
from sdebench.engine import pools, replies, runner

DIED, LATE = "its process ended with exit status 9", "no answer within 1.5 s"
STOPS = ("hang", "half an answer", "half a length", "long length")
BROKEN = {
    "die": DIED,
    "crash": "its process died of SIGABRT",
    "odd signal": "its process died of signal 40",
    "hang up": "its process closed its connection",
    **dict.fromkeys(STOPS, LATE),
    "short length": "its worker answered nonsense: what came is not",
    "rubbish": "its worker answered nonsense: what came is not JSON",
    "another case": "its worker answered nonsense: what came is of another case",
    "arrays lost": "its worker answered nonsense: what came has not the arrays",
}


def messages(path: Path) -> dict[int, str]:
    return {r.case["number"]: r.message for r in records.read(path) if not r.is_ok}


@pytest.mark.parametrize("what", BROKEN)
def test_what_happens_once_to_a_worker_leaves_no_trace_in_the_records(tmp_path, what):
    path, wanted = tmp_path / "r.jsonl", cases(count=3, what=what, arrays=2, once=str(tmp_path / "once"))
    summary = runner.run(wanted, path, 2, patience=1.5 if what in STOPS else None)
    assert (summary.measured, summary.failed, len(summary.retried)) == (3, [], 1)
    assert summary.retried[0][1].startswith(BROKEN[what])
    disturbed = facts(path)
    path.unlink()
    runner.run(wanted, path)  # the flag is there: nothing happens
    assert facts(path) == disturbed


@pytest.mark.parametrize("what", ["die", "another case"])
def test_what_happens_twice_is_a_failed_record_that_says_so_and_the_others_go_on(tmp_path, what):
    path, log = tmp_path / "r.jsonl", tmp_path / "log"
    wanted = cases(count=4, what=what, log=str(log))
    summary = runner.run(wanted, path, 1)
    assert (summary.measured, len(summary.failed), len(summary.retried)) == (4, 1, 1)
    assert {n: text.count(BROKEN[what]) for n, text in messages(path).items()} == {1: 2}
    assert sorted(log.read_text().split()) == list("01123"), "one try more than said, or one less"
    assert runner.run(wanted, path, 1).measured == 0


def test_a_second_try_comes_after_the_other_cases_with_nothing_beside_it(tmp_path, monkeypatch):
    """What died for want of memory may do without its neighbours."""
    path, beside, send = tmp_path / "r.jsonl", [], pools.Local.send

    def watched(self, job, away=""):
        beside.append((job.case["number"], len(self.running())))
        send(self, job, away)

    monkeypatch.setattr(pools.Local, "send", watched)
    runner.run(cases(count=6, what="die", seconds=0.3), path, 3)
    assert max(n for _, n in beside) == 2
    assert beside[-1] == (1, 0)
    assert records.read(path)[-1].case["number"] == 1


def test_one_that_hangs_keeps_nobody_waiting(tmp_path):
    path, behind = tmp_path / "r.jsonl", []

    class Ear(runner.Watch):
        def done(self, record):
            behind.append(record.case["number"])

    begun = time.monotonic()
    runner.run(cases(count=12, what="hang", seconds=0.02), path, 2, Ear(), patience=1.5)
    assert behind[-1] == 1
    assert time.monotonic() - begun >= 3.0
    assert records.read(path)[-1].message == "no answer within 1.5 s; tried again: no answer within 1.5 s"


def test_time_to_load_libraries_is_not_the_case_s(tmp_path, monkeypatch):
    source = "import time\ntime.sleep(1.5)\nimport dummy_study\n\n\nclass Slow(dummy_study.DummyStudy):\n    pass\n"
    (tmp_path / "slow_study.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    slow = import_object("study", "slow_study:Slow")
    monkeypatch.setitem(STUDIES.entries, "dummy", Entry(slow, {}))
    assert runner.run(cases(count=2), tmp_path / "r.jsonl", 1, patience=1.0).retried == []
    monkeypatch.setattr(pools, "STARTING", -0.5)
    summary = runner.run(cases(count=2, seconds=0.001), tmp_path / "r.jsonl", 2, patience=0.6)
    assert len(summary.retried) == 2


@pytest.mark.parametrize("number", ROUNDS)
def test_ten_kills_of_workers_and_of_the_driver_leave_the_records_of_an_undisturbed_run(number, tmp_path):
    toml, quiet, path = suite(tmp_path, count=60, seconds=0.04, arrays=3), tmp_path / "quiet.jsonl", tmp_path / "r.jsonl"

    def begin(out: Path = path) -> subprocess.Popen:
        return command_line("run", toml, "--out", out, "--jobs", 2, "--no-report", "--json")

    undisturbed = begin(quiet)
    survive(begin, path, 60, children, seed=11 + 100 * number)
    assert undisturbed.wait(60) == 0
    assert len(facts(path)) == 60
    assert facts(path) == facts(quiet)


def test_a_worker_has_one_thread_a_library_and_neither_the_keyboard_nor_the_screen(tmp_path):
    for what in ("print", "read"):
        run = command_line(
            "run",
            suite(tmp_path, count=2, what=what),
            "--out",
            tmp_path / f"{what}.jsonl",
            "--jobs",
            1,
            "--no-report",
            "--json",
        )
        out, err = run.communicate(timeout=60)
        assert json.loads(out)["measured"] == 2
        assert ("a solver that talks" in err) == (what == "print")
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import dummy_study\n"
        "from sdebench.engine import runner, suite\n"
        "runner.run(suite.expand({'study': 'dummy', 'count': 2, 'what': 'threads'}), sys.argv[2], 1)"
    )
    path = tmp_path / "threads.jsonl"
    subprocess.run([sys.executable, "-c", code, HELPERS, path], env={"OMP_NUM_THREADS": "7", "PATH": ""}, check=True)
    assert records.read(path)[1].context == {"dim": 1, "threads": "1"}


def test_a_case_that_prints_where_nobody_reads_any_more_has_not_failed(tmp_path):
    run = command_line("run", suite(tmp_path, count=2, what="print"), "--out", tmp_path / "r.jsonl", "--jobs", 1, "--no-report")
    run.stderr.close()
    run.stdout.close()
    run.wait(60)
    assert [r.status for r in records.read(tmp_path / "r.jsonl")] == ["ok", "ok"]


def test_a_case_that_prints_where_there_is_no_screen_spoils_no_answer(tmp_path):
    """Of a command whose standard error is closed, as by `2>&-`."""
    code = (
        "import sys, os; sys.path.insert(0, sys.argv[1]); os.close(2); import dummy_study\n"
        "from sdebench.engine import runner, suite\n"
        "found = runner.run(suite.expand({'study': 'dummy', 'count': 2, 'what': 'print'}), sys.argv[2], 1)\n"
        "print(found.measured, found.failed, found.retried)"
    )
    command = [sys.executable, "-c", code, HELPERS, tmp_path / "r.jsonl"]
    assert subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout == "2 [] []\n"


def job(**settings) -> replies.Job:
    return replies.Job({"study": "dummy", "number": 1, **settings}, "c0de", "dummy_study:DummyStudy")


def answer_of(one: pools.Worker, asked: replies.Job) -> replies.Reply:
    one.send(asked, 60.0)
    while (answer := one.reply()) is None:
        wait([one.connection], 0.5)
    return replies.unpack(answer, asked)


def ended(pid: int) -> bool:
    """Whether a process is gone, or is only waited for."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def test_what_a_case_started_ends_with_its_worker(tmp_path, monkeypatch):
    """With one that dies by itself, and with one whose driver is gone."""
    child = tmp_path / "child"
    monkeypatch.setenv("CHILD", str(child))
    runner.run(cases(count=2, what="leave a child and die", once=str(tmp_path / "once")), tmp_path / "r.jsonl", 1)
    wait_for(lambda: ended(int(child.read_text())), 5)
    one = pools.Worker()
    answer_of(one, job(what="leave a child"))
    assert not ended(int(child.read_text()))
    one.connection.close()
    wait_for(lambda: ended(int(child.read_text())), 5)
    one.end()


def test_a_process_is_killed_once_for_its_number_may_become_another_s(monkeypatch):
    killed, one = [], pools.Worker()
    kill = pools.os.killpg
    monkeypatch.setattr(pools.os, "killpg", lambda *group: (killed.append(group), kill(*group)))
    one.end()
    one.end()
    assert len(killed) == 1


def test_a_long_order_and_a_long_answer_come_whole(tmp_path):
    """Of more bytes than a connection holds; another answer after them is told from them."""
    one = pools.Worker()
    try:
        assert answer_of(one, job(arrays=1 << 21, note="x" * (1 << 21))).arrays["x"].tolist() == [1.0] * (1 << 21)
        assert answer_of(one, job(arrays=2)).arrays["x"].tolist() == [1.0, 1.0]
    finally:
        one.end()


ARRAYS = {"x": np.arange(6.0).reshape(2, 3), "n": np.arange(3)}


def packed(arrays=ARRAYS, **fields) -> bytes:
    """An answer whose record has these fields changed, also to what no Record would take."""
    made = records.make_record(job().case, "c0de", "ok", data={"rms": [0.5, 0.25]})
    line, _, rest = replies.pack(replies.Reply(made, arrays)).partition(b"\n")
    head = json.loads(line)
    return json.dumps(head | {"record": head["record"] | fields}).encode() + b"\n" + rest


def test_an_answer_comes_back_as_it_was_sent():
    claims = records.Claims.of(get_solver("srk-additive"))
    sent = records.make_record(job().case, "c0de", "ok", context={"dim": 1}, claims=claims, data={"rms": [0.5, 0.25]})
    back = replies.unpack(replies.pack(replies.Reply(sent, ARRAYS)), job())
    assert back.record == sent
    assert back.arrays["x"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert back.arrays["n"].dtype == np.int64
    assert replies.unpack(replies.pack(replies.Reply(sent)), job()) == (sent, None)


NONSENSE = {
    "nothing": lambda: b"",
    "no line": lambda: b"\xff\xfe",
    "a list": lambda: b"[]\n",
    "no record": lambda: b'{"record": null, "sha256": ""}\n',
    "half of it": lambda: packed()[:200],
    "half of the arrays": lambda: packed()[:-8],
    "a bit flipped": lambda: (whole := packed())[:-1] + bytes([whole[-1] ^ 1]),
    "another shape": lambda: packed().replace(b'"shape":[2,3]', b'"shape":[3,2]'),
    "no arrays": lambda: packed().partition(b"\n")[0] + b"\n",
    "arrays unknown": lambda: packed(arrays=None).replace(b'"ok"', b'"ok", "arrays": {}'),
    "arrays of nan": lambda: packed({"x": np.full(3, np.nan)}),
    "nan": lambda: packed().replace(b"0.25", b"NaN"),
    "infinity": lambda: packed().replace(b"0.25", b"-Infinity"),
    "ok without an error": lambda: packed(data={"rms": [None, None]}),
    "another key": lambda: packed(key="0" * 16),
    "another case": lambda: packed(case={"study": "dummy", "number": 2}),
    "other code": lambda: packed(code="other"),
    "another schema": lambda: packed(schema=99),
    "no status": lambda: packed(status="fine"),
    "no data": lambda: packed(data=[]),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_nonsense_is_told_from_a_record_in_one_line(what):
    with pytest.raises(replies.Fault, match="nonsense") as caught:
        replies.unpack(NONSENSE[what](), job())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ((2, "dask", "tcp://h:1"), "leave it out"),
        ((None, "dask", ""), "give --scheduler ADDRESS"),
        ((None, "processes", "tcp://h:1"), "give --backend dask"),
        ((None, "dark", ""), "did you mean 'dask'?"),
    ],
)
def test_what_does_not_fit_together_is_refused(asked, message):
    with pytest.raises(UsageError, match=message.replace("?", r"\?")):
        places.place(*asked, None)
    assert places.place(3, "processes", "", 5.0) == (3, "", 5.0)
    assert places.place(None, "dask", "tcp://h:1", None) == (None, "tcp://h:1", None)


@pytest.mark.parametrize("patience", [0.0, -1.0, float("nan")])
def test_no_patience_is_refused(tmp_path, patience):
    with pytest.raises(UsageError, match="more than 0"):
        runner.run(cases(), tmp_path / "r.jsonl", 1, patience=patience)
