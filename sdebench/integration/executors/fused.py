"""The plan of a run, executed: buffers are allocated once, and each pass is one sweep over memory."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from sdebench._support.errors import UsageError
from sdebench.integration.ends import is_noise
from sdebench.integration.executors import native
from sdebench.integration.executors.plan import Plan, plan
from sdebench.integration.prediction import KINDS, Model, ModelLike
from sdebench.integration.solver import Sampler, Solver

Put = Callable[[int, int], None]  # (place, address): tells where a vector lies
Form = Callable[[int], None]  # makes the combinations of a pass
Arithmetic = Callable[[Plan, list[Any], Tensor], tuple[Put, Form]]


def fused(solver: Solver | Sampler, model: ModelLike, x: Tensor, grid: Sequence[float], noise: Any = None) -> Tensor:
    """The state at grid[-1].  The model and the noise are asked as `eager` asks them; nothing is recorded for gradients.

    Raises UsageError for a method that has no plan, and for a state whose gradients are wanted.
    """
    run, ask = prepared(solver, model, x, grid)
    with torch.no_grad():
        return execute(run, ask, x.contiguous(), noise, arithmetic(x))


def prepared(
    solver: Solver | Sampler, model: ModelLike, x: Tensor, grid: Sequence[float]
) -> tuple[Plan, Callable[[Tensor, float], Tensor]]:
    """(the plan, what asks the model for its answer as it gives it).  Raises UsageError."""
    if x.requires_grad and torch.is_grad_enabled():
        raise UsageError("a state with requires_grad: give executor='eager' for gradients, or x.detach()")
    kind = getattr(model, "kind", "eps")
    kind = kind if kind in KINDS else "eps"
    if kind == "eps" and type(model) is not Model and is_noise(model.schedule, grid[0]):
        kind = "v"  # an exact model tells more than eps where alpha = 0
    ask = model.fn if type(model) is Model else lambda x, t: model(x, t).read(kind)
    return plan(solver, model.schedule, grid, kind, getattr(model, "gamma", None)), ask


def arithmetic(x: Tensor) -> Arithmetic:
    """Who forms the combinations of states like x."""
    if x.is_cuda:
        from sdebench.integration.executors.compiled import compiled  # a slow import, for those who have the device

        return compiled
    return native.native if x.is_cpu and x.dtype in native.NAMES and native.library() else by_torch


def forget() -> None:
    """Forget the plans and compiled kernels of former runs: the next run makes its own, as the first of a process does."""
    from sdebench.integration.executors import compiled, plan

    plan.forget()
    compiled.forget()


def by_torch(plan: Plan, vectors: list[Any], x: Tensor) -> tuple[Put, Form]:
    """torch's own operations, in place: a pass over memory a term.  For all devices and dtypes."""

    def form(i: int) -> None:
        for place, ((first, c), *terms) in plan.passes[i].combinations:
            out = vectors[place]
            if first == place:
                out.mul_(c)
            else:
                torch.mul(vectors[first], c, out=out)
            for v, d in terms:
                out.add_(vectors[v], alpha=d)

    return (lambda place, address: None), form


def execute(plan: Plan, ask: Callable[[Tensor, float], Tensor], x: Tensor, noise: Any, arithmetic: Arithmetic) -> Tensor:
    """Cross the grid by the plan, from the contiguous state x, which is not written."""
    vectors: list[Any] = [torch.empty_like(x) for _ in range(plan.buffers)] + [None] * (plan.places - plan.buffers)
    ours = {v.data_ptr() for v in vectors[: plan.buffers]}
    vectors[plan.start] = x
    put, form = arithmetic(plan, vectors, x)
    shape, dtype, device = x.shape, x.dtype, x.device

    def receive(place: int, v: Tensor) -> None:
        if not (v.dtype is dtype and v.is_contiguous() and v.shape == shape and v.device == device):
            v = _like(x, v)
        address = v.data_ptr()
        if address in ours:  # the model gave its argument back, which will be written
            v = v.clone()
            address = v.data_ptr()
        vectors[place] = v
        put(place, address)

    for i, (questions, combinations, dropped, state, t, answer) in enumerate(plan.passes):
        for method, args, settings, answers in questions:
            z = getattr(noise, method)(*args, **settings)
            for place, v in zip(answers, z if method == "integral" else (z,)):
                receive(place, v)
        if combinations:
            form(i)
        for place in dropped:
            vectors[place] = None
        if answer is not None:
            receive(answer, ask(vectors[state], t))  # type: ignore[arg-type]  # a call has both
    return vectors[state] if state < plan.buffers else vectors[state].clone()  # type: ignore[no-any-return]  # a tensor by now


def _like(x: Tensor, v: Tensor) -> Tensor:
    """The vector as the state is: of its shape and dtype, contiguous."""
    if v.device != x.device:
        raise UsageError(f"the model or the noise answers on {v.device}, the state is on {x.device}: give all on one device")
    return v.to(x.dtype).expand(x.shape).contiguous()
