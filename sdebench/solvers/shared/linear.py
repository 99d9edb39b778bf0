r"""The linear part of the probability-flow ODE over one interval, in the forms that its solvers share.

    eps form   x_t = alpha_t/alpha_s x - sigma_t int e^{lam_t - lam} eps dlam     (Lu et al. 2022, arXiv:2206.00927, eq. 3.4)
    x0 form    x_t = sigma_t/sigma_s x + alpha_t int e^{lam - lam_t} x0 dlam      (Lu et al. 2022, arXiv:2211.01095, section 4)

With `z = h` and `z = -h` both read `x_t = a x + b h sum_k phi_{k+1}(z) h^k m^(k)`, m the prediction as a function of
lam: everything that a method adds to DDIM is how it guesses the derivatives.
"""

from typing import NamedTuple

from torch import Tensor

from sdebench._support.errors import UsageError
from sdebench.integration.prediction import Prediction, lincomb
from sdebench.schedules import NoiseSchedule


class Linear(NamedTuple):
    """`x_t = a x + b h sum_k phi_{k+1}(z) h^k m^(k)` over one interval of length h in lam."""

    a: float
    b: float
    h: float
    z: float


ENDLESS = 1e18  # a length of lam at which e^{-h} is 0 and h phi_k(-h) is 1/(k-1)!, to the last place


def endless(ns: NoiseSchedule, s: float, t: float, rate: float = 1.0) -> Linear:
    """The x0 form of an interval that begins at alpha = 0, by the limit: `linear` for a step of infinite length.

    Its products `b h phi_k` are finite, and right to rounding; `rate` is that of the exponential, 1 + tau^2 with noise.
    """
    return Linear(ns.sigma(t) / ns.sigma(s), ns.alpha(t), ENDLESS, -rate * ENDLESS)


def linear(form: str, ns: NoiseSchedule, s: float, t: float) -> Linear:
    """The coefficients of the interval s -> t; `form` is the prediction that is interpolated, `eps` or `x0`."""
    h, (alpha_t, sigma_t) = ns.lam(t) - ns.lam(s), ns.levels(t)
    if form == "eps":
        return Linear(alpha_t / ns.alpha(s), -sigma_t, h, h)
    return Linear(sigma_t / ns.sigma(s), alpha_t, h, -h)


def check_fraction(name: str, r: float) -> None:
    """Raise UsageError unless r lies in (0, 1]: it is the place of a stage within the step."""
    if not 0.0 < r <= 1.0:
        raise UsageError(f"{name} = {r!r}: give the place of the stage within the step, 0 < {name} <= 1")


def combine(a: float, x: Tensor, *terms: tuple[float, Prediction | Tensor]) -> Tensor:
    """`a x + sum_i w_i v_i` from (w_i, v_i) pairs; a prediction stands for its eps, whatever the model predicts.

    No eps is formed on the way: it is linear in the state and the model's answer, and what multiplies x is summed on the
    host.  (For methods without a past: with one, an eps is read again, and better kept.)
    """
    flat: list = []
    for w, m in terms:
        if not isinstance(m, Prediction):
            flat += (w, m)
            continue
        c, d, value = m.parts("eps")
        if m.x is x:
            a += w * c
        elif c:
            flat += (w * c, m.x)
        flat += (w * d, value)
    return lincomb(a, x, *flat)


def transfer(ns: NoiseSchedule, x: Tensor, eps: Tensor, s: float, t: float) -> Tensor:
    """DDIM's map with a given noise, `alpha_t/alpha_s x + alpha_t (sigma_t/alpha_t - sigma_s/alpha_s) eps`.

    It is linear in eps, so a combination of several of them may stand in its place (the pseudo-numerical methods).
    """
    alpha_t, drho = ns.alpha(t), ns.rho(t) - ns.rho(s)
    return lincomb(alpha_t / ns.alpha(s), x, alpha_t * drho, eps)
