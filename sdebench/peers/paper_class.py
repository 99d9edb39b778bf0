r"""A paper's class over a noise-schedule object, as the official DPM-Solver and UniPC have it.

    solver = DPM_Solver(model_fn, noise_schedule, algorithm_type=...)
    x = solver.sample(x, steps=..., order=..., skip_type=..., method=...)

Lu et al. 2022, arXiv:2206.00927; Zhao et al. 2023, arXiv:2302.04867.  `model_fn(x, t)` answers with the noise, for a time t in
(0, 1] a sample; the class itself turns it into x0.  The noise schedule is ours, variance preserving and linear, of the methods
that these classes call; times and coefficients are what their code makes of it, in the dtype of the state.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from sdebench._support.errors import STRANGERS, UsageError, describe, shown
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
from sdebench.schedules import VPLinear

_SCHEDULES = ("noise_schedule", "ns")  # what the constructor's second parameter is called
_GIVEN = ("self", "model_fn", *_SCHEDULES, "x", "steps")


class PaperSchedule:
    """`VPLinear` as these classes want it: tensors in, tensors out, reckoned in float64.

    The level of a time is what VPLinear says, and beyond its domain what its formula says: times are rounded, and pass 1.
    """

    schedule = "linear"
    T, total_N = 1.0, 1000

    def __init__(self, dtype: torch.dtype = torch.float64):
        self._ns, self._dtype = VPLinear(), dtype
        self.beta_0, self.beta_1 = self._ns.beta_min, self._ns.beta_max

    def _integral(self, t: Any) -> Tensor:
        t = torch.as_tensor(t, dtype=torch.float64)
        return t * (self.beta_0 + 0.5 * t * (self.beta_1 - self.beta_0))

    def marginal_log_mean_coeff(self, t: Any) -> Tensor:
        """log alpha."""
        return (-0.5 * self._integral(t)).to(self._dtype)

    def marginal_alpha(self, t: Any) -> Tensor:
        """alpha."""
        return torch.exp(-0.5 * self._integral(t)).to(self._dtype)

    def marginal_std(self, t: Any) -> Tensor:
        """sigma."""
        return torch.sqrt(-torch.expm1(-self._integral(t))).to(self._dtype)

    def marginal_lambda(self, t: Any) -> Tensor:
        """lam = log(alpha/sigma)."""
        b = self._integral(t)
        return (-0.5 * (b + torch.log(-torch.expm1(-b)))).to(self._dtype)

    def inverse_lambda(self, lamb: Any) -> Tensor:
        """The time of a lam."""
        b, slope = torch.nn.functional.softplus(-2 * torch.as_tensor(lamb, dtype=torch.float64)), self.beta_1 - self.beta_0
        return (2 * b / (self.beta_0 + torch.sqrt(self.beta_0**2 + 2 * slope * b))).to(self._dtype)

    def level(self, t: float) -> Level:
        """The level of a time."""
        b = self._integral(t)
        return Level(float(torch.exp(-0.5 * b)), float(torch.sqrt(-torch.expm1(-b))))

    def time(self, level: Level) -> float:
        """The time of a level.  Raises NotOffered for one beyond the schedule."""
        try:
            return self._ns.t(level.lam)
        except UsageError:
            low = self._ns.lam_min
            raise NotOffered(f"its times hold lam from {low:.4g}, without the end: not lam = {level.lam:.4g}") from None


def _names(function: Any) -> list[str]:
    return [name for name in parameters(function) if name not in _GIVEN]


def is_paper_class(target: Any) -> bool:
    """Whether it is a class made of a model and a noise schedule, with `sample`."""
    if not (isinstance(target, type) and callable(getattr(target, "sample", None))):
        return False
    names = list(parameters(target))
    return len(names) > 1 and names[1] in _SCHEDULES


@dataclass(frozen=True)
class PaperPeer(Peer):
    """A class.  Settings go to the constructor or to `sample`, whichever takes them."""

    kind: ClassVar[str] = "class"
    predictions: ClassVar[tuple[str, ...]] = ("eps",)

    def __post_init__(self) -> None:
        known = (*_names(self.target), *_names(self.target.sample))
        check_settings(self.settings, known, self.name)

    @property
    def takes_levels(self) -> bool:  # type: ignore[override]  # told by the class
        """Whether it asks a method of its own for its times, which can be answered."""
        return callable(getattr(self.target, "get_time_steps", None))

    @property
    def budget(self) -> bool:  # type: ignore[override]  # told by the settings
        """Whether `steps` counts evaluations: of the single-step methods."""
        return str(self.settings.get("method", "")).startswith("singlestep")

    def evaluations(self, n: int) -> int:
        """The `steps` of a run over n + 1 levels."""
        if self.settings.get("method") != "singlestep_fixed":
            return n
        order = parameters(self.target.sample)["order"].default
        return n * int(self.settings.get("order", order))

    def of(self, function: Any) -> dict[str, Any]:
        """The settings that a function takes."""
        names = _names(function)
        return {name: value for name, value in self.settings.items() if name in names}

    def prepare(self, plan: RunPlan) -> "PaperSession":
        if plan.prediction not in ("", "eps"):
            raise NotOffered("the model of this interface answers with eps, which the class turns into x0 itself")
        if plan.levels and not self.takes_levels:
            raise NotOffered("it has no get_time_steps, whose answer could be ours")
        if plan.begin and not plan.levels:
            raise NotOffered("it makes its times from the first to the last")
        return PaperSession(self, plan)


class PaperSession(Session):
    """One object of the class, and one call of `sample`."""

    prediction = "eps"

    def __init__(self, peer: PaperPeer, plan: RunPlan):
        self._peer = peer
        ns = PaperSchedule()
        self._times = [ns.time(level) for level in plan.levels[plan.begin :]]
        self._steps = peer.evaluations(len(self._times) - 1) if self._times else plan.steps
        first = peer.settings.get("t_start")
        self.start = ns.level(self._times[0] if self._times else ns.T if first is None else float(first))
        self.noise = 1.0
        self.believed = [ns.level(t) for t in self._times[:-1]]

    def run(self, network: Network, x: Tensor) -> Tensor:
        ns = PaperSchedule(x.dtype)

        def model_fn(state: Tensor, t: Any, *rest: Any, **named: Any) -> Tensor:
            time = one_number(t)
            told = ns.level(time)
            return say("eps", network(state, told, time), state, told)

        peer = self._peer
        try:
            solver = peer.target(model_fn, ns, **peer.of(peer.target))
        except STRANGERS as error:
            raise UsageError(f"{peer.name} cannot be made ({describe(error)}): give what it needs in brackets") from None
        span = {}
        if self._times:
            span = _replace_times(solver, self._times, x.dtype)
        out = solver.sample(x=x, steps=self._steps, **{**peer.of(peer.target.sample), **span})
        return check_state(out[0] if isinstance(out, tuple) else out, x, peer.name)


def _replace_times(solver: Any, times: list[float], dtype: torch.dtype) -> dict[str, float]:
    """Make `get_time_steps` answer with ours, where it is asked for the whole run; the span, for `sample`.

    A single-step method asks for the times inside a step as well, which stay its own.
    """
    own, ours = solver.get_time_steps, torch.tensor(times, dtype=torch.promote_types(dtype, torch.float32))
    names = list(parameters(own))

    def get_time_steps(*args: Any, **named: Any) -> Any:
        asked = {**dict(zip(names, args)), **named}
        if (asked.get("t_T"), asked.get("t_0")) != (times[0], times[-1]):
            return own(*args, **named)
        if asked.get("N") != len(times) - 1:
            raise NotOffered(f"it asks for {asked.get('N')} steps over the {len(times)} levels: not one less")
        return ours

    solver.get_time_steps = get_time_steps
    return {"t_start": times[0], "t_end": times[-1]}


def from_class(target: type, name: str = "", settings: Mapping[str, Any] | None = None) -> PaperPeer:
    """The peer of a class.  Raises UsageError for one that has not the interface."""
    if not is_paper_class(target):
        raise UsageError(f"{shown(target)} is not a class of a model and a noise_schedule, with `sample`: its signatures tell")
    return PaperPeer(name or target.__name__, target, dict(settings or {}))
