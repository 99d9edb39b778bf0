"""Whether a method is pure: same arguments, same bits; inputs untouched; nothing kept between calls; the dtype of the state.

A method that is not is named before it is measured: its slopes would only disagree, and nobody would know why.
"""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdebench._support.errors import UsageError
from sdebench.integration.solver import Node, Sampler, Solver
from sdebench.noise import WhiteNoise
from sdebench.studies.setting import Setting

_POINTS, _STEPS, _STEP = 4, 6, 0.2  # points, steps of a sampler's run, and lam of a solver's step
_checked: dict[int, tuple[Any, str]] = {}  # id -> (the method, which keeps its id its own, and what is wrong with it)


def check_purity(method: Solver | Sampler, at: Setting) -> None:
    """Raise UsageError that names what the method does and must not.  A method that raises is left to the measurement."""
    if id(method) not in _checked:
        try:
            _checked[id(method)] = method, find_impurity(method, at)
        except Exception:  # whatever a stranger's solver does wrong: its record will say it
            _checked[id(method)] = method, ""
    found = _checked[id(method)][1]
    if found:
        raise UsageError(f"{type(method).__name__} {found}")


def find_impurity(method: Solver | Sampler, at: Setting) -> str:
    """What a method does and must not, in words, or ""."""
    call, inputs = _call(method, at)
    before = [x.clone() for x in inputs]
    first = call()
    if any(not torch.equal(a, b) for a, b in zip(inputs, before)):
        return "writes into its input: make a new tensor in place of x *= a, x += b, x.copy_(...)"
    if first.dtype != before[0].dtype:
        kind = str(first.dtype).removeprefix("torch.")
        return f"casts the state to {kind}, from {str(before[0].dtype).removeprefix('torch.')}: keep the dtype of x"
    if _equal(first, call()) and _equal(first, call()):
        return ""
    with _fixed_generators():
        one = call()
    with _fixed_generators():
        two = call()
    if _equal(one, two):
        return "draws random numbers of its own: take them from the argument `noise`, and declare stochastic = True"
    return "keeps state between calls: two calls with the same arguments differ; what it must remember goes into `past`"


def _equal(a: Tensor, b: Tensor) -> bool:
    return bool(torch.allclose(a, b, rtol=0, atol=0, equal_nan=True))


@contextmanager
def _fixed_generators() -> Iterator[None]:
    """The same numbers from torch, numpy and random each time; afterwards they go on as they were."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    random.seed(0)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])


def _call(method: Solver | Sampler, at: Setting) -> tuple[Callable[[], Tensor], list[Tensor]]:
    """(a run of the method on a few points, the tensors that it must leave as they are)."""
    ns, (s, t) = at.problem.schedule, at.problem.span
    u, x = at.middle
    x = x[:_POINTS].clone()
    noise = WhiteNoise(ns, tuple(x.shape), at.seed) if method.stochastic else None
    if isinstance(method, Sampler):
        lams = [ns.lam(s) + (ns.lam(u) - ns.lam(s)) * (i / _STEPS) for i in range(_STEPS)]
        grid, x = (s, *map(ns.t, lams[1:]), u), at.x[:_POINTS]
        return lambda: method.sample(at.model, x, grid, noise), [x]
    step = min(_STEP, 0.5 * (ns.lam(t) - ns.lam(u)))
    nodes = [ns.t(ns.lam(u) - step * (i + 1)) for i in range(method.memory)]
    past = tuple(Node(v, at.model(x + 0.01 * (i + 1), v)) for i, v in enumerate(nodes))
    v = ns.t(ns.lam(u) + step)
    return lambda: method.step(at.model, x, u, v, past, noise).x, [x, *(node.prediction.value for node in past)]
