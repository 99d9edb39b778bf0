"""A whole run as one CUDA graph: no Python, and no launch but one, however many steps.

The graph is captured when model, plan and shape are met for the first time, and replayed from then on: the run reads its
start and its noises from vectors of its own, filled before.  All noises of a run are drawn first, so they are all in memory.
The model must do the same at every call: work on the device only, no numbers sent to the host, its times as Python floats
that become part of the graph.  Weights may be changed in place, not replaced.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from sdebench._support.errors import UsageError
from sdebench.integration.executors.fused import arithmetic, execute, prepared
from sdebench.integration.executors.plan import Plan
from sdebench.integration.prediction import Model, ModelLike
from sdebench.integration.solver import Sampler, Solver

_MOST = 8  # graphs kept for a model
_captured: WeakKeyDictionary[Any, dict[Any, "_Captured"]] = WeakKeyDictionary()


def graph(solver: Solver | Sampler, model: ModelLike, x: Tensor, grid: Sequence[float], noise: Any = None) -> Tensor:
    """The state at grid[-1], by one replay.

    Raises UsageError as `fused` does, for a state that is not on a CUDA device, and for a model that cannot be captured.
    """
    if not x.is_cuda:
        raise UsageError(f"executor 'graph' needs a state on a CUDA device, this one is on {x.device}: give executor='fused'")
    with torch.cuda.device(x.device):
        return replayed(solver, model, x, grid, noise)


def replayed(solver: Solver | Sampler, model: ModelLike, x: Tensor, grid: Sequence[float], noise: Any) -> Tensor:
    """The run by its graph, captured now or before."""
    plan, ask = prepared(solver, model, x, grid)
    with torch.no_grad():
        owner, key = (model.fn if type(model) is Model else model), (plan, x.shape, x.dtype, x.device)
        graphs = _graphs_of(owner)
        if key not in graphs:
            while len(graphs) >= _MOST:
                del graphs[next(iter(graphs))]
            graphs[key] = _Captured(plan, ask, x)
        return graphs[key](x, noise)


def _graphs_of(owner: Any) -> dict[Any, "_Captured"]:
    """The graphs of a model, which go when it goes; a new dict for one that cannot be watched, or is made for the moment."""
    try:
        return _captured.setdefault(owner, {})
    except TypeError:
        return {}


class _Given:
    """A noise that answers with given vectors, in their order."""

    def __init__(self, vectors: list[Tensor]):
        self._vectors = iter(vectors)

    def normal(self, *args: Any, **settings: Any) -> Tensor:
        return next(self._vectors)

    fresh = normal

    def integral(self, s: float, t: float, *weights: Any, **settings: Any) -> tuple[Tensor, ...]:
        return tuple(next(self._vectors) for _ in weights)


def _drawn(plan: Plan, noise: Any) -> Iterator[Tensor]:
    """The answers of the noise to all questions of the run, in their order."""
    for p in plan.passes:
        for method, args, settings, _ in p.questions:
            z = getattr(noise, method)(*args, **settings)
            yield from z if method == "integral" else (z,)


class _Captured:
    """A run on vectors that stay where they are."""

    def __init__(self, plan: Plan, ask: Callable[[Tensor, float], Tensor], x: Tensor):
        with torch.inference_mode(False):  # what is made in that mode is filled in no other
            self.plan, self.start = plan, x.detach().clone(memory_format=torch.contiguous_format)
            self.noises = [torch.zeros_like(self.start) for p in plan.passes for q in p.questions for _ in q.answers]
        form = arithmetic(self.start)
        self.replay, self.end = capture(lambda: execute(plan, ask, self.start, _Given(self.noises), form))

    def __call__(self, x: Tensor, noise: Any) -> Tensor:
        self.start.copy_(x)
        for vector, z in zip(self.noises, _drawn(self.plan, noise)):
            vector.copy_(z)
        self.replay()
        return self.end.clone()


def capture(body: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """(what runs the body again, its result, written anew by every run).  Warmed up on a stream of its own, as PyTorch asks."""
    before = torch.cuda.current_stream()
    try:
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]  # torch's own has no types
        side.wait_stream(before)
        with torch.cuda.stream(side):
            for _ in range(3):
                body()
        before.wait_stream(side)
        made = torch.cuda.CUDAGraph()
        with torch.cuda.graph(made):
            end = body()
    except RuntimeError as error:
        torch.cuda.set_stream(before)  # PyTorch stays on the stream of a capture that failed
        first = error.__context__  # what went wrong inside: then the end of the capture fails, too
        why = str(first if isinstance(first, RuntimeError) else error).splitlines()[0]
        raise UsageError(f"the model cannot be captured as a CUDA graph ({why}): give executor='fused'") from error
    return made.replay, end
