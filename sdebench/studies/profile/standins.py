"""What stands in for a network and a noise: null noises, and functions that do something more when they are asked."""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from sdebench.noise import WhiteNoise
from sdebench.schedules import NoiseSchedule


class Wrapped:
    """A noise whose questions go through `wrap`."""

    def __init__(self, noise: Any, wrap: Callable[[Callable], Callable]):
        self.schedule, self.shape = noise.schedule, noise.shape
        self.normal, self.integral, self.fresh = (wrap(f) for f in (noise.normal, noise.integral, noise.fresh))


class NullNoise:
    """Answers every question with the same vector like x, at no cost."""

    def __init__(self, schedule: NoiseSchedule, x: Tensor):
        self.schedule, self.shape, self._z = schedule, tuple(x.shape), x.clone()

    def normal(self, *args: Any, **settings: Any) -> Tensor:
        """One vector."""
        return self._z

    def fresh(self, *args: Any, **settings: Any) -> Tensor:
        """The same."""
        return self._z

    def integral(self, s: float, t: float, *weights: Any, tag: int = 0) -> tuple[Tensor, ...]:
        """As many as there are weights."""
        return (self._z,) * len(weights)


def beside(work: Callable, answer: Callable) -> Callable:
    """What does the work, and gives the answer."""

    def both(*args: Any, **settings: Any) -> Any:
        work(*args, **settings)
        return answer(*args, **settings)

    return both


def with_own_memory(fn: Callable) -> Callable:
    """The function, its answers in memory of their own."""

    def made(*args: Any, **settings: Any) -> Any:
        found = fn(*args, **settings)
        return tuple(v.clone() for v in found) if isinstance(found, tuple) else found.clone()

    return made


def questions(noise: WhiteNoise, run: Callable[[Any], Any]) -> list[Callable[[], Any]]:
    """What a run asks of the noise, in its order."""
    asked: list[Callable[[], Any]] = []

    def noted(fn: Callable) -> Callable:
        return beside(lambda *args, **settings: asked.append(partial(fn, *args, **settings)), fn)

    run(Wrapped(noise, noted))
    return asked
