"""Where the time of a step goes: rounds of paired samples.

On a CPU a round times runs with a clock around network and noise, then runs on a state of one number that ask a null model and
a null noise, then copies of one vector to another:

    network, noise    as the clock has them
    rest              the run on one number: Python and the launches of operations
    update            what is left: moving and combining vectors
    total             the run, less what its clock costs

On CUDA, where the host only queues the work, (D) and (U) are the device's own time for a run and for the same run on nulls,
queued while the device is kept busy: network = D - U, update = U, noise, drawn on the host, by the host's clock, and
rest = total - D - noise is when the device waits for the host.
"""

from collections.abc import Callable
from functools import lru_cache
from math import ceil
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from .. import grids
from ..errors import UsageError
from ..executors.plan import Plan, plan
from ..noise import WhiteNoise
from ..prediction import Counted
from ..schedules import NoiseSchedule
from ..solver import Sampler, Solver, integrate
from .profile_subject import Subject
from .timing import now

LEAST, MOST = 6, 60  # rounds; fewer than six give no 95 % interval of a median
_SAMPLE = 1e-3  # seconds that a sample takes at least, by repeating short runs
_CALLS = 1000  # of an empty function, to time the clock
_LARGE = 1 << 26  # bytes of the vectors whose copies give the bandwidth beyond all caches
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


class Wrapped:
    """A noise whose questions go through `wrap`."""

    def __init__(self, noise: WhiteNoise, wrap: Callable[[Callable], Callable]):
        self.schedule, self.shape = noise.schedule, noise.shape
        self.normal, self.integral, self.fresh = (wrap(f) for f in (noise.normal, noise.integral, noise.fresh))


class NullNoise:
    """Answers every question with the same vector like x, at no cost."""

    def __init__(self, schedule: NoiseSchedule, x: Tensor):
        self.schedule, self.shape, self._z = schedule, tuple(x.shape), x.clone()

    def normal(self, *args: Any, **settings: Any) -> Tensor:
        """One vector."""
        return self._z

    fresh = normal

    def integral(self, s: float, t: float, *weights: Any, tag: int = 0) -> tuple[Tensor, ...]:
        """As many as there are weights."""
        return (self._z,) * len(weights)


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
    """Runs with a clock around network and noise."""

    def __init__(self, bench: Bench):
        self.network, self.noise, self.device = Stopwatch(), Stopwatch(), bench.x.device
        model, drawn = bench.subject.model(self.network.on(bench.model.fn)), bench.noise()
        asked = drawn and Wrapped(drawn, self.noise.on)
        self.run = lambda: bench.run(model, bench.x, asked)
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
        self.full, self.bare, self.device = _Watched(bench), bench.on_nulls(bench.small), bench.x.device
        self.bare()
        self.times = repeated(self.bare, self.device)

    def round(self) -> tuple[float, ...]:
        """Seconds a run: total, network, noise, update, rest."""
        total, network, noise = self.full.sample()
        rest = seconds(self.bare, self.times, self.device)
        return total, network, noise, total - network - noise - rest, rest


class OnCuda:
    """Rounds on a CUDA device."""

    def __init__(self, bench: Bench):
        self.run, self.bare, self.device = bench.plain(), bench.on_nulls(bench.x), bench.x.device
        self.bare()
        self.full, self.times = _Watched(bench), repeated(self.run, self.device)

    def _busy(self, run: Callable[[], Any], host: float) -> float:
        """Seconds that the device works for a run whose queueing takes the host so long."""
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(int(2 * host * _CLOCK))  # the device is kept busy until all is queued, so it never waits in between
        begin.record()
        run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) * 1e-3

    def round(self) -> tuple[float, ...]:
        """Seconds a run: total, network, noise, update, rest."""
        with torch.cuda.device(self.device):
            total = seconds(self.run, self.times, self.device)
            work, update = self._busy(self.run, total), self._busy(self.bare, total)
        noise = self.full.sample()[2]
        return total, work - update, noise, update, total - work - noise


def ring(like: Tensor, vectors: int) -> Callable[[], Any]:
    """One copy of a vector to the next, around as many as there are."""
    held, at = [torch.randn_like(like, dtype=torch.float32).to(like.dtype) for _ in range(max(2, vectors))], 0

    def copy() -> None:
        nonlocal at
        held[at].copy_(held[at - 1])
        at = (at + 1) % len(held)

    return copy


@lru_cache
def bandwidth(device: str, threads: int) -> float:
    """Bytes a second, read and written, of copies between vectors that no cache holds: the median of nine.

    Once a process, with the torch threads that are set, which are so many.
    """
    copy = ring(torch.empty(_LARGE // 4, device=device), 3)
    copy()
    return 2 * _LARGE / median(seconds(copy, 1, torch.device(device)) for _ in range(9))


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
    """Seconds of the first run: plans, kernels and captures are made, and memory is touched."""
    return seconds(bench.plain(), 1, bench.x.device)


def compile_seconds(bench: Bench) -> float:
    """Seconds of the first call of the network, less those of a second one."""
    s, ask = bench.grid[0], bench.model.fn
    with torch.no_grad():
        once, again = (seconds(lambda: ask(bench.x, s), 1, bench.x.device) for _ in range(2))
    return max(0.0, once - again)

