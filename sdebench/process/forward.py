r"""The forward side: data to noise, as an SDE and as the chains that discretise it.

    dx = f x dt + g dw    <=>    q(x_t | x_0) = N(alpha_t x_0, sigma_t^2)
    f = d log(alpha)/dt,   g2 = d(sigma^2)/dt - 2 f sigma^2          (Lu et al. 2022, arXiv:2206.00927, eq. 2.3; the seed, (2))
    alpha = exp(int f),    sigma^2 = alpha^2 int g2 / alpha^2        (variation of constants in the seed's (3))

A forward chain is `x_i = a_i x_{i-1} + b_i z_i`, affine and Gaussian: what it makes of x_0 is known exactly at every i.
Times RISE here, from data to noise; everywhere else in the suite they fall.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from math import cos, exp, expm1, inf, log, pi, sqrt
from typing import Any

import numpy as np
import torch
from numpy.polynomial import legendre
from torch import Tensor

from sdebench._support.errors import UsageError
from sdebench._support.quadrature import gauss_legendre
from sdebench.integration.prediction import lincomb
from sdebench.noise import TIME
from sdebench.schedules import NoiseSchedule

_NODES, _AGREE, _ROUNDING = 16, 1e-13, 1e-8


def log_snr(ns: NoiseSchedule, t: float) -> float:
    """log(alpha^2/sigma^2) = 2 lam: finite wherever lam is, where the ratio itself may overflow."""
    return 2 * ns.lam(t)


def snr(ns: NoiseSchedule, t: float) -> float:
    """alpha^2/sigma^2, the signal-to-noise ratio; inf where it is beyond the largest number."""
    value = log_snr(ns, t)
    return exp(value) if value < 709.0 else inf


def coefficients(
    alpha: Callable[[float], float], sigma: Callable[[float], float], t: float, reach: float, nodes: int = 24
) -> tuple[float, float]:
    """`(f, g2)` at t from `alpha` and `sigma`, which are smooth functions on [t - reach, t + reach].

    The derivatives are those of the interpolants in `nodes + 1` Chebyshev points around t.  Relative errors are about
    1e-15 over (f reach) and over (g2 reach / sigma^2), if the nearest singularity is 2 reach away or more: log(alpha) and
    sigma^2 are known to rounding only, so no difference could do better.
    """
    if not (reach > 0 and nodes > 1 and nodes % 2 == 0):
        raise UsageError(f"reach={reach}, nodes={nodes}: give reach > 0 and an even number of nodes")
    f = d_sigma2 = 0.0
    for j in range(nodes // 2):  # pairs about t: the weights are odd
        x = cos(pi * j / nodes)
        weight = (-1) ** (j + nodes // 2) / x / reach * (0.5 if j == 0 else 1.0)
        high, low = t + reach * x, t - reach * x
        f -= weight * log(alpha(high) / alpha(low))
        d_sigma2 -= weight * (sigma(high) - sigma(low)) * (sigma(high) + sigma(low))
    return f, d_sigma2 - 2 * f * sigma(t) ** 2


@lru_cache(maxsize=1)
def _rule() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss-Legendre on [0, 1]: nodes, weights, and the matrix that integrates from 0 to each node."""
    c, w = gauss_legendre(_NODES)
    x, k = 2 * c - 1, np.arange(_NODES)
    to_coefficients = (2 * k + 1)[:, None] * legendre.legvander(x, _NODES - 1).T * w
    up_to = legendre.legvander(x, _NODES)
    primitive = np.column_stack([x + 1, (up_to[:, 2:] - up_to[:, :-2]) / (2 * k[1:] + 1)])  # of each polynomial, from -1
    return c, w, primitive @ to_coefficients / 2


def _panel(f: Callable[[float], float], g2: Callable[[float], float], a: float, b: float) -> tuple[float, float]:
    """`(int f, int g2 / alpha^2)` over [a, b], alpha = 1 at a."""
    c, w, matrix = _rule()
    times = (a + (b - a) * c).tolist()
    values, noise = ((b - a) * np.array([c(u) for u in times]) for c in (f, g2))
    if not (np.isfinite(values).all() and np.isfinite(noise).all()):
        raise UsageError(f"f or g2 is not finite between {a:g} and {b:g}: give an interval without a singular end")
    return float(w @ values), float(w @ (noise * np.exp(-2 * (matrix @ values))))


def _integrals(
    f: Callable[[float], float],
    g2: Callable[[float], float],
    a: float,
    b: float,
    whole: tuple[float, float],
    before: float = inf,
) -> tuple[float, float]:
    """The same, by halving until a panel agrees with its two halves, or differs from them by rounding alone.

    `before` is by how much the panel twice as long differed: near a singular end f and g2 are known to a few digits less,
    and a difference that is small already and falls no more is theirs.
    """
    middle = 0.5 * (a + b)
    left, right = _panel(f, g2, a, middle), _panel(f, g2, middle, b)
    log_alpha, rho2 = _joined(left, right)
    gap = max(abs(log_alpha - whole[0]) / max(1.0, abs(log_alpha)), abs(rho2 - whole[1]) / abs(rho2) if rho2 else 0.0)
    if gap <= _AGREE or 0.1 * before < gap < _ROUNDING:
        return log_alpha, rho2
    return _joined(_integrals(f, g2, a, middle, left, gap), _integrals(f, g2, middle, b, right, gap))


def _joined(left: tuple[float, float], right: tuple[float, float]) -> tuple[float, float]:
    return left[0] + right[0], left[1] + exp(-2 * left[0]) * right[1]


def amplitudes(
    f: Callable[[float], float],
    g2: Callable[[float], float],
    t: float,
    since: float = 0.0,
    start: tuple[float, float] = (1.0, 0.0),
) -> tuple[float, float]:
    """`(alpha, sigma)` at t from the coefficients of the SDE, which begins at `since` with `start = (alpha, sigma)`.

        alpha = alpha_0 exp(int f),     sigma^2 = alpha^2 (sigma_0^2/alpha_0^2 + int g2/alpha^2)

    Adaptive Gauss-Legendre panels of 16 nodes; relative errors about 1e-14 (1 + |int f|).  A schedule whose sigma is not 0
    at time 0 (VE) needs its `start`.  Raises UsageError for t < since, and for coefficients that are not finite in between.
    """
    if not (since <= t < inf and start[0] > 0 and start[1] >= 0):
        raise UsageError(f"t={t}, since={since}, start={start}: give since <= t, alpha > 0 and sigma >= 0")
    log_alpha, rho2 = _integrals(f, g2, since, t, _panel(f, g2, since, t))
    alpha = start[0] * exp(log_alpha)
    return alpha, alpha * sqrt((start[1] / start[0]) ** 2 + rho2 / start[0] ** 2)


@dataclass(frozen=True)
class Chain:
    """`x_i = a_i x_{i-1} + b_i z_i`, i = 1 to n; at times[0] the data are seen through `start = (alpha, sigma)`.

    `a[i - 1]`, `b[i - 1]` are a_i and b_i.  A chain is a schedule whose time is the index: `alpha(i)` and `sigma(i)` are what
    its steps make of the data, exactly,

        alpha_i = a_i alpha_{i-1},     sigma_i^2 = a_i^2 sigma_{i-1}^2 + b_i^2

    and `q(x_i | data) = N(alpha_i data, sigma_i^2)`.
    """

    times: tuple[float, ...]
    a: tuple[float, ...]
    b: tuple[float, ...]
    start: tuple[float, float] = (1.0, 0.0)

    def __post_init__(self) -> None:
        if not len(self.times) - 1 == len(self.a) == len(self.b) > 0:
            raise UsageError(f"a chain of {len(self.times)} times, {len(self.a)} a, {len(self.b)} b: give n + 1, n and n")
        if not all(s < t for s, t in pairwise(self.times)):
            raise UsageError("the times of a forward chain rise from data to noise: give them strictly increasing")

    @cached_property
    def _levels(self) -> tuple[tuple[float, float], ...]:
        levels = [self.start]
        for a, b in zip(self.a, self.b):
            alpha, sigma = levels[-1]
            levels.append((a * alpha, sqrt((a * sigma) ** 2 + b**2)))
        return tuple(levels)

    def _level(self, i: int) -> tuple[float, float]:
        if not 0 <= i <= len(self.a):
            raise UsageError(f"step {i!r} of a chain of {len(self.a)}: give 0 to {len(self.a)}")
        return self._levels[i]

    def alpha(self, i: int) -> float:
        """Signal amplitude after i steps."""
        return self._level(i)[0]

    def sigma(self, i: int) -> float:
        """Noise amplitude after i steps."""
        return self._level(i)[1]

    def marginal(self, law: Any, i: int) -> Any:
        """The exact law of x_i where the data have that law: again a mixture."""
        return law.marginal(self, i)

    def paths(self, x: Tensor, noise: Any) -> Tensor:
        """All states, (n + 1, B, d), from the states `x` (B, d) at times[0].

        `z_i` is the standardised increment of the noise over its interval: a reverse method on the same Brownian path sees
        the same one.
        """
        states = [x]
        for a, b, (t, s) in zip(self.a, self.b, pairwise(self.times)):
            states.append(lincomb(a, states[-1], b, noise.normal(s, t, TIME)))
        return torch.stack(states)


def _start(ns: NoiseSchedule, times: Sequence[float]) -> tuple[float, float]:
    return ns.alpha(times[0]), ns.sigma(times[0])


def kernels(ns: NoiseSchedule, times: Sequence[float]) -> Chain:
    """The process itself, seen at `times`: `q(x_t | x_s)` of the forward SDE, t > s (Kingma et al. 2021, arXiv:2107.00630).

    a = alpha_t/alpha_s,     b^2 = sigma_t^2 - a^2 sigma_s^2 = sigma_t^2 (1 - e^{2 (lam_t - lam_s)})
    """
    a, b = [], []
    for s, t in pairwise(times):
        a.append(ns.alpha(t) / ns.alpha(s))
        b.append(ns.sigma(t) * (sqrt(-expm1(2 * (ns.lam(t) - ns.lam(s)))) if ns.sigma(s) > 0 else 1.0))
    return Chain(tuple(times), tuple(a), tuple(b), _start(ns, times))


def euler_maruyama(ns: NoiseSchedule, times: Sequence[float]) -> Chain:
    """Euler-Maruyama of the forward SDE, `x_t = x_s + f_s x_s (t - s) + g_s (w_t - w_s)`."""
    pairs = list(pairwise(times))
    a = tuple(1 + ns.f(s) * (t - s) for s, t in pairs)
    return Chain(tuple(times), a, tuple(sqrt(ns.g2(s) * (t - s)) for s, t in pairs), _start(ns, times))


RATES: dict[str, Callable[[NoiseSchedule, float, float], float]] = {
    "exact": lambda ns, s, t: -expm1(2 * log(ns.alpha(t) / ns.alpha(s))),
    "integral": lambda ns, s, t: -2 * log(ns.alpha(t) / ns.alpha(s)),
    "left": lambda ns, s, t: ns.g2(s) * (t - s),
    "right": lambda ns, s, t: ns.g2(t) * (t - s),
}


def betas(ns: NoiseSchedule, times: Sequence[float], rate: str = "exact") -> tuple[float, ...]:
    """The rates `beta_i` of the steps between `times` on a variance-preserving schedule, by one of RATES:

    exact     1 - exp(-int beta) = 1 - (alpha_t/alpha_s)^2, with which the DDPM chain has the marginals of the SDE
    integral  int beta over the step
    right     beta(t) (t - s), Song et al. 2021, arXiv:2011.13456, appendix B;       left   beta(s) (t - s)
    """
    if rate not in RATES:
        raise UsageError(f"unknown rate {rate!r}: give one of {', '.join(RATES)}")
    if any(abs(ns.alpha(t) ** 2 + ns.sigma(t) ** 2 - 1) > 1e-12 for t in times):
        raise UsageError(f"{ns} does not preserve the variance: give VPLinear or VPCosine, or take euler_maruyama or kernels")
    return tuple(RATES[rate](ns, s, t) for s, t in pairwise(times))


def _times(n: int, times: Sequence[float] | None) -> tuple[float, ...]:
    return tuple(map(float, range(n + 1))) if times is None else tuple(times)


def ddpm(beta: Sequence[float], times: Sequence[float] | None = None, start: tuple[float, float] = (1.0, 0.0)) -> Chain:
    """`x_i = sqrt(1 - beta_i) x_{i-1} + sqrt(beta_i) z_i`.  Ho et al. 2020, arXiv:2006.11239, eq. 2.

    Printed in the seed with sigma_t^2 in the place of beta_i.  It preserves the variance whatever the rates are.
    """
    if not all(0 <= b <= 1 for b in beta):
        worst = max(beta, key=lambda b: abs(b - 0.5))
        raise UsageError(f"a rate beta_i of {worst:g}: give rates in [0, 1], so take smaller steps")
    a = tuple(sqrt(1 - b) for b in beta)
    return Chain(_times(len(a), times), a, tuple(map(sqrt, beta)), start)


def vp_euler_maruyama(
    beta: Sequence[float], times: Sequence[float] | None = None, start: tuple[float, float] = (1.0, 0.0)
) -> Chain:
    """`x_i = (1 - beta_i/2) x_{i-1} + sqrt(beta_i) z_i`: what the DDPM chain is to O(beta^2), by Taylor's formula.

    Printed in the seed as `-1/2 sigma_t^2 x_{i-1} + sqrt(sigma_t^2 z)`.
    """
    a = tuple(1 - b / 2 for b in beta)
    return Chain(_times(len(a), times), a, tuple(map(sqrt, beta)), start)


def ncsn(sigmas: Sequence[float], times: Sequence[float] | None = None) -> Chain:
    """`x_i = x_{i-1} + sqrt(sigma_i^2 - sigma_{i-1}^2) z_i`, from noise `sigmas[0]`.  Song et al. 2021, arXiv:2011.13456.

    Their eq. 8, on the levels of Song and Ermon 2019, arXiv:1907.05600.  It is Euler-Maruyama of the VE SDE with
    d(sigma^2)/dt as a difference quotient, which makes it exact at its times.
    """
    b = tuple(sqrt((high - low) * (high + low)) for low, high in pairwise(sigmas))
    return Chain(_times(len(b), times), (1.0,) * len(b), b, (1.0, sigmas[0]))


CHAINS: dict[str, Callable[[NoiseSchedule, Sequence[float]], Chain]] = {
    **{f"ddpm-{rate}": lambda ns, times, rate=rate: ddpm(betas(ns, times, rate), times, _start(ns, times)) for rate in RATES},  # type: ignore[misc]  # its type is that of the dictionary
    "euler-maruyama": euler_maruyama,
    "ncsn": lambda ns, times: ncsn([ns.sigma(t) for t in times], times),
}


def distance(chain: Chain, ns: NoiseSchedule) -> tuple[float, float]:
    """Between the chain's marginals and those of the SDE, at its worst over the times: in alpha, and in sigma."""
    levels = [(abs(chain.alpha(i) - ns.alpha(t)), abs(chain.sigma(i) - ns.sigma(t))) for i, t in enumerate(chain.times)]
    return max(a for a, _ in levels), max(s for _, s in levels)
