r"""Exponential Runge-Kutta methods of high order, on the data prediction.

With `w = x/alpha` and lam as time the flow is `dw/dlam = -w + x0`: semilinear, with the constant linear part -1.

    W_i = e^{c_i z} w + h sum_j a_ij(z) x0_j,   w_t = e^z w + h sum_i b_i(z) x0_i,   z = -h

Hochbruck and Ostermann 2010, Acta Numerica 19, 209.  A tableau holds, below the first column, functions of phi_k(c_i z);
the first column follows from `sum_j a_ij = c_i phi_1(c_i z)`, so no row sum can be wrong.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from sdebench._support.registry import register_solver
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Solver, Step
from sdebench.phi import phis
from sdebench.solvers.shared.linear import endless, linear

Row = dict[int, float]  # stage -> coefficient, without stage 0


class ExponentialRK(Solver):
    """The step of a tableau: `c`, and `rows(z)`, a row a stage and the last for x_t.

    The ends are its limits.  At alpha = 0 a stage with c < 1 tends to the start, and shares its evaluation; one with c = 1
    stands at t, and keeps a weight there.  At sigma = 0 x0 is x/alpha: all stages beyond the first give back x0_s, and DDIM's
    step is left.
    """

    from_noise, to_data = "limit", "limit"
    family = "exponential RK"
    c: ClassVar[tuple[float, ...]]
    rows: ClassVar[Callable[[float], list[Row]]]

    @property
    def nfe_per_step(self) -> int:
        return len(self.c)

    def step(self, model, x, s, t, past=(), noise=None):
        ns, lam, h = model.schedule, model.schedule.lam(s), model.schedule.lam(t) - model.schedule.lam(s)
        x0 = []
        for c, row in zip((*self.c, 1.0), type(self).rows(-h)):
            t_i = s if c == 0 else t if c == 1 else ns.t(lam + c * h)
            x_i = x
            if c:
                a, b, step, z = linear("x0", ns, s, t_i)
                first = phis(1, z)[1] - sum(row.values()) / c
                x_i = lincomb(a, x, b * step * first, x0[0], *(y for j, w in row.items() for y in (b * h * w, x0[j])))
            if len(x0) < len(self.c):
                x0.append(model(x_i, t_i).x0)
        return Step(x_i)

    def leave_noise(self, model, x, s, t, past=(), noise=None):
        (a, b, h, z), x0_s = endless(model.schedule, s, t), model(x, s).x0
        x0 = []
        for c, row in zip((*self.c, 1.0), type(self).rows(z)):
            at_t = {j: h * w for j, w in row.items() if self.c[j] == 1.0}
            if c == 1.0:
                x_i = lincomb(a, x, b * (1 - sum(at_t.values())), x0_s, *(y for j, w in at_t.items() for y in (b * w, x0[j])))
            if len(x0) < len(self.c):
                x0.append(model(x_i, t).x0 if c == 1.0 else x0_s)
        return Step(x_i)


def _cox_matthews(z: float) -> list[Row]:
    half_1 = phis(1, 0.5 * z)[1]
    _, _, phi_2, phi_3 = phis(3, z)
    middle = 2 * phi_2 - 4 * phi_3
    return [{}, {}, {1: 0.5 * half_1}, {2: half_1}, {1: middle, 2: middle, 3: 4 * phi_3 - phi_2}]


@register_solver("cox-matthews-4")
@dataclass(frozen=True)
class CoxMatthews4(ExponentialRK):
    r"""ETDRK4.  Cox and Matthews 2002, J. Comput. Phys. 176; Hochbruck and Ostermann 2005, SIAM J. Numer. Anal. 43.

        a_32 = phi_1(z/2)/2,  a_43 = phi_1(z/2),  b_2 = b_3 = 2 phi_2 - 4 phi_3,  b_4 = 4 phi_3 - phi_2,   c = 0, 1/2, 1/2, 1

    Of stiff order 2.
    """

    order = 4
    reference = "Cox and Matthews 2002, J. Comput. Phys. 176"
    c = (0.0, 0.5, 0.5, 1.0)
    rows = staticmethod(_cox_matthews)


def _strehmel_weiner(z: float) -> list[Row]:
    _, _, half_2 = phis(2, 0.5 * z)
    _, _, phi_2, phi_3 = phis(3, z)
    return [{}, {}, {1: 0.5 * half_2}, {1: -2 * phi_2, 2: 4 * phi_2}, {2: 4 * phi_2 - 8 * phi_3, 3: 4 * phi_3 - phi_2}]


@register_solver("strehmel-weiner-4")
@dataclass(frozen=True)
class StrehmelWeiner4(ExponentialRK):
    r"""Strehmel and Weiner 1992, example 4.5.5; in this notation Hochbruck and Ostermann 2005, SIAM J. Numer. Anal. 43.

        a_32 = phi_2(z/2)/2,  a_42 = -2 phi_2,  a_43 = 4 phi_2,  b_3 = 4 phi_2 - 8 phi_3,  b_4 = 4 phi_3 - phi_2

    Of stiff order 3;  c = 0, 1/2, 1/2, 1.
    """

    order = 4
    reference = "Strehmel and Weiner 1992, Linear-implizite Runge-Kutta-Methoden und ihre Anwendung, example 4.5.5"
    c = (0.0, 0.5, 0.5, 1.0)
    rows = staticmethod(_strehmel_weiner)


def _hochbruck_ostermann(z: float) -> list[Row]:
    _, _, half_2, half_3 = phis(3, 0.5 * z)
    _, _, phi_2, phi_3 = phis(3, z)
    a_52 = 0.5 * half_2 - phi_3 + 0.25 * phi_2 - 0.5 * half_3
    last = {1: a_52, 2: a_52, 3: 0.25 * half_2 - a_52}
    return [{}, {}, {1: half_2}, {1: phi_2, 2: phi_2}, last, {3: 4 * phi_3 - phi_2, 4: 4 * phi_2 - 8 * phi_3}]


@register_solver("hochbruck-ostermann-4")
@dataclass(frozen=True)
class HochbruckOstermann4(ExponentialRK):
    r"""Of stiff order 4, with five stages.  Hochbruck and Ostermann 2005, SIAM J. Numer. Anal. 43, section 5.

    a_32 = phi_2(z/2),  a_42 = a_43 = phi_2,  a_52 = a_53 = phi_2(z/2)/2 - phi_3 + phi_2/4 - phi_3(z/2)/2,
    a_54 = phi_2(z/2)/4 - a_52,  b_4 = 4 phi_3 - phi_2,  b_5 = 4 phi_2 - 8 phi_3,   c = 0, 1/2, 1/2, 1, 1/2
    """

    order = 4
    reference = "Hochbruck and Ostermann 2005, SIAM J. Numer. Anal. 43"
    c = (0.0, 0.5, 0.5, 1.0, 0.5)
    rows = staticmethod(_hochbruck_ostermann)


def _krogstad(z: float) -> list[Row]:
    _, _, half_2, _ = phis(3, 0.5 * z)
    _, _, phi_2, phi_3 = phis(3, z)
    middle = 2 * phi_2 - 4 * phi_3
    return [{}, {}, {1: half_2}, {2: 2 * phi_2}, {1: middle, 2: middle, 3: 4 * phi_3 - phi_2}]


@register_solver("krogstad-4")
@dataclass(frozen=True)
class Krogstad4(ExponentialRK):
    r"""ETDRK4-B.  Krogstad 2005, J. Comput. Phys. 203; in this notation Hochbruck and Ostermann 2010.

    a_32 = phi_2(z/2),  a_43 = 2 phi_2(z),  b_2 = b_3 = 2 phi_2 - 4 phi_3,  b_4 = 4 phi_3 - phi_2,   c = 0, 1/2, 1/2, 1
    """

    order = 4
    reference = "Krogstad 2005, J. Comput. Phys. 203"
    c = (0.0, 0.5, 0.5, 1.0)
    rows = staticmethod(_krogstad)


def _luan_ostermann(z: float) -> list[Row]:
    _, _, h2, h3 = phis(3, z / 2)
    _, _, q2 = phis(2, z / 4)
    _, _, f2, f3, f4 = phis(4, z / 5)
    _, _, t2, t3, t4 = phis(4, 2 * z / 3)
    _, _, p2, p3, p4 = phis(4, z)
    a_64 = 8 / 25 * f2 - 32 / 125 * f3
    v = 5 / 32 * a_64 - f2 / 28 + 36 / 175 * t2 - 48 / 25 * t3 + 6 / 175 * f4 + 192 / 35 * t4 + 6 * p4
    return [
        {},
        {},
        {1: h2 / 2},
        {2: q2 / 8},
        {2: 2 * h3 - h2 / 2, 3: 2 * h2 - 4 * h3},
        {3: a_64, 4: 2 / 25 * f2 - a_64 / 2},
        {
            3: -125 / 162 * a_64,
            4: 125 / 1944 * a_64 - 16 / 27 * t2 + 320 / 81 * t3,
            5: 3125 / 3888 * a_64 + 100 / 27 * t2 - 800 / 81 * t3,
        },
        {
            4: 208 / 3 * p3 - 16 / 3 * p2 - 40 * v,
            5: 250 / 21 * p2 - 250 / 3 * p3 + 250 / 7 * v,
            6: 27 / 14 * p2 - 27 * p3 + 135 / 7 * v,
        },
        {
            5: 125 / 14 * p2 - 625 / 14 * p3 + 1125 / 14 * p4,
            6: 162 / 7 * p3 - 27 / 14 * p2 - 405 / 7 * p4,
            7: p2 / 2 - 13 / 2 * p3 + 45 / 2 * p4,
        },
    ]


@register_solver("exprk5s8")
@dataclass(frozen=True)
class ExpRK5s8(ExponentialRK):
    r"""expRK5s8, stiff order 5 with eight stages.  Luan and Ostermann 2014, J. Comput. Appl. Math. 256, 168.

    c = 0, 1/2, 1/2, 1/4, 1/2, 1/5, 2/3, 1.
    """

    order = 5
    reference = "Luan and Ostermann 2014, J. Comput. Appl. Math. 256"
    c = (0.0, 0.5, 0.5, 0.25, 0.5, 0.2, 2 / 3, 1.0)
    rows = staticmethod(_luan_ostermann)
