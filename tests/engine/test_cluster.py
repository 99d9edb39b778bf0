"""A real Dask cluster of several processes on this machine, whose workers are killed while it runs."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from kills import facts, survive, wait_some
from runs import HELPERS, ROOT, cases, lines, pin_code, suite, wait_for

from sdebench._support.errors import UsageError
from sdebench.engine import cluster, replies, runner
from sdebench.engine.suite import Task
from sdebench.records import code

pytest.importorskip("distributed")
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
    """A scheduler and its workers, of one thread each, started as a person would; a worker that is killed is replaced."""

    def __init__(self, frozen: Path, workers: int, **settings: str):
        self._environment = environment(frozen) | {"DASK_TEMPORARY_DIRECTORY": str(frozen)} | settings
        file = Path(tempfile.mkdtemp(dir=frozen)) / "scheduler.json"
        where = ("--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file))
        self.scheduler = self._start("dask_scheduler", *where)
        wait_for(lambda: file.exists() and file.read_text().endswith("}"))
        self.address = json.loads(file.read_text())["address"]
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


def test_ten_kills_of_workers_and_of_the_driver_leave_the_records_of_an_undisturbed_run(tmp_path, frozen, shared):
    toml, path, address = suite(tmp_path, count=60, seconds=0.1, arrays=3), tmp_path / "r.jsonl", shared.address
    survive(lambda: start(frozen, toml, path, address), path, 60, lambda run: shared.at_work(), seed=5)
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


def test_a_worker_without_the_package_is_refused_in_one_line():
    error = ModuleNotFoundError("No module named 'sdebench'")
    with pytest.raises(UsageError, match=r"a worker of the cluster has no such sdebench .*: install this version"):
        cluster.Dask._error(None, replies.Job({}, "", ""), error)


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
