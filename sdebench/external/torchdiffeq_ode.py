"""torchdiffeq.odeint as a sampler."""

from dataclasses import dataclass

import torch

from ..registry import register_solver
from ..solvers.runge_kutta import slope_t
from .black_box import BlackBox


@dataclass(frozen=True)
class TorchdiffeqODE(BlackBox):
    """dopri5, dopri8 or tsit5 of torchdiffeq.  Time runs as u = s - tau, upwards, in float64 whatever the state."""

    reference = "torchdiffeq.odeint"

    def _solve(self, model, x, s, t):
        from torchdiffeq import odeint  # a slow import, for those who ask

        from . import tsit5  # noqa: F401  adds the method

        def slope(u, y):
            return -slope_t(model, y, s - float(u))

        times = torch.tensor([0.0, s - t], dtype=torch.float64)
        # Without step_t it steps past the end, perhaps out of the schedule's domain, and interpolates back to it.
        options = {"dtype": torch.float64, "step_t": times[1:]} | ({} if self.adaptive else {"first_step": s - t})
        return odeint(slope, x, times, rtol=self.rtol, atol=self.atol, method=self.method, options=options)[-1]


for _method in ("dopri5", "dopri8", "tsit5"):
    register_solver(f"torchdiffeq-{_method}", method=_method)(TorchdiffeqODE)
