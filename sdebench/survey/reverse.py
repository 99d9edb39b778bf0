"""The reverse SDE (6), its discretisations, and the chains of DDPM and NCSN backwards."""

from math import sqrt

from sdebench.schedules import VE, NoiseSchedule
from sdebench.survey.fields import Bent, Field, backward_residual
from sdebench.survey.numeric import MEAN, NS, biggest, derivative, gaussian_score, kernel_gap, misses, reverse_kernel
from sdebench.survey.statement import ROUNDING, Chapter, Outcome, holds, outcome, to_order

chapter = Chapter("Reverse SDE")
chapter.section("Reverse process")
_FINE = 1e-9  # what differentiating a density in time leaves
_AT = 0.4  # the time at which steps are compared


@chapter("eq-6", "Reverse SDE", equation="(6)", printed="dx = [f(x, t) - g^2(t) grad log p_t(x)] dt + g(t) dw-bar")
def reverse_sde() -> Outcome:
    """Residual of the Fokker-Planck equation backwards in time for the exact density of a 2-D mixture, relative to dp/dt: with
    the linear drift of VPLinear, and with one that is not linear, as for (7).
    """
    laws = [(law, law(_AT)) for law in (Field, Bent)]
    gaps = [backward_residual(lambda x, s, p=p: p.f(x) - p.g2 * s, p.g2, _AT, law) for law, p in laws]
    return holds(biggest(*gaps), _FINE)


@chapter(
    "reverse-sign",
    "Why the score has this sign",
    printed="diffusion runs along the gradient of concentration (from dense to thin), so its reverse runs against it",
)
def reverse_sign() -> Outcome:
    """E[x_{t-dt} given x_t] of Gaussian data, by Bayes, moves at the rate -f + g^2 score: up the gradient of log p, and with a
    minus in (6) as dt < 0 there. (That is the direction; of g^2, half undoes the diffusion, as in (9), and half the new noise.)
    """
    c, d = gaussian_score(_AT)
    gaps = []
    for x in (-1.0, 0.2, 1.5):

        def mean(t: float, x: float = x) -> float:
            a, b, _ = reverse_kernel(_AT, t)
            return a * x + b

        gaps.append(-derivative(mean, _AT) + NS.f(_AT) * x - NS.g2(_AT) * (c * x + d))
    return holds(biggest(*gaps), _FINE)


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
    "reverse-em",
    "Euler-Maruyama for the reverse SDE",
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
    "reverse-vp-sde",
    "Reverse VP-SDE",
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
    "reverse-ddpm",
    "DDPM backwards",
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
    "ddpm-ancestral",
    "That step is DDPM's ancestral sampling",
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
    "reverse-ve-sde",
    "Reverse VE-SDE",
    printed="dx = -(d sigma_t^2/dt) s(x, t) dt + (d sigma_t^2/dt) dw-bar",
    right="dx = -(d sigma_t^2/dt) s(x, t) dt + sqrt(d sigma_t^2/dt) dw-bar",
    correction="4",
)
def reverse_ve_sde() -> Outcome:
    """Residual of the Fokker-Planck equation backwards in time for the exact density of a 2-D mixture on VE."""
    rate = _VE.g2(_AT)
    residuals = [backward_residual(lambda x, s: -rate * s, g2, _AT, lambda t: Field(t, _VE)) for g2 in (rate * rate, rate)]
    return outcome(*residuals, _FINE)  # type: ignore[call-arg]  # two residuals


def _added(dt: float) -> float:
    """sigma_t^2 - sigma_{t-1}^2 for the step from _AT to _AT - dt."""
    return _VE.sigma(_AT) ** 2 - _VE.sigma(_AT - dt) ** 2


@chapter(
    "reverse-ncsn",
    "NCSN backwards",
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
    "annealed-langevin",
    "That step is NCSN's annealed Langevin sampling",
    printed="x + d s + sqrt(d) z, d = sigma_t^2 - sigma_{t-1}^2, is a step of annealed Langevin dynamics",
    instead="it is the reverse-diffusion predictor, which moves p_t to p_{t-1}; Langevin's x + (d/2) s + sqrt(d) z leaves p_t"
    " as it is up to O(d^2), after many steps up to O(d), and is run several times at each level",
    correction="4",
)
def annealed_langevin() -> Outcome:
    """Gaussian data: how much of d the variance moves in a step that as Langevin's would not move it (and the distance from
    sigma_{t-1}'s variance, whose order is 2); Langevin's own step moves it by O(d^2), and the variance that this step leaves as
    it is differs from p_t's by O(d).
    """
    c, _ = gaussian_score(_AT, _VE)
    held, d = -1 / c, _added(0.01)

    def predicted(dt: float) -> float:
        after = _variance_after(_step(1.0, _added(dt), _added(dt), _AT, _VE), _AT)
        return abs(after - (held - _added(dt)))

    def langevin(dt: float) -> float:
        return abs(_variance_after(_step(1.0, _added(dt) / 2, _added(dt), _AT, _VE), _AT) - held)

    def stationary(dt: float) -> float:
        a, _, v = _step(1.0, _added(dt) / 2, _added(dt), _AT, _VE)
        return abs(v / (1 - a * a) - held)

    moved = (_variance_after(_step(1.0, d, d, _AT, _VE), _AT) - held) / d
    orders = misses(predicted, 2, 0.01), misses(langevin, 2, 0.01), misses(stationary, 1, 0.01)
    return to_order(moved, max(orders), sqrt(ROUNDING))


_WIDTH, _LAST = 0.05, 1e-3  # data N(MEAN, _WIDTH), and the time at which sampling ends


def _sampled(n: int, noise: bool) -> float:
    """Error in the standard deviation at _LAST after n equal steps from the exact law at 1: of Euler-Maruyama for (6), or of
    Euler for (9), the same without the noise and with half of the score."""
    dt, due = (1 - _LAST) / n, NS.alpha(_LAST) ** 2 * _WIDTH + NS.sigma(_LAST) ** 2
    v = NS.alpha(1.0) ** 2 * _WIDTH + NS.sigma(1.0) ** 2
    for i in range(n):
        s = 1 - i * dt
        c, g2 = gaussian_score(s, NS, MEAN, _WIDTH)[0], NS.g2(s)
        v = (1 - NS.f(s) * dt + (g2 if noise else g2 / 2) * c * dt) ** 2 * v + noise * g2 * dt
    return abs(sqrt(v) - sqrt(due))


@chapter(
    "sde-steps",
    "Sampling by the SDE takes 1000 to 2000 steps",
    printed="as an SDE is random its steps cannot be large: a sample takes 1000 to 2000 of them, and fewer by the flow",
    instead="randomness sets no such number: in the law Euler-Maruyama for (6) and Euler for (9) are both of order 1, either"
    " may be the closer, and for data that are one point a single DDPM step, noise and all, is exact",
    correction="n14",
)
def sde_steps() -> Outcome:
    """Data N(0.3, 0.05), 100 steps from 1 to 10^-3: by what share of its error Euler's method for (9) errs more than
    Euler-Maruyama for (6); that both are of order 1; and that DDPM's step x_t <- a x_s + b x_0 + noise takes the law of x_s
    given one point x_0 into that of x_t, in one step from 1 to 0.2.
    """

    def error(noise: bool):
        return lambda dt: _sampled(round((1 - _LAST) / dt), noise)

    a, b, v = reverse_kernel(1.0, 0.2, NS, 0.9, 0.0)
    exact = abs(a * NS.alpha(1.0) * 0.9 + b - NS.alpha(0.2) * 0.9), abs(a * a * NS.sigma(1.0) ** 2 + v - NS.sigma(0.2) ** 2)
    printed = 1 - _sampled(100, True) / _sampled(100, False)
    orders = [misses(error(noise), 1, (1 - _LAST) / 400) for noise in (False, True)]
    return to_order(printed, max(orders) if max(exact) <= ROUNDING else 1.0)
