"""What every executor must hold to, as functions of a runner `run(solver, model, x, grid, noise)`: eager is the reference.

They take the runner, so that the same check meets the executors (`test_executors`) and broken ones (`tests/mutants`).
"""

import torch

import sdebench as sb
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Counted, Model
from sdebench.noise import WhiteNoise
from sdebench.noise.brownian import BrownianPath

PB = sb.get_problem("mixture-2d")
NS = PB.schedule
GRID = sb.grids.irregular(NS, *PB.span, 7)
X = PB.initial(700, 0)  # 1400 numbers: pieces of a kernel, and a rest
ROUNDINGS = 64.0  # eps of the dtype times the largest entry, after 7 steps; what is there differs by 1 to 20


class Heard:
    """A noise that writes its questions down, word for word."""

    def __init__(self, noise):
        self.noise, self.schedule, self.shape, self.asked = noise, noise.schedule, noise.shape, []

    def __getattr__(self, method):
        def ask(*args, **settings):
            self.asked.append((method, args, settings))
            return getattr(self.noise, method)(*args, **settings)

        return ask


def of_kind(kind):
    """The exact model as one that predicts `kind`."""
    return Model(lambda x, t: PB.model(x, t).read(kind), NS, kind, PB.model.gamma)


def close(got, exact) -> None:
    """Equal to rounding, in the dtype of both."""
    assert got.dtype == exact.dtype
    assert got.shape == exact.shape
    unit = torch.finfo(exact.dtype).eps * float(exact.abs().max())
    off = float((got - exact).abs().max()) / unit
    assert off <= ROUNDINGS, f"{off:.3g} roundings from eager, {ROUNDINGS:g} are allowed"


def agrees(run, solver, kind="eps", dtype=torch.float64, path=False, grid=GRID, x=X) -> None:
    """The state, the number of evaluations and the questions to the noise are eager's; the start is not written."""
    x = x.to(dtype)
    make = (lambda: BrownianPath(NS, grid, x.shape, 4, dtype)) if path else (lambda: WhiteNoise(NS, x.shape, 4, dtype))
    (ours, model), (theirs, reference) = ((Heard(make()), Counted(of_kind(kind))) for _ in range(2))
    before = x.clone()
    got, exact = run(solver, model, x, grid, ours), integrate(solver, reference, x, grid, theirs)
    assert torch.equal(x, before), "the start was written"
    assert model.nfe == reference.nfe, f"{model.nfe} evaluations, eager makes {reference.nfe}"
    assert ours.asked == theirs.asked, "the noise was asked otherwise"
    close(got, exact)


def takes_its_argument_back(run, solver) -> None:
    """A model that returns its very argument, or that seen otherwise: what is remembered must not change with the state."""
    for fn in (lambda x, t: x, lambda x, t: x.view(x.shape), lambda x, t: x.flip(0), lambda x, t: x[:1].expand(x.shape)):
        model, noise = Model(fn, NS, "x0", lambda t: 0.5), WhiteNoise(NS, X.shape, 1)
        close(run(solver, model, X, GRID, noise), integrate(solver, model, X, GRID, noise))


def answers_elsewhere(run, solver) -> None:
    """Answers that lie at another address each time."""
    answers = torch.linspace(-1, 1, 200 * 300, dtype=torch.float64).sin().reshape(300, 100, 2)
    noise, states = WhiteNoise(NS, (100, 2), 3), []
    for go in (run, integrate):
        replies = iter(answers)
        model = Model(lambda x, t, replies=replies: next(replies), NS, "x0", lambda t: 0.5)
        states.append(go(solver, model, X[:100], GRID, noise))
    close(*states)


def another_grid(run, solver) -> None:
    """Runs on two grids one after the other: each has its own coefficients."""
    for n, seed in ((5, 0), (5, 1), (6, 0), (5, 0)):
        agrees(run, solver, grid=sb.grids.jitter(NS, *PB.span, n, seed=seed))


def long_runs(run, solver) -> None:
    """Places are used again and again; the state is one sample, of less than a piece."""
    grid, x = sb.grids.uniform_lam(NS, *PB.span, 60), X[:1]
    model = of_kind("x0")
    got, exact = (go(solver, model, x, grid, WhiteNoise(NS, x.shape, 2)) for go in (run, integrate))
    assert float((got - exact).abs().max()) <= 60 * torch.finfo(x.dtype).eps * float(exact.abs().max())
