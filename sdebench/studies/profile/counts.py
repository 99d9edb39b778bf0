"""What a run does beside taking time: operations, synchronisation points, bytes moved, memory, and a trace of it all.

Counted with a model and a noise that do nothing: what is left is the update.  On a CPU an operation is a call that the
dispatcher sees, views and allocations apart, or one call of the fused kernel; on CUDA it is a kernel, a copy or a filling of
memory by the device.
"""

import os
from collections.abc import Callable, Iterable
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile, record_function
from torch.utils._python_dispatch import TorchDispatchMode

from sdebench._support.files import write_atomic
from sdebench.integration.executors import native
from sdebench.integration.executors.fused import arithmetic, execute, prepared
from sdebench.integration.executors.plan import Plan
from sdebench.integration.prediction import Model
from sdebench.integration.solver import Solver
from sdebench.studies.profile.run import Bench, seconds
from sdebench.studies.profile.standins import NullNoise, Wrapped, with_own_memory

_WRITTEN_ONLY = ("copy_", "zero_", "fill_", "normal_", "uniform_")  # operations in place that do not read their place
_HOST_READS = ("_local_scalar_dense", "equal")
_ON_DEVICE = ("kernel", "gpu_memcpy", "gpu_memset")  # activities; ranges of the host are drawn on the device's line, too


class Work(NamedTuple):
    """Of a run: operations, synchronisation points, bytes read and written."""

    kernels: int
    syncs: int
    moved: int | None


class _Tally(TorchDispatchMode):
    """Counts what the dispatcher sees."""

    def __init__(self) -> None:
        super().__init__()
        self.kernels = self.syncs = self.moved = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        self._count(func, args, kwargs or {}, found)
        return found

    def _count(self, func, args: tuple, settings: dict, found: Any) -> None:
        name = func._schema.name.partition("::")[2]
        if name in _HOST_READS:
            self.syncs += 1
        elif not (func.is_view or name.startswith(("empty", "new_empty", "detach", "lift"))):
            self.kernels += 1
            self.moved += _traffic(func, name, args, settings, found)


def _tensors(values: Iterable[Any]) -> list[Tensor]:
    flat = (v for value in values for v in (value if isinstance(value, list | tuple) else (value,)))
    return [v for v in flat if isinstance(v, Tensor)]


def _bytes(v: Tensor) -> int:
    """What reading or writing all of it moves: an expanded tensor has fewer numbers than entries."""
    return min(v.numel() * v.element_size(), v.untyped_storage().nbytes())


def _traffic(func, name: str, args: tuple, settings: dict, found: Any) -> int:
    """Bytes that an operation reads and writes."""
    given = dict(zip((a.name for a in func._schema.arguments), args)) | settings
    unread = name in _WRITTEN_ONLY or name.startswith("new_") or name.endswith("_like")
    out = {a.name for a in func._schema.arguments if a.is_out or (unread and a.name == "self")}
    reads = _tensors(value for key, value in given.items() if key not in out)
    return sum(map(_bytes, reads)) + sum(map(_bytes, _tensors([found])))


def work(bench: Bench) -> Work:
    """What a run does with vectors, on nulls."""
    if bench.x.is_cuda:
        return _work_on_cuda(bench)
    if bench.executor == "fused" and arithmetic(bench.x) is native.native:  # which the dispatcher does not see
        made = bench.plan()
        return Work(sum(bool(p.combinations) for p in made.passes), 0, _planned(bench, made))
    tally = _Tally()
    with torch.inference_mode(False), torch.no_grad():  # inference mode hides what a call is made of
        run = bench.on_nulls(bench.x.clone())
        with tally:
            run()
    return Work(tally.kernels, tally.syncs, tally.moved)


def _planned(bench: Bench, made: Plan | None) -> int | None:
    """Bytes that the plan moves in a run."""
    return None if made is None else sum(made.traffic) * bench.x.nbytes


def fewest(bench: Bench) -> int | None:
    """The fewest bytes of a run: those of its plan; None where it has none."""
    return _planned(bench, bench.plan())


def _profiled(run: Callable[[], Any], device: torch.device, memory: bool = False) -> Any:
    """(the profile of a run, its result)"""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")
    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if device.type == "cuda" else [])]
    with profile(activities=kinds, profile_memory=memory) as seen:
        found = run()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
    return seen, found


def _work_on_cuda(bench: Bench) -> Work:
    """Operations as the device ran them; bytes as planned, where the plan is what runs."""
    run = bench.on_nulls(bench.x)
    seconds(run, 1, bench.x.device)  # what is compiled or captured in a first run is no work of the others
    events = list(_profiled(run, bench.x.device)[0].events())
    there = [e for e in events if e.device_type == torch.autograd.DeviceType.CUDA]
    kernels = sum(getattr(e, "activity_type", None) in (None, *_ON_DEVICE) for e in there)  # an older torch does not tell
    syncs = [e.name for e in events if e.name.startswith(("cudaStreamSync", "cudaDeviceSync", "cudaEventSync"))]
    while syncs and syncs[-1].startswith("cudaDeviceSync"):  # ours, and that with which PyTorch ends a profile
        syncs.pop()
    return Work(kernels, len(syncs), None if bench.executor == "eager" else fewest(bench))


def peak(run: Callable[[], Any], device: torch.device) -> int:
    """The most bytes that a run holds beyond those that were held when it began."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    seen, _ = _profiled(run, device, memory=True)
    changes = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]  # given and, below 0, given back
    return max(accumulate((e.nbytes() for e in sorted(changes, key=lambda e: e.start_ns())), initial=0))


def alone(bench: Bench) -> Callable[[], Tensor]:
    """A run of the update: model and noise do nothing but allocate their answers, as any do."""
    x, ns = bench.x, bench.subject.schedule
    model, noise = bench.subject.model(with_own_memory(bench.subject.null(x))), Wrapped(NullNoise(ns, x), with_own_memory)
    return lambda: bench.run(model, x, noise)


def history(bench: Bench) -> int | None:
    """The most bytes kept from step to step beside the state.

    Of the method itself: the tensors of its past, each once.  Of a plan: the vectors that are alive beside the state when
    the network is asked at a time of the grid.  None for a whole-grid method that has no steps to look at.
    """
    if bench.executor != "eager":
        return _alive(bench.plan(), bench.grid) * bench.x.nbytes
    if not isinstance(bench.solver, Solver):
        return None
    most, x, past = 0, bench.x, ()
    model, noise = bench.subject.model(bench.subject.null(x)), NullNoise(bench.subject.schedule, x)
    for s, t in zip(bench.grid, bench.grid[1:]):
        x, past, _ = bench.solver.step(model, x, s, t, past, noise)  # type: ignore[assignment]  # it begins empty
        kept = {v.data_ptr(): v.nbytes for node in past for v in node.prediction.held if v is not x}
        most = max(most, sum(kept.values()))
    return most


def _alive(made: Plan, grid: tuple[float, ...]) -> int:
    """How many vectors a plan keeps beside the state at the times of its grid, at most."""
    needed, found = {made.passes[-1].state}, {}
    for p in reversed(made.passes[:-1]):
        needed -= {p.answer}
        if p.t in grid[1:-1] and p.t not in found:
            found[p.t] = len(needed - {p.state})
        needed |= {p.state}
        needed = _before(p, needed)
    return max(found.values(), default=0)


def _before(p: Any, needed: set[int]) -> set[int]:
    """The places that hold something wanted before the combinations of a pass, and before its questions."""
    for out, terms in reversed(p.combinations):
        needed = (needed - {out}) | {place for place, _ in terms}
    return needed - {place for question in p.questions for place in question.answers}


def _marked(name: str, fn: Callable) -> Callable:
    """The function, as a range of that name in a trace."""

    def inside(*args: Any, **settings: Any) -> Any:
        with record_function(name):
            return fn(*args, **settings)

    return inside


def traced(bench: Bench, path: Path) -> None:
    """Write the trace of one warm run, in which network, noise and fused combinations are ranges of those names.

    Chrome's format, which Perfetto and chrome://tracing open.
    """
    model, drawn = bench.subject.model(_marked("network", bench.model.fn)), bench.noise()
    noise = drawn and Wrapped(drawn, lambda fn: _marked("noise", fn))
    run = lambda: _fused(bench, model, noise) if bench.executor == "fused" else bench.run(model, bench.x, noise)  # noqa: E731
    run()
    seen, _ = _profiled(run, bench.x.device)
    part = path.with_name(f".{path.name}.part.json")
    seen.export_chrome_trace(str(part))
    write_atomic(path, part.read_bytes())
    part.unlink()


def _fused(bench: Bench, model: Model, noise: Any) -> Tensor:
    """The fused run, its combinations marked."""
    made, ask = prepared(bench.solver, model, bench.x, bench.grid)

    def marked(plan: Plan, vectors: list[Tensor | None], x: Tensor) -> tuple[Callable, Callable]:
        put, form = arithmetic(x)(plan, vectors, x)
        return put, _marked("combine", form)

    with torch.no_grad():
        return execute(made, ask, bench.x, noise, marked)
