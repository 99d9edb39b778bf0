"""scipy.integrate.solve_ivp as a sampler."""

from dataclasses import dataclass
from itertools import pairwise

import torch
from scipy.integrate import solve_ivp

from sdebench._support.registry import register_solver
from sdebench.external.black_box import BlackBox
from sdebench.solvers.runge_kutta import slope_t


@dataclass(frozen=True)
class ScipyODE(BlackBox):
    """RK45 (Dormand and Prince 1980) or DOP853 (Hairer, Norsett and Wanner 1993, II.5) of scipy, on the host in float64."""

    reference = "scipy.integrate.solve_ivp"

    def _solve(self, model, x, times):
        def slope(tau, y):
            return slope_t(model, torch.from_numpy(y.copy()).reshape(x.shape).to(x.dtype), float(tau)).double().numpy().ravel()

        y = x.double().numpy().ravel()
        for s, t in pairwise(times):
            fixed = {} if self.adaptive else {"first_step": s - t}
            result = solve_ivp(slope, (s, t), y, self.method, rtol=self.rtol, atol=self.atol, **fixed)
            if not result.success:
                raise RuntimeError(f"scipy {self.method} at rtol = {self.rtol:g}: {result.message}")
            y = result.y[:, -1]
        return torch.from_numpy(y.copy()).reshape(x.shape).to(x.dtype)


register_solver("scipy-rk45", method="RK45")(ScipyODE)
register_solver("scipy-dop853", method="DOP853")(ScipyODE)
