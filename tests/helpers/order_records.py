"""Records of the order study, and of studies like it, made by hand: their errors follow a known power of the step."""

from dataclasses import replace

from sdebench.records import Claims, Record

LADDER = [8, 12, 16, 24, 32, 48, 64]
CLAIMS = Claims(
    family="DEIS",
    claimed_order=2,
    order=2,
    order_irregular=2,
    main_order=2,
    nfe_per_step=1,
    memory=1,
    reference="Zhang & Chen 2022, eq. 15",
)
NOISY = {"stochastic": True, "strong_order": 1.5, "family": "SEEDS"}
WIGGLE = [0.1, 0.001, 0.05, 0.0004, 0.02, 0.0001, 0.01]


def record(
    solver="two",
    kind="global",
    grid="uniform_lam",
    slope=2.0,
    study="order",
    dtype="float64",
    errors=None,
    floor=1e-15,
    status="ok",
    message="",
    n=None,
    nfe=1,
    **claims,
) -> Record:
    """A record whose errors are h^slope, or the given ones."""
    n = n or LADDER
    case = {"study": study, "kind": kind, "solver": solver, "problem": "mixture-1d", "grid": grid, "dtype": dtype, "seed": 0}
    h = [1.0 / k for k in n]
    rms = [x**slope for x in h] if errors is None else list(errors)
    data = {
        "n": n,
        "h": h,
        "nfe": [nfe * k + 1 for k in n],
        "rms": rms,
        "median": rms,
        "max": rms,
        "seconds": [1e-4 * k for k in n],
        "floor": [floor] * len(n),
    }
    return Record(
        key="0",
        study=study,
        status=status,
        message=message,
        case=case,
        context={"schedule": "VPLinear(beta_min=0.1, beta_max=20.0)", "span": [0.9, 0.1], "dim": 1},
        claims=replace(CLAIMS, **claims),
        data=data if status == "ok" else {},
        code="abc",
        versions={"torch": "2.13.0"},
        machine="a cpu, 2 cores, Linux",
        made="2026-01-01T00:00:00+00:00",
    )


def law_record(solver, slope, **claims) -> Record:
    """A record of the law study with W2 = h^slope."""
    made = record(solver=solver, study="law", kind="gaussian", slope=slope, **claims)
    return replace(made, data={**made.data, "w2": made.data["rms"], "kl": made.data["rms"]})
