"""Where the time of a step goes: rounds of paired samples.

On a CPU a round times runs with a clock around network and noise, then runs on a state of one number, then copies of one vector
to another:

    network, noise    as the clock has them
    rest              the run on one number, less network and noise, which do all their work beside it, so that Python and the
                      launches of operations find the caches as cold as in the run
    update            what is left: moving and combining vectors
    total             the run, less what its clock costs

On CUDA, where the host only queues the work, all noise is drawn before a run: it is made on the host, and sending it waits for
the device.  (D) and (U) are the device's own time for the run and for a run on nulls, queued while the device is kept busy:
network = D - U, update = U, noise and run by the host's clock, total = noise + run, and rest = run - D is when the device waits
for the host.  A device queues some thousand launches, and then the host waits for it: where those of a run are more, D is U and
as many times that of a network call as there are calls.
"""

from collections.abc import Callable
from functools import lru_cache
from itertools import cycle
from math import ceil
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from sdebench import grids
from sdebench._support.clock import now
from sdebench._support.errors import UsageError
from sdebench.integration.executors.fused import forget
from sdebench.integration.executors.plan import Plan, plan
from sdebench.integration.integrate import integrate
from sdebench.integration.prediction import Counted
from sdebench.integration.solver import Sampler, Solver
from sdebench.noise import WhiteNoise
from sdebench.studies.profile.standins import NullNoise, Wrapped, beside, questions
from sdebench.studies.profile.subject import Subject

LEAST, MOST = 6, 60  # rounds; fewer than six give no 95 % interval of a median
_SAMPLE = 1e-3  # seconds that a sample takes at least, by repeating short runs
_CALLS = 1000  # of an empty function, to time the clock
_LARGE = {"cpu": 1 << 26, "cuda": 1 << 28}  # bytes of the vectors whose copies give the bandwidth beyond all caches
_CLOCK = 2e9  # cycles a second, to keep a GPU busy by; at least those of its clock

PARTS = ("total", "network", "noise", "update", "rest")


class Stopwatch:
    """Counts the calls of the functions that it was given, and the seconds spent in them."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin again."""
        self.calls, self.seconds = 0, 0.0

    def on(self, fn: Callable) -> Callable:
        """The function, timed."""

        def timed(*args: Any, **settings: Any) -> Any:
            begun = perf_counter()
            found = fn(*args, **settings)
            self.seconds += perf_counter() - begun
            self.calls += 1
            return found

        return timed


def clock_cost() -> tuple[float, float]:
    """Seconds that a stopwatch adds to each call, (those that it sees, those that it does not): the least of many."""
    watch, found = Stopwatch(), []
    timed = watch.on(lambda x, t: x)
    for _ in range(9):
        watch.reset()
        begun = perf_counter()
        for _ in range(_CALLS):
            timed(0.0, 0.0)
        found.append((watch.seconds / _CALLS, (perf_counter() - begun - watch.seconds) / _CALLS))
    inside, outside = zip(*found)
    return min(inside), min(outside)


class Bench:
    """A solver, a subject and an executor, made ready to cross one grid, from `x`, as often as one likes."""

    def __init__(self, solver: Solver | Sampler, subject: Subject, executor: str, grid: grids.Grid, batch: int, seed: int):
        self.solver, self.subject, self.executor, self.grid, self.seed = solver, subject, executor, grid, seed
        self.x, self.steps = subject.initial(batch, seed), len(grid) - 1
        self.model = subject.model(subject.answers(self.x))
        self.small = self.x.flatten()[:1].clone().reshape(1, *[1] * (self.x.ndim - 1))

    def noise(self) -> WhiteNoise | None:
        """The noise, for a method that asks for it."""
        if not self.solver.stochastic:
            return None
        x = self.x
        return WhiteNoise(self.subject.schedule, tuple(x.shape), self.seed, x.dtype, x.device)

    def run(self, model: Any, x: Tensor, noise: Any, grid: grids.Grid | None = None) -> Tensor:
        """One run, as users make it."""
        return integrate(self.solver, model, x, grid or self.grid, noise, self.executor)

    def plain(self) -> Callable[[], Tensor]:
        """A run with the subject's own model."""
        noise = self.noise()
        return lambda: self.run(self.model, self.x, noise)

    def on_nulls(self, x: Tensor) -> Callable[[], Tensor]:
        """A run from x whose model and noise cost nothing."""
        model, noise = self.subject.model(self.subject.null(x)), NullNoise(self.subject.schedule, x)
        return lambda: self.run(model, x, noise)

    def planned(self) -> Plan:
        """The plan of the fused run, whose traffic is the least.  Raises UsageError where the method has none."""
        return plan(self.solver, self.subject.schedule, self.grid, self.subject.kind, self.subject.gamma)

    def plan(self) -> Plan | None:
        """The same, or None."""
        try:
            return self.planned()
        except UsageError:
            return None

    def nfe(self) -> int:
        """Model calls of a run, as counted; a UsageError where it cannot be run."""
        counted = Counted(self.subject.model(self.subject.null(self.small)))
        integrate(self.solver, counted, self.small, self.grid, NullNoise(self.subject.schedule, self.small))
        return counted.nfe


def seconds(run: Callable[[], Any], times: int, device: torch.device) -> float:
    """Seconds of a run: the mean of so many, made at once."""
    begun = now(str(device))
    for _ in range(times):
        run()
    return (now(str(device)) - begun) / times


def repeated(run: Callable[[], Any], device: torch.device) -> int:
    """How many runs make a sample, once they are warm."""
    return min(1000, ceil(_SAMPLE / max(seconds(run, 1, device), 1e-9)))


class _Watched:
    """Runs with a clock around a network and a noise."""

    def __init__(self, bench: Bench, x: Tensor, network: Callable, noise: Any):
        self.network, self.noise, self.device = Stopwatch(), Stopwatch(), x.device
        model, asked = bench.subject.model(self.network.on(network)), noise and Wrapped(noise, self.noise.on)
        self.run = lambda: bench.run(model, x, asked)
        self.run()
        self.times, self.cost = repeated(self.run, self.device), clock_cost()

    def sample(self) -> tuple[float, float, float]:
        """Seconds a run, without those of the clock: all, network, noise."""
        inside, outside = self.cost
        for watch in (self.network, self.noise):
            watch.reset()
        total = seconds(self.run, self.times, self.device)
        network, noise = ((watch.seconds - inside * watch.calls) / self.times for watch in (self.network, self.noise))
        calls = (self.network.calls + self.noise.calls) / self.times
        return total - (inside + outside) * calls, network, noise


class OnHost:
    """Rounds on a CPU."""

    def __init__(self, bench: Bench):
        x, small, ask, noise = bench.x, bench.small, bench.model.fn, bench.noise()
        null = NullNoise(bench.subject.schedule, small)
        aside = noise and Wrapped(null, lambda fn: beside(getattr(noise, fn.__name__), fn))
        self.full = _Watched(bench, x, ask, noise)
        self.bare = _Watched(bench, small, beside(lambda _, t: ask(x, t), bench.subject.null(small)), aside)

    def round(self) -> tuple[float, ...]:
        """Seconds a run: total, network, noise, update, rest."""
        total, network, noise = self.full.sample()
        bare, *aside = self.bare.sample()
        rest = bare - sum(aside)
        return total, network, noise, total - network - noise - rest, rest


class OnCuda:
    """Rounds on a CUDA device."""

    def __init__(self, bench: Bench):
        self.bare, self.device, noise = bench.on_nulls(bench.x), bench.x.device, bench.noise()
        self.asked = questions(noise, lambda noted: bench.run(bench.model, bench.x, noted)) if noise else []
        answers = cycle([ask() for ask in self.asked])
        drawn = noise and Wrapped(noise, lambda fn: lambda *args, **settings: next(answers))
        self.run = lambda: bench.run(bench.model, bench.x, drawn)
        self.call, self.calls = lambda: bench.model.fn(bench.x, bench.grid[0]), bench.nfe()
        self.run(), self.bare()
        self.times = repeated(self.run, self.device)

    def _draw(self) -> None:
        for ask in self.asked:
            ask()

    def _busy(self, run: Callable[[], Any], host: float) -> tuple[float, bool]:
        """(seconds that the device works for a run whose queueing takes the host so long, whether it was busy until the end)"""
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(int(2 * host * _CLOCK))  # the device is kept busy until all is queued, so it never waits in between
        begin.record()
        run()
        end.record()
        kept = not begin.query()
        end.synchronize()
        return begin.elapsed_time(end) * 1e-3, kept

    def round(self) -> tuple[float, ...]:
        """Seconds a run: total, network, noise, update, rest."""
        with torch.cuda.device(self.device):
            noise = seconds(self._draw, 1, self.device) if self.asked else 0.0
            run = seconds(self.run, self.times, self.device)
            (work, kept), (update, _) = self._busy(self.run, run), self._busy(self.bare, run)
            if not kept:
                work = update + self.calls * self._busy(self.call, seconds(self.call, 1, self.device))[0]
        return noise + run, work - update, noise, update, run - work


def ring(like: Tensor, vectors: int) -> Callable[[], Any]:
    """One copy of a vector to the next, around as many as there are."""
    held, at = [torch.randn_like(like, dtype=torch.float32).to(like.dtype) for _ in range(max(2, vectors))], 0

    def copy() -> None:
        nonlocal at
        held[at].copy_(held[at - 1])
        at = (at + 1) % len(held)

    return copy


@lru_cache(maxsize=1)
def _large(device: str, size: int) -> Callable[[], Any]:
    """A copy between vectors of so many bytes, which are made once: filling them takes ten times as long as copying."""
    with torch.inference_mode(False):  # so that they can be written whatever the mode
        return ring(torch.empty(size // 4, device=device), 3)


def bandwidth(device: str) -> float:
    """Bytes a second, read and written, of copies between vectors that no cache holds: the median of three samples."""
    at = torch.device(device)
    size = _LARGE["cuda" if at.type == "cuda" else "cpu"]
    copy = _large(device, size)
    times = repeated(copy, at)
    return 2 * size / median(seconds(copy, times, at) for _ in range(3))


def rounds(bench: Bench, most: float) -> tuple[dict[str, list[float]], list[float]]:
    """({part: seconds a step, one number a round}, seconds of copying one vector, likewise), for `most` seconds and six rounds
    at least.
    """
    made, device = (OnCuda if bench.x.is_cuda else OnHost)(bench), bench.x.device
    found = bench.plan()
    copy = ring(bench.x, 6 if found is None else found.places)
    copy()
    times, samples, copies, begun = repeated(copy, device), [], [], perf_counter()
    while len(samples) < LEAST or (len(samples) < MOST and perf_counter() - begun < most):
        samples.append([part / bench.steps for part in made.round()])
        copies.append(seconds(copy, times, device))
    return dict(zip(PARTS, map(list, zip(*samples)))), copies


def first(bench: Bench) -> float:
    """Seconds of the first run, in which the plan, kernels and captures are made, whatever was measured before."""
    forget()
    return seconds(bench.plain(), 1, bench.x.device)


def compile_seconds(bench: Bench) -> float:
    """Seconds of the first call of the network, less those of a second one."""
    s, ask = bench.grid[0], bench.model.fn
    with torch.no_grad():
        once, again = (seconds(lambda: ask(bench.x, s), 1, bench.x.device) for _ in range(2))
    return max(0.0, once - again)
