r"""The random numbers of foreign code: every draw is seen, and can be given.

Torch code draws normals by `randn`, `randn_like`, `normal`, `normal_`, from a Brownian tree, or by a package's own helper,
which calls one of these.  A function mode of torch sees them all, and leaves nothing patched behind.
"""

import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

Draw = Callable[[tuple[int, ...]], Tensor]  # from a shape, a float64 tensor


class Draws(TorchFunctionMode):
    """Within, every normal number comes from `draw(shape)`; without a `draw` they are only counted.

    `count` is how many tensors of normals were drawn, `others` names draws of another law, which are left alone.
    """

    def __init__(self, draw: Draw | None = None):
        super().__init__()
        self.draw, self.count, self.others = draw, 0, set[str]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in _OTHERS:
            self.others.add(name)
        if name not in _NORMALS:
            return func(*args, **kwargs)
        self.count += 1
        if self.draw is None:
            return func(*args, **kwargs)
        with torch._C.DisableTorchFunction():
            return _NORMALS[name](self.draw, func, args, kwargs)


class Doubles(TorchFunctionMode):
    """Within, a float64 tensor stays one where the code casts it to float32: orders need more digits than float32 has.

    `casts` counts them.
    """

    def __init__(self) -> None:
        super().__init__()
        self.casts = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        if name in ("to", "float", "type") and isinstance(args[0], Tensor) and args[0].dtype is torch.float64:
            wanted = (*args[1:], *kwargs.values())
            if name == "float" or any(one is torch.float32 for one in wanted):
                self.casts += 1
                return args[0]
        return func(*args, **kwargs)


def _like(draw: Draw, func: Any, args: Any, kwargs: Any) -> Tensor:
    x = args[0] if args else kwargs["input"]
    return draw(tuple(x.shape)).to(kwargs.get("dtype") or x.dtype)


def _of_shape(draw: Draw, func: Any, args: Any, kwargs: Any) -> Tensor:
    sample = func(*args, **{k: v for k, v in kwargs.items() if k != "generator"})  # for its shape and its dtype
    return draw(tuple(sample.shape)).to(sample.dtype)


def _in_place(draw: Draw, func: Any, args: Any, kwargs: Any) -> Tensor:
    x, rest = args[0], args[1:]
    mean = kwargs.get("mean", rest[0] if rest else 0.0)
    std = kwargs.get("std", rest[1] if len(rest) > 1 else 1.0)
    return x.copy_(mean + std * draw(tuple(x.shape)))


def _normal(draw: Draw, func: Any, args: Any, kwargs: Any) -> Tensor:
    sample = func(*args, **kwargs)
    mean = kwargs.get("mean", args[0] if args else 0.0)
    std = kwargs.get("std", args[1] if len(args) > 1 else 1.0)
    return (mean + std * draw(tuple(sample.shape))).to(sample.dtype)


_NORMALS = {"randn": _of_shape, "randn_like": _like, "normal_": _in_place, "normal": _normal}
_OTHERS = frozenset(
    {"rand", "rand_like", "uniform_", "bernoulli", "bernoulli_", "multinomial", "exponential_", "randint", "randperm"}
)


class _Tree:
    """In the place of a Brownian tree: increments between the times that are asked for, from one `path`."""

    def __init__(self, path: "Path", shape: tuple[int, ...], like: Tensor):
        self._path, self._shape, self._like = path, shape, like

    def __call__(self, ta: Any, tb: Any = None, *args: Any, **kwargs: Any) -> Tensor:
        a, b = float(ta), float(tb)
        return self._path.increment(a, b, self._shape).to(self._like)


class Path:
    """One Brownian path: its intervals are recorded first, then each elementary one has a normal of its own.

    Without `knots` every increment is zero, and `asked` collects the ends of the intervals.
    """

    def __init__(self, knots: tuple[float, ...] = (), draw: Draw | None = None):
        self.knots, self.draw, self.asked = knots, draw, set[float]()
        self._pieces: dict[int, Tensor] = {}

    def increment(self, a: float, b: float, shape: tuple[int, ...]) -> Tensor:
        """w(b) - w(a)."""
        self.asked |= {a, b}
        total = torch.zeros(shape, dtype=torch.float64)
        if self.draw is None or not self.knots:
            return total
        first, last = sorted((bisect_left(self.knots, a), bisect_left(self.knots, b)))
        for i in range(first, last):
            if i not in self._pieces:
                self._pieces[i] = sqrt(self.knots[i + 1] - self.knots[i]) * self.draw(shape)
            total = total + self._pieces[i]
        return total if a < b else -total


@contextmanager
def brownian_path(path: Path) -> Iterator[None]:
    """Within, the Brownian trees and intervals of torchsde are increments of that path."""
    library = sys.modules.get("torchsde")
    if library is None:
        yield
        return

    def make(
        t0: Any = 0.0, t1: Any = 1.0, *args: Any, w0: Any = None, size: Any = None, dtype: Any = None, **kwargs: Any
    ) -> _Tree:
        like = w0 if isinstance(w0, Tensor) else t1 if isinstance(t1, Tensor) and t1.ndim else None
        shape = tuple(like.shape) if like is not None else tuple(size)
        return _Tree(path, shape, like if like is not None else torch.zeros((), dtype=dtype or torch.get_default_dtype()))

    names = ("BrownianTree", "BrownianInterval", "BrownianPath")
    kept = {name: getattr(library, name) for name in names}
    try:
        for name in names:
            setattr(library, name, make)
        yield
    finally:
        for name, value in kept.items():
            setattr(library, name, value)


@contextmanager
def untouched() -> Iterator[None]:
    """Within, foreign code may do what it likes to torch's generator, default dtype and threads; they come back."""
    state, dtype, grad = torch.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled()
    kept = {(owner, name): getattr(owner, name) for owner, name in _PATCHED}
    try:
        yield
    finally:
        for (owner, name), value in kept.items():
            if getattr(owner, name) is not value:
                setattr(owner, name, value)
        torch.set_rng_state(state)
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)


_PATCHED = ((torch, "randn"), (torch, "randn_like"), (torch, "normal"), (torch, "rand"))
