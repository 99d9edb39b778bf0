"""Our own methods as foreign code: as a scheduler, as a function of sigmas, as a plain function.

`as_scheduler` suspends a method at every question to the network.  A step is pure, so it is not suspended at all: it is run
again from its beginning with the answers that have come, until it asks for one that has not.  Its normals are kept likewise.
"""

from dataclasses import dataclass, field
from math import exp, hypot, log

import torch

from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Model, Prediction
from sdebench.integration.solver import Solver, Step
from sdebench.noise import WhiteNoise
from sdebench.peers.sigmas import karras
from sdebench.schedules import EDM, VPLinear
from sdebench.solvers.composed import Composition

KINDS = {"epsilon": "eps", "sample": "x0", "v_prediction": "v"}


@dataclass(frozen=True)
class TorchNoise(WhiteNoise):
    """White noise from torch's generator, by `torch.randn_like`; asked twice for the same, it gives the same."""

    kept: dict = field(default_factory=dict, compare=False)

    def _draw(self, *parts):
        if parts not in self.kept:
            self.kept[parts] = torch.randn_like(torch.empty(self.shape, dtype=self.dtype))
        return self.kept[parts]


class NoNoise(WhiteNoise):
    """Zeros."""

    def _draw(self, *parts):
        return torch.zeros(self.shape, dtype=self.dtype)


def as_callable(solver, schedule=None, prediction="eps"):
    """`f(model, x, times)` on a schedule: the convention of its adapter is that schedule."""
    ns = schedule or VPLinear()

    def sampler(model, x, times):
        grid = [float(t) for t in times]
        noise = TorchNoise(ns, tuple(x.shape), dtype=x.dtype) if solver.stochastic else None
        return integrate(solver, Model(model, ns, prediction), x, grid, noise=noise)

    return sampler


def as_sigmas_function(solver):
    """`f(model, x, sigmas, ...)`, on states with a = 1."""

    def sampler(model, x, sigmas, extra_args=None, callback=None, disable=None):
        def x0(state, sigma):
            return model(state, sigma * state.new_ones(len(state)), **(extra_args or {}))

        return as_callable(solver, EDM(), "x0")(x0, x, sigmas)

    return sampler


def as_scheduler(solver, prediction_type="epsilon"):
    """An object with diffusers' interface.  Raises ValueError for a method that no scheduler can be."""
    made = Scheduler(solver, prediction_type)
    made.set_timesteps(4)
    if not made._asked()[1]:
        raise ValueError(f"{solver} asks first about another state than it is given: a scheduler's network is asked before it")
    return Scheduler(solver, prediction_type)


class Pending(BaseException):
    """A question whose answer has not come."""

    def __init__(self, x, t):
        self.x, self.t = x, t


class Replay:
    """A model that gives the answers that have come, each with the state about which it was asked, and then asks."""

    gamma = None

    def __init__(self, schedule, kind, answers):
        self.schedule, self.kind, self._left = schedule, kind, list(answers)

    def __call__(self, x, t):
        if not self._left:
            raise Pending(x, t)
        value, state = self._left.pop(0)
        return Prediction(self.kind, value, x if torch.equal(state, x) else state, t, self.schedule)


def parts_of(solver, n):
    """The method of each interval; a Sampler that is more than these is one part."""
    if isinstance(solver, Composition):
        return [solver.inner] * (n - len(solver.closing)) + list(solver.closing)
    return [solver] * (n if isinstance(solver, Solver) else 1)


class Run:
    """A method between its questions: `question` is the one that is pending, None at the end."""

    def __init__(self, solver, schedule, kind, grid, x, noise, i=0):
        self.schedule, self.kind, self.grid, self.noise = schedule, kind, grid, noise
        self.parts = parts_of(solver, len(grid) - 1)
        self.x, self.past, self.i, self.answers = x, (), i, []
        self.question = self._advance()

    def _step(self, model):
        part = self.parts[self.i]
        if isinstance(part, Solver):
            return part.step(model, self.x, *self.grid[self.i : self.i + 2], self.past, self.noise)
        return Step(part.sample(model, self.x, self.grid, self.noise))

    def _advance(self):
        while self.i < len(self.parts):
            try:
                self.x, self.past, _ = self._step(Replay(self.schedule, self.kind, self.answers))
            except Pending as question:
                return question
            self.i, self.answers = self.i + 1, []
        return None

    def answer(self, value, state):
        """Go on to the next question; `state` is what the network was asked about, which may have been written over."""
        if self.question.x is self.x:
            self.x = state
        self.answers.append((value, state))
        self.question = self._advance()

    @property
    def state(self):
        """What the network is asked about next; the last state at the end."""
        return self.x if self.question is None else self.question.x


class Scheduler:
    """A method on VPLinear.  Times are `log(sigma)/4`, as EDM has them, one for each question; sigmas are s/a of the grid."""

    init_noise_sigma = 1.0

    def __init__(self, solver, prediction_type="epsilon"):
        if prediction_type not in KINDS:
            raise ValueError(f"prediction_type is {prediction_type!r}: give {', '.join(KINDS)}")
        self.config = {"solver": solver, "prediction_type": prediction_type}
        self.solver, self.ns, self.sigmas, self._run, self._known, self._begin = solver, VPLinear(), None, None, {}, 0
        self.alphas_cumprod = torch.tensor([self.ns.alpha((i + 1) / 1000) ** 2 for i in range(1000)], dtype=torch.float64)

    @classmethod
    def from_config(cls, config):
        """Another one of that configuration."""
        return cls(**config)

    def set_timesteps(self, num_inference_steps, device=None):
        """Karras levels, from noise to the last one above zero."""
        self.sigmas = torch.tensor(karras(num_inference_steps + 1)[:-1], dtype=torch.float64)
        self._run, self._begin = None, 0

    def set_begin_index(self, begin_index):
        """Begin at the interval that begins at the time of that question."""
        starts = [float(self.sigma_to_t(self.ns.rho(t))) for t in self._grid()[:-1]]
        self._begin = starts.index(float(self.timesteps[begin_index]))

    def sigma_to_t(self, sigma):
        """The time of a level."""
        return 0.25 * torch.as_tensor(sigma, dtype=torch.float64).log()

    def _grid(self):
        return [self.ns.t(-log(s)) if s > 0 else 0.0 for s in self.sigmas.tolist()]

    def _asked(self):
        """(times of all questions, whether the first is about the state at the beginning), of a run on zeros."""
        key = tuple(self.sigmas.tolist())
        if key not in self._known:
            x = torch.zeros(1, 1, dtype=torch.float64)
            run = Run(self.solver, self.ns, "x0", self._grid(), x, NoNoise(self.ns, (1, 1)))
            first, times = run.question is not None and run.question.x is x and run.question.t == run.grid[0], []
            while run.question is not None:
                times.append(float(self.sigma_to_t(self.ns.rho(run.question.t))))
                run.answer(torch.zeros_like(x), run.question.x)
            self._known[key] = torch.tensor(times, dtype=torch.float64), first
        return self._known[key]

    @property
    def timesteps(self):
        """One for each question."""
        return self._asked()[0]

    def scale_model_input(self, sample, timestep):
        """A state with a^2 + s^2 = 1 is what the network expects."""
        return sample

    def step(self, model_output, timestep, sample, generator=None, return_dict=True):
        """The state of the next question."""
        if self._run is None:
            noise = TorchNoise(self.ns, tuple(sample.shape), dtype=sample.dtype) if self.solver.stochastic else None
            kind = KINDS[self.config["prediction_type"]]
            self._run = Run(self.solver, self.ns, kind, self._grid(), sample, noise, self._begin)
        self._run.answer(model_output, sample)
        return (self._run.state,)

    def add_noise(self, original_samples, noise, timesteps):
        """x = a x0 + s eps at each time."""
        ratios = [exp(4 * float(t)) for t in timesteps]
        a, s = (torch.tensor(v, dtype=noise.dtype) for v in zip(*((1 / hypot(1, r), r / hypot(1, r)) for r in ratios)))
        shape = (-1,) + (1,) * (noise.ndim - 1)
        return a.view(shape) * original_samples + s.view(shape) * noise
