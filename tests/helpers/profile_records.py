"""Records of the profile study made by hand: every number of a round is given, or follows from a plain model of costs."""

from dataclasses import replace
from itertools import product

from sdebench.records import Claims, Record

PARTS = ("network", "noise", "update", "rest")
MEGA = 10**6
CLAIMS = Claims(family="DEIS", claimed_order=2, order=2, order_irregular=2, main_order=2, nfe_per_step=1, memory=1)


def record(
    solver="ddim",
    network=100.0,
    noise=0.0,
    update=20.0,
    rest=30.0,
    rounds=7,
    jitter=(0.0,),
    status="ok",
    message="",
    copy=8.0,
    data=None,
    machine="a cpu, 2 cores",
    claims=None,
    context=None,
    **case,
) -> Record:
    """A record whose rounds take the given microseconds a part, times 1 + the jitter (repeated over the rounds)."""
    case = {
        "study": "profile",
        "solver": solver,
        "model": "digits",
        "executor": "eager",
        "batch": 10,
        "dtype": "float32",
        "device": "cpu",
        "compiled": False,
        "threads": 2,
        "grid": "uniform_lam",
        "steps": 20,
        "seed": 0,
        "repeat": 0,
        "machine": machine,
    } | case
    scale = [1e-6 * (1 + jitter[i % len(jitter)]) for i in range(rounds)]
    parts = {name: [value * s for s in scale] for name, value in zip(PARTS, (network, noise, update, rest))}
    total = [sum(values) for values in zip(*parts.values())]
    full = {
        "nfe": 20,
        "seconds": {"total": total, **parts},
        "copy": [copy * 1e-6] * rounds,
        "bandwidth": 20e9,
        "first": 0.5,
        "compile": 0.0,
        "kernels": 12.0,
        "syncs": 1.0,
        "bytes": {"vector": 40_000, "moved": 200_000, "fewest": 160_000},
        "memory": {"update": 3 * MEGA, "history": MEGA, "run": 90 * MEGA, "weights": 4 * MEGA},
        "joules": None,
    }
    return Record(
        key="0",
        study="profile",
        status=status,
        message=message,
        case=case,
        context=context or {"schedule": "VPCosine(s=0.008)", "shape": [1, 8, 8], "kind": "v", "parameters": 400_000},
        claims=replace(CLAIMS, **claims or {}),
        data=full | (data or {}) if status == "ok" else {},
        code="abc",
        versions={"torch": "2.13.0"},
        machine=machine,
        made="2026-01-01T00:00:00+00:00",
    )


# vectors moved a step, launched kernels, fewest vectors, evaluations a step, noise
SOLVERS = {
    "ddim": (6, 4, 3, 1, False),
    "dpm-solver++-2m": (11, 8, 4, 1, False),
    "unipc-3": (26, 21, 6, 1, False),
    "heun-edm": (14, 11, 8, 2, False),
    "dpm-solver++-2m-sde": (15, 12, 5, 1, True),
    "lms-4": (18, 13, 6, 1, False),
    "ipndm-4": (15, 11, 6, 1, False),
    "deis-tab-3": (15, 11, 5, 1, False),
    "rk4": (30, 21, 14, 4, False),
}


def costs(solver, executor, batch, network=0.0, per_image=0.0, launch=8.0, floats=3072, rate=20e3, **case):
    """A record by a model: a launch costs `launch` us, a byte 1/rate us, an evaluation network + per_image batch us."""
    moved, kernels, fewest, nfe, noisy = SOLVERS[solver]
    moved, kernels = (moved, kernels) if executor == "eager" else (fewest + 1, 2)
    vector = 4 * floats * batch
    fast = rate * (3 if vector < 2 * MEGA else 1)  # in the cache
    copy = 2 * vector / fast + 1
    return record(
        solver,
        network=nfe * (network + per_image * batch),
        noise=(5 + vector / 2000) * noisy,
        update=moved * vector / fast,
        rest=20 + launch * kernels * (0.2 if executor == "graph" else 1),
        rounds=30,
        jitter=(0.0, 0.02, -0.01, 0.03, -0.02),
        copy=copy,
        batch=batch,
        executor=executor,
        claims={"stochastic": noisy, "nfe_per_step": nfe},
        **case,
        data={
            "nfe": 20 * nfe,
            "bandwidth": 1e6 * rate,
            "kernels": float(kernels),
            "syncs": 0.0,
            "bytes": {"vector": vector, "moved": moved * vector, "fewest": fewest * vector},
            "memory": {"update": 5 * vector, "history": vector, "run": 9 * vector + 30 * MEGA, "weights": MEGA},
        },
    )


def study(solvers=tuple(SOLVERS), executors=("eager", "fused", "graph"), batches=(1, 4, 16, 64, 256, 1024), **more):
    """A whole study by that model: a null model and a network."""
    cases = list(product(solvers, executors, batches))
    return [costs(*case, model="null", **more) for case in cases] + [
        costs(*case, model="digits", network=150.0, per_image=12.0, **more) for case in cases
    ]
