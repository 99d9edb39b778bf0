"""What a profiled run asks at every step: nothing (a null model), the exact model of a problem, or a network.

null                    one of four tensors made beforehand, in turn; null[shape=3x64x64,kind=x0] for other states
mixture-2d, ...         a registered problem, whose exact model is computed on the host, in float64
digits, a folder, ...   what `get_network` finds
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, near_miss
from sdebench._support.registry import PROBLEMS, split_spec
from sdebench.catalogue import get_problem
from sdebench.integration.prediction import KINDS, Model
from sdebench.networks import get_network
from sdebench.networks.loading import shipped_names
from sdebench.networks.model import NetworkModel
from sdebench.networks.problem import dtype_of
from sdebench.noise import normals, stream
from sdebench.schedules import NoiseSchedule, VPLinear

_NULL = {"shape": "3x32x32", "kind": "eps"}
_SPAN = (0.95, 0.02)  # of a null model
_ANSWERS = 4  # of a null model: more than one, so that none stays in the cache for being the last


@dataclass(frozen=True)
class Subject:
    """A model taken apart: `fn(x, t)` answers in the reading `kind`, on the schedule, for states of `dtype` on `device`.
    `parameters` and `weights` (bytes) are those of its network.
    """

    fn: Callable[[Tensor, float], Tensor] | None  # None: answers are made beforehand
    schedule: NoiseSchedule
    kind: str
    span: tuple[float, float]
    shape: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    gamma: Callable[[float], float] | None = None
    parameters: int = 0
    weights: int = 0

    def initial(self, n: int, seed: int) -> Tensor:
        """`sigma_s z`, (n, *shape)."""
        z = normals(stream(seed, "initial"), 0, (n, *self.shape), torch.float32)
        return z.mul_(self.schedule.sigma(self.span[0])).to(self.device, self.dtype)

    def answers(self, x: Tensor) -> Callable[[Tensor, float], Tensor]:
        """`fn`, or, where there is none, and for states like x, what answers at no cost."""
        return self.fn or self.null(x)

    @staticmethod
    def null(x: Tensor) -> Callable[[Tensor, float], Tensor]:
        """Answers like x, made beforehand."""
        rng = torch.Generator().manual_seed(0)
        made = cycle([torch.randn(x.shape, generator=rng).to(x.device, x.dtype) for _ in range(_ANSWERS)])
        return lambda x, t: next(made)

    def model(self, fn: Callable[[Tensor, float], Tensor]) -> Model:
        """A model with those answers in the place of its own."""
        return Model(fn, self.schedule, self.kind, self.gamma)


def subject(spec: str, dtype: str, device: str, compiled: bool = False) -> Subject:
    """The subject of a spec, for states of that dtype on that device.

    Of a network `dtype` is its own, and the state's is float32 at least.  Raises UsageError for a spec that names none.
    """
    name, settings = split_spec(spec)
    if name == "null":
        return _null(spec, settings, dtype, device)
    if is_exact(spec):
        return _exact(spec, dtype, device)
    if not re.search(r"[/:.\\]", name) and name not in shipped_names():
        known = ["null", *PROBLEMS.names(), *shipped_names()]
        raise UsageError(
            f"unknown model {spec!r}{near_miss(name, known)} (there are: {', '.join(known)}; or give a network's "
            "folder, owner/name of the hub, or module:factory)"
        )
    return _network(spec, dtype, device, compiled)


def is_exact(spec: str) -> bool:
    """Whether it is the exact model of a problem."""
    from sdebench import catalogue  # noqa: F401  fills the registries

    return split_spec(spec)[0] in PROBLEMS.names()


def compiles(spec: str) -> bool:
    """Whether there is a network to compile."""
    return split_spec(spec)[0] != "null" and not is_exact(spec)


def _null(spec: str, settings: dict[str, str], dtype: str, device: str) -> Subject:
    for key in settings:
        if key not in _NULL:
            raise UsageError(f"unknown setting {key!r} of {spec!r}{near_miss(key, _NULL)} (it has: {', '.join(_NULL)})")
    shape, kind = (settings.get(key, value) for key, value in _NULL.items())
    if not re.fullmatch(r"[1-9]\d*(x[1-9]\d*)*", shape):
        raise UsageError(f"shape {shape!r} of {spec!r}: give that of one sample, as 3x32x32")
    if kind not in KINDS:
        raise UsageError(f"kind {kind!r} of {spec!r}{near_miss(kind, KINDS)}: give one of {', '.join(KINDS)}")
    sizes = tuple(map(int, shape.split("x")))
    return Subject(None, VPLinear(), kind, _SPAN, sizes, dtype_of(dtype), torch.device(device), gamma=lambda t: 0.5)


def _exact(spec: str, dtype: str, device: str) -> Subject:
    problem = get_problem(spec)
    model, at = problem.model, torch.device(device)

    def fn(x: Tensor, t: float) -> Tensor:
        return model(x.cpu(), t).eps.to(at)  # both nothing, on a CPU

    return Subject(fn, problem.schedule, "eps", problem.span, (problem.dim,), dtype_of(dtype), at, model.gamma)


def _network(spec: str, dtype: str, device: str, compiled: bool) -> Subject:
    problem = get_network(spec, dtype, device)
    model: Any = problem.model
    if compiled:
        torch._dynamo.reset()  # or it gives up, silently, after eight shapes
        net = torch.compile(model.net, dynamic=False)
        model = NetworkModel(net, model.schedule, model.kind, model.time, model.dtype, model.device)
    parts = list(problem.model.net.parameters()) if isinstance(problem.model.net, torch.nn.Module) else []
    return Subject(
        lambda x, t: model(x, t).value,
        problem.schedule,
        problem.kind,
        problem.span,
        tuple(problem.shape),
        torch.promote_types(dtype_of(dtype), torch.float32),
        problem.device,
        None,
        sum(p.numel() for p in parts),
        sum(p.numel() * p.element_size() for p in parts),
    )
