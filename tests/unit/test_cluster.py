"""A real Dask cluster of several processes on this machine, in a process of its own, whose workers are killed while it runs."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from kills import facts, survive, wait_some
from test_runner import cases, dummy, lines, suite, wait_for  # noqa: F401  dummy: registers the study

from sdebench import records
from sdebench.errors import UsageError
from sdebench.studies import cluster, replies, runner

pytest.importorskip("distributed")
HERE, ROOT = Path(__file__).parent, Path(__file__).parents[2]
CLUSTER = """
import sys
from distributed import LocalCluster
if __name__ == "__main__":
    with LocalCluster(n_workers=int(sys.argv[1]), threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        print(cluster.scheduler_address, flush=True)
        sys.stdin.read()
"""
DRIVER = """
import sys
from sdebench.cli import main
from sdebench.studies import base
base.STUDIES["dummy"] = "dummy_study"
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
    monkeypatch.setattr(records, "__file__", str(frozen / "sdebench" / "records.py"))
    monkeypatch.setattr(records, "code_hash", records.code_hash.__wrapped__)


def python(code: str, frozen: Path, *arguments: object, stderr: int = subprocess.PIPE, **environment: str) -> subprocess.Popen:
    path = {"PYTHONPATH": f"{frozen}:{HERE}"}
    command = [sys.executable, "-P", "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=os.environ | path | environment, text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr)  # fmt: skip


@contextmanager
def dask(frozen: Path, workers: int, **environment: str) -> Iterator[tuple[str, subprocess.Popen]]:
    """(address, process) of a cluster."""
    process = python(CLUSTER, frozen, workers, stderr=subprocess.DEVNULL, **environment)
    try:
        address = process.stdout.readline().strip()
        assert address.startswith("tcp://"), "the cluster did not start"
        yield address, process
    finally:
        mine = members(process)
        process.kill()
        process.communicate()
        for pid in mine:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def command(toml: Path, out: Path, address: str) -> tuple:
    return "run", toml, "--out", out, "--backend", "dask", "--scheduler", address, "--no-report", "--json"


def below(pid: int, word: bytes) -> list[int]:
    """The processes that another one started, in any of its threads, with that word in their command."""
    try:
        found = " ".join(task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/children"))
        return [child for child in map(int, found.split()) if word in Path(f"/proc/{child}/cmdline").read_bytes()]
    except (FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        return []


def members(process: subprocess.Popen) -> list[int]:
    """The cluster's Dask workers."""
    return below(process.pid, b"spawn_main")


def at_work(process: subprocess.Popen) -> list[int]:
    """Those that have measured: a worker killed while it starts would never be replaced by its cluster."""
    return [pid for pid in members(process) if below(pid, b"serve()")]


@pytest.fixture(scope="module")
def shared(frozen) -> Iterator[tuple[str, subprocess.Popen]]:
    """A cluster of three workers."""
    with dask(frozen, 3) as found:
        yield found


def test_ten_kills_of_workers_and_of_the_driver_leave_the_records_of_an_undisturbed_run(tmp_path, frozen, shared):
    address, process = shared
    toml, path = suite(tmp_path, count=60, seconds=0.1, arrays=3), tmp_path / "r.jsonl"

    def begin() -> subprocess.Popen:
        return python(DRIVER, frozen, *command(toml, path, address))

    survive(begin, path, 60, lambda run: at_work(process), seed=5)
    wanted = cases(count=60, seconds=0.1, arrays=3)
    quiet = tmp_path / "quiet.jsonl"
    assert len(facts(path)) == 60
    assert runner.run(wanted, quiet, scheduler=address).measured == 60
    assert facts(path) == facts(quiet)
    assert runner.run(wanted, path, scheduler=address).measured == 0


@pytest.mark.parametrize(("what", "fault"), [("crash", "its process died of SIGABRT"), ("hang", "no answer within 3 s"),
                                             ("another case", "its worker answered nonsense")])  # fmt: skip
def test_a_case_that_breaks_its_process_gets_a_second_try_and_harms_no_worker(tmp_path, shared, what, fault):
    address, process = shared
    wait_for(lambda: len(members(process)) == 3)
    before, path = members(process), tmp_path / "r.jsonl"
    mended = cases(count=4, what=what, arrays=2, once=str(tmp_path / "once"))
    summary = runner.run(mended, path, scheduler=address, patience=3.0 if what == "hang" else None)
    assert (summary.measured, summary.failed, len(summary.retried)) == (4, [], 1)
    assert summary.retried[0][1].startswith(fault)
    if what == "crash":
        summary = runner.run(cases(count=4, what=what), path, scheduler=address)
        assert (summary.measured, len(summary.failed), len(summary.retried)) == (4, 1, 1)
        assert summary.failed[0][1].count(fault) == 2
    assert members(process) == before


def test_a_second_try_goes_to_another_worker(tmp_path, shared, monkeypatch):
    address, process = shared
    wait_for(lambda: len(members(process)) == 3)
    where = []
    outcome = cluster.Dask.next
    monkeypatch.setattr(cluster.Dask, "next", lambda self: (found := outcome(self), where.append(found[:4:3]))[0])
    runner.run(cases(count=2, what="die"), tmp_path / "r.jsonl", scheduler=address)
    first, second = (place for job, place in where if job.case["number"] == 1)
    assert first != second


def test_a_worker_with_other_code_is_refused_in_one_line(tmp_path, frozen, shared, monkeypatch):
    path = tmp_path / "r.jsonl"
    monkeypatch.setattr(records, "code_hash", lambda extra=(): "0123456789abcdef")
    with pytest.raises(UsageError, match=r"runs other code \(.*; here it is 0123456789abcdef\): install this") as caught:
        runner.run(cases(count=3), path, scheduler=shared[0])
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b""


def test_a_solver_whose_file_the_workers_have_not_is_refused_in_one_line(tmp_path, shared, monkeypatch):
    source = "import sdebench as sb\n\n\nclass Mine(sb.Solver):\n    order, nfe_per_step = 1, 1\n"
    (tmp_path / "only_here.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    wanted = [case | {"solver": "only_here:Mine"} for case in cases(count=2)]
    with pytest.raises(UsageError, match=r"cannot make the case's solver .*only_here.*: install .* your own solvers"):
        runner.run(wanted, tmp_path / "r.jsonl", scheduler=shared[0])


def test_a_worker_without_the_package_is_refused_in_one_line():
    error = ModuleNotFoundError("No module named 'sdebench'")
    with pytest.raises(UsageError, match=r"a worker of the cluster has no such sdebench .*: install this version"):
        cluster.Dask._error(None, replies.Job({}, "", ""), error)


def test_a_worker_that_freezes_and_a_scheduler_that_dies(tmp_path, frozen):
    """A frozen worker's cases go to another; without its scheduler the run ends in one line, and what is recorded stays."""
    with dask(frozen, 2, DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL="3s") as (address, process):
        path, toml = tmp_path / "r.jsonl", suite(tmp_path, count=12, seconds=0.3)
        run = python(DRIVER, frozen, *command(toml, path, address))
        wait_for(lambda: lines(path) >= 2)
        os.kill(wait_some(lambda: at_work(process))[0], signal.SIGSTOP)
        out, err = run.communicate(timeout=60)
        assert json.loads(out)["failed"] == [], err
        assert len(facts(path)) == 12
        toml = suite(tmp_path, count=50, seconds=0.2)
        run = python(DRIVER, frozen, *command(toml, path, address))
        wait_for(lambda: lines(path) >= 14)
        process.kill()
        _, err = run.communicate(timeout=30)
    assert run.returncode == 2, err
    assert f"the scheduler at {address} is gone" in err
    assert "run again to go on" in err
    assert err.count("\n") == 1
    assert len(facts(path)) >= 14


@pytest.mark.parametrize("listens", [True, False])
def test_no_scheduler_is_told_in_one_line_within_seconds(tmp_path, listens):
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
    code = ("import sys; from sdebench.studies import base, runner; base.STUDIES['dummy'] = 'dummy_study'\n"
            "runner.run(base.expand({'study': 'dummy'}), sys.argv[1], 1)\n"
            "sys.exit(bool({'distributed', 'dask'} & {*sys.modules}))")  # fmt: skip
    run = python(code, ROOT, tmp_path / "r.jsonl")
    _, err = run.communicate(timeout=60)
    assert run.returncode == 0, err
