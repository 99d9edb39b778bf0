"""A real Dask cluster of several processes on this machine, whose workers are killed while it runs."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from kills import ROUNDS, facts, survive, wait_some
from runs import HELPERS, ROOT, cases, lines, pin_code, suite, wait_for

from sdebench._support.errors import UsageError
from sdebench.engine import cluster, inert, runner
from sdebench.engine.suite import Task
from sdebench.records import code

Client = pytest.importorskip("distributed").Client
DRIVER = """
import sys
import dummy_study
from sdebench.cli import main
main(sys.argv[1:])
"""


@pytest.fixture(scope="module")
def frozen(tmp_path_factory) -> Path:
    """A copy of the package, which nobody edits meanwhile: all that takes part must run the same code."""
    copy = tmp_path_factory.mktemp("frozen")
    shutil.copytree(ROOT / "sdebench", copy / "sdebench", ignore=shutil.ignore_patterns("__pycache__", "shipped"))
    return copy


@pytest.fixture(autouse=True)
def same_code(frozen, monkeypatch):
    """Make this process hash the copy."""
    find = code._file

    @cache
    def copied(module: str) -> Path | None:
        path = find(module)
        return frozen / path.relative_to(ROOT) if path and path.is_relative_to(ROOT / "sdebench") else path

    code.forget()
    monkeypatch.setattr(code, "_file", copied)
    yield
    monkeypatch.undo()
    code.forget()


def environment(frozen: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": f"{frozen}:{HELPERS}"}


class Cluster:
    """A scheduler and its workers, of one thread each, started as a person would; a worker that is killed is replaced.

    The workers alone may have another `sdebench`, that of the folder `theirs`.
    """

    def __init__(self, frozen: Path, workers: int, theirs: Path | None = None, **settings: str):
        self._environment = environment(frozen) | {"DASK_TEMPORARY_DIRECTORY": str(frozen)} | settings
        file = Path(tempfile.mkdtemp(dir=frozen)) / "scheduler.json"
        where = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        self.scheduler = self._start("dask_scheduler", *where)
        wait_for(lambda: file.exists() and file.read_text().endswith("}"))
        self.address = json.loads(file.read_text())["address"]
        self._environment |= {"PYTHONPATH": str(theirs)} if theirs else {}
        self._workers = [self._worker() for _ in range(workers)]

    def _start(self, what: str, *arguments: str) -> subprocess.Popen:
        command = [sys.executable, "-P", "-m", f"distributed.cli.{what}", *arguments]
        silent = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
        return subprocess.Popen(command, env=self._environment, **silent)

    def _worker(self) -> subprocess.Popen:
        return self._start("dask_worker", self.address, "--no-nanny", "--nthreads", "1", "--no-dashboard")

    def members(self) -> list[int]:
        """The processes of its workers."""
        self._workers = [self._worker() if one.poll() is not None else one for one in self._workers]
        return [one.pid for one in self._workers]

    def at_work(self) -> list[int]:
        """Those that have a process of ours."""
        return [pid for pid in self.members() if serving(pid)]

    def close(self) -> None:
        """End them all."""
        for one in (self.scheduler, *self._workers):
            one.kill()
            one.wait()


def serving(pid: int) -> bool:
    """Whether a process has started, in one of its threads, one that measures."""
    try:
        found = " ".join(task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children"))
        return any(b"serve()" in Path(f"/proc/{child}/cmdline").read_bytes() for child in found.split())
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return False


@pytest.fixture(scope="module")
def shared(frozen) -> Iterator[Cluster]:
    """A cluster of three workers."""
    with closing(Cluster(frozen, 3)) as found:
        yield found


def start(frozen: Path, toml: Path, out: Path, address: str) -> subprocess.Popen:
    """The command that runs a study on a cluster."""
    command = ("run", toml, "--out", out, "--backend", "dask", "--scheduler", address, "--no-report", "--json")
    return subprocess.Popen(
        [sys.executable, "-P", "-c", DRIVER, *map(str, command)],
        env=environment(frozen),
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


@pytest.mark.parametrize("number", ROUNDS)
def test_ten_kills_of_workers_and_of_the_driver_leave_the_records_of_an_undisturbed_run(number, tmp_path, frozen, shared):
    toml, path, address = suite(tmp_path, count=60, seconds=0.1, arrays=3), tmp_path / "r.jsonl", shared.address
    survive(lambda: start(frozen, toml, path, address), path, 60, lambda run: shared.at_work(), seed=5 + 100 * number)
    wanted = cases(count=60, seconds=0.1, arrays=3)
    quiet = tmp_path / "quiet.jsonl"
    assert len(facts(path)) == 60
    assert runner.run(wanted, quiet, scheduler=address).measured == 60
    assert facts(path) == facts(quiet)
    assert runner.run(wanted, path, scheduler=address).measured == 0


@pytest.mark.parametrize(
    ("what", "fault"),
    [
        ("crash", "its process died of SIGABRT"),
        ("hang", "no answer within 3 s"),
        ("another case", "its worker answered nonsense"),
    ],
)
def test_a_case_that_breaks_its_process_gets_a_second_try_and_harms_no_worker(tmp_path, shared, what, fault):
    before, path, address = shared.members(), tmp_path / "r.jsonl", shared.address
    mended = cases(count=4, what=what, arrays=2, once=str(tmp_path / "once"))
    summary = runner.run(mended, path, scheduler=address, patience=3.0 if what == "hang" else None)
    assert (summary.measured, summary.failed, len(summary.retried)) == (4, [], 1)
    assert summary.retried[0][1].startswith(fault)
    if what == "crash":
        summary = runner.run(cases(count=4, what=what), path, scheduler=address)
        assert (summary.measured, len(summary.failed), len(summary.retried)) == (4, 1, 1)
        assert summary.failed[0][1].count(fault) == 2
    assert shared.members() == before


def test_a_second_try_goes_to_another_worker(tmp_path, shared, monkeypatch):
    where = []
    outcome = cluster.Dask.next
    monkeypatch.setattr(cluster.Dask, "next", lambda self: (found := outcome(self), where.append(found[:4:3]))[0])
    runner.run(cases(count=2, what="die"), tmp_path / "r.jsonl", scheduler=shared.address)
    first, second = (place for job, place in where if job.case["number"] == 1)
    assert first != second


def test_a_worker_with_other_code_is_refused_in_one_line(tmp_path, frozen, shared, monkeypatch):
    path = tmp_path / "r.jsonl"
    pin_code(monkeypatch, "0123456789abcdef")
    with pytest.raises(UsageError, match=r"runs other code \(.*; here it is 0123456789abcdef\): install this") as caught:
        runner.run(cases(count=3), path, scheduler=shared.address)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b""


def test_a_solver_whose_file_the_workers_have_not_is_refused_in_one_line(tmp_path, shared, monkeypatch):
    source = "import sdebench as sb\n\n\nclass Mine(sb.Solver):\n    order, nfe_per_step, step = 1, 1, len\n"
    (tmp_path / "only_here.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    wanted = [Task(task.study, replace(task.case, solver="only_here:Mine")) for task in cases(count=2)]
    with pytest.raises(UsageError, match=r"cannot make the case's solver .*only_here.*: install .* your own solvers"):
        runner.run(wanted, tmp_path / "r.jsonl", scheduler=shared.address)


def fake(folder: Path, attempt: str = "") -> Path:
    """A folder with another `sdebench`: an empty package, or one whose workers do that in place of measuring."""
    engine = folder / "fake/sdebench/engine"
    engine.mkdir(parents=True)
    for package in (engine.parent, engine):
        (package / "__init__.py").write_text("")
    if attempt:
        (engine / "cluster.py").write_text(HOSTILE.format(mark=folder / "RAN") + attempt)
    return folder / "fake"


HOSTILE = """
import copyreg, os, pickle, time
from distributed import get_worker

class Meta(type): pass
class Evil(metaclass=Meta):
    def __reduce__(self): return os.system, ("echo value in $PPID >>{mark}",)
class Error(Exception):
    def __reduce__(self): return os.system, ("echo error in $PPID >>{mark}",)
class Word:
    def __reduce__(self): return os.system, ("echo event in $PPID >>{mark}",)
copyreg.pickle(Meta, lambda kind: (os.system, ("echo type in $PPID >>{mark}",)))

def attempt(job, patience, run):
"""
LOST = r"the cluster lost .* 11 times .*: mend the cluster"


@pytest.mark.parametrize("both", [True, False], ids=["scheduler and workers", "workers alone"])
def test_a_cluster_without_the_package_is_told_in_one_line_within_seconds(tmp_path, frozen, both):
    path, empty = tmp_path / "r.jsonl", fake(tmp_path)
    with closing(Cluster(empty if both else frozen, 1, theirs=empty)) as cluster:
        run = start(frozen, suite(tmp_path, count=3), path, cluster.address)
        _, err = run.communicate(timeout=60)
    assert run.returncode == 2, err
    assert "the cluster's workers have no such sdebench (" in err
    assert "install this version of sdebench on every worker" in err
    assert err.count("\n") == 1
    assert path.read_bytes() == b""


@pytest.fixture(scope="module")
def hostile(tmp_path_factory) -> Iterator[tuple[Cluster, Path]]:
    """A cluster whose workers do, in place of measuring, what the file says."""
    folder = tmp_path_factory.mktemp("hostile")
    words = folder / "words.py"
    with closing(Cluster(fake(folder, DO.format(words=words)), 1)) as found:
        yield found, words


DO = """
    names = dict(globals())
    with open("{words}") as file:
        exec("def do():\\n" + file.read(), names)
    return names["do"]()
"""


@pytest.mark.parametrize(
    ("attempt", "told"),
    [
        ("    return Evil()", LOST),
        ("    raise Error", LOST),
        ("    raise ValueError(Evil())", LOST),
        ("    raise ValueError from ModuleNotFoundError('here')", r"no such sdebench \(ModuleNotFoundError: here\): install"),
        ("    words = pickle.dumps(Word())\n    get_worker().log_event('warn', {'message': words})\n    time.sleep(0.3)", LOST),
    ],
    ids=["value", "error", "value of an error", "cause", "event"],
)
def test_nothing_that_a_worker_sends_is_executed_here(tmp_path, hostile, attempt, told):
    found, words = hostile
    words.write_text(attempt)
    ran = words.with_name("RAN")
    ran.write_text("")  # the cluster's own processes may run it: what they unpickle is theirs to decide
    with pytest.raises(UsageError, match=told) as caught:
        runner.run(cases(), tmp_path / "r.jsonl", scheduler=found.address)
    assert "\n" not in str(caught.value)
    assert f" in {os.getpid()}\n" not in ran.read_text()


def test_without_its_scheduler_a_run_ends_in_one_line_and_what_is_recorded_stays(tmp_path, frozen):
    path, toml = tmp_path / "r.jsonl", suite(tmp_path, count=50, seconds=0.1)
    with closing(Cluster(frozen, 1)) as cluster:
        run = start(frozen, toml, path, cluster.address)
        wait_for(lambda: lines(path) >= 2)
        cluster.scheduler.kill()
        _, err = run.communicate(timeout=30)
    assert run.returncode == 2, err
    assert f"the scheduler at {cluster.address} is gone" in err
    assert "run again to go on" in err
    assert err.count("\n") == 1
    assert len(facts(path)) >= 2


@pytest.mark.slow
def test_the_cases_of_a_worker_that_freezes_go_to_another(tmp_path, frozen):
    path, toml = tmp_path / "r.jsonl", suite(tmp_path, count=12, seconds=0.3)
    with closing(Cluster(frozen, 2, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="3s")) as cluster:
        run = start(frozen, toml, path, cluster.address)
        wait_for(lambda: lines(path) >= 2)
        os.kill(wait_some(cluster.at_work)[0], signal.SIGSTOP)
        out, err = run.communicate(timeout=60)
    assert json.loads(out)["failed"] == [], err
    assert len(facts(path)) == 12


@pytest.fixture
def hasty(monkeypatch):
    """Let a driver wait for two seconds where it waits for a minute."""
    for name in ("_LEFT", "_QUIET"):
        assert getattr(cluster, name) == 60.0
        monkeypatch.setattr(cluster, name, 2.0)
    monkeypatch.setattr(cluster, "_CONNECT", 1.0)


def test_a_scheduler_that_freezes_is_told_in_one_line(tmp_path, frozen, hasty):
    wanted, path = cases(count=200, seconds=0.1), tmp_path / "r.jsonl"
    with closing(Cluster(frozen, 1)) as cluster:
        waiting = threading.Timer(
            0, lambda: (wait_for(lambda: lines(path) >= 2), cluster.scheduler.send_signal(signal.SIGSTOP))
        )
        waiting.start()
        with pytest.raises(
            UsageError, match=r"has not answered for \d+ s; everything measured is recorded: run again"
        ) as caught:
            runner.run(wanted, path, scheduler=cluster.address)
        waiting.join()
    assert "\n" not in str(caught.value)
    assert 2 <= len(facts(path)) < 200


@pytest.mark.parametrize(
    ("attempt", "told"), [("", "its workers have nothing to do"), ("    time.sleep(300)", "a case may take 1 s")]
)
def test_a_cluster_that_gives_no_job_back_and_has_no_error_is_told_in_one_line(tmp_path, hasty, monkeypatch, attempt, told):
    monkeypatch.setattr(cluster, "STARTING", 0.0)
    monkeypatch.setattr(inert, "read_error", lambda said: said.no_such)  # so that an error is heard and never told
    with closing(Cluster(fake(tmp_path, attempt), 1)) as found, Client(found.address, set_as_default=False) as other:
        other.wait_for_workers(1, 30)
        with pytest.raises(UsageError, match=rf"has answered nothing for \d+ s, .*{told}.*: start the cluster") as caught:
            runner.run(cases(), tmp_path / "r.jsonl", scheduler=found.address, patience=1.0)
    assert "\n" not in str(caught.value)


def test_a_cluster_that_is_busy_with_the_tasks_of_others_is_waited_for(tmp_path, frozen, monkeypatch):
    """Theirs seems to take an hour, which is longer than a cluster with nothing but our jobs may be quiet."""
    monkeypatch.setattr(cluster, "_QUIET", 0.0)
    check, over = cluster.Dask._check_moving, tmp_path / "over"
    os.mkfifo(over)

    def later(self, now, busy):
        end = over.exists() and busy - self._jobs.keys()
        self._moved -= 3600 if end else 0
        check(self, now, busy)
        if end:
            over.write_text("")
            over.unlink()

    monkeypatch.setattr(cluster.Dask, "_check_moving", later)
    with closing(Cluster(frozen, 1)) as found, Client(found.address, set_as_default=False) as other:
        theirs = other.submit(Path.read_text, over)
        with pytest.warns(UserWarning, match="it is busy with the tasks of others"):
            summary = runner.run(cases(count=2), tmp_path / "r.jsonl", scheduler=found.address, patience=60.0)
        assert not over.exists()
        assert theirs.status == "finished"
    assert (summary.measured, summary.failed) == (2, [])


@pytest.mark.parametrize("listens", [True, False])
def test_no_scheduler_is_told_in_one_line_within_seconds(tmp_path, listens, monkeypatch):
    assert cluster._CONNECT == 5.0
    monkeypatch.setattr(cluster, "_CONNECT", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        address = f"tcp://127.0.0.1:{deaf.getsockname()[1] if listens else 1}"
        begun = time.monotonic()
        with pytest.raises(UsageError, match=f"no Dask scheduler answers at '{address}' .*: give the address") as caught:
            runner.run(cases(), tmp_path / "r.jsonl", scheduler=address)
    assert time.monotonic() - begun < 20
    assert "\n" not in str(caught.value)


def test_without_distributed_one_line_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UsageError, match=r"not installed: pip install 'sdebench\[cluster\]'"):
        runner.run(cases(), tmp_path / "r.jsonl", scheduler="tcp://127.0.0.1:1")


def test_nothing_of_it_is_imported_unless_asked_for(tmp_path):
    code = (
        "import sys, dummy_study; from sdebench.engine import runner, suite\n"
        "runner.run(suite.expand({'study': 'dummy'}), sys.argv[1], 1)\n"
        "sys.exit(bool({'distributed', 'dask'} & {*sys.modules}))"
    )
    command = [sys.executable, "-P", "-c", code, tmp_path / "r.jsonl"]
    done = subprocess.run(command, env=environment(ROOT), stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
