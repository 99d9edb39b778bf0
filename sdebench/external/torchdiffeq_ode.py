"""torchdiffeq.odeint as a sampler."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from sdebench._support.registry import register_solver
from sdebench.external.black_box import BlackBox
from sdebench.solvers.runge_kutta import slope_t


@dataclass(frozen=True)
class TorchdiffeqODE(BlackBox):
    """torchdiffeq's dopri5 and dopri8, and tsit5 added to them.  Time runs as u = s - tau, upwards, always in float64."""

    # Its answer is a quartic through both ends and the middle, read at the end: 2 dt (f_1 - f_0) - 8 (y_1 + y_0) + 16 y_m + ...
    roundings: ClassVar[float] = 8.0

    @property
    def reference(self) -> str:
        return "Tsitouras 2011, Comput. Math. Appl. 62; in torchdiffeq" if self.method == "tsit5" else "torchdiffeq.odeint"

    def _solve(self, model, x, times):
        from torchdiffeq import odeint  # a slow import, for those who ask

        from sdebench.external import tsit5  # noqa: F401  adds the method

        def slope(u, y):
            return -slope_t(model, y, s - float(u))

        s = times[0]
        u = torch.tensor([s - t for t in times], dtype=torch.float64)
        # Without step_t it steps past the end, perhaps out of the schedule's domain, and interpolates back to it.
        # It passes on to the next of them only where it had to cut a step: so the first one is asked for too long.
        options = {"dtype": torch.float64, "step_t": u[1:]} | ({} if self.adaptive else {"first_step": 2 * float(u[1])})
        return odeint(slope, x, u[[0, -1]], rtol=self.rtol, atol=self.atol, method=self.method, options=options)[-1]


register_solver("torchdiffeq-dopri5", method="dopri5")(TorchdiffeqODE)
register_solver("torchdiffeq-dopri8", method="dopri8")(TorchdiffeqODE)
register_solver("torchdiffeq-tsit5", method="tsit5")(TorchdiffeqODE)
