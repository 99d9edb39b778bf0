"""Song et al. 2020: denoising diffusion implicit models, eta = 0."""

from dataclasses import dataclass
from math import expm1

from ..prediction import lincomb
from ..registry import register_solver
from ..solver import Solver, Step
from .linear import transfer


@register_solver("ddim")
@dataclass(frozen=True)
class DDIM(Solver):
    r"""Denoise to x0, then put the same noise back.  Song et al. 2020, arXiv:2010.02502, eq. 12 with sigma = 0 (the seed's 21).

        x_t = alpha_t x0 + sigma_t eps

    The paper's `alpha_t` is alpha^2 here.  One map with `dpm-solver-1`, and with Euler's method in sigma where alpha = 1.
    """

    order, nfe_per_step = 1, 1
    family = "DDIM"
    reference = "Song et al. 2020, arXiv:2010.02502, eq. 12"

    def step(self, model, x, s, t, past=(), noise=None):
        ns, m = model.schedule, model(x, s)
        if m.kind == "x0":  # the line below with eps = (x - alpha_s x0)/sigma_s put in, and so without forming it
            return Step(lincomb(ns.sigma(t) / ns.sigma(s), x, -ns.alpha(t) * expm1(ns.lam(s) - ns.lam(t)), m.x0))
        return Step(transfer(ns, x, m.eps, s, t))  # likewise with x0 = (x - sigma_s eps)/alpha_s
