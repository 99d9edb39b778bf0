r"""The random numbers of foreign code: every draw is seen, and can be given.

Torch code draws normals by `randn`, `randn_like`, `normal`, `normal_`, from a Brownian tree, or by a package's own helper,
which calls one of these.  A function mode of torch sees them all, and leaves nothing patched behind.
"""

import random
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import sqrt
from typing import Any

import numpy as np
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


class Path:
    """One Brownian path: its intervals are recorded first, then each elementary one has normals of its own.

    Without `knots` every increment is zero; `asked` collects the ends of the intervals, and `areas` tells whether more than
    increments was asked for.  With them an elementary interval of length h has the increment `sqrt(h) z` and, with `areas`, the
    space-time area `h (w/2 + sqrt(h/12) z')`, z and z' independent (Foster et al. 2020, arXiv:1904.05184).
    """

    def __init__(self, knots: tuple[float, ...] = (), draw: Draw | None = None, areas: bool = False):
        self.knots, self.draw, self.areas, self.asked = knots, draw, areas, set[float]()
        self._pieces: dict[int, tuple[Tensor, Tensor]] = {}

    @property
    def normals(self) -> int:
        """How many tensors of normals all of it takes."""
        return max(0, len(self.knots) - 1) * (2 if self.areas else 1)

    def increment(self, a: float, b: float, shape: tuple[int, ...]) -> Tensor:
        """w(b) - w(a)."""
        return self.with_area(a, b, shape)[0]

    def with_area(self, a: float, b: float, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """w(b) - w(a), and the integral of w(u) - w(a) over u from a to b.  Raises ValueError for an end that is no knot."""
        self.asked |= {a, b}
        if a > b:
            w, u = self.with_area(b, a, shape)
            return -w, (b - a) * w + u  # the integral from a down to b of w(u) - w(a)
        w, area = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)
        if self.draw is None or not self.knots:
            return w, area
        for i in range(self._place(a), self._place(b)):
            h, (piece, rest) = self.knots[i + 1] - self.knots[i], self._piece(i, shape)
            w, area = w + piece, area + h * (w + 0.5 * piece) + rest
        return w, area

    def _place(self, t: float) -> int:
        i = bisect_left(self.knots, t)
        if i == len(self.knots) or self.knots[i] != t:
            raise ValueError(f"the path has no knot at {t!r}: another run of the same steps asked for other intervals")
        return i

    def _piece(self, i: int, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """(increment, area less h/2 increments) of an elementary interval."""
        assert self.draw is not None
        if i not in self._pieces:
            h = self.knots[i + 1] - self.knots[i]
            rest = h * sqrt(h / 12) * self.draw(shape) if self.areas else torch.zeros(shape, dtype=torch.float64)
            self._pieces[i] = sqrt(h) * self.draw(shape), rest
        return self._pieces[i]


@contextmanager
def brownian_path(path: Path) -> Iterator[None]:
    """Within, the Brownian trees, paths and intervals of torchsde are increments of that path, however they are made.

    All of them ask `BrownianInterval`, which rounds times to its tolerance: so does this.  The area between coordinates
    (`return_A`) is zero, as in every scheme of a diagonal diffusion.
    """
    library = sys.modules.get("torchsde._brownian.brownian_interval")
    if library is None:
        yield
        return

    def increments(self: Any, ta: Any, tb: Any = None, return_U: bool = False, return_A: bool = False) -> Any:
        a, b = (self._start, ta) if tb is None else (ta, tb)
        a, b = (self._round(min(max(float(t), self._start), self._end)) for t in (a, b))
        path.areas |= return_U
        w, u = (value.to(self._dtype) for value in path.with_area(a, b, tuple(self._size)))
        area = torch.zeros(*self._size, *self._size[-1:], dtype=self._dtype) if return_A else None
        found = [w, *([u] if return_U else []), *([area] if return_A else [])]
        return found[0] if len(found) == 1 else tuple(found)

    def zeros(size: Any, dtype: Any, device: Any, seed: Any) -> Tensor:
        return torch.zeros(size, dtype=dtype, device=device)

    one = library.BrownianInterval
    kept = one.__call__, library._randn
    one.__call__, library._randn = increments, zeros  # type: ignore[attr-defined]  # a module without types
    try:
        yield
    finally:
        one.__call__, library._randn = kept  # type: ignore[attr-defined]


@contextmanager
def untouched() -> Iterator[None]:
    """Within, foreign code may do what it likes to the generators, torch's default dtype and its functions; they come back."""
    state, dtype, grad = torch.get_rng_state(), torch.get_default_dtype(), torch.is_grad_enabled()
    others = random.getstate(), np.random.get_state()  # noqa: NPY002  # the one that foreign code uses
    kept = {(owner, name): getattr(owner, name) for owner, name in _PATCHED}
    try:
        yield
    finally:
        for (owner, name), value in kept.items():
            if getattr(owner, name) is not value:
                setattr(owner, name, value)
        torch.set_rng_state(state)
        random.setstate(others[0])
        np.random.set_state(others[1])  # noqa: NPY002
        torch.set_default_dtype(dtype)
        torch.set_grad_enabled(grad)


_PATCHED = ((torch, "randn"), (torch, "randn_like"), (torch, "normal"), (torch, "rand"))
