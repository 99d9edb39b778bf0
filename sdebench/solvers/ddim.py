"""Song et al. 2020: denoising diffusion implicit models, eta = 0."""

from dataclasses import dataclass

from ..registry import register_solver
from ..solver import Solver, Step
from .linear import combine


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
        ns = model.schedule
        ratio = ns.alpha(t) / ns.alpha(s)  # of x, once x0 = (x - sigma_s eps)/alpha_s is put in
        return Step(combine(ratio, x, (ns.sigma(t) - ratio * ns.sigma(s), model(x, s))))
