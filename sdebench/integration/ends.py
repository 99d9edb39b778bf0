r"""The two ends of time: alpha = 0, where a state is noise alone, and sigma = 0, where it is data.

lam is -inf and +inf there, so a formula in lam does not hold as it stands, and one in x/alpha or x/sigma divides by zero.
A method states how it crosses a step that begins or ends there, by one of the words of `ENDS`, and the words are acted on: a
Solver's own `step` is asked only where it says that its formula holds.  Elsewhere `Solver.leave_noise` and
`Solver.reach_data` cross, which take DDIM's step unless the method says another,

    x_t = alpha_t x0 + sigma_t (k eps + sqrt(1 - k^2) z),     eps = (x - alpha_s x0)/sigma_s

(Song et al. 2020, arXiv:2010.02502, eq. 12; k = 1 is the probability flow, k = 0 takes all noise anew).  It divides by
neither level: at alpha = 0 eps is x/sigma, at sigma = 0 what is left is alpha x0.  That is the "denoising step" with which
samplers of the field end (Jolicoeur-Martineau et al. 2020, arXiv:2009.05475).
"""

from collections.abc import Callable, Sequence
from functools import partial, wraps
from math import sqrt
from typing import Any

from torch import Tensor

from sdebench._support.errors import UsageError
from sdebench.integration.prediction import Prediction, Untold, lincomb
from sdebench.schedules import NoiseSchedule, OutsideDomain

ENDS = {
    "paper": "as its paper does, or the code that is its reference",
    "formula": "by its formula, which holds there as it stands",
    "limit": "by the limit of its formula",
    "first-order": "by DDIM's step, since its formula has no limit there, or none that can be evaluated or used",
    "not possible": "not at all: an error says so",
    "not stated": "by its step as it is: the default, for methods that say nothing",
}
_ROUNDING = 2.0**-52


def is_noise(ns: NoiseSchedule, t: float) -> bool:
    """Whether alpha is 0 at t, up to rounding: cos(pi/2) is 6e-17, and a state holds no such signal."""
    return ns.alpha(t) <= _ROUNDING * ns.sigma(t)


def is_data(ns: NoiseSchedule, t: float) -> bool:
    """Whether sigma is 0 at t, up to rounding."""
    return ns.sigma(t) <= _ROUNDING * ns.alpha(t)


def ddim(ns: NoiseSchedule, m: Prediction, x: Tensor, s: float, t: float, kept: float = 1.0, z: Tensor | None = None) -> Tensor:
    """The step above from the state x at s, by the prediction m there; `kept` is k, and z is not needed where it is 1."""
    (alpha_s, sigma_s), (alpha_t, sigma_t) = ns.levels(s), ns.levels(t)
    c, d, value = m.parts("x0")
    a = kept * sigma_t / sigma_s  # of x
    b = alpha_t - a * alpha_s  # of x0
    terms: list[Any] = [(b * d, value)]
    if m.x is x:
        a += b * c
    else:
        terms.append((b * c, m.x))
    if z is not None:
        terms.append((sigma_t * sqrt(1 - kept * kept), z))
    terms = [(w, v) for w, v in ((a, x), *terms) if w] or [(0.0, x)]
    return lincomb(*[part for term in terms for part in term])


def watch_ends(step: Callable[..., Any]) -> Callable[..., Any]:
    """A Solver's step that is asked only for what its formula is for; the ends are crossed as the solver states."""

    @wraps(step)
    def crossing(self: Any, model: Any, x: Tensor, s: float, t: float, *rest: Any, **named: Any) -> Any:
        past, latest = rest[0] if rest else named.get("past", ()), model.schedule.t_max
        if t > 0.0 and s < latest and not (past and past[-1].t >= latest):
            return step(self, model, x, s, t, *rest, **named)
        return _cross(self, step, model, x, s, t, *rest, **named)

    return crossing


def inner_step(solver: Any) -> Callable[..., Any]:
    """The step of a Solver for an interval that is known to be inside, where nothing has to be looked at."""
    formula = getattr(type(solver).step, "__wrapped__", None)
    return solver.step if formula is None else partial(formula, solver)


def _cross(
    solver: Any,
    step: Callable[..., Any],
    model: Any,
    x: Tensor,
    s: float,
    t: float,
    past: Sequence[Any] = (),
    noise: Any = None,
) -> Any:
    """The step s -> t, where s or t may be an end, or the oldest node may lie at one."""
    ns = model.schedule
    if not solver.remembers_noise:
        past = tuple(node for node in past if not is_noise(ns, node.t))
    first, last = is_noise(ns, s), is_data(ns, t)
    claims = [solver.from_noise] * first + [solver.to_data] * last
    if "not possible" in claims:
        raise UsageError(f"{place(solver, ns, s, t)}: it states that this is not possible, so keep the grid off that end")
    if all(claim in ("formula", "not stated") for claim in claims):
        cross: Callable[..., Any] = step.__get__(solver)
    elif first and last:
        cross = solver.first_order
    else:
        cross = solver.leave_noise if first else solver.reach_data
    try:
        return cross(model, x, s, t, past, noise)
    except Untold as error:
        raise Untold(error.what, place(solver, ns, s, t), error.advice) from None


def place(method: Any, ns: NoiseSchedule, s: float, t: float) -> str:
    """Who is at which end, for a message."""
    where = f"begins at alpha = 0 (t = {s:g})" if is_noise(ns, s) else f"ends at sigma = 0 (t = {t:g})"
    return f"{type(method).__name__} {where} of {ns}"


def at_no_end(ns: NoiseSchedule, grid: Sequence[float]) -> bool:
    """Whether a grid begins and ends where both levels are above 0."""
    return not (is_noise(ns, grid[0]) or is_data(ns, grid[-1]))


def is_of_an_end(error: Exception) -> bool:
    """Whether an error is what a formula raises for an infinite lam or a level of 0; a model's own errors are not."""
    if isinstance(error, UsageError):
        return isinstance(error, OutsideDomain | Untold)
    return isinstance(error, ArithmeticError) or "domain" in str(error) or str(error).startswith("expected a ")  # log(0)


def failed_there(method: Any, ns: NoiseSchedule, s: float, t: float, error: Exception) -> UsageError:
    """What to say of a run from s to t that failed so, where s or t is an end."""
    if isinstance(error, Untold):
        return Untold(error.what, place(method, ns, s, t), error.advice)
    claim = "from_noise" if is_noise(ns, s) else "to_data"
    what = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {error}"
    advice = f"keep the grid off that end, or state {claim} = 'first-order' in the method, for DDIM's step"
    return UsageError(f"{place(method, ns, s, t)} and fails there ({what}): {advice}")
