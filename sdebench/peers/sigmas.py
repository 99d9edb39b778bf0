"""Functions `f(model, x, sigmas, ...)` of k-diffusion, of graphical front ends and of their node packs.

A state has a = 1 and s = sigma; `model(x, sigma, **extra)` answers with the denoised state, x0; the levels are handed over, as
a falling tensor with zero at its end.  Functions that take `sigma_min`, `sigma_max` and `n` instead make their own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, ClassVar

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, shown
from sdebench.peers.base import (
    Level,
    Network,
    NotOffered,
    Peer,
    RunPlan,
    Session,
    check_settings,
    check_state,
    one_number,
    parameters,
    say,
)

SIGMA_MIN, SIGMA_MAX, RHO = 0.0291675, 14.614642, 7.0  # the levels of Stable Diffusion's first and last training steps
_GIVEN = ("model", "x", "sigmas", "extra_args", "callback", "disable", "sigma_min", "sigma_max", "n")


def is_sigmas_function(target: Any) -> bool:
    """Whether it is a function whose first parameters are the model, the state, and sigmas or their range."""
    if isinstance(target, type) or not callable(target):
        return False
    names = list(parameters(target))
    return len(names) > 2 and names[1] == "x" and names[2] in ("sigmas", "sigma_min")


def karras(steps: int) -> tuple[float, ...]:
    """Falling sigmas of Karras et al. 2022, arXiv:2206.00364, eq. 5, with rho = 7, and zero."""
    low, high = SIGMA_MIN ** (1 / RHO), SIGMA_MAX ** (1 / RHO)
    ramp = [i / max(1, steps - 1) for i in range(steps)]
    return (*((high + r * (low - high)) ** RHO for r in ramp), 0.0)


@dataclass(frozen=True)
class SigmasPeer(Peer):
    """A function of sigmas."""

    kind: ClassVar[str] = "sigmas"
    predictions: ClassVar[tuple[str, ...]] = ("x0",)

    def __post_init__(self) -> None:
        names = parameters(self.target)
        check_settings(self.settings, [name for name in names if name not in _GIVEN], self.name)

    @property
    def takes_levels(self) -> bool:  # type: ignore[override]  # told by the signature
        """Whether the levels are handed over."""
        return "sigmas" in parameters(self.target)

    @property
    def budget(self) -> bool:  # type: ignore[override]  # told by the signature
        """Whether `n` is a number of evaluations."""
        return "n" in parameters(self.target)

    def default_levels(self, steps: int) -> tuple[Level, ...]:
        return tuple(Level(1.0, sigma) for sigma in karras(steps))

    def prepare(self, plan: RunPlan) -> "SigmasSession":
        if plan.prediction not in ("", "x0"):
            raise NotOffered("the model of this interface answers with x0")
        levels = plan.levels or self.default_levels(plan.steps)
        sigmas = [level.s / level.a if level.a > 0 else float("inf") for level in levels[plan.begin :]]
        if not all(map(isfinite, sigmas)):
            raise NotOffered("sigmas cannot hold a level with alpha = 0")
        if (plan.levels or plan.begin) and not self.takes_levels:
            raise NotOffered("it takes no sigmas but their range")
        return SigmasSession(self, sigmas, len(levels) - 1)


class SigmasSession(Session):
    """One call of the function."""

    def __init__(self, peer: SigmasPeer, sigmas: list[float], steps: int):
        self._peer, self._sigmas, self._steps = peer, sigmas, steps
        self.start, self.noise = Level(1.0, sigmas[0]), None
        self.believed = [Level(1.0, sigma) for sigma in sigmas[:-1]] if peer.takes_levels else []

    def run(self, network: Network, x: Tensor) -> Tensor:
        model, names = _Model(network), parameters(self._peer.target)
        sigmas = torch.tensor(self._sigmas, dtype=torch.promote_types(x.dtype, torch.float32))
        given: dict[str, Any] = {"sigmas": sigmas}
        if "sigmas" not in names:
            given = {"sigma_min": SIGMA_MIN, "sigma_max": SIGMA_MAX}
            given |= {"n": self._steps} if "n" in names else {}
        quiet = {"disable": True} if "disable" in names else {}
        out = self._peer.target(model, x, **given, **quiet, **self._peer.settings)
        return check_state(out[0] if isinstance(out, tuple) else out, x, self._peer.name)


class _Model(torch.nn.Module):
    """`model(x, sigma)` -> x0."""

    def __init__(self, network: Network):
        super().__init__()
        self._network = [network]

    def forward(self, x: Tensor, sigma: Any, **extra: Any) -> Tensor:
        value = one_number(sigma)
        told = Level(1.0, value)
        return say("x0", self._network[0](x, told, value), x, told)


def from_function(fn: Callable[..., Any], name: str = "", settings: Mapping[str, Any] | None = None) -> SigmasPeer:
    """The peer of a function.  Raises UsageError for one that has not the interface."""
    if not is_sigmas_function(fn):
        raise UsageError(f"{shown(fn)} is not a function f(model, x, sigmas, ...): its second and third parameters tell")
    return SigmasPeer(name or getattr(fn, "__name__", "function"), fn, dict(settings or {}))
