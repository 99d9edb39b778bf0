"""Combinations by `torch.compile`: one kernel a pass, with the coefficients as an input, so that no step compiles anew.

For CUDA, where the kernel is Triton's; it runs on the CPU as well, which the tests make use of.  What is compiled is the shape
of a pass (how many vectors, which of them are read and written) for vectors of one size and dtype: a run has some of these, in
its start-up and beyond.
"""

from collections.abc import Callable
from functools import cache
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from sdebench.integration.executors.plan import Pass, Plan

Shape = tuple[tuple[int, tuple[int, ...]], ...]  # (result, terms) of each combination, as operands


def _shape(p: Pass) -> tuple[tuple[int, ...], Shape]:
    """(the places of the operands, the combinations over operands)."""
    operands: dict[int, int] = {}
    number = lambda place: operands.setdefault(place, len(operands))  # noqa: E731
    shape = tuple((number(out), tuple(number(v) for v, _ in terms)) for out, terms in p.combinations)  # type: ignore[no-untyped-call]  # a lambda
    return tuple(operands), shape


@cache
def _kernel(shape: Shape, size: torch.Size, dtype: torch.dtype) -> Callable[..., None]:
    """`combine(c, v0, v1, ...)`, which forms the combinations in their order, each in its place, of vectors of that size."""
    lines, done = [], 0
    for out, terms in shape:
        total = " + ".join(f"c[{done + k}] * v{v}.to(c.dtype)" for k, v in enumerate(terms))
        lines.append(f"    v{out}.copy_({total})")
        done += len(terms)
    operands = 1 + max(max(out, *terms) for out, terms in shape)
    scope: dict[str, Any] = {}  # text, so that each is code of its own: torch.compile raises at the ninth version of one code
    exec("\n".join([f"def combine(c, {', '.join(f'v{v}' for v in range(operands))}):", *lines]), scope)
    return torch.compile(scope["combine"], fullgraph=True, dynamic=False)  # or a kernel's speed depends on the sizes before it


forget = _kernel.cache_clear

_sent: WeakKeyDictionary[Plan, dict[tuple[torch.dtype, torch.device], list[Tensor]]] = WeakKeyDictionary()


def _coefficients(plan: Plan, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    """Those of each pass, on the device as long as the plan is there, since a CUDA graph reads them where they lie."""
    there = _sent.setdefault(plan, {})
    if (dtype, device) not in there:
        with torch.inference_mode(False):  # or runs in that mode and out of it are versions of a kernel
            there[dtype, device] = _rows(plan, dtype, device)
    return there[dtype, device]


def _rows(plan: Plan, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    """The coefficients of each pass: one copy for all, in rows that begin at multiples of 16 bytes."""
    rows = [[c for _, terms in p.combinations for _, c in terms] for p in plan.passes]
    width = -(-max(map(len, rows)) // 4) * 4
    table = torch.tensor([row + [0.0] * (width - len(row)) for row in rows], dtype=torch.float64)
    table = table.to(torch.float64 if dtype == torch.float64 else torch.float32).to(device)
    return [table[i, : len(row)] for i, row in enumerate(rows)]


def compiled(plan: Plan, vectors: list[Any], x: Tensor) -> tuple[Callable[[int, int], None], Callable[[int], None]]:
    """(put, form) as those of `native`."""
    numbers = _coefficients(plan, x.dtype, x.device)

    def form(i: int) -> None:
        places, shape = _shape(plan.passes[i])
        _kernel(shape, x.shape, x.dtype)(numbers[i], *(vectors[place] for place in places))

    return (lambda place, address: None), form
