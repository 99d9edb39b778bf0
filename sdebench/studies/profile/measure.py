"""How the profile study measures."""

from itertools import product
from math import prod
from pathlib import Path
from typing import Any

import torch

from sdebench import grids
from sdebench._support.clock import threads
from sdebench._support.errors import UsageError
from sdebench.catalogue import get_solver
from sdebench.integration.executors.fused import arithmetic
from sdebench.networks.problem import device_of
from sdebench.records import Claims, provenance
from sdebench.studies.base import Found, check_size, tell_left_out
from sdebench.studies.profile import ProfileCase, ProfileSettings
from sdebench.studies.profile.counts import alone, fewest, history, peak, traced, work
from sdebench.studies.profile.energy import meter
from sdebench.studies.profile.run import Bench, bandwidth, compile_seconds, first, rounds, seconds
from sdebench.studies.profile.subject import Subject, compiles, is_exact, subject

_ENERGY, _ENERGY_ON_GPU = 0.5, 2.0  # seconds of work for a reading of the joules, counted every 1 ms, and every 20 to 100 ms
_BY = {"native": "the kernel in C", "compiled": "torch.compile", "by_torch": "torch's operations"}  # combinations
_AXES = ("model", "dtype", "device", "compiled", "batch", "solver", "executor")  # the last one turns fastest


def machine(device: str) -> str:
    """The device that is measured, in words, and never the host's name."""
    host = provenance()["machine"]
    return f"{torch.cuda.get_device_name(device)}; {host}" if device.startswith("cuda") else host


def cases(settings: ProfileSettings) -> list[ProfileCase]:
    """Those that are compared one after the other; what cannot be run is left out, with a warning.

    Raises UsageError where nothing can be run, and for a device that is not there.
    """
    devices = [str(device_of(name)) for name in settings.devices]
    axes = (
        settings.models,
        settings.dtypes,
        devices,
        settings.compiled,
        settings.batches,
        settings.solvers,
        settings.executors,
    )
    common = {"threads": settings.threads, "grid": settings.grid, "steps": settings.steps, "seed": settings.seed}
    out, reasons = [], []
    for repeat in range(settings.repeats):
        for values in product(*axes):
            here: dict[str, Any] = dict(zip(_AXES, values)) | common
            case = ProfileCase(machine=machine(here["device"]), repeat=repeat, seconds=settings.seconds, **here)
            why = why_not(case)
            reasons.append(why)
            if not why:
                out.append(case)
    tell_left_out(reasons, bool(out))
    return out


def why_not(case: ProfileCase) -> str:
    """Why a case cannot be run; empty where it can."""
    solver, executor = get_solver(case.solver), case.executor
    if solver.adaptive:
        return f"solver {case.solver!r} chooses its own steps: give one that takes a grid"
    if case.compiled and not compiles(case.model):
        return f"model {case.model!r} has no network to compile: give a network, or leave --compiled out"
    if executor == "graph" and not case.device.startswith("cuda"):
        return f"executor 'graph' needs a CUDA device, this one is {case.device}: give executor 'fused'"
    if executor == "graph" and is_exact(case.model):
        return f"model {case.model!r} is computed on the host, which no CUDA graph records: give executor 'fused'"
    at = subject(case.model, case.dtype, case.device)
    check_size(case.batch, prod(at.shape), "batch")
    try:
        bench = Bench(solver, at, executor, _grid(case, at), 1, case.seed)
        bench.nfe()
        if executor != "eager":
            bench.planned()
    except UsageError as error:
        return f"solver {case.solver!r} cannot be run by executor {executor!r} ({error})"
    return ""


def _grid(case: ProfileCase, at: Subject) -> grids.Grid:
    return grids.get(case.grid)(at.schedule, *at.span, case.steps)


def bench_of(case: ProfileCase) -> Bench:
    """The case, made ready."""
    at = subject(case.model, case.dtype, case.device, case.compiled)
    return Bench(get_solver(case.solver), at, case.executor, _grid(case, at), case.batch, case.seed)


def write_trace(case: ProfileCase, path: Path) -> None:
    """Write the trace of one run of a case, made with nothing else in it."""
    with threads(case.threads), torch.inference_mode():
        traced(bench_of(case), path)


def measure(case: ProfileCase) -> Found:
    """Run one case."""
    with threads(case.threads), torch.inference_mode():
        bench = bench_of(case)
        data = _costs(bench, case)
    at = bench.subject
    by = "" if bench.executor == "eager" else _BY[arithmetic(bench.x).__name__]
    context = {
        "schedule": str(at.schedule),
        "shape": list(at.shape),
        "kind": at.kind,
        "parameters": at.parameters,
        "arithmetic": by,
    }
    return Found(context, Claims.of(bench.solver), data)


def _costs(bench: Bench, case: ProfileCase) -> dict[str, Any]:
    """The data of a record."""
    compiling = compile_seconds(bench) if case.compiled else 0.0
    begin = first(bench)
    parts, copies = rounds(bench, case.seconds)
    done, least = work(bench), fewest(bench)
    each = lambda total: None if total is None else total / bench.steps  # noqa: E731
    return {
        "nfe": bench.nfe(),
        "seconds": parts,
        "copy": copies,
        "bandwidth": bandwidth(case.device),
        "first": begin,
        "compile": compiling,
        "kernels": each(done.kernels),
        "syncs": each(done.syncs),
        "bytes": {"vector": bench.x.nbytes, "moved": each(done.moved), "fewest": each(least)},
        "memory": _memory(bench),
        "joules": each(_joules(bench)),
    }


def _memory(bench: Bench) -> dict[str, int | None]:
    """Bytes: of the update, answers and all, of the history in it, of a run with the model, of the network's weights."""
    device, short = bench.x.device, bench.grid[: bench.solver.memory + 3]
    noise, update = bench.noise(), peak(alone(bench), device)
    null = bench.subject.fn is None  # whose answers are made beforehand
    run = update if null else peak(lambda: bench.run(bench.model, bench.x, noise, short), device)
    return {"update": update, "history": history(bench), "run": run, "weights": bench.subject.weights}


def _joules(bench: Bench) -> float | None:
    """Energy of a run, or None where the device does not tell."""
    read = meter(bench.x.device)
    if read is None:
        return None
    run, device = bench.plain(), bench.x.device
    least = _ENERGY_ON_GPU if device.type == "cuda" else _ENERGY
    times = max(1, round(least / seconds(run, 1, device)))
    before = read()
    seconds(run, times, device)
    return (read() - before) / times
