"""The reverse SDE (6), its discretisations, and the chains of DDPM and NCSN backwards."""

from math import sqrt

from ..schedules import VE, NoiseSchedule
from .fields import backward_residual
from .numeric import NS, gaussian_score, kernel_gap, misses, reverse_kernel
from .statement import ROUNDING, Chapter, Outcome, holds, outcome, to_order

chapter = Chapter("Reverse SDE")
chapter.section("Reverse process")
_FINE = 1e-9  # what differentiating a density in time leaves
_AT = 0.4  # the time at which steps are compared


@chapter(
    "eq-6", "Reverse SDE", equation="(6)",
    printed="dx = [f(x, t) - g^2(t) grad log p_t(x)] dt + g(t) dw-bar",
)
def reverse_sde() -> Outcome:
    """Residual of the Fokker-Planck equation backwards in time for the exact density of a 2-D mixture, relative to dp/dt."""
    return holds(backward_residual(lambda x, s: NS.f(_AT) * x - NS.g2(_AT) * s, NS.g2(_AT), _AT), _FINE)


Kernel = tuple[float, float, float]


def _step(x: float, score: float, variance: float, s: float, ns: NoiseSchedule = NS) -> Kernel:
    """The kernel (a, b, v) of the update x <- x * x + score * score + sqrt(variance) z from time s, for Gaussian data."""
    c, d = gaussian_score(s, ns)
    return x + score * c, score * d, variance


def _euler_maruyama(dt: float, unit: float) -> Kernel:
    """One step of Euler-Maruyama for (6) backwards from _AT, with `unit` where the step size stands."""
    f, g2 = NS.f(_AT), NS.g2(_AT)
    return _step(1 - f * unit, g2 * unit, g2 * unit, _AT)


@chapter(
    "reverse-em", "Euler-Maruyama for the reverse SDE",
    printed="x_i = x_{i+1} - f(x_{i+1}) + g_{i+1}^2 s(x_{i+1}, i+1) + g_{i+1} z_{i+1}",
    right="x_i = x_{i+1} - f(x_{i+1}) dt + g_{i+1}^2 s(x_{i+1}, i+1) dt + g_{i+1} sqrt(dt) z_{i+1}, right up to O(dt^2)",
    correction="n7",
)
def reverse_em() -> Outcome:
    """Mean and variance of one step against the exact q(x_i given x_{i+1}) of Gaussian data, at dt = 0.01. f and g are those of
    the SDE, as (6) has them; the right one has order 2.
    """
    def right(dt: float) -> float:
        return kernel_gap(_euler_maruyama(dt, dt), reverse_kernel(_AT, _AT - dt))

    return to_order(kernel_gap(_euler_maruyama(0.01, 1.0), reverse_kernel(_AT, _AT - 0.01)), misses(right, 2, 0.01))


@chapter(
    "reverse-vp-sde", "Reverse VP-SDE",
    printed="dx = -1/2 sigma_t^2 (x - grad log q_t(x)) dt + sqrt(sigma_t^2) dw-bar",
    right="dx = -beta/2 (x + 2 grad log q_t(x)) dt + sqrt(beta) dw-bar",
    correction="3",
)
def reverse_vp_sde() -> Outcome:
    """Residual of the Fokker-Planck equation backwards in time for the exact density of a 2-D mixture on VPLinear."""
    beta, var = NS.g2(_AT), NS.sigma(_AT) ** 2
    printed = backward_residual(lambda x, s: -0.5 * var * (x - s), var, _AT)
    return outcome(printed, backward_residual(lambda x, s: -0.5 * beta * (x + 2 * s), beta, _AT), _FINE)


def _beta(dt: float) -> float:
    """beta_i of the DDPM chain whose marginals are those of NS, for the step from _AT - dt to _AT."""
    return 1 - (NS.alpha(_AT) / NS.alpha(_AT - dt)) ** 2


@chapter(
    "reverse-ddpm", "DDPM backwards",
    printed="x_{t-1} = x_t + 1/2 sigma_t^2 (x_t - s) + sigma_t^2 s + sqrt(sigma_t^2) z"
            " = (1 + 1/2 sigma_t^2) x_t + 1/2 sigma_t^2 s + sqrt(sigma_t^2) z",
    right="x_{t-1} = (1 + beta/2) x_t + beta s + sqrt(beta) z",
    correction="3",
)
def reverse_ddpm() -> Outcome:
    """Mean and variance of one step against the exact q(x_{t-1} given x_t) of Gaussian data, at dt = 0.01; the right one has
    order 2 in beta. (With beta in the place of sigma_t^2, and half of the score as printed, the order would be 1.)
    """
    def right(dt: float) -> float:
        b = _beta(dt)
        return kernel_gap(_step(1 + b / 2, b, b, _AT), reverse_kernel(_AT, _AT - dt))

    var = NS.sigma(_AT) ** 2
    printed = kernel_gap(_step(1 + var / 2, var / 2, var, _AT), reverse_kernel(_AT, _AT - 0.01))
    return to_order(printed, misses(right, 2, 0.01))


@chapter(
    "ddpm-ancestral", "That step is DDPM's ancestral sampling",
    printed="(1 + beta/2) x_t + beta s + sqrt(beta) z is DDPM's ancestral step",
    right="DDPM's is (x_t + beta s) / sqrt(1 - beta) + sqrt(beta) z: the two differ by O(beta^2)",
    correction="n8",
)
def ddpm_ancestral() -> Outcome:
    """Mean of the two steps for Gaussian data at dt = 0.01 (corrected as above); order 2 in beta. The ancestral mean is also
    compared with the exact reverse kernel's, to which it is equal.
    """
    def gap(dt: float) -> float:
        b = _beta(dt)
        return kernel_gap(_step(1 + b / 2, b, b, _AT), _step((1 - b) ** -0.5, b * (1 - b) ** -0.5, b, _AT))

    b = _beta(0.01)
    ancestral, exact = _step((1 - b) ** -0.5, b * (1 - b) ** -0.5, b, _AT), reverse_kernel(_AT, _AT - 0.01)
    same = max(abs(ancestral[0] - exact[0]), abs(ancestral[1] - exact[1])) <= ROUNDING
    return to_order(gap(0.01), misses(gap, 2, 0.01) if same else 1.0)


_VE = VE(sigma_min=0.1, sigma_max=10.0)


@chapter(
    "reverse-ve-sde", "Reverse VE-SDE",
    printed="dx = -(d sigma_t^2/dt) s(x, t) dt + (d sigma_t^2/dt) dw-bar",
    right="dx = -(d sigma_t^2/dt) s(x, t) dt + sqrt(d sigma_t^2/dt) dw-bar",
    correction="4",
)
def reverse_ve_sde() -> Outcome:
    """Residual of the Fokker-Planck equation backwards in time for the exact density of a 2-D mixture on VE."""
    rate = _VE.g2(_AT)
    residuals = [backward_residual(lambda x, s: -rate * s, g2, _AT, _VE) for g2 in (rate * rate, rate)]
    return outcome(*residuals, _FINE)


def _added(dt: float) -> float:
    """sigma_t^2 - sigma_{t-1}^2 for the step from _AT to _AT - dt."""
    return _VE.sigma(_AT) ** 2 - _VE.sigma(_AT - dt) ** 2


@chapter(
    "reverse-ncsn", "NCSN backwards",
    printed="x_{t-1} = x_t + (d sigma_t^2/dt) s(x, t) + sqrt(d sigma_t^2/dt) z",
    right="x_{t-1} = x_t + (sigma_t^2 - sigma_{t-1}^2) s(x, t) + sqrt(sigma_t^2 - sigma_{t-1}^2) z",
    correction="4",
)
def reverse_ncsn() -> Outcome:
    """Mean and variance of one step against the exact q(x_{t-1} given x_t) of Gaussian data, at dt = 0.01; the right one has
    the exact mean, and a variance of order 2.
    """
    def gap(dt: float, d: float) -> float:
        return kernel_gap(_step(1.0, d, d, _AT, _VE), reverse_kernel(_AT, _AT - dt, _VE))

    return to_order(gap(0.01, _VE.g2(_AT)), misses(lambda dt: gap(dt, _added(dt)), 2, 0.01))


def _variance_after(kernel: Kernel, s: float) -> float:
    """The variance after a step from the exact law of Gaussian data at time s."""
    c, _ = gaussian_score(s, _VE)
    return kernel[0] ** 2 / -c + kernel[2]


@chapter(
    "annealed-langevin", "That step is NCSN's annealed Langevin sampling",
    printed="x + d s + sqrt(d) z, d = sigma_t^2 - sigma_{t-1}^2, is a step of annealed Langevin dynamics",
    instead="it is the reverse-diffusion predictor, which moves p_t to p_{t-1}; Langevin's x + (d/2) s + sqrt(d) z leaves p_t"
            " as it is, and is run several times at each level",
    correction="4",
)
def annealed_langevin() -> Outcome:
    """Gaussian data: how much of d the variance moves in a step that as Langevin's would not move it (and the distance from
    sigma_{t-1}'s variance, whose order is 2); Langevin's own step moves it by O(d^2).
    """
    c, _ = gaussian_score(_AT, _VE)
    held, d = -1 / c, _added(0.01)

    def predicted(dt: float) -> float:
        after = _variance_after(_step(1.0, _added(dt), _added(dt), _AT, _VE), _AT)
        return abs(after - (held - _added(dt)))

    def langevin(dt: float) -> float:
        return abs(_variance_after(_step(1.0, _added(dt) / 2, _added(dt), _AT, _VE), _AT) - held)

    moved = (_variance_after(_step(1.0, d, d, _AT, _VE), _AT) - held) / d
    return to_order(moved, max(misses(predicted, 2, 0.01), misses(langevin, 2, 0.01)), sqrt(ROUNDING))
