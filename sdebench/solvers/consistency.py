"""Song et al. 2023: multistep sampling with a consistency function."""

from dataclasses import dataclass

from sdebench._support.registry import register_solver
from sdebench.integration.prediction import lincomb
from sdebench.integration.solver import Step, StochasticSolver


@register_solver("consistency")
@dataclass(frozen=True)
class Consistency(StochasticSolver):
    r"""Jump to the end of the path, then put new noise on.  Song et al. 2023, arXiv:2303.01469, algorithm 1.

        x_t = alpha_t f(x_s, s) + sigma_t z

    f is read as the model's x0.  Of a network that predicts v this is `alpha x - sigma v`, which meets the boundary condition
    f(x, 0) = x (Lu and Song 2024, arXiv:2410.11081).  With the exact f, `problems.consistency_model`, the law is the marginal
    after every step, on any grid, and more steps add nothing.  The paper's paths end at a noise eps > 0, and it adds
    sqrt(tau^2 - eps^2); here eps = 0, and the last step adds the noise of the grid's end, as a state there has it.

    Not a discretisation: z belongs to no path.  With a denoiser E[x_0 | x_t] for f, of one Gaussian of variance C, the variance
    of x0 is below C after every step; on ever finer grids it tends to C^2/(2 C + rho_t^2), half of C at the end.  So weak
    order 0.  Nothing is divided by a level: the formula holds at both ends.
    """

    from_noise, to_data = "formula", "formula"
    weak_order, nfe_per_step = 0, 1
    family = "Consistency"
    reference = "Song et al. 2023, arXiv:2303.01469, algorithm 1"

    def step(self, model, x, s, t, past=(), noise=None):
        ns = model.schedule
        return Step(lincomb(ns.alpha(t), model(x, s).x0, ns.sigma(t), noise.fresh(t)))
