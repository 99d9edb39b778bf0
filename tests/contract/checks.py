"""What every solver must hold to: one function a theorem, each raising AssertionError for a solver that breaks it.

They take the solver itself, so that the same check runs over the registry (`test_solvers`) and over methods that are broken on
purpose (`tests/mutants`).
"""

from copy import deepcopy
from dataclasses import FrozenInstanceError, fields, is_dataclass
from itertools import accumulate
from math import log, sqrt

import torch

import sdebench as sb
from sdebench import grids
from sdebench.integration.integrate import integrate
from sdebench.integration.solver import Node, Sampler
from sdebench.problems import GaussianMixture, exact_model
from sdebench.schedules import EDM, VPLinear
from sdebench.studies.order.measurement import measure_order
from sdebench.studies.setting import setting

TOLERANCE = 0.1  # of an order
ROUNDINGS = 1.0  # eps sqrt(n) |x| of float32; what is there loses 0.15 to 0.6
RATIOS = (0.6, 1.5, 0.8, 1.3)  # steps before the current one, in units of it


def is_black_box(solver) -> bool:
    return solver.adaptive


def on_grid(solver):
    """A black box made to take the steps of a grid, others as they are."""
    return solver.on_grid() if is_black_box(solver) else solver


def irregular(problem, n: int) -> tuple[float, ...]:
    return grids.irregular(problem.schedule, *problem.span, n)


def unequal_past(model, x, s: float, h: float, size: int) -> tuple[Node, ...]:
    """Nodes at unequal distances before s, each at a state of its own."""
    ns = model.schedule
    times = [ns.t(ns.lam(s) - h * r) for r in accumulate(RATIOS[:size])]
    return tuple(Node(t, model(x * (1 + 0.1 * (i + 1)), t)) for i, t in enumerate(times))


def one_step(solver, model, x, s: float, t: float, past=()):
    """The state after one interval, of a composition by its body, of a black box by one step of its own."""
    if is_black_box(solver):
        return solver.on_grid().sample(model, x, (s, t))
    return (solver.body if isinstance(solver, Sampler) else solver).step(model, x, s, t, past).x


def difference(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, relative to the largest entry."""
    return float((a.double() - b.double()).abs().max() / b.abs().max())


# ---------------------------------------------------------------------------------------------------------------- claims


def claims(solver) -> None:
    """The claims are there and agree with one another."""
    for name in ("order", "order_irregular", "main_order", "claimed_order", "nfe_per_step", "memory"):
        value = getattr(solver, name)
        assert isinstance(value, int), f"{name} is {value!r}"
        assert value >= 0, f"{name} is negative"
    assert solver.nfe_per_step >= 1
    assert solver.claimed_order >= 1
    assert solver.order_irregular <= solver.order, "an irregular grid does not help"
    assert solver.order_irregular <= solver.main_order, "a whole run is no better than its main scheme where nothing hides"
    assert isinstance(solver.embedded, bool)
    assert solver.family
    assert solver.family != "user"
    assert solver.reference


def frozen(solver) -> None:
    """A frozen, hashable dataclass with fields for parameters, equal to a copy of itself."""
    assert is_dataclass(solver), "it is no dataclass"
    assert hash(solver) == hash(type(solver)(**{f.name: getattr(solver, f.name) for f in fields(solver)}))
    try:
        solver.anything = 1
    except FrozenInstanceError:
        return
    raise AssertionError("it can be written on")


# -------------------------------------------------------------------------------------------------------- pure functions


def pure(solver) -> None:
    """The same arguments give the same bits, twice, and the inputs are as they were."""
    at = setting("mixture-1d", 64, 0)
    x, (s, t) = at.x[:8].clone(), irregular(at.problem, 24)[5:7]
    past = unequal_past(at.model, x, s, 0.05, solver.memory)
    before = [x.clone(), *(v.clone() for n in past for v in (n.prediction.value, n.prediction.x))]
    first = one_step(solver, at.model, x, s, t, past).clone()
    second = one_step(solver, at.model, x, s, t, past)
    after = [x, *(v for n in past for v in (n.prediction.value, n.prediction.x))]
    assert all(torch.equal(a, b) for a, b in zip(before, after)), "an input was changed"
    assert torch.equal(first, second), "the second call gave other bits"


def remembers_nothing(solver) -> None:
    """A run gives the same bits after another run, on another grid and from other states, as before it."""
    at = setting("mixture-1d", 64, 0)
    grid, other = irregular(at.problem, 8), grids.uniform_t(at.problem.schedule, *at.problem.span, 5)
    state = deepcopy(vars(solver))
    first = integrate(solver, at.model, at.x[:8], grid)
    integrate(solver, at.model, -2 * at.x[8:16], other)  # of the same shape: a leak must fit in
    assert torch.equal(integrate(solver, at.model, at.x[:8], grid), first), "the second run gave other bits"
    assert vars(solver) == state, "the solver kept something"


def nfe(solver, start_up: int = 0) -> None:
    """The model is called `nfe_per_step` times a step, and `start_up` times more in a run."""
    at = setting("mixture-1d", 64, 0)
    for n in (6, 11):
        model = sb.Counted(at.model)
        integrate(solver, model, at.x[:2], irregular(at.problem, n))
        expected = n * solver.nfe_per_step + start_up
        assert model.nfe == expected, f"{model.nfe} evaluations in {n} steps, {expected} are claimed"


def nfe_black_box(solver) -> None:
    """Every attempted step costs `nfe_per_step`, after one evaluation at the start and one to choose the first step."""
    at = setting("mixture-1d", 64, 0)
    for tol in (1e-3, 1e-5, 1e-7):
        model = sb.Counted(at.model)
        solver.at_tolerance(tol).sample(model, at.x[:2], at.problem.span)
        steps, rest = divmod(model.nfe - 2, solver.nfe_per_step)
        assert rest == 0, f"{model.nfe} - 2 evaluations are no multiple of {solver.nfe_per_step}"
        assert steps >= 1


def memory(solver) -> None:
    """A step with more past than `memory` gives the same bits; one with less, where it wants some, does not."""
    at = setting("mixture-1d", 64, 0)
    x, (s, t) = at.x[:8], irregular(at.problem, 24)[5:7]
    past = unequal_past(at.model, x, s, 0.05, solver.memory + 1)
    exact = one_step(solver, at.model, x, s, t, past[: solver.memory])
    assert torch.equal(one_step(solver, at.model, x, s, t, past), exact), "an older node than `memory` says was used"
    if solver.memory:
        less = one_step(solver, at.model, x, s, t, past[: solver.memory - 1])
        assert not torch.equal(less, exact), "the oldest node of `memory` was not used"


def keeps_dtype_and_shape(solver) -> None:
    """float64, float32 and bfloat16 states of any shape come back as they went, and finite; so do the nodes' predictions."""
    ns = VPLinear()
    model = sb.Model(lambda x, t: 0.9 * x.tanh(), ns, "eps")
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        x = torch.linspace(-1, 1, 2 * 3 * 4 * 4, dtype=torch.float64).reshape(2, 3, 4, 4).to(dtype)
        out = integrate(on_grid(solver), model, x, (0.6, 0.5, 0.35, 0.3, 0.2))
        assert out.dtype == dtype, f"{dtype} became {out.dtype}"
        assert out.shape == x.shape
        assert bool(torch.isfinite(out).all())
    # One network for all: an image is treated as its pixels are.
    x = torch.linspace(-1, 1, 96, dtype=torch.float64)
    flat = integrate(on_grid(solver), model, x[:, None], (0.6, 0.5, 0.35, 0.3, 0.2))
    image = integrate(on_grid(solver), model, x.reshape(2, 3, 4, 4), (0.6, 0.5, 0.35, 0.3, 0.2))
    assert difference(image.reshape(-1, 1), flat) < 1e-13


# ------------------------------------------------------------------------------------------------------------- exactness


def keeps_the_centre(solver) -> None:
    """On EDM's schedule the mean of one isotropic Gaussian is at rest: eps is 0 there, and every method leaves it be."""
    law = GaussianMixture([1.0], [[0.7, -1.3]], [0.25])
    x = torch.tensor([[0.7, -1.3]], dtype=torch.float64)
    out = integrate(on_grid(solver), exact_model(law, EDM()), x, (3.0, 2.0, 1.5, 0.8, 0.6, 0.3))
    assert difference(out, x) < 1e-14


def affine_on_a_gaussian(solver) -> None:
    """The model of one Gaussian is affine in x and a step is linear in its vectors, so a run is an affine map."""
    law = GaussianMixture([1.0], [[0.5, -1.0]], [[[0.9, 0.3], [0.3, 0.4]]])
    rng = torch.Generator().manual_seed(1)
    x, y = torch.randn(2, 5, 2, dtype=torch.float64, generator=rng)
    ns = VPLinear()
    model, grid = exact_model(law, ns), grids.irregular(ns, 0.7, 0.1, 7)
    run = lambda z: integrate(on_grid(solver), model, z, grid)  # noqa: E731
    assert difference(run(0.3 * x + 0.7 * y), 0.3 * run(x) + 0.7 * run(y)) < 1e-12


def exact_for_one_point(solver) -> None:
    """Data that is one point: x0 and eps are constant along the flow, x_t = alpha_t mu + sigma_t eps.  Methods that
    integrate the linear part exactly, and whose weights sum to what they must, are exact on every grid.
    """
    ns, mu = VPLinear(), 0.8
    model = sb.Model(lambda x, t: torch.full_like(x, mu), ns, "x0")
    grid = grids.irregular(ns, 0.8, 0.05, 7)
    noise = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    x, exact = (ns.alpha(t) * mu + ns.sigma(t) * noise for t in (grid[0], grid[-1]))
    assert difference(integrate(solver, model, x, grid), exact) < 1e-13


def exact_for_polynomials(solver, kind: str, variable: str, degree: int) -> None:
    """A prediction `kind` that depends on time alone, by every monomial up to `degree` of `variable`, is integrated exactly
    from an unequally spaced past: what interpolatory weights promise.
    """
    ns = VPLinear()
    u = {"t": float, "lam": ns.lam, "rho": ns.rho}[variable]
    s, t = 0.5, 0.42
    h = ns.lam(t) - ns.lam(s)
    for power in range(degree + 1):
        value = lambda tau, power=power: ((u(tau) - u(s)) / (u(t) - u(s))) ** power  # noqa: E731
        model = sb.Model(lambda x, tau, value=value: torch.full_like(x, value(tau)), ns, kind)
        x = torch.tensor([[0.3], [-1.2]], dtype=torch.float64)
        past = unequal_past(model, x, s, h, solver.memory)
        got, exact = one_step(solver, model, x, s, t, past), _quadrature(ns, x, s, t, kind, value)
        assert difference(got, exact) < 1e-13, f"{kind} = (({variable} - s)/(t - s))^{power} is not integrated exactly"


def _quadrature(ns, x, s: float, t: float, kind: str, value) -> torch.Tensor:
    """The flow under a prediction that depends on time alone, by 40 Gauss-Legendre points in lam."""
    from numpy.polynomial.legendre import leggauss

    nodes, weights = leggauss(40)
    a, b = ns.lam(s), ns.lam(t)
    total = 0.0
    for node, w in zip(nodes.tolist(), weights.tolist()):
        tau = ns.t(0.5 * (a + b) + 0.5 * (b - a) * node)
        # x/alpha gains -rho eps, and x/sigma gains x0/rho, a unit of lam
        total += 0.5 * (b - a) * w * value(tau) * (-ns.rho(tau) if kind == "eps" else 1 / ns.rho(tau))
    if kind == "eps":
        return ns.alpha(t) * (x / ns.alpha(s) + total)
    return ns.sigma(t) * (x / ns.sigma(s) + total)


# ---------------------------------------------------------------------------------------------------------------- orders


def holds(measured) -> None:
    """A measured order is resolved, and within 0.1 of its claim."""
    assert measured.fit.resolved, f"{measured.kind} order is not resolved: {measured.reason}"
    where = f"{measured.kind} order{f' on {measured.grid}' if measured.grid else ''}"
    off = abs(measured.order - measured.claim)
    assert off <= TOLERANCE, f"{where} is {measured.order:.3f} +- {measured.half_width:.3f}, {measured.claim} is claimed"


def local_order(solver) -> None:
    """The error of one step from an exact state, with an exact and UNEQUALLY spaced past, is O(h^(main_order + 1))."""
    holds(measure_order(solver, "mixture-1d", "local"))


def global_order(solver, grid: str) -> None:
    """The error of a whole run with the method's own start-up is O(h^order), or O(h^order_irregular) on irregular grids."""
    holds(measure_order(solver, "mixture-1d", "global", grid))


def tolerance_proportional(solver) -> None:
    """The error of an adaptive run falls about as its tolerance does: a controller's promise, not a theorem, and its few
    large steps at loose tolerances do better than it says (slope in [0.7, 1.35]).
    """
    measured = measure_order(solver, "mixture-1d", "tolerance")
    coarse, *_, fine = measured.points
    slope = log(coarse[1] / fine[1]) / log(coarse[0] / fine[0])
    assert 0.7 <= slope <= 1.35, f"error ~ tolerance^{slope:.2f}"


def rounding(solver) -> None:
    """In float32 states 128 steps lose no more than 128 roundings of the state do: coefficients come from float64."""
    at = setting("mixture-1d", 64, 0)
    n, x = 128, at.x[:32]
    grid = grids.uniform_lam(at.problem.schedule, *at.problem.span, n)
    exact = integrate(solver, at.model, x, grid)
    lost = float((integrate(solver, at.model, x.float(), grid).double() - exact).square().mean().sqrt())
    unit = torch.finfo(torch.float32).eps * at.scale * sqrt(n)
    assert lost <= ROUNDINGS * unit, f"float32 loses {lost / unit:.2f} units of rounding, {ROUNDINGS} are allowed"
