"""Records of the quality study, of a make-believe network: for tests of what is read from them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import hypot
from pathlib import Path

import numpy as np

from sdebench import records
from sdebench.metrics.statistics import Statistics, pack
from sdebench.records import Claims, Record

BUDGETS, LADDER = (5, 10, 20, 50), (5, 10, 20, 50, 64, 96, 128, 192)
ORDERS = {"ddim": 1, "dpm-solver++-2m": 2, "unipc-3": 3, "heun-edm": 2, "lms-4": 4}
PART = 50  # samples of a part
MODEL_ERROR = 0.3  # of the network's law, in every feature


def context(**change):
    return {
        "model": "digits",
        "model_sha256": "a" * 64,
        "data": "digits",
        "data_sha256": "b" * 64,
        "metric": "fd_digits",
        "features": {"name": "fd_digits", "dim": 4, "sha256": "c" * 64},
        "schedule": "VPCosine(s=0.008)",
        "span": [0.99, 0.004],
        "lams": [-5.0, 5.0],
        "shape": [1, 8, 8],
        "dim": 64,
        "parameters": 400000,
        "licence": "MIT",
    } | change


@dataclass(frozen=True)
class Made:
    """A record, and the arrays that lie beside it once it is stored."""

    record: Record
    arrays: Mapping[str, np.ndarray] | None = None

    def with_data(self, **more) -> "Made":
        """The same with other numbers."""
        return replace(self, record=replace(self.record, data={**self.record.data, **more}))


def make(kind, data, arrays=None, solver="", status="ok", message="", about=None, **case) -> Made:
    head = {
        "study": "quality",
        "kind": kind,
        "model": "digits",
        "model_sha256": "a" * 16,
        "data": "",
        "data_sha256": "b" * 16,
        "features": "digits",
        "device": "cpu",
        "seed": 0,
    }
    run = {"solver": solver, "grid": "uniform_lam", "dtype": "float32"} if solver else {}
    order = ORDERS.get(solver, 2)
    claims = Claims(
        family="DEIS",
        claimed_order=order,
        order=order,
        order_irregular=order,
        main_order=order,
        nfe_per_step=1,
        memory=1,
        reference="A paper",
        stochastic=solver == "ddpm",
    )
    told = claims if solver else None
    made = records.make_record(head | run | case, "abc", status, message, context() | (about or {}), told, data)
    made = replace(made, machine="a cpu, 2 cores, Linux", made="2026-01-01T00:00:00+00:00")
    return Made(made, arrays)


def normals(count, dim, seed):
    return np.random.default_rng(seed).standard_normal((count, dim))


def parts(features):
    return [Statistics.of(features[i : i + PART]) for i in range(0, len(features), PART)]


def data(dim=4, train=600, test=200, **more):
    held = {"train": parts(normals(train, dim, 101)), "test": parts(normals(test, dim, 102))}
    arrays = {f"{name}.{key}": a for name, some in held.items() for key, a in pack(some).items()}
    ramp = np.arange(8 * 64, dtype=np.uint8).reshape(8, 1, 8, 8)
    measures = {"kid": 1e-4, "precision": 0.9, "recall": 0.8, "density": 0.95, "coverage": 0.9, "swd": 0.02}
    return make("data", {"train": train, "test": test, **measures}, arrays | {"images": ramp}, **more)


def error_at(solver, nfe):
    """The error of a solver: C h^p of the order that it claims."""
    return (0.3 if solver == "heun-edm" else 0.5) * (4.0 / nfe) ** ORDERS.get(solver, 2)


def counted(solver, budget):
    """Evaluations within a budget: those of a method of two a step are even."""
    return budget - budget % 2 if solver == "heun-edm" else budget


def features(solver, budget, chunk=0, size=400, dim=4, shift=None, seed=0):
    """Standard normal features, which are the data's law, moved by what network and solver do to them."""
    nfe = counted(solver, budget)
    moved = MODEL_ERROR + (error_at(solver, nfe) if shift is None else shift)
    own = normals(size, dim, [seed, chunk, nfe, *map(ord, solver)])  # what a solver makes of the same noise
    return 0.8 * normals(size, dim, 1000 * seed + chunk) + 0.6 * own + moved


def samples(solver, budget, chunk=0, size=400, dim=4, shift=None, nonfinite=0, seed=0, drop=0, **more):
    """A chunk of samples."""
    nfe, held = counted(solver, budget), features(solver, budget, chunk, size, dim, shift, seed)[drop:]
    told = {
        "n": size,
        "budget": budget,
        "nfe": nfe,
        "steps": nfe,
        "exact": nfe == budget,
        "nonfinite": nonfinite,
        "kid": 0.01,
        "precision": 0.9,
        "recall": 0.8,
        "density": 0.9,
        "coverage": 0.9,
        "swd": 0.05,
        "seconds": 0.002 * nfe * size / 100,
        "network_seconds": 0.0019 * nfe * size / 100,
        "images_per_second": 476.0,
        "batch": 100,
    }
    return make(
        "samples", told, pack(parts(held)), solver, budget=budget, chunk=chunk, first=chunk * size, size=size, seed=seed, **more
    )


def error(solver, ladder=LADDER, floor=1e-9, rms=None, rounding=None, points=32, **more):
    nfe = sorted({counted(solver, b) for b in ladder})
    rms = [hypot(error_at(solver, n), floor) for n in nfe] if rms is None else rms
    told = {
        "n": nfe,
        "budget": list(ladder)[: len(nfe)],
        "nfe": nfe,
        "exact": [True] * len(nfe),
        "h": [10.0 / n for n in nfe],
        "rms": rms,
        "median": rms,
        "max": rms,
        "seconds": [0.1] * len(nfe),
        "floor": [floor] * len(nfe),
        "reference_error": floor / 10,
        "rounding": floor if rounding is None else rounding,
        "scale": 1.0,
    }
    points_of = np.tile(np.array(rms, float)[:, None], (1, points))
    return make("error", told, {"error": points_of}, solver, ladder=list(ladder), points=points, reference="float64", **more)


def pictures(solver="", budgets=BUDGETS, shape=(1, 8, 8), **more):
    kept = budgets if solver else (0,)
    images = np.random.default_rng(7).integers(0, 256, (len(kept), 8, *shape)).astype(np.uint8)
    images //= np.array([1 + (solver != "") * (200 // (b + 1)) for b in kept], np.uint8)[:, None, None, None, None]
    told = {"budget": list(budgets), "nfe": [counted(solver, b) for b in budgets], "steps": list(budgets)} if solver else {}
    return make("pictures", told, {"images": images}, solver, **({"budgets": list(budgets)} if solver else {}), **more)


def stored(path: Path, every: Iterable[Made]) -> list[Record]:
    """The records as they are read from a file, with their arrays beside it."""
    with records.Writer(path) as writer:
        for made in every:
            writer.append(made.record, made.arrays)
    return records.read(path)


def study(solvers=tuple(ORDERS), budgets=BUDGETS, chunks=2, **more):
    """A whole study; quality is told apart at few evaluations and not at many."""
    yield data(**more)
    yield pictures(**more)
    for solver in solvers:
        yield error(solver, **more)
        yield pictures(solver, budgets, **more)
        yield from (samples(solver, b, chunk, **more) for b in budgets for chunk in range(chunks))
