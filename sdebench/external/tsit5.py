"""Tsitouras' 5(4) pair as a torchdiffeq solver: its releases up to 0.2.5 bring the machinery but not this tableau."""

import torch
from torchdiffeq._impl.odeint import SOLVERS
from torchdiffeq._impl.rk_common import RKAdaptiveStepsizeODESolver, _ButcherTableau


def _row(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def _interpolant(q: float) -> torch.Tensor:
    """b_i(q) of the free fourth-order interpolant (Tsitouras 2011)."""
    return _row(
        -1.0530884977290216 * q * (q - 1.3299890189751412) * (q * q - 1.4364028541716351 * q + 0.7139816917074209),
        0.1017 * q * q * (q * q - 2.1966568338249754 * q + 1.2949852507374631),
        2.490627285651252793 * q * q * (q * q - 2.38535645472061657 * q + 1.57803468208092486),
        -16.54810288924490272 * (q - 1.21712927295533244) * (q - 0.61620406037800089) * q * q,
        47.37952196281928122 * (q - 1.203071208372362603) * (q - 0.658047292653547382) * q * q,
        -34.87065786149660974 * (q - 1.2) * (q - 2 / 3) * q * q,
        2.5 * (q - 1) * (q - 0.6) * q * q,
    )


class Tsit5Solver(RKAdaptiveStepsizeODESolver):
    """Tsitouras 2011, Computers and Mathematics with Applications 62, table 1."""

    order = 5
    mid = _interpolant(0.5)
    tableau = _ButcherTableau(
        alpha=_row(0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0),
        beta=[
            _row(0.161),
            _row(-0.008480655492356989, 0.335480655492357),
            _row(2.8971530571054935, -6.359448489975075, 4.3622954328695815),
            _row(5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
            _row(5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
            _row(0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774),
        ],
        c_sol=_row(0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774, 0),
        c_error=_row(
            -0.00178001105222577714,
            -0.0008164344596567469,
            0.007880878010261995,
            -0.1447110071732629,
            0.5823571654525552,
            -0.45808210592918697,
            1 / 66,
        ),
    )


SOLVERS.setdefault("tsit5", Tsit5Solver)
