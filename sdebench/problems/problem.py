"""Problem: a data law, a schedule and a time span; its exact model, and its solution where a formula exists."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor

from sdebench._support.errors import UsageError, is_number, shown, whole
from sdebench.integration.ends import is_noise
from sdebench.integration.prediction import Prediction
from sdebench.problems.energy import mean_square_eps
from sdebench.problems.mixture import GaussianMixture
from sdebench.problems.product import ProductMixture
from sdebench.problems.quantile import check_states
from sdebench.process.family import Dynamics
from sdebench.schedules import NoiseSchedule, check, check_schedule

Law = GaussianMixture | ProductMixture
_KEPT_BYTES = 64 << 20


def checked_law(law: Law) -> Law:
    """The law itself; raises UsageError for what has no `marginal`."""
    if not hasattr(law, "marginal"):
        raise UsageError(f"{shown(law)} is not a law: give a sdebench.problems.GaussianMixture, or a problem's .law")
    return law


class ExactModel:
    """The perfect network of a law: `model(x, t)` predicts `eps = -sigma_t score_t(x)`, `gamma(t)` is E|eps|^2/d.  Pure.

    At alpha = 0, where eps is x/sigma whatever the data are, it predicts x0: the mean of the law.

    Computed in float64, returned in the dtype of x.  The marginals of the last times are kept (bounded in number and
    bytes): a study comes back to the same grid with every solver.
    """

    def __init__(self, law: Law, schedule: NoiseSchedule):
        self.law, self.schedule = checked_law(law), check_schedule(schedule)
        self._kept: dict[float, tuple[Callable, float]] = {}
        self._gammas: dict[float, float] = {}
        basis = getattr(law, "_basis", None)
        numbers = 4 * law.means.numel() + (0 if basis is None else 2 * basis.numel())
        self._most = max(4, min(32768, _KEPT_BYTES // (8 * numbers)))

    def __reduce__(self):  # the kept marginals stay at home when a worker process gets the model
        return ExactModel, (self.law, self.schedule)

    def _at(self, t: float) -> tuple[Callable, float]:
        """(score of the marginal at t, -sigma_t)."""
        if len(self._kept) >= self._most:
            del self._kept[next(iter(self._kept))]
        self._kept[t] = found = (self.law.marginal(self.schedule, t).score, -self.schedule.sigma(t))
        return found

    def __call__(self, x: Tensor, t: float) -> Prediction:
        check_states(x, self.law.dim)
        if t >= self.schedule.t_max and is_noise(self.schedule, t):
            return Prediction("x0", self.law.mean().to(x).expand_as(x).clone(), x, t, self.schedule)
        kept = None if x.requires_grad else self._kept.get(t)  # made in inference mode, it could not be differentiated
        score, factor = kept or self._at(t)
        eps = score(x.double()).mul_(factor).to(x.dtype)
        return Prediction("eps", eps, x, t, self.schedule)

    def gamma(self, t: float) -> float:
        """E|eps(x_t, t)|^2/d, kept once known."""
        if t not in self._gammas:
            self._gammas[t] = mean_square_eps(self.law, self.schedule, t)
        return self._gammas[t]


def exact_model(law: Law, ns: NoiseSchedule) -> ExactModel:
    """The exact model of a law on a schedule."""
    return ExactModel(law, ns)


@dataclass(frozen=True, eq=False)
class Problem:
    """`law` is that of x_0; `span = (s, t)`, s > t, is the interval of time that a study crosses."""

    name: str
    law: Law
    schedule: NoiseSchedule
    span: tuple[float, float]

    def __post_init__(self):
        checked_law(self.law), check(self.schedule)
        if not (isinstance(self.span, tuple | list) and len(self.span) == 2 and all(map(is_number, self.span))):
            raise UsageError(f"the span of {self.name!r} is {shown(self.span)}: give two times (s, t), s > t")

    @property
    def dim(self) -> int:
        """Dimension of the states."""
        return self.law.dim

    @cached_property
    def model(self) -> ExactModel:
        """The exact model: native kind `eps`."""
        return exact_model(self.law, self.schedule)

    def dynamics(self, eta: float | Callable[[float], float] = 1.0) -> Dynamics:
        """The process with noise `eta`, a multiple of g or a function eta(t): all have the marginals of this problem."""
        return Dynamics(self.schedule, eta)

    def initial(self, n: int, seed: int) -> Tensor:
        """`n` exact draws from the marginal at span[0], (n, d) float64."""
        n = whole(n, "the number of points", 1)
        return self.law.marginal(self.schedule, self.span[0]).sample(n, seed)

    @property
    def has_solution(self) -> bool:
        """Whether the flow has a formula."""
        return self.law.has_flow

    def solution(self, x: Tensor, s: float, t: float) -> Tensor:
        """Exact flow x_s -> x_t, (n, d) -> (n, d).  Raises UsageError where no formula exists."""
        return self.law.flow(x, self.schedule, s, t)

    def solution_with_error(self, x: Tensor, s: float, t: float) -> tuple[Tensor, float]:
        """(exact flow, bound of its rounding error: RMS over points and coordinates)."""
        return self.law.flow_with_error(x, self.schedule, s, t)
