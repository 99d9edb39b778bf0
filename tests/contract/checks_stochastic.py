"""What every stochastic solver must hold to, as `checks` has it for deterministic ones: one function a theorem."""

import pytest
import torch

import sdebench as sb
from sdebench import grids
from sdebench.integration.integrate import integrate
from sdebench.integration.solver import Sampler
from sdebench.problems import GaussianMixture, consistency_model, exact_model
from sdebench.schedules import VPLinear
from sdebench.studies.order.measurement import measure_order
from sdebench.studies.setting import setting

WEAK, STRONG = 0.1, 0.15  # how far a measured order may be from what is stated
_GRID = 8


def _run(solver, n: int = _GRID, count: int = 8, seed: int = 0, model=None, dtype=torch.float64):
    """The end of a run on the irregular grid, with white noise."""
    at = setting("mixture-1d", 64, 0)
    x = at.x[:count].to(dtype)
    noise = sb.WhiteNoise(at.problem.schedule, x.shape, seed, dtype)
    return integrate(solver, model or at.model, x, grids.irregular(at.problem.schedule, *at.problem.span, n), noise)


def claims(solver) -> None:
    """The claims are there and agree with one another."""
    assert isinstance(solver.weak_order, int)
    assert solver.weak_order == solver.order
    assert solver.order_irregular <= solver.main_order
    assert solver.weak_order >= 0
    assert solver.claimed_order >= 0
    assert solver.strong_order is None or 2 * solver.strong_order in (1, 2, 3, 4)
    assert solver.nfe_per_step >= 1
    assert solver.stochastic is True
    assert solver.family not in ("", "user")
    assert solver.reference


def pure(solver) -> None:
    """The same arguments, noise among them, give the same bits; the noise has a say."""
    first = _run(solver)
    assert torch.equal(_run(solver), first), "the second run gave other bits"
    assert not torch.equal(_run(solver, seed=1), first), "another seed gave the same bits"


def batch_size(solver) -> None:
    """Sample 3 is the same in a batch of 8 and of 64, up to the rounding of vectorised sums."""
    assert torch.allclose(_run(solver, count=64)[:8], _run(solver), rtol=0, atol=1e-13)


def nfe(solver) -> None:
    """The model is called `nfe_per_step` times a step, and as often in every run; a corrector once more for the whole run."""
    at = setting("mixture-1d", 64, 0)
    calls = []
    for n in (6, 11):
        model = sb.Counted(at.model)
        _run(solver, n, 2, model=model)
        calls.append(model.nfe)
    assert calls[1] - calls[0] == 5 * solver.nfe_per_step, f"{calls} evaluations in 6 and 11 steps"
    assert abs(calls[0] - 6 * solver.nfe_per_step) <= solver.nfe_per_step


def keeps_dtype_and_shape(solver) -> None:
    """float64, float32 and bfloat16 states of any shape come back as they went, and finite."""
    ns = VPLinear()
    model = sb.Model(lambda x, t: 0.9 * x.tanh(), ns, "eps")
    model.gamma = lambda t: 0.3
    for dtype in (torch.float64, torch.float32, torch.bfloat16):
        x = torch.linspace(-1, 1, 96, dtype=torch.float64).reshape(2, 3, 4, 4).to(dtype)
        out = integrate(solver, model, x, (0.6, 0.5, 0.35, 0.3, 0.2), sb.WhiteNoise(ns, x.shape, 0, dtype))
        assert out.dtype == dtype, f"{dtype} became {out.dtype}"
        assert out.shape == x.shape
        assert bool(torch.isfinite(out).all())


def without_noise_is_refused(solver) -> None:
    """A forgotten noise is told in one line."""
    at = setting("mixture-1d", 64, 0)
    with pytest.raises(sb.UsageError, match="WhiteNoise"):
        integrate(solver, at.model, at.x[:2], at.problem.span)


def rounding(solver) -> None:
    """In float32 a run loses no more than its roundings: coefficients come from float64."""
    exact, n = _run(solver, 64, 32), 64
    at = setting("mixture-1d", 64, 0)
    noise = sb.WhiteNoise(at.problem.schedule, (32, 1), 0)

    class Rounded:
        """The float64 noise, rounded: what is measured is the method's arithmetic, not another draw."""

        schedule = noise.schedule

        def normal(self, *args, **kwargs):
            return noise.normal(*args, **kwargs).float()

        def integral(self, *args, **kwargs):
            return tuple(z.float() for z in noise.integral(*args, **kwargs))

        def fresh(self, *args, **kwargs):
            return noise.fresh(*args, **kwargs).float()

    grid = grids.irregular(at.problem.schedule, *at.problem.span, n)
    got = integrate(solver, at.model, at.x[:32].float(), grid, Rounded())
    lost = float((got.double() - exact).square().mean().sqrt())
    unit = torch.finfo(torch.float32).eps * at.scale * n**0.5
    assert lost <= 3 * unit, f"float32 loses {lost / unit:.2f} units of rounding"


def weak_order(solver, grid: str = "irregular", problem: str = "gaussian") -> None:
    """The error of the law on Gaussian data, exact and without sampling, is O(h^weak_order)."""
    held(measure_order(solver, problem, "weak", grid), WEAK)


def strong_order(solver) -> None:
    """The error on one Brownian path is O(h^strong_order)."""
    held(measure_order(solver, "mixture-1d", "strong"), STRONG)


def exact_with_a_consistency_function(solver) -> None:
    """With the exact consistency function the law is the marginal after each of 1, 2 and 5 steps, by quadrature to 1e-9."""
    from sdebench.laws.chain import chain_laws
    from sdebench.laws.distances import wasserstein2

    problem = sb.get_problem("mixture-1d")
    ns, model = problem.schedule, consistency_model(problem.law, problem.schedule)
    for n in (1, 2, 5):
        grid = grids.irregular(ns, *problem.span, n)
        for t, law in zip(grid[1:], chain_laws(solver, problem, grid, model=model)[1:], strict=True):
            assert wasserstein2(law, problem.law.marginal(ns, t)) < 1e-9, f"{n} steps, at t = {t:.3g}"


def held(measured, tolerance: float) -> None:
    """A measured order is resolved and within the tolerance of its claim."""
    what = f"{measured.kind} order {measured.order:.3f} +- {measured.half_width:.3f}, {measured.claim} is stated"
    assert measured.fit.resolved, f"{what}: {measured.reason}"
    assert abs(measured.order - measured.claim) <= tolerance, what


def moments_in_one_dimension(solver) -> None:
    """The law of five steps by quadrature and from the tableau are one: two ways to the same numbers."""
    from sdebench.laws.chain import chain_law

    law, ns = GaussianMixture([1.0], [[0.7]], [0.3]), VPLinear()
    problem = sb.problems.Problem("one", law, ns, (0.7, 0.2))
    grid = grids.irregular(ns, 0.7, 0.2, 5)
    mean, cov = sb.gaussian_law(solver, law, ns, grid)
    density = chain_law(solver, problem, grid, model=exact_model(law, ns))
    assert abs(density.mean - float(mean)) < 1e-9
    assert abs(density.variance - float(cov)) < 1e-9


def is_one_step(solver) -> bool:
    """A solver, not a sampler, without a past."""
    return not isinstance(solver, Sampler) and solver.memory == 0
