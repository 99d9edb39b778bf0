"""What every solver must hold to where alpha = 0 or sigma = 0: one function a theorem, as in `checks`.

They take the solver itself, so that they run over the registry (`test_ends_contract`) and over broken ones (`tests/mutants`).
"""

from dataclasses import dataclass
from math import atan, cos, exp, log, pi, sin, tan

import torch
from torch import Tensor

import sdebench as sb
from sdebench.integration.ends import ENDS, inner_step
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Model
from sdebench.integration.solver import Node, Sampler
from sdebench.laws.gaussian import gaussian_law
from sdebench.problems import GaussianMixture, exact_model
from sdebench.schedules import EDM, NoiseSchedule, Rectified, VPCosine, VPLinear

LAW = GaussianMixture([0.4, 0.6], [[-1.0], [0.9]], [0.4**2, 0.5**2])
ROUNDINGS = 64.0  # eps times the largest entry, between two executors


@dataclass(frozen=True)
class Cosine(NoiseSchedule):
    """A schedule of one's own: alpha(1) = cos(pi/2) is 6e-17, not 0; lam, f and g2 are huge there and not refused."""

    def alpha(self, t: float) -> float:
        return cos(0.5 * pi * t)

    def sigma(self, t: float) -> float:
        return sin(0.5 * pi * t)

    def lam(self, t: float) -> float:
        return log(self.alpha(t) / self.sigma(t))

    def t(self, lam: float) -> float:
        return 2 / pi * atan(exp(-lam))

    def f(self, t: float) -> float:
        return -0.5 * pi * tan(0.5 * pi * t)

    def g2(self, t: float) -> float:
        return -2 * self.f(t)


@dataclass(frozen=True)
class Bare(NoiseSchedule):
    """Straight paths by somebody who divides without a thought: lam, f and g2 raise ZeroDivisionError or ValueError."""

    def alpha(self, t: float) -> float:
        return 1 - t

    def sigma(self, t: float) -> float:
        return t

    def lam(self, t: float) -> float:
        return log((1 - t) / t)

    def t(self, lam: float) -> float:
        return 1 / (1 + exp(lam))

    def f(self, t: float) -> float:
        return -1 / (1 - t)

    def g2(self, t: float) -> float:
        return 2 * t / (1 - t)


WHOLE = tuple(1 - i / 8 for i in range(9))
# (schedule, grid, kinds of prediction that are told everywhere on it)
RUNS = {
    "flow": (Rectified(), WHOLE, ("x0", "v", "velocity")),
    "flow, bare": (Bare(), WHOLE, ("velocity",)),
    "cosine": (VPCosine(), WHOLE, ("x0", "v")),
    "cosine of one's own": (Cosine(), WHOLE, ("v",)),
    "EDM": (EDM(), (20.0, 8.0, 3.0, 1.0, 0.3, 0.1, 0.0), ("x0", "eps", "v", "score")),
    "linear": (VPLinear(), (1.0, 0.8, 0.6, 0.4, 0.2, 0.1, 0.0), ("x0", "eps", "v", "score")),
    "one step": (Rectified(), (1.0, 0.0), ("x0", "velocity")),
    "two steps": (Rectified(), (1.0, 0.5, 0.0), ("x0", "velocity")),
}
FUSED = [name for name in RUNS if name not in ("flow, bare", "linear")]


class Asked:
    """A model of a kind, which writes down the times at which it is asked."""

    def __init__(self, ns: NoiseSchedule, kind: str, law: GaussianMixture = LAW):
        self.times: list[float] = []
        exact = exact_model(law, ns)

        def answer(x: Tensor, t: float) -> Tensor:
            self.times.append(t)
            return exact(x, t).read(kind)

        self.model = Model(answer, ns, kind, exact.gamma)


def start(ns: NoiseSchedule, s: float, count: int = 8, law: GaussianMixture = LAW) -> Tensor:
    return law.marginal(ns, s).sample(count, 0)


def white(solver, ns: NoiseSchedule, x: Tensor, seed: int = 0):
    return sb.WhiteNoise(ns, tuple(x.shape), seed, x.dtype) if solver.stochastic else None


def claims(solver) -> None:
    """Both claims are words of the vocabulary, and say something."""
    for claim in (solver.from_noise, solver.to_data):
        assert claim in ENDS
        assert claim not in ("not stated", "not possible")


def crosses(solver, name: str) -> None:
    """It crosses that run with every kind of prediction, all alike, finite, and asks nothing where sigma = 0."""
    ns, grid, kinds = RUNS[name]
    states = []
    for kind in kinds:
        asked, x = Asked(ns, kind), start(ns, grid[0])
        before = x.clone()
        out = integrate(solver, asked.model, x, grid, white(solver, ns, x))
        assert torch.equal(x, before), "the start was written"
        assert out.shape == x.shape
        assert bool(torch.isfinite(out).all()), f"{kind}: not finite"
        assert 0.0 not in asked.times, f"{kind}: the model was asked at sigma = 0"
        states.append(out)
    for kind, out in zip(kinds[1:], states[1:]):
        assert float((out - states[0]).abs().max()) < 1e-7, f"{kind} and {kinds[0]} give other states"


def fused(solver, name: str) -> None:
    """The fused executor gives eager's state there, to rounding, with as many evaluations."""
    ns, grid, kinds = RUNS[name]
    x = start(ns, grid[0], 300)
    for kind in kinds:
        ours, theirs = Asked(ns, kind), Asked(ns, kind)
        got = integrate(solver, ours.model, x, grid, white(solver, ns, x), executor="fused")
        exact = integrate(solver, theirs.model, x, grid, white(solver, ns, x))
        assert ours.times == theirs.times
        unit = torch.finfo(x.dtype).eps * float(exact.abs().max())
        assert float((got - exact).abs().max()) <= ROUNDINGS * unit * len(grid)


def keeps_dtype(solver) -> None:
    """float32 and bfloat16 states of images cross as they came."""
    ns, grid, _ = RUNS["flow"]
    model = Model(lambda x, t: 0.9 * x.tanh(), ns, "velocity", lambda t: 0.9)
    for dtype in (torch.float32, torch.bfloat16):
        x = torch.linspace(-1, 1, 96, dtype=torch.float64).reshape(2, 3, 4, 4).to(dtype)
        out = integrate(solver, model, x, grid, white(solver, ns, x))
        assert out.dtype == dtype
        assert out.shape == x.shape
        assert bool(torch.isfinite(out).all())


def one_point(solver, name: str) -> None:
    """Data that are one point are reached exactly, from noise and at any last level."""
    ns, grid, _ = RUNS[name]
    model = Model(lambda x, t: torch.full_like(x, 0.8), ns, "x0", lambda t: 1.0)
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None] * ns.sigma(grid[0]) + ns.alpha(grid[0]) * 0.8
    out = integrate(solver, model, x, grid, white(solver, ns, x))
    assert float((out - 0.8).abs().max()) < 1e-12


def one_point_from_noise(solver) -> None:
    """After the first step from alpha = 0 one point of data is where it is: no noise is lost, and none is added."""
    ns, t = Rectified(), 0.7
    model = Model(lambda x, u: torch.full_like(x, 0.8), ns, "x0")
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    out = integrate(solver, model, x, (1.0, t))
    assert float((out - ns.alpha(t) * 0.8 - ns.sigma(t) * x).abs().max()) < 1e-14


# ------------------------------------------------------------------------------------------------------------ evaluations


def evaluations(solver, first: int, last: int) -> None:
    """So many evaluations in the first step from alpha = 0, and so many in the last step to sigma = 0."""
    ns = Rectified()
    for grid, expected in (((1.0, 0.7), first), ((0.3, 0.0), last)):
        asked = Asked(ns, "v")
        x = start(ns, grid[0])
        integrate(solver, asked.model, x, grid, white(solver, ns, x))
        assert len(asked.times) == expected, f"{grid}: {len(asked.times)} evaluations, {expected} are due"


# ----------------------------------------------------------------------------------------------------------------- limits


@dataclass(frozen=True)
class Deep(NoiseSchedule):
    """Straight paths whose time s has alpha = 0 and lam = -1e15: what a formula in lam and sigma makes of a step from there
    is its limit to rounding, for it knows no infinity.
    """

    s: float = 1.0

    def alpha(self, t: float) -> float:
        return 0.0 if t == self.s else 1 - t

    def sigma(self, t: float) -> float:
        return t

    def lam(self, t: float) -> float:
        return -1e15 if t == self.s else log((1 - t) / t)

    def t(self, lam: float) -> float:
        return self.s if lam < -700 else 1 / (1 + exp(lam))


def _network(x: Tensor, t: float) -> Tensor:
    """An x0 that depends on everything."""
    return (x - 0.3).sin() * (0.5 + t) + 0.2 * t


def limit_from_noise(solver) -> None:
    """The step from alpha = 0 is what the formula in lam, for which nothing is infinite, gives there: to rounding."""
    ns, t = Deep(), 0.6
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    model = Model(_network, ns, "x0", lambda t: 0.9)
    formula = inner_step(solver)(model, x, ns.s, t, (), white(solver, ns, x)).x
    step = solver.step(model, x, ns.s, t, (), white(solver, ns, x)).x
    assert float((formula - step).abs().max()) < 1e-13


def tends_from_noise(solver) -> None:
    """The formula tends to the step from alpha = 0 as alpha_s falls, in proportion to it."""
    ns, t = Rectified(), 0.6
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    model, gaps = Model(_network, ns, "x0", lambda t: 0.9), []
    exact = solver.step(model, x, 1.0, t, (), _One(x)).x
    for alpha in (1e-3, 1e-5):
        gaps.append(float((inner_step(solver)(model, x, 1 - alpha, t, (), _One(x)).x - exact).abs().max()))
    assert gaps[0] < 0.05, f"alpha = 1e-3: {gaps[0]:.2g} away"
    assert gaps[1] < 2e-3 * gaps[0] + 1e-9 or gaps[1] < 0.11 * gaps[0] < 1e-3, f"{gaps} do not fall with alpha"


def tends_to_data(solver, sigmas: tuple[float, float] = (1e-10, 1e-25)) -> None:
    """The formula tends to the step to sigma = 0 as sigma_t falls: a stage at lam_s + c h as sigma_t^c."""
    ns, s = Rectified(), 0.4
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
    # at sigma = 0 x0 = x/alpha
    model = Model(lambda y, t: y / (1 - t) + t * (1 + t) * (y + 0.3).cos(), ns, "x0", lambda t: 0.9)
    past = tuple(Node(u, model(x * (1 + u), u)) for u in (0.5, 0.55, 0.7)[: solver.memory])
    exact, gaps = solver.step(model, x, s, 0.0, past, _One(x)).x, []
    for sigma in sigmas:
        gaps.append(float((inner_step(solver)(model, x, s, sigma, past, _One(x)).x - exact).abs().max()))
    assert gaps[0] < max(0.05, 25 * sigmas[0]), f"sigma = {sigmas[0]:g}: {gaps[0]:.2g} away"
    assert gaps[1] < 0.15 * gaps[0] or gaps[1] < 1e-9, f"{gaps} do not fall with sigma"


class _One:
    """The same normals whatever is asked."""

    def __init__(self, x: Tensor):
        self.z, self.schedule = torch.linspace(1, -1, len(x), dtype=x.dtype)[:, None].expand_as(x).clone(), None

    def normal(self, *args, **settings) -> Tensor:
        return self.z

    fresh = normal

    def integral(self, s, t, *weights, **settings) -> tuple[Tensor, ...]:
        return tuple(self.z * sb.noise.sd(Rectified(), s, t, w) for w in weights)


# ------------------------------------------------------------------------------------------------------------------- laws


def law_from_noise(solver, exponent: float = 2.0) -> None:
    """The law after the first step is the exact one up to O((alpha/sigma)^exponent), on one Gaussian."""
    ns, law = Rectified(), GaussianMixture([1.0], [[0.5, -1.0]], [[[0.9, 0.3], [0.3, 0.4]]])
    errors = []
    for level in (0.04, 0.02):
        t = ns.t(log(level))
        mean, cov = gaussian_law(solver, law, ns, (1.0, t))
        exact = law.marginal(ns, t)
        errors.append(float((mean - exact.mean()).square().sum() + (cov - exact.cov()).square().sum()) ** 0.5)
    slope = log(errors[0] / errors[1]) / log(2)
    assert abs(slope - exponent) < 0.15, f"the error falls as (alpha/sigma)^{slope:.2f}"


def law_to_data(solver, exponent: float = 2.0) -> None:
    """The law after the last step is the data's up to O(sigma^exponent), on one Gaussian."""
    ns, law = EDM(), GaussianMixture([1.0], [[0.5, -1.0]], [[[0.9, 0.3], [0.3, 0.4]]])
    errors = []
    for sigma in (0.04, 0.02):
        mean, cov = gaussian_law(solver, law, ns, (sigma, 0.0))
        errors.append(float((mean - law.mean()).square().sum() + (cov - law.cov()).square().sum()) ** 0.5)
    slope = log(errors[0] / errors[1]) / log(2)
    assert abs(slope - exponent) < 0.15, f"the error falls as sigma^{slope:.2f}"
    assert errors[0] < 0.02, f"{errors[0]:.2g} away"


def refuses_noise_prediction(solver) -> None:
    """A model of eps or of the score tells no x0 at alpha = 0: one line that names the solver and the end."""
    ns = Rectified()
    for kind in ("eps", "score"):
        model = Model(lambda x, t: x * 0.5, ns, kind, lambda t: 0.9)
        x = torch.ones(2, 1, dtype=torch.float64)
        for executor in ("eager",) if solver.adaptive else ("eager", "fused"):
            try:
                integrate(solver, model, x, (1.0, 0.7), white(solver, ns, x), executor)
            except sb.UsageError as error:
                message = str(error)
            else:
                raise AssertionError(f"{kind}: nothing was said")
            assert "\n" not in message
            assert type(solver).__name__ in message or isinstance(solver, Sampler), message
            assert "alpha = 0 (t = 1)" in message
            assert "v or velocity" in message
