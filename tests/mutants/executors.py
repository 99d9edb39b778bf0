"""Executors that are broken on purpose, by one change of their text: runners `run(solver, model, x, grid, noise)`."""

import inspect
import sys
from itertools import count
from types import ModuleType

import torch

from sdebench.integration.executors import compiled, fused, lines, native, plan
from sdebench.integration.executors.fused import by_torch, prepared

_numbers = count()


def broken(module: ModuleType, *changes: tuple[str, str]) -> ModuleType:
    """The module with pieces of its text, (old, new), replaced."""
    text = inspect.getsource(module)
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {module.__name__}"
        text = text.replace(old, new)
    made = ModuleType(f"{module.__name__}_broken_{next(_numbers)}")
    made.__package__ = module.__package__
    sys.modules[made.__name__] = made  # where dataclasses look for it
    exec(compile(text, made.__name__, "exec"), made.__dict__)
    return made


def runner(planner=plan.plan, execute=fused.execute, arithmetic=None):
    """The fused executor of these parts."""

    def run(solver, model, x, grid, noise):
        ask = prepared(solver, model, x, grid)[1]
        made = planner(solver, model.schedule, grid, model.kind, model.gamma)
        with torch.no_grad():
            return execute(made, ask, x, noise, arithmetic or fused.arithmetic(x))

    return run


def planner(*changes: tuple[str, str], arithmetic=None):
    return runner(broken(plan, *changes).plan, arithmetic=arithmetic)


def executed(*changes: tuple[str, str]):
    return runner(execute=broken(fused, *changes).execute)


def chosen(*changes: tuple[str, str]):
    """With other lines formed."""
    changed = broken(plan, ("import Terms, formed", "import Terms"))
    changed.formed = broken(lines, *changes).formed
    return runner(changed.plan)


right = runner()
reuses_a_place_still_read = planner(
    ("for i, read in enumerate(reads) for line", "for i, read in [*enumerate(reads)][::-1] for line"),
    ("place = self.at.pop(line)", "place = self.at[line]"),
)
answers_in_one_place = planner(
    (
        "if self.free[inside]:",
        """if self.sizes[0] > 1 and not inside:
            self.at[line] = -1
        elif self.free[inside]:""",
    )
)
result_is_not_the_first_term = planner(("term[0] != place", "term[0] == place"), arithmetic=by_torch)
forgets_the_grid = planner(
    ("ns, tuple(grid), kind", "ns, _first.setdefault(len(grid), tuple(grid)), kind"),
    ("def _made(", "_first: dict = {}\n\n\ndef _made("),
)
keeps_the_argument = executed(("if address in ours:", "if False:"))
takes_any_layout = executed(("and v.is_contiguous() ", ""))
asks_the_noise_backwards = executed(("in questions:", "in questions[::-1]:"))
loses_a_coefficient = chosen(("flat[reader].get(v, 0.0) + c * d", "c * d"))


def _whole_pieces(plan, vectors, x):
    """A kernel that forgets the numbers after the last whole piece."""
    put, form = by_torch(plan, vectors, x)
    for v in vectors[: plan.buffers]:
        v.zero_()  # else there may lie what an executor that is right has left
    piece = 256 * (x.numel() // 256)

    def short(i):
        outs = {c.out: vectors[c.out].flatten()[piece:].clone() for c in plan.passes[i].combinations}
        form(i)
        for out, rest in outs.items():
            vectors[out].view(-1)[piece:] = rest

    return put, short


def _first_addresses(plan, vectors, x):
    """A kernel that learns the address of a place once."""
    put, form = native.native(plan, vectors, x)
    told: set[int] = set()

    def once(place, address):
        if place not in told:
            told.add(place)
            put(place, address)

    return once, form


def _stale_coefficients(plan, vectors, x):
    """A kernel that is compiled for its numbers, and found again by its shape."""
    put, form = by_torch(plan, vectors, x)
    first: dict = {}

    def stale(i):
        form(first.setdefault(compiled._shape(plan.passes[i]), i))

    return put, stale


whole_pieces = runner(arithmetic=_whole_pieces)
first_addresses = runner(arithmetic=_first_addresses)
stale_coefficients = runner(arithmetic=_stale_coefficients)
