r"""The likelihood of data under the probability flow, and the noise that the flow takes them to.

    y = x/alpha,   rho = sigma/alpha:      dy/drho = eps,      d log p(y)/drho = -div_y eps = -alpha div_x eps

the second by the instantaneous change of variables (Chen et al. 2018, arXiv:1806.07366, theorem 1), of the flow by Song et al.
2021, arXiv:2011.13456, section 4.3 and appendix D.2.  With `log p(x) = log p(y) - d log alpha` on either side, from the clean
time t to the noisy time s,

    log p_t(x_t) = log p_s(x_s) + d log(alpha_s/alpha_t) + int_{rho_t}^{rho_s} div_y eps drho

and nothing linear is left to integrate.  The integral is taken over log rho = -lam, by dopri5 of torchdiffeq.
"""

from collections.abc import Callable
from math import exp, inf, log, pi, prod
from typing import NamedTuple

import torch
from torch import Tensor

from sdebench._support.errors import UsageError, is_number, near_miss, shown, whole
from sdebench.integration.prediction import Counted, ModelLike, check_model, name_not_finite
from sdebench.matching.losses import hutchinson
from sdebench.noise import normals, stream
from sdebench.process.family import divergence as exact_divergence
from sdebench.schedules import NoiseSchedule, check_schedule

DIVERGENCES = ("exact", "hutchinson")
_MOST = 128  # dimensions: the exact divergence takes a pass backwards for each


class Likelihood(NamedTuple):
    """`log_prob` (B,) of x_t in nats, float64; `latent` (B, *D), the state x_s of the flow through x_t; `stderr` (B,) of
    `log_prob` over the probes, None where it is exact or of one probe; `nfe`, the calls of the model."""

    log_prob: Tensor
    latent: Tensor
    stderr: Tensor | None
    nfe: int


def log_likelihood(
    model: ModelLike,
    x: Tensor,
    s: float,
    t: float,
    prior: Callable[[Tensor], Tensor] | None = None,
    divergence: str = "exact",
    probes: int = 1,
    seed: int = 0,
    tol: float = 1e-6,
    first: int = 0,
) -> Likelihood:
    """log p_t of the states `x`, (B, *D), of the clean time t, from that of the states of the noisy time s on their flow.

    `prior` is the log density at s, (B, *D) -> (B,), of float64 states.  By default N(0, (alpha_s^2 + sigma_s^2) I), which is
    right for data of mean 0 and variance 1 in each coordinate once noise has hidden the rest: alpha_s << sigma_s.

    `divergence`: "exact" takes a pass backwards a dimension, 128 at most; "hutchinson" the mean of `v.grad(v.eps)` over
    `probes` signs v (Hutchinson 1990; Grathwohl et al. 2019, arXiv:1810.01367), each the same along the whole path: log_prob is
    unbiased.  As with `WhiteNoise`, the batch holds the samples `first`, `first + 1`, ... of `seed`, each with its own signs at
    any batch size.  `tol` is the relative and absolute tolerance of a step, for the state and the log density of every sample.

    This is a density of x_t, not of x_0, and of numbers, not of grey levels.  The state is kept in float64 and the model called
    in the dtype of x.  A network that is told 1000 t is not smooth: give tol=1e-4 there, or more.  Raises UsageError for wrong
    arguments, and for a model that has no gradients.
    """
    ns = _check(model, x, s, t, prior, divergence, probes, seed, tol, first)
    with torch.inference_mode(False), torch.no_grad():
        counted, d = Counted(model), prod(x.shape[1:])
        signs = None if divergence == "exact" else _signs(x, probes, seed, first)
        y, integrals = _solve(_Slope(counted, x, signs), x.double().flatten(1) / ns.alpha(t), -ns.lam(t), -ns.lam(s), tol)
        latent = (ns.alpha(s) * y).view(x.shape)
        start = _gaussian(ns, s)(latent) if prior is None else prior(latent)
        if not isinstance(start, Tensor) or tuple(start.shape) != (len(x),):
            raise UsageError(f"the prior gave {shown(start)}: it has to return a log density a sample, ({len(x)},)")
        values = start.double().unsqueeze(1) + d * log(ns.alpha(s) / ns.alpha(t)) + integrals
        stderr = values.std(1) / probes**0.5 if signs is not None and probes > 1 else None
        return Likelihood(values.mean(1), latent.to(x.dtype), stderr, counted.nfe)


def _check(model, x, s, t, prior, divergence, probes, seed, tol, first) -> NoiseSchedule:
    """The schedule.  Raises UsageError for what is no model, state, interval, prior, divergence, number or tolerance."""
    check_model(model)
    if not (isinstance(x, Tensor) and x.is_floating_point() and x.ndim > 1 and x.numel()):
        what = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else shown(x)
        raise UsageError(f"the states are {what}: give a floating tensor (B, *D), one sample a row")
    if lost := name_not_finite(x):
        raise UsageError(f"{lost}: leave it out, or mend what made it")
    if not (is_number(s) and is_number(t) and s > t):
        raise UsageError(f"from s = {shown(s)} to t = {shown(t)}: give s > t, s the noisy time and t that of x")
    if prior is not None and not callable(prior):
        raise UsageError(f"the prior is {shown(prior)}: give a function, as law.marginal(ns, s).log_prob, or none")
    if divergence not in DIVERGENCES:
        known = f"{near_miss(str(divergence), DIVERGENCES)} (there are: {', '.join(DIVERGENCES)})"
        raise UsageError(f"unknown divergence {shown(divergence)}{known}")
    whole(probes, "the number of probes", 1, 100_000), whole(seed, "seed"), whole(first, "the first sample", 0)
    if not (is_number(tol) and 0 < tol < inf):
        raise UsageError(f"tol = {shown(tol)}: give a positive number")
    d = prod(x.shape[1:])
    if divergence == "exact" and d > _MOST:
        raise UsageError(f"the exact divergence in {d} dimensions: give divergence='hutchinson', or {_MOST} dimensions at most")
    return check_schedule(model.schedule)


class _Slope:
    """d/du of (y, int div_y eps drho) at u = log rho: rho times (eps, its divergence by each estimate); (B, d + k)."""

    def __init__(self, model: ModelLike, x: Tensor, signs: Tensor | None):
        self.model, self.shape, self.dtype, self.signs = model, x.shape, x.dtype, signs

    def eps(self, y: Tensor, t: float) -> Tensor:
        """Of y, (B, d) -> (B, d), with its graph."""
        found = self.model((self.model.schedule.alpha(t) * y).view(self.shape).to(self.dtype), t)
        if not found.value.requires_grad:
            raise UsageError(f"{shown(self.model.model)} has no gradients in x: give a model without no_grad() and detach()")  # type: ignore[attr-defined]  # that is Counted
        return found.eps.flatten(1).double()

    def __call__(self, y: Tensor, t: float) -> tuple[Tensor, Tensor]:
        """(eps (B, d), estimates of div_y eps (B, k))."""
        if self.signs is None:
            eps, trace = exact_divergence(lambda z: self.eps(z, t), y)
            return eps, trace.unsqueeze(1)
        with torch.enable_grad():
            y = y.detach().requires_grad_()
            eps = self.eps(y, t)
        return eps.detach(), torch.stack([hutchinson(eps, y, v) for v in self.signs], 1)


def _solve(slope: _Slope, y: Tensor, start: float, end: float, tol: float) -> tuple[Tensor, Tensor]:
    """(y (B, d), the integrals (B, k)) at u = end, from y at u = start."""
    from torchdiffeq import odeint  # a slow import, for those who ask

    d, ns = y.shape[1], slope.model.schedule
    k = 1 if slope.signs is None else len(slope.signs)

    def rate(u: Tensor, z: Tensor) -> Tensor:
        u = min(float(u), end)  # type: ignore[assignment]  # the search for a first step may look beyond
        return torch.cat(slope(z[:, :d].contiguous(), ns.t(-u)), 1).mul_(exp(u))  # type: ignore[arg-type]  # a float by now

    def norm(z: Tensor) -> Tensor:
        """The larger of the RMS of y and the largest integral, at its largest over the samples."""
        return z[:, :d].square().mean(1).sqrt().maximum(z[:, d:].abs().amax(1)).max()

    u = torch.tensor([start, end], dtype=torch.float64, device=y.device)
    options = {"dtype": torch.float64, "step_t": u[1:], "norm": norm}
    z = odeint(rate, torch.cat([y, y.new_zeros(len(y), k)], 1), u, rtol=tol, atol=tol, method="dopri5", options=options)[-1]
    return z[:, :d], z[:, d:]


def _signs(x: Tensor, probes: int, seed: int, first: int) -> Tensor:
    """Rademacher probes (k, B, d), float64."""
    shape = (len(x), prod(x.shape[1:]))
    z = torch.stack([normals(stream(seed, "probe", j), first, shape, torch.float64) for j in range(probes)])
    return torch.where(z < 0, -1.0, 1.0).to(x.device, torch.float64)


def _gaussian(ns: NoiseSchedule, s: float) -> Callable[[Tensor], Tensor]:
    """The log density of N(0, (alpha_s^2 + sigma_s^2) I)."""
    variance = ns.alpha(s) ** 2 + ns.sigma(s) ** 2
    return lambda x: -0.5 * (x.square() / variance + log(2 * pi * variance)).flatten(1).sum(1)
